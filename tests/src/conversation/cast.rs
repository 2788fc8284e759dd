//! Who holds conversations: every provider that the gateway has an adapter for, all of them behind one gateway. The provider of
//! each is at a path of its own of one server, `/NAME/…`, and complains in its own words of what it does not understand. Where the
//! specifications are there that providers publish, requests are held to them, too.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::Value;

use super::{Memory, anthropic, bedrock, cohere, gemini, ollama, openai};
use crate::answer::Answer;
use crate::gateway::Gateway;
use crate::provider::{FakeProvider, Received};
use crate::replay::{PLACES, home};
use crate::specification::Specification;

/// A provider.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The adapter's name, and its own.
    pub name: &'static str,
    words: Words,
    /// What of the base URL is its path, behind its name.
    base: &'static str,
    /// What it calls its model.
    upstream: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
    Ollama,
}

const VERTEX_GOOGLE: &str = "/v1/projects/the-project/locations/europe-west4/publishers/google";
const VERTEX_ANTHROPIC: &str = "/v1/projects/the-project/locations/europe-west4/publishers/anthropic";

const fn part(name: &'static str, words: Words, base: &'static str, upstream: &'static str) -> Part {
    Part {
        name,
        words,
        base,
        upstream,
    }
}

const fn dialect(name: &'static str) -> Part {
    part(name, Words::OpenAi, "/v1", "some-model")
}

/// All of them.
pub const CAST: [Part; 32] = [
    part("anthropic", Words::Anthropic, "", "claude-sonnet-4-5"),
    part(
        "vertex-anthropic",
        Words::Anthropic,
        VERTEX_ANTHROPIC,
        "claude-sonnet-4-5@20250929",
    ),
    part("bedrock", Words::Bedrock, "", "us.amazon.nova-pro-v1:0"),
    part("cohere", Words::Cohere, "", "some-model"),
    part("gemini", Words::Gemini, "/v1beta", "gemini-2.5-flash"),
    part("vertex", Words::Gemini, VERTEX_GOOGLE, "gemini-2.5-flash"),
    part("ollama", Words::Ollama, "", "some-model"),
    dialect("openai"),
    part("azure", Words::OpenAi, "", "some-model"),
    dialect("cerebras"),
    dialect("deepseek"),
    dialect("fireworks"),
    dialect("github"),
    dialect("gpustack"),
    dialect("groq"),
    dialect("huggingface"),
    dialect("llamacpp"),
    dialect("lmstudio"),
    dialect("minimax"),
    dialect("mistral"),
    dialect("moonshot"),
    dialect("nvidia"),
    dialect("openrouter"),
    dialect("perplexity"),
    dialect("qwen"),
    dialect("sglang"),
    dialect("siliconflow"),
    dialect("together"),
    dialect("vllm"),
    dialect("volcengine"),
    dialect("xai"),
    dialect("zhipu"),
];

/// A gateway with all of them.
#[derive(Debug)]
pub struct Stage {
    /// In front of them.
    pub gateway: Gateway,
    /// All of them.
    pub provider: FakeProvider,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// Sets it, with models `NAME/model`, `NAME/limited` and `NAME/embedder` of each, and routes `failing-NAME` and `busy-NAME` on which
    /// the gateway makes one attempt alone.
    pub async fn set() -> Stage {
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let memories: Memories = CAST.iter().map(|part| (part.name, Memory::default())).collect();
        let kept = Arc::clone(&complaints);
        let provider = FakeProvider::speaking(move |received| speak(received, &memories, &kept)).await;
        let config: String = CAST.iter().map(|part| part.config(&provider.url())).collect();
        let gateway = Gateway::start_in(home(&config, &provider)).await;
        Stage {
            gateway,
            provider,
            complaints,
        }
    }

    /// What in requests was not as the provider publishes it, or did not carry its credential.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Part {
    /// Whether it makes vectors.
    pub fn embeds(&self) -> bool {
        !matches!(self.words, Words::Anthropic | Words::Bedrock)
    }

