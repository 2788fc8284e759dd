;; Spends its time in the host: it asks for a message's text for ever.
(import "pointsman:plugin/prompt@0.1.0" "last-user-text" (func $last_user_text (param i32)))
(func $decide (param i32) (result i32)
  (loop
    (global.set $top (i32.const 65536))
    (call $last_user_text (i32.const 1024))
    (br 0))
  (i32.const 16))
