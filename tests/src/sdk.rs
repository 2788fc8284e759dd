//! OpenAI's, Anthropic's and Google's own SDKs and the frameworks that stand on them, each in a process of its own with the driver in `tests/sdk/`: what
//! applications are written with has the last word on whether an answer is one. Where one is not installed its tests say so and
//! pass, but not in CI.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::{env, io};

use serde_json::{Value, json};
use xtask::workspace;

use crate::absent::not_tested;
use crate::gateway::Gateway;

/// The SDKs for one language.
#[derive(Debug, Clone)]
pub struct Sdk {
    /// `Python` or `Node`.
    pub name: &'static str,
    program: PathBuf,
    /// Node finds its packages from where it is started.
    folder: PathBuf,
    driver: PathBuf,
    argument: Option<&'static str>,
}

/// Where and how a kind of SDK is looked for.
struct Kind {
    name: &'static str,
    /// Below `target/sdk`; the system's own comes second.
    program: &'static str,
    system: &'static str,
    folder: &'static str,
    driver: &'static str,
    /// What it is started with.
    argument: Option<&'static str>,
    /// A program that ends well where the SDK is there.
    probe: [&'static str; 2],
}

/// What applications are written with, as `clients/expected.json` names them.
const CLIENTS: [Kind; 12] = [
    Kind {
        name: "OpenAI's SDK for Python",
        driver: "clients/with_openai.py",
        ..KINDS[0]
    },
    Kind {
        name: "OpenAI's SDK for Node",
        driver: "clients/with_openai.mjs",
        ..KINDS[1]
    },
    Kind {
        name: "Anthropic's SDK for Python",
        driver: "clients/with_anthropic.py",
        ..KINDS[0]
    },
    Kind {
        name: "Anthropic's SDK for Node",
        driver: "clients/with_anthropic.mjs",
        ..KINDS[1]
    },
    Kind {
        name: "Google's SDK for Python",
        driver: "clients/with_genai.py",
        probe: ["-c", "from google import genai"],
        ..KINDS[0]
    },
    Kind {
        name: "Google's SDK for Node",
        driver: "clients/with_genai.mjs",
        probe: ["-e", "require('@google/genai')"],
        ..KINDS[1]
    },
    Kind {
        name: "LangChain, OpenAI",
        program: "frameworks/bin/python",
        system: "python3",
        folder: "frameworks",
        driver: "clients/with_langchain.py",
        argument: None,
        probe: ["-c", "import langchain_openai"],
    },
    Kind {
        name: "LangChain, Anthropic",
        program: "frameworks/bin/python",
        system: "python3",
        folder: "frameworks",
        driver: "clients/with_langchain.py",
        argument: Some("anthropic"),
        probe: ["-c", "import langchain_anthropic"],
    },
    Kind {
        name: "LlamaIndex",
        program: "frameworks/bin/python",
        system: "python3",
        folder: "frameworks",
        driver: "clients/with_llamaindex.py",
        argument: None,
        probe: ["-c", "import llama_index.llms.openai_like"],
    },
    Kind {
        name: "LiteLLM",
        program: "litellm/bin/python",
        system: "python3",
        folder: "litellm",
        driver: "clients/with_litellm.py",
        argument: None,
        probe: ["-c", "import litellm, mcp"],
    },
    Kind {
        name: "Instructor",
        program: "litellm/bin/python",
        system: "python3",
        folder: "litellm",
        driver: "clients/with_instructor.py",
        argument: None,
        probe: ["-c", "import instructor"],
    },
    Kind {
        name: "Vercel's AI SDK",
        program: "vercel/bin/node",
        system: "node",
        folder: "vercel",
        driver: "clients/with_vercel.mjs",
        argument: None,
        probe: ["-e", "require('ai')"],
    },
];

/// A client by its name, where it is there.
pub fn client(name: &str) -> Option<Sdk> {
    let kind = CLIENTS.iter().find(|kind| kind.name == name);
    find(kind.expect("no client that the tests know"))
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "Python",
        program: "python/bin/python",
        system: "python3",
        folder: "python",
        driver: "driver.py",
        argument: None,
        probe: ["-c", "import openai, anthropic"],
    },
    Kind {
        name: "Node",
        program: "node/bin/node",
        system: "node",
        folder: "node",
        driver: "driver.mjs",
        argument: None,
        probe: ["-e", "require('openai'); require('@anthropic-ai/sdk')"],
    },
];

