//! The contract in Rust: everything that `bindgen!` makes of `wit/`, in one world that has every hook. Which of them a
//! component must have, may have and may import is decided in `load` and `grants`, interface by interface.
//! The only place where generated code, and what it needs to be allowed, lives.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package pointsman:host;

        world every-hook {
            import pointsman:plugin/prompt@0.1.0;
            import pointsman:plugin/log@0.1.0;
            import pointsman:plugin/grants@0.1.0;
            import pointsman:plugin/timeouts@0.1.0;
            import pointsman:plugin/state@0.1.0;
            import pointsman:plugin/models@0.1.0;
            export pointsman:plugin/configure@0.1.0;
            export pointsman:plugin/route@0.1.0;
            export pointsman:plugin/review@0.1.0;
            export pointsman:plugin/outcome@0.1.0;
            export pointsman:plugin/describe@0.1.0;
            export pointsman:plugin/unary@0.1.0;
            export pointsman:plugin/streaming@0.1.0;
        }
    ",
    world: "pointsman:host/every-hook",
    imports: { default: trappable },
    additional_derives: [PartialEq],
});
