;; Wants a table of forty million entries before anything is called.
(table 40000000 funcref)
