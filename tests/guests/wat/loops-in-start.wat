;; Never gets as far as being configured.
(func $start (loop (br 0)))
(start $start)
