;; One instruction that takes long: no deadline is looked at inside of it.
(func $decide (param i32) (result i32)
  (drop (memory.grow (i32.const 500)))
  (loop
    (memory.copy (i32.const 0x100000) (i32.const 0x800000) (i32.const 0x1000000))
    (br 0))
  (i32.const 16))
