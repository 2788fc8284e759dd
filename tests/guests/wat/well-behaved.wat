;; Passes every request: what all other guests do where they say nothing else.
