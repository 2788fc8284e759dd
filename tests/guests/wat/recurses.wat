;; Calls itself until the stack is used up.
(func $deeper (param i32) (result i32)
  (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
(func $decide (param i32) (result i32) (drop (call $deeper (i32.const 0))) (i32.const 16))
