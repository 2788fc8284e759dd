//! What providers are called here and elsewhere, and the hosts that they are reached at.

/// A provider of the catalog.
pub(super) struct Name {
    /// Here.
    pub(super) own: &'static str,
    /// In the list of models.dev.
    models_dev: &'static str,
    /// In LiteLLM's list, which has several names for some.
    litellm: &'static [&'static str],
    /// Where it is reached; `*` stands for any text.
    hosts: &'static [&'static str],
}

const fn name(
    own: &'static str,
    models_dev: &'static str,
    litellm: &'static [&'static str],
    hosts: &'static [&'static str],
) -> Name {
    Name {
        own,
        models_dev,
        litellm,
        hosts,
    }
}

/// By the names here.
const NAMES: &[Name] = &[
    name("anthropic", "anthropic", &["anthropic"], &["api.anthropic.com"]),
    name("azure", "azure", &["azure"], &["*.openai.azure.com"]),
    name(
        "bedrock",
        "amazon-bedrock",
        &["bedrock", "bedrock_converse"],
        &["bedrock-runtime.*.amazonaws.com"],
    ),
    name("cerebras", "cerebras", &["cerebras"], &["api.cerebras.ai"]),
    name(
        "cohere",
        "cohere",
        &["cohere", "cohere_chat"],
        &["api.cohere.com", "api.cohere.ai"],
    ),
    name("deepinfra", "deepinfra", &["deepinfra"], &["api.deepinfra.com"]),
    name("deepseek", "deepseek", &["deepseek"], &["api.deepseek.com"]),
    name("fireworks", "fireworks-ai", &["fireworks_ai"], &["api.fireworks.ai"]),
    name("gemini", "google", &["gemini"], &["generativelanguage.googleapis.com"]),
    name(
        "github-models",
        "github-models",
        &[],
        &["models.github.ai", "models.inference.ai.azure.com"],
    ),
    name("groq", "groq", &["groq"], &["api.groq.com"]),
    name("huggingface", "huggingface", &[], &["router.huggingface.co"]),
    name("minimax", "minimax", &["minimax"], &["api.minimax.io"]),
    name("minimax-cn", "minimax-cn", &[], &["api.minimaxi.com"]),
    name("mistral", "mistral", &["mistral"], &["api.mistral.ai"]),
    name("moonshot", "moonshotai", &["moonshot"], &["api.moonshot.ai"]),
    name("moonshot-cn", "moonshotai-cn", &[], &["api.moonshot.cn"]),
    name("nvidia", "nvidia", &["nvidia_nim"], &["integrate.api.nvidia.com"]),
    name("openai", "openai", &["openai"], &["api.openai.com"]),
    name("openrouter", "openrouter", &["openrouter"], &["openrouter.ai"]),
    name("perplexity", "perplexity", &["perplexity"], &["api.perplexity.ai"]),
    name("qwen", "alibaba", &["dashscope"], &["dashscope-intl.aliyuncs.com"]),
    name("qwen-cn", "alibaba-cn", &[], &["dashscope.aliyuncs.com"]),
    name("siliconflow", "siliconflow", &[], &["api.siliconflow.com"]),
    name("siliconflow-cn", "siliconflow-cn", &[], &["api.siliconflow.cn"]),
    name(
        "together",
        "togetherai",
        &["together_ai"],
        &["api.together.xyz", "api.together.ai"],
    ),
    name(
        "vertex",
        "google-vertex",
        &["vertex_ai-language-models", "vertex_ai-text-models"],
        &["*aiplatform.googleapis.com", "aiplatform.googleapis.com"],
    ),
    name(
        "vertex-anthropic",
        "google-vertex-anthropic",
        &["vertex_ai-anthropic_models"],
        &[],
    ),
    name("volcengine", "volcengine", &["volcengine"], &["ark.*.volces.com"]),
    name("xai", "xai", &["xai"], &["api.x.ai"]),
    name("zai", "zai", &["zai"], &["api.z.ai"]),
    name("zhipu", "zhipuai", &[], &["open.bigmodel.cn"]),
];

/// All names.
pub fn providers() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|name| name.own)
}

/// The provider that is reached at a host.
pub fn of_host(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let found = NAMES
        .iter()
        .find(|name| name.hosts.iter().any(|pattern| fits(pattern, &host)));
    found.map(|name| name.own)
}

pub(super) fn of_models_dev(id: &str) -> Option<&'static str> {
    let found = NAMES.iter().find(|name| name.models_dev == id);
    found.map(|name| name.own)
}

pub(super) fn of_litellm(id: &str) -> Option<&'static str> {
    let found = NAMES.iter().find(|name| name.litellm.contains(&id));
    found.map(|name| name.own)
}

fn fits(pattern: &str, host: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == host,
        Some((start, end)) => host
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|middle| !middle.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_host_and_by_no_other() {
        for (host, expected) in [
            ("api.openai.com", Some("openai")),
            ("API.OpenAI.com", Some("openai")),
            ("api.openai.com.example.org", None),
            ("bedrock-runtime.eu-west-1.amazonaws.com", Some("bedrock")),
            ("bedrock-runtime.amazonaws.com", None),
            ("europe-west1-aiplatform.googleapis.com", Some("vertex")),
            ("mine.openai.azure.com", Some("azure")),
            ("127.0.0.1", None),
        ] {
            assert_eq!(of_host(host), expected, "{host}");
        }
    }
}
