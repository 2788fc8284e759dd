;; Takes all the memory that it can get, touches it, and then wants more for ever.
(func $decide (param i32) (result i32)
  (local $at i32)
  (loop $more
    (local.set $at (memory.grow (i32.const 16)))
    (if (i32.ne (local.get $at) (i32.const -1))
      (then (memory.fill (i32.mul (local.get $at) (i32.const 65536)) (i32.const 7) (i32.const 0x100000))))
    (br $more))
  (i32.const 16))
