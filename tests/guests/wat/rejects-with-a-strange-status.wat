;; Turns requests down with status 200 and a code that no code looks like.
(data (i32.const 16) "\00\00\00\00" "\02\00\00\00" "\c8\00\00\00" "\00\01\00\00" "\0f\00\00\00" "\00\01\00\00" "\0f\00\00\00")
(data (i32.const 256) "not\0d\0aallowed: 1")
