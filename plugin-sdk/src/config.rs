//! From the configuration's JSON text to a policy's own type, and that type's JSON Schema.

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

/// The configuration of a plugin that has nothing to configure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Reads a configuration; no text and `null` count as `{}`. An error names the field and what was expected there.
pub fn parse<C: DeserializeOwned>(text: &str) -> Result<C, String> {
    let text = match text.trim() {
        "" | "null" => "{}",
        text => text,
    };
    // Without this check a list would do as well: serde reads a list's values as a struct's fields in their order.
    if !text.starts_with('{') {
        return Err("the configuration is not a JSON object".into());
    }
    // Read as JSON first, because read as `C` at once, a value of another type than a choice has passes for broken JSON.
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("the configuration is not JSON: {error}"))?;
    serde_path_to_error::deserialize(json).map_err(|error| explain(&error))
}

/// The JSON Schema of a configuration, as text.
pub fn schema<C: JsonSchema>() -> String {
    schemars::schema_for!(C).as_value().to_string()
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let text = error.inner();
    match error.path().to_string().as_str() {
        "." => format!("the configuration: {text}"),
        path => format!("`{path}`: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        /// How many rules may match.
        #[serde(default)]
        limit: u32,
        #[serde(default)]
        rules: Vec<Rule>,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        First,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        label: String,
    }

    #[test]
    fn no_text_and_null_count_as_an_empty_object() {
        for text in ["", "  ", "null", "{}"] {
            assert_eq!(
                parse::<Config>(text),
                Ok(Config {
                    limit: 0,
                    rules: vec![],
                    mode: Mode::First,
                }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_error_names_the_field_and_what_was_expected() {
        let errors = [
            (
                r#"{"limit": "two"}"#,
                r#"`limit`: invalid type: string "two", expected u32"#,
            ),
            (
                r#"{"rules": [{"label": "a"}, {"label": 3}]}"#,
                "`rules[1].label`: invalid type: integer `3`, expected a string",
            ),
            (
                r#"{"rules": [{"lable": "a"}]}"#,
                "`rules[0].lable`: unknown field `lable`, expected `label`",
            ),
            (r#"{"rules": [{}]}"#, "`rules[0]`: missing field `label`"),
            (
                r#"{"mode": true}"#,
                "`mode`: invalid type: boolean `true`, expected string or map",
            ),
            (
                r#"{"mode": "last"}"#,
                "`mode`: unknown variant `last`, expected `first`",
            ),
            ("[]", "the configuration is not a JSON object"),
            (
                "{",
                "the configuration is not JSON: EOF while parsing an object at line 1 column 1",
            ),
            (
                "{} {}",
                "the configuration is not JSON: trailing characters at line 1 column 4",
            ),
        ];
        for (text, expected) in errors {
            assert_eq!(parse::<Config>(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_schema_carries_the_comments_as_descriptions() {
        assert!(
            schema::<Config>().contains(r#""description":"How many rules may match.""#),
            "{}",
            schema::<Config>()
        );
    }
}