/// The SDKs that there are.
pub fn sdks() -> &'static [Sdk] {
    static FOUND: LazyLock<Vec<Sdk>> = LazyLock::new(|| KINDS.iter().filter_map(find).collect());
    &FOUND
}

/// The SDK for Python, where it is there.
pub fn python() -> Option<&'static Sdk> {
    sdks().iter().find(|sdk| sdk.name == "Python")
}

impl Sdk {
    /// Takes these steps, which the driver describes, and returns what an application would see of each.
    pub async fn takes(&self, gateway: &Gateway, steps: Value) -> Vec<Value> {
        self.takes_with_key(gateway, "none-needed", steps).await
    }

    /// Takes these steps as an application that was given this key.
    pub async fn takes_with_key(&self, gateway: &Gateway, key: &str, steps: Value) -> Vec<Value> {
        let order = json!({ "base_url": format!("{}/v1", gateway.url()), "api_key": key, "steps": steps });
        let driver = self.driver.to_str().expect("a path that is UTF-8");
        let seen = self.runs(&[driver], order.to_string()).await;
        serde_json::from_slice(&seen.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {seen:?}"))
    }

    /// Plays its scenes with these providers; an object for each, with what an application sees.
    pub async fn plays(&self, gateway: &Gateway, providers: &[&str]) -> Vec<Value> {
        let order = json!({ "base_url": format!("{}/v1", gateway.url()), "providers": providers });
        let driver = self.driver.to_str().expect("a path that is UTF-8");
        let arguments: Vec<&str> = std::iter::once(driver).chain(self.argument).collect();
        let seen = self.runs(&arguments, order.to_string()).await;
        let lines = serde_json::Deserializer::from_slice(&seen.stdout).into_iter();
        let lines = lines.map(|line| line.unwrap_or_else(|error| panic!("not JSON ({error}): {seen:?}")));
        lines.collect()
    }

    /// Takes a single step.
    pub async fn takes_one(&self, gateway: &Gateway, step: Value) -> Value {
        self.takes(gateway, json!([step])).await.remove(0)
    }

    /// Runs the interpreter to its end, which must be a good one.
    pub async fn runs(&self, arguments: &[&str], input: String) -> Output {
        let mut command = clean(Command::new(&self.program));
        command.args(arguments).current_dir(&self.folder);
        let output = finish(command, input).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the application for {} fails:\n{complaint}",
            self.name
        );
        output
    }
}

/// Runs a program of the user's own to its end, with what it reads.
pub async fn finish(mut command: Command, input: String) -> Output {
    let run = move || -> io::Result<Output> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A program that does not read its input closes it; what counts is how it ends.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    };
    tokio::task::spawn_blocking(run)
        .await
        .expect("joining")
        .expect("cannot start the program")
}

/// Without proxies, keys and settings of whoever runs the tests.
pub fn clean(mut command: Command) -> Command {
    command.env_clear();
    for kept in ["PATH", "HOME", "TMPDIR", "NODE_PATH"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

fn find(kind: &Kind) -> Option<Sdk> {
    let sdks = workspace().join("target/sdk");
    let own = sdks.join(kind.folder);
    let folder = if own.is_dir() { own } else { workspace().to_owned() };
    let programs = [sdks.join(kind.program), kind.system.into()];
    let program = programs.into_iter().find(|program| {
        let mut command = clean(Command::new(program));
        command
            .args(kind.probe)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    });
    if program.is_none() {
        let what = format!("what applications for {} are written with is not installed", kind.name);
        let remedy = "with Python 3 and Node.js on the machine, `cargo xtask test` installs it";
        assert!(env::var_os("CI").is_none(), "{what}; {remedy}");
        not_tested(&what, remedy);
    }
    Some(Sdk {
        name: kind.name,
        program: program?,
        folder,
        argument: kind.argument,
        driver: workspace().join("tests/sdk").join(kind.driver),
    })
}
