;; Passes every request, and leaves behind a mebibyte that it has touched and a hundred places in a table.
(table $kept 1 100000 funcref)
(func $decide (param i32) (result i32)
  (local $at i32)
  (local.set $at (memory.grow (i32.const 16)))
  (if (i32.ne (local.get $at) (i32.const -1))
    (then (memory.fill (i32.mul (local.get $at) (i32.const 65536)) (i32.const 7) (i32.const 0x100000))))
  (drop (table.grow $kept (ref.null func) (i32.const 100)))
  (i32.const 16))
