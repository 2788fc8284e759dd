;; Plans with a candidate that nobody offered.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00" "\80\00\00\00" "\01\00\00\00")
(data (i32.const 128) "\00\01\00\00" "\04\00\00\00")
(data (i32.const 256) "moon")
