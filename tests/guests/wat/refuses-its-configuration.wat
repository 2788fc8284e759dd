;; Says that no configuration is good: an error with text, as it should be done.
(data (i32.const 256) "the moon is in the wrong house")
(func $load (param i32 i32) (result i32)
  (i32.store8 (i32.const 512) (i32.const 1))
  (i32.store (i32.const 516) (i32.const 256))
  (i32.store (i32.const 520) (i32.const 30))
  (i32.const 512))