    fn config(&self, url: &str) -> String {
        let Part {
            name, base, upstream, ..
        } = self;
        let mut config = crate::replay::config(name, name, &format!("{url}/{name}{base}"), &[]);
        if *name == "openai" {
            // As is known of OpenAI itself, by an address that this one has not.
            config += "rerank = false\n";
        }
        for (model, upstream) in [
            ("model", *upstream),
            ("limited", "a-limited-model"),
            ("busy", "a-busy-model"),
            ("embedder", "an-embedder"),
        ] {
            let _ = writeln!(
                config,
                "[models.\"{name}/{model}\"]\nprovider = \"{name}\"\nupstream = \"{upstream}\""
            );
        }
        for (route, model) in [("failing", "model"), ("limited", "limited"), ("busy", "busy")] {
            let _ = writeln!(
                config,
                "[routes.{route}-{name}]\ncandidates = [\"{name}/{model}\"]\nretries = 0"
            );
        }
        config
    }

    /// The header that its credential is in, and how that begins.
    fn credential(&self) -> (&'static str, &'static str) {
        match (self.name, self.words) {
            ("vertex" | "vertex-anthropic", _) => ("authorization", "Bearer ya29."),
            ("azure", _) => ("api-key", "key-of-a-test"),
            (_, Words::Anthropic) => ("x-api-key", "key-of-a-test"),
            (_, Words::Gemini) => ("x-goog-api-key", "key-of-a-test"),
            (_, Words::Bedrock) => ("authorization", "AWS4-HMAC-SHA256 Credential=AKIDOFATEST/"),
            _ => ("authorization", "Bearer key-of-a-test"),
        }
    }

    fn answer(&self, path: &str, body: &Value, memory: &Memory) -> Answer {
        match self.words {
            Words::OpenAi => openai::answer(self.name, path, body, memory),
            Words::Anthropic => anthropic::answer(path, body, memory),
            Words::Gemini => gemini::answer(path, body, memory),
            Words::Bedrock => bedrock::answer(path, body, memory),
            Words::Cohere => cohere::answer(path, body, memory),
            Words::Ollama => ollama::answer(path, body, memory),
        }
    }

    fn complaint(&self, path: &str, received: &Received) -> Option<String> {
        let (header, beginning) = self.credential();
        let is_known = received
            .header(header)
            .is_some_and(|value| value.starts_with(beginning));
        if !is_known {
            return Some(format!("`{header}` does not begin with `{beginning}`"));
        }
        // Counts are of what would be asked, and take less.
        let is_count = path.contains("count");
        let specification = SPECIFICATIONS.get(self.name).filter(|_| !is_count)?;
        let body = match self.words {
            Words::Gemini => gemini::spelled(received.json()).to_string().into(),
            _ => received.body.clone(),
        };
        let received = Received {
            path: path.to_owned(),
            body,
            ..received.clone()
        };
        // Vectors are not in all of them.
        let complaint = specification.complaint(&received)?;
        (!complaint.starts_with("there is no POST")).then_some(complaint)
    }
}

/// Those that are there; reading them takes a while.
static SPECIFICATIONS: LazyLock<HashMap<&str, Specification>> = LazyLock::new(|| {
    let there = PLACES
        .iter()
        .filter_map(|place| Some((place.adapter, place.specification()?)));
    there.collect()
});

/// What each provider remembers.
type Memories = HashMap<&'static str, Memory>;

/// None where nobody has this path.
fn speak(received: &Received, memories: &Memories, complaints: &Mutex<Vec<String>>) -> Option<Answer> {
    let (name, _) = received.path.strip_prefix('/')?.split_once('/')?;
    let part = CAST.iter().find(|part| part.name == name)?;
    let path = &received.path[1 + name.len()..];
    if let Some(complaint) = part.complaint(path, received) {
        let mut complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.push(format!(
            "{name}{path}: {complaint}: {}",
            String::from_utf8_lossy(&received.body)
        ));
    }
    let path = path.split('?').next().unwrap_or_default();
    Some(part.answer(path, &received.json(), &memories[name]))
}
