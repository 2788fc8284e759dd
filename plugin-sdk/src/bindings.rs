//! What `wit-bindgen` makes of the contract in `wit/`: the only generated code, in one place, and never edited by hand.
//! There is a world for each shape of plugin. Its export macro carries the description of the world into the plugin that
//! calls it, so that a component exports the hooks of its own shape and nothing else; descriptions of several worlds in
//! one plugin add up. Imports that a plugin does not use leave no trace in its component.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]

/// The hooks that every policy has, and all that a policy may import.
pub mod policy {
    wit_bindgen::generate!({
        path: "../wit",
        inline: r#"
            package pointsman:sdk;
            world policy {
                include pointsman:plugin/policy@0.1.0;
                import pointsman:plugin/grants@0.1.0;
                import pointsman:plugin/state@0.1.0;
                import pointsman:plugin/models@0.1.0;
                import pointsman:plugin/timeouts@0.1.0;
            }
        "#,
        world: "policy",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "pointsman_plugin::bindings::policy",
        additional_derives: [PartialEq],
    });
}

/// The hook for policies that judge answers before the client sees them.
pub mod reviewer {
    wit_bindgen::generate!({
        path: "../wit",
        inline: r#"
            package pointsman:sdk;
            world reviewer { export pointsman:plugin/review@0.1.0; }
        "#,
        world: "reviewer",
        with: {
            "pointsman:plugin/catalog@0.1.0": crate::bindings::policy::pointsman::plugin::catalog,
            "pointsman:plugin/request@0.1.0": crate::bindings::policy::pointsman::plugin::request,
        },
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "pointsman_plugin::bindings::reviewer",
        additional_derives: [PartialEq],
    });
}

/// The hook for policies that want to hear how a request ended.
pub mod observer {
    wit_bindgen::generate!({
        path: "../wit",
        inline: r#"
            package pointsman:sdk;
            world observer { export pointsman:plugin/outcome@0.1.0; }
        "#,
        world: "observer",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "pointsman_plugin::bindings::observer",
        additional_derives: [PartialEq],
    });
}

/// An adapter's three hooks. Its log is the policies' log.
pub mod adapter {
    wit_bindgen::generate!({
        path: "../wit",
        inline: r#"
            package pointsman:sdk;
            world adapter { include pointsman:plugin/adapter@0.1.0; }
        "#,
        world: "adapter",
        with: { "pointsman:plugin/log@0.1.0": crate::bindings::policy::pointsman::plugin::log },
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "pointsman_plugin::bindings::adapter",
        additional_derives: [PartialEq],
    });
}
