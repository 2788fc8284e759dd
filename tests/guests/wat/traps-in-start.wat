;; Fails before it is configured.
(func $start (unreachable))
(start $start)
