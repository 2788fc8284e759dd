//! Pieces of configuration that many tests are made of. What is particular to a test stays in the test.

/// A provider in OpenAI's dialect at this address, with the key `key-of-NAME` and one model, `NAME/model`, that it calls
/// `upstream-model`.
pub fn openai(name: &str, url: &str) -> String {
    provider(name, "openai", &format!("{url}/v1"))
}

/// The same in Anthropic's dialect.
pub fn anthropic(name: &str, url: &str) -> String {
    provider(name, "anthropic", url)
}

/// The same in Gemini's dialect.
pub fn gemini(name: &str, url: &str) -> String {
    provider(name, "gemini", &format!("{url}/v1beta"))
}

fn provider(name: &str, adapter: &str, base_url: &str) -> String {
    format!(
        r#"
[providers.{name}]
adapter = "{adapter}"
base_url = "{base_url}"
api_key = "key-of-{name}"

[models."{name}/model"]
provider = "{name}"
upstream = "upstream-model"
price = {{ input = 1.0, cached_input = 0.1, output = 2.0 }}
"#
    )
}

/// A route over the model of each of these providers, with further lines of its own.
pub fn route(name: &str, providers: &[&str], more: &str) -> String {
    let candidates: Vec<String> = providers
        .iter()
        .map(|provider| format!("\"{provider}/model\""))
        .collect();
    format!("\n[routes.{name}]\ncandidates = [{}]\n{more}\n", candidates.join(", "))
}

/// A policy that is this component.
pub fn policy(name: &str, component: &str, config: &str) -> String {
    format!("\n[policies.{name}]\ncomponent = \"{component}\"\n[policies.{name}.config]\n{config}\n")
}
