//! The configuration that is used where there is no file: TOML like any other, put together from what the environment
//! offers. `pointsman check --print` shows it, and it is a good start for a file of one's own.

use std::fmt::Write as _;

/// Providers by the environment variable that holds their key.
const PROVIDERS: [(&str, &str); 10] = [
    ("OPENAI_API_KEY", include_str!("defaults/openai.toml")),
    ("ANTHROPIC_API_KEY", include_str!("defaults/anthropic.toml")),
    ("GEMINI_API_KEY", include_str!("defaults/gemini.toml")),
    ("DEEPSEEK_API_KEY", include_str!("defaults/deepseek.toml")),
    ("MISTRAL_API_KEY", include_str!("defaults/mistral.toml")),
    ("MOONSHOT_API_KEY", include_str!("defaults/moonshot.toml")),
    ("DASHSCOPE_API_KEY", include_str!("defaults/qwen.toml")),
    ("ZHIPU_API_KEY", include_str!("defaults/zhipu.toml")),
    ("XAI_API_KEY", include_str!("defaults/xai.toml")),
    ("GROQ_API_KEY", include_str!("defaults/groq.toml")),
];

const SIMULATED: &str = include_str!("defaults/simulated.toml");
const ROUTING: &str = include_str!("defaults/routing.toml");

/// The whole text. `variable` reads the environment; an empty variable counts as absent.
pub fn text(variable: impl Fn(&str) -> Option<String>) -> String {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let real: Vec<&str> = PROVIDERS
        .iter()
        .filter(|(key, _)| is_set(key))
        .map(|(_, part)| *part)
        .collect();
    let candidates = if real.is_empty() {
        tagged(SIMULATED)
    } else {
        real.iter().copied().flat_map(tagged).collect()
    };
    let mut text = real.join("\n");
    let _ = write!(text, "\n{SIMULATED}\n{ROUTING}\n[routes.auto]\ncandidates = [\n");
    for candidate in candidates {
        let _ = writeln!(text, "    \"{candidate}\",");
    }
    text.push_str("]\npolicies = [\"complexity\", \"keyword\"]\n");
    text
}

/// The models of a part that have a tag: those that `auto` chooses among.
fn tagged(part: &str) -> Vec<&str> {
    part.split("[models.\"")
        .skip(1)
        .filter(|model| model.lines().any(|line| line.starts_with("tags = ")))
        .filter_map(|model| model.split_once('"').map(|(id, _)| id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    #[test]
    fn without_any_key_the_simulated_provider_serves() {
        let config = Source {
            path: None,
            text: text(|_| None),
        }
        .load()
        .expect("the defaults are good");
        assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["simulated"]);
        let candidates: Vec<&str> = config.routes["auto"]
            .candidates
            .iter()
            .map(|c| c.model.as_str())
            .collect();
        assert_eq!(candidates, ["simulated/small", "simulated/coder", "simulated/large"]);
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn every_provider_with_a_key_appears_with_priced_models() {
        let all = text(|_| Some("k".to_owned()));
        // The variables themselves are not set here, and are not of interest.
        let without_keys: String = all
            .lines()
            .filter(|line| !line.starts_with("api_key"))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = Source {
            path: None,
            text: without_keys,
        }
        .load()
        .expect("the defaults are good");
        assert_eq!(config.providers.len(), PROVIDERS.len() + 1);
        assert_eq!(config.warnings, Vec::<String>::new());
        assert!(
            !config.routes["auto"]
                .candidates
                .iter()
                .any(|c| c.model.starts_with("simulated/"))
        );
    }

    #[test]
    fn an_empty_variable_is_no_key() {
        assert_eq!(text(|_| Some(" ".to_owned())), text(|_| None));
    }
}
