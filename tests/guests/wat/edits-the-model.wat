;; Edits what is the host's own: `/model`.
(data (i32.const 16) "\00\00\00\00" "\01\00\00\00")
(data (i32.const 32) "\80\00\00\00" "\01\00\00\00")
(data (i32.const 128) "\00\01\00\00" "\06\00\00\00" "\06\01\00\00" "\06\00\00\00")
(data (i32.const 256) "/model" "\22moon\22")
