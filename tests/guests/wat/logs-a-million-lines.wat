;; Says more than anybody wants to read, with colours.
(import "pointsman:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))
(data (i32.const 256) "\1b[31mred\1b[0m\0aforged line")
(func $decide (param i32) (result i32)
  (local $left i32)
  (local.set $left (i32.const 1000000))
  (loop $more
    (call $log (i32.const 3) (i32.const 256) (i32.const 23))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $more (local.get $left)))
  (i32.const 16))
