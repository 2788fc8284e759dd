;; Plans with a million steps, all of them well formed: 32 MiB for the host to read.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00" "\00\00\10\00" "\40\42\0f\00")
(func $decide (param i32) (result i32)
  (drop (memory.grow (i32.const 512)))
  (i32.const 16))
