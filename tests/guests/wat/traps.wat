;; Fails at each request.
(func $decide (param i32) (result i32) (unreachable))
