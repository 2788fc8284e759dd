;; Gives a reason of 1 GiB, which it does not have.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00")
(data (i32.const 48) "\00\00\00\00" "\00\00\00\40")
