;; Wants a second memory of 3 GiB before anything is called.
(memory 49152)
