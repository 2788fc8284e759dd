;; Gives a reason that is not text.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00")
(data (i32.const 48) "\00\01\00\00" "\04\00\00\00")
(data (i32.const 256) "\ff\fe\80\c0")
