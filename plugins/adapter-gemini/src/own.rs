//! The provider's own words: beside the canonical ones, or where Google's own OpenAI endpoint has them, under
//! `extra_body.google`.

use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Chat, Members, Raw, Text, refuse};
use serde::Deserialize;

/// What the client said in the provider's words.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Own<'a> {
    #[serde(borrow, alias = "safetySettings")]
    pub(crate) safety_settings: Option<Raw<'a>>,
    #[serde(borrow, alias = "cachedContent")]
    pub(crate) cached_content: Option<Text<'a>>,
    #[serde(borrow, alias = "thinkingConfig")]
    pub(crate) thinking_config: Option<Raw<'a>>,
    #[serde(borrow, alias = "generationConfig")]
    pub(crate) generation_config: Option<OwnGeneration<'a>>,
}

/// What of the provider's `generationConfig` has no canonical name.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OwnGeneration<'a> {
    #[serde(borrow, alias = "responseModalities")]
    pub(crate) response_modalities: Option<Raw<'a>>,
    #[serde(borrow, alias = "mediaResolution")]
    pub(crate) media_resolution: Option<Raw<'a>>,
    #[serde(borrow, alias = "speechConfig")]
    pub(crate) speech_config: Option<Raw<'a>>,
    #[serde(borrow, alias = "imageConfig")]
    pub(crate) image_config: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct ExtraBody<'a> {
    #[serde(borrow)]
    google: Option<Own<'a>>,
}

impl<'a> Own<'a> {
    /// Takes them out of the request; a word that is said twice is refused.
    pub(crate) fn take(chat: &mut Chat<'a>) -> Result<Self, Failure> {
        let members = &mut chat.own;
        let extra: Option<ExtraBody> = members.take("extra_body")?;
        let nested = extra.and_then(|extra| extra.google).unwrap_or_default();
        Ok(Own {
            safety_settings: one(members, "safety_settings", "safetySettings", nested.safety_settings)?,
            cached_content: one(members, "cached_content", "cachedContent", nested.cached_content)?,
            thinking_config: one(members, "thinking_config", "thinkingConfig", nested.thinking_config)?,
            generation_config: one(
                members,
                "generation_config",
                "generationConfig",
                nested.generation_config,
            )?,
        })
    }
}

fn one<'a, T: Deserialize<'a>>(
    members: &mut Members<'a>,
    name: &str,
    alias: &str,
    nested: Option<T>,
) -> Result<Option<T>, Failure> {
    let at_top = members.take(name)?.or(members.take(alias)?);
    if at_top.is_some() && nested.is_some() {
        return Err(refuse(format!(
            "{name} is given twice, at the top and in extra_body.google; give it once"
        )));
    }
    Ok(at_top.or(nested))
}
