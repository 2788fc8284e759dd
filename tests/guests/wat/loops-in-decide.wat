;; Loads well and never decides.
(func $decide (param i32) (result i32) (loop (br 0)) (i32.const 16))
