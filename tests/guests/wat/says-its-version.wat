;; Keeps the candidates and says which build of it this is; `tests::guests::version` writes other numbers over this one.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00")
(data (i32.const 48) "\00\01\00\00" "\0c\00\00\00")
(data (i32.const 256) "version 0000")
