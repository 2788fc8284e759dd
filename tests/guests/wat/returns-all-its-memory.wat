;; Gives a reason of 48 MiB, which it does have.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00")
(data (i32.const 48) "\00\00\00\00" "\00\00\00\03")
(func $decide (param i32) (result i32)
  (drop (memory.grow (i32.const 800)))
  (i32.const 16))
