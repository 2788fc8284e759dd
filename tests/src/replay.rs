//! A provider that plays what it really answered, at the path where it did, and takes only requests that its specification allows. How
//! the bytes come, and where they break off, the answer says.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clouds::ServiceAccount;
use crate::gateway::Home;
use crate::provider::FakeProvider;
use crate::recordings::Recording;
use crate::specification::Specification;

/// How an adapter's requests reach its provider.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The adapter's name.
    pub adapter: &'static str,
    /// What of the base URL is its path.
    pub base: &'static str,
    /// Models whose requests differ.
    pub models: &'static [&'static str],
    /// The words of its answers.
    pub wire: &'static str,
    specification: fn() -> Option<Specification>,
}

const CHAT: &str = "/v1/chat/completions";
const VERTEX_GOOGLE: &str = "/v1/projects/the-project/locations/europe-west4/publishers/google";
const VERTEX_ANTHROPIC: &str = "/v1/projects/the-project/locations/europe-west4/publishers/anthropic";

/// Every adapter whose provider publishes what it takes.
pub const PLACES: [Place; 9] = [
    Place {
        adapter: "openai",
        base: "/v1",
        models: &["gpt-5"],
        wire: "openai-chat",
        specification: || Specification::openapi("openai/openapi.chat-embeddings-models.yaml"),
    },
    Place {
        adapter: "azure",
        base: "",
        models: &["deployed"],
        wire: "openai-chat",
        specification: || {
            let openai = Specification::openapi("openai/openapi.chat-embeddings-models.yaml")?;
            Some(openai.at("/openai/deployments/{name}/chat/completions", CHAT, |body| {
                body["model"] = "deployed".into()
            }))
        },
    },
    Place {
        adapter: "mistral",
        base: "/v1",
        models: &["mistral-large-latest"],
        wire: "openai-chat",
        specification: || Specification::openapi("mistral/openapi.chat-embeddings.yaml"),
    },
    Place {
        adapter: "anthropic",
        base: "",
        models: &["claude-sonnet-4-5", "claude-opus-4-6"],
        wire: "anthropic-messages",
        specification: || Specification::openapi("anthropic/openapi.messages.yaml"),
    },
    Place {
        adapter: "vertex-anthropic",
        base: VERTEX_ANTHROPIC,
        models: &["claude-sonnet-4-5@20250929"],
        wire: "anthropic-messages",
        specification: || {
            let anthropic = Specification::openapi("anthropic/openapi.messages.yaml")?;
            let place = "/v1/projects/{project}/locations/{region}/publishers/anthropic/models/{model}";
            Some(anthropic.at(place, "/v1/messages", |body| {
                let members = body.as_object_mut().expect("a body is an object");
                members.remove("anthropic_version").expect("the version is in the body");
                members.insert("model".to_owned(), "claude".into());
            }))
        },
    },
    Place {
        adapter: "gemini",
        base: "/v1beta",
        models: &["gemini-2.5-flash", "gemini-3-pro-preview"],
        wire: "gemini-generate",
        specification: || Specification::openapi("gemini/openapi.generate-content.yaml"),
    },
    Place {
        adapter: "vertex",
        base: VERTEX_GOOGLE,
        models: &["gemini-2.5-flash", "gemini-3-pro-preview"],
        wire: "gemini-generate",
        specification: || Specification::discovery("gemini/vertex-discovery.generate-content.json"),
    },
    Place {
        adapter: "bedrock",
        base: "",
        models: &["amazon.nova-pro-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"],
        wire: "bedrock-converse",
        specification: || Specification::smithy("bedrock/bedrock-runtime.service-2.json"),
    },
    Place {
        adapter: "ollama",
        base: "",
        models: &["qwen3"],
        wire: "ollama-chat",
        // Newer servers know more than it says, and older ones pass over that.
        specification: || Some(Specification::openapi("ollama/openapi.yaml")?.open()),
    },
];

impl Place {
    /// The provider, held to what it publishes; none where that is not there.
    pub async fn provider(&self) -> Option<FakeProvider> {
        let provider = FakeProvider::start().await;
        Some(provider.held_to((self.specification)()?))
    }

    /// What it publishes, if it is there.
    pub fn specification(&self) -> Option<Specification> {
        (self.specification)()
    }

    /// Where requests for this model arrive.
    pub fn path(&self, model: &str, is_stream: bool) -> String {
        let model = model.replace(':', "%3A");
        let base = self.base;
        let (method, stream) = match self.adapter {
            "azure" => return format!("/openai/deployments/{model}/chat/completions"),
            "anthropic" => return format!("{base}/v1/messages"),
            "ollama" => return format!("{base}/api/chat"),
            "bedrock" if is_stream => return format!("{base}/model/{model}/converse-stream"),
            "bedrock" => return format!("{base}/model/{model}/converse"),
            "vertex-anthropic" => ("rawPredict", "streamRawPredict"),
            "vertex" | "gemini" => ("generateContent", "streamGenerateContent"),
            _ => return format!("{base}/chat/completions"),
        };
        format!("{base}/models/{model}:{}", if is_stream { stream } else { method })
    }

    /// A whole answer, or a streamed one.
    pub fn an_answer<'r>(&self, recordings: &'r [Recording], is_stream: bool) -> &'r Recording {
        let mut fitting = recordings.iter().filter(|recording| {
            recording.wire == self.wire
                && recording.status == 200
                && recording.is_streamed == is_stream
                && recording.expected["finish"] == "stop"
        });
        fitting
            .next()
            .unwrap_or_else(|| panic!("no recording of {} is streamed: {is_stream}", self.wire))
    }
}

/// A provider of this name and adapter at this base URL, and models of it: `NAME/UPSTREAM`.
pub fn config(name: &str, adapter: &str, base_url: &str, models: &[&str]) -> String {
    // Words that providers use in their errors would be taken out of them as secrets.
    let credentials = match adapter {
        "bedrock" => {
            "region = \"eu-central-1\"\naws = { access_key_id = \"AKIDOFATEST\", secret_access_key = \"secret-of-a-test\" }"
        }
        "vertex" | "vertex-anthropic" => {
            "region = \"europe-west4\"\ngoogle = { service_account = \"${file:account.json}\" }"
        }
        _ => "api_key = \"key-of-a-test\"",
    };
    let mut config = format!("[providers.{name}]\nadapter = \"{adapter}\"\nbase_url = \"{base_url}\"\n{credentials}\n");
    for model in models {
        config += &format!("[models.\"{name}/{model}\"]\nprovider = \"{name}\"\nupstream = \"{model}\"\n");
    }
    config
}

/// A folder with this configuration, and a service account whose tokens this provider gives out.
pub fn home(config: &str, tokens: &FakeProvider) -> Home {
    let token = json!({ "access_token": "ya29.of-a-test", "expires_in": 3599, "token_type": "Bearer" });
    tokens.on("/token", [Answer::json(200, &token)]);
    let home = Home::with_config(config);
    home.write(
        "account.json",
        ServiceAccount::new(&format!("{}/token", tokens.url())).json(),
    );
    home
}

/// What was left out of a recorded request, in place of which anything does.
pub fn whole(mut asked: Value) -> Value {
    match &mut asked {
        Value::String(text) => {
            if let Some(at) = text.find("<elided ") {
                text.replace_range(at.., "AAAA");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = whole(item.take())),
        Value::Object(members) => members.values_mut().for_each(|member| *member = whole(member.take())),
        _ => {}
    }
    asked
}
