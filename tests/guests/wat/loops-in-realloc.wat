;; Loops where the host asks for room, before the guest's own function is called. Its configuration is empty text or
;; short; only a request is as long as this.
(func $realloc (param i32 i32 i32 i32) (result i32)
  (if (i32.gt_u (local.get 3) (i32.const 64)) (then (loop (br 0))))
  (call $allocate (local.get 2) (local.get 3)))
