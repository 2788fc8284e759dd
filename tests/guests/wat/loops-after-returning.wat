;; Decides, and loops when the host lets go of the answer.
(func $after (export "cabi_post_pointsman:plugin/route@0.1.0#decide") (param i32) (loop (br 0)))
