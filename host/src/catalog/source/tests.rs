//! Lists of both shapes, good and bad.

use super::*;

fn taken(list: &str) -> Taken {
    read(Bytes::copy_from_slice(list.as_bytes())).unwrap()
}

fn refused(list: &str) -> String {
    read(Bytes::copy_from_slice(list.as_bytes())).unwrap_err().to_string()
}

fn entry(taken: &Taken, provider: &str, model: &str) -> Entry {
    taken.models[&(provider.to_owned(), model.to_owned())].clone()
}

fn usd(text: &str) -> Nanodollars {
    Nanodollars::from_usd(text).unwrap()
}

#[test]
fn the_list_of_models_dev_is_read() {
    let taken = taken(
        r#"{"google": {"id": "google", "models": {"gemini-2.5-pro": {"cost": {"input": 1.25, "output": 10, "cache_read": 0.125,
            "tiers": [{"input": 2.5, "output": 15.0, "tier": {"size": 200000}}, {"input": 99, "output": 99, "tier": {"size": 1, "type": "night"}}]},
            "limit": {"context": 1048576, "output": 65536}, "modalities": {"input": ["text", "image"]}, "tool_call": true,
            "structured_output": false, "reasoning": true}, "free": {"limit": {"context": 0}},
            "old": {"cost": {"input": 1, "output": 2, "context_over_200k": {"input": 3}}},
            "auto": {"cost": {"input": -1, "output": -1}},
            "nought": {"cost": {"input": 1, "output": 2, "cache_read": 0, "cached_write": 1.5}}}},
          "somebody": {"models": {"a": {}, "b": {}}}}"#,
    );
    assert_eq!((taken.shape, taken.left_out, taken.models.len()), ("models.dev", 2, 5));
    let pro = entry(&taken, "gemini", "gemini-2.5-pro");
    let price = pro.price.unwrap();
    assert_eq!(
        (price.rates.input, price.rates.cached_input),
        (usd("1.25"), Some(usd("0.125")))
    );
    assert_eq!(price.tiers.len(), 1);
    assert_eq!((price.tiers[0].0, price.tiers[0].1.output), (200_000, usd("15")));
    assert_eq!((pro.context, pro.max_output), (Some(1_048_576), Some(65_536)));
    let words = pro.abilities.unwrap().words();
    assert_eq!(
        words,
        [
            "streaming",
            "tools",
            "parallel-tools",
            "vision",
            "reasoning",
            "prompt-cache"
        ]
    );
    let free = entry(&taken, "gemini", "free");
    assert_eq!((free.price, free.context), (None, None));
    let old = entry(&taken, "gemini", "old").price.unwrap();
    assert_eq!((old.tiers[0].1.input, old.tiers[0].1.output), (usd("3"), usd("2")));
    assert_eq!(entry(&taken, "gemini", "auto").price, None);
    let nought = entry(&taken, "gemini", "nought").price.unwrap().rates;
    assert_eq!((nought.cached_input, nought.cache_write), (None, Some(usd("1.5"))));
}

#[test]
fn the_list_of_litellm_is_read() {
    let taken = taken(
        r#"{"sample_spec": {"litellm_provider": "one of", "input_cost_per_token": "a number"},
          "claude-x": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
            "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
            "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
            "input_cost_per_token_batches": 1.5e-06, "max_input_tokens": 200000, "supports_function_calling": true},
          "deepseek/deepseek-chat": {"litellm_provider": "deepseek", "input_cost_per_token": 2.8e-07, "output_cost_per_token": 4.2e-07},
          "dashscope/qwen-x": {"litellm_provider": "dashscope", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 1.8e-06, "output_cost_per_token": 9e-06}]},
          "bedrock/eu/x": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 0, "output_cost_per_token": 0},
          "dall-e": {"litellm_provider": "openai", "mode": "image_generation"},
          "x": {"litellm_provider": "somebody"}}"#,
    );
    assert_eq!((taken.shape, taken.left_out, taken.models.len()), ("LiteLLM", 2, 4));
    let claude = entry(&taken, "anthropic", "claude-x");
    let price = claude.price.unwrap();
    assert_eq!(
        (price.rates.cache_write_1h, price.shares.batch),
        (Some(usd("6")), Some(500))
    );
    assert_eq!((price.tiers[0].0, price.tiers[0].1.output), (200_000, usd("22.5")));
    assert!(claude.abilities.unwrap().tools);
    assert_eq!(entry(&taken, "deepseek", "deepseek-chat").abilities, None);
    let qwen = entry(&taken, "qwen", "qwen-x").price.unwrap();
    assert_eq!(
        (qwen.rates.output, qwen.tiers.len(), qwen.tiers[0].0),
        (usd("5"), 1, 32_000)
    );
    assert_eq!(
        entry(&taken, "bedrock", "eu/x").price.unwrap().rates.input,
        Nanodollars(0)
    );
}

#[test]
fn what_is_no_list_is_refused_whole() {
    for (list, expected) in [
        ("", "this is not JSON"),
        ("<html>", "this is not JSON"),
        ("[]", "neither"),
        ("{}", "neither"),
        (r#"{"message": "rate limited"}"#, "neither"),
        (r#"{"somebody": {"models": {}}}"#, "no model of any provider"),
        (r#"{"openai": {"models": {"m": 7}}}"#, "openai/m must be an object"),
        (
            r#"{"openai": {"models": {"m": {"cost": 7}}}}"#,
            "openai/m: `cost` must be an object",
        ),
        (
            r#"{"openai": {"models": {"m": {"cost": {"input": 1e300, "output": 1}}}}}"#,
            "openai/m: `input` is 1e300, which is no price",
        ),
        (
            r#"{"openai": {"models": {"m": {"cost": {"input": "1"}}}}}"#,
            "openai/m: `input` must be a number",
        ),
        (
            r#"{"openai": {"models": {"m": {}}}, "google": 5}"#,
            "google: `models` must be an object",
        ),
        (
            r#"{"m": {"litellm_provider": "openai", "input_cost_per_token": []}}"#,
            "m: `input_cost_per_token` must be a number",
        ),
        (
            r#"{"m": {"litellm_provider": "openai"}, "n": {}}"#,
            "n: `litellm_provider` must be a string",
        ),
    ] {
        let said = refused(list);
        assert!(said.contains(expected), "{list}: {said}");
    }
    let many: Vec<String> = (0..30).map(|n| format!(r#""m{n}": 1"#)).collect();
    let said = refused(&format!(r#"{{"openai": {{"models": {{{}}}}}}}"#, many.join(",")));
    assert!(said.ends_with("and 10 more"), "{said}");
}
