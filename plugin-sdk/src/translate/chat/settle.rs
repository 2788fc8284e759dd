//! What of a request an adapter does not take. Three sorts: what no answer could honour is refused always; what an answer may
//! differ by is left out or refused, as the settings say; what no answer differs by is left out. Whatever is left out is named.

use super::super::{Losses, refuse};
use super::Chat;
use crate::Failure;

/// Of what has no canonical name, but is known of a provider: what an answer may differ by.
const DIFFERING: [&str; 4] = ["mcp_servers", "context_management", "container", "inference_geo"];

impl Chat<'_> {
    /// Called once, when the adapter has taken its own words from `own`; `takes` are the canonical members that it translates, or
    /// settles by itself. Members with a value that changes nothing, a penalty of 0 say, are not missed.
    pub fn settle(&self, takes: &[&str], losses: &Losses) -> Result<(), Failure> {
        let provider = losses.provider();
        let is_missed = |(name, is_given): &(&str, bool)| *is_given && !takes.contains(name);
        if let Some(n) = self.n.filter(|n| *n != 1 && !takes.contains(&"n")) {
            return Err(refuse(format!(
                "n is {n}, but {provider} gives one answer per request; leave n out"
            )));
        }
        let spoken = self.modalities.iter().any(|modality| modality.0 != "text");
        let asked = [
            ("audio", self.audio.is_some()),
            ("modalities other than `text`", spoken && !takes.contains(&"modalities")),
        ];
        if let Some((name, _)) = asked.into_iter().find(is_missed) {
            return Err(refuse(format!("{name} cannot be asked of {provider}; leave it out")));
        }
        if self.functions.is_some() {
            return Err(refuse(format!(
                "functions is not known to {provider}; send tools instead"
            )));
        }
        let is_structured = self
            .response_format
            .as_ref()
            .is_some_and(|format| format.kind.0 != "text");
        let is_some_number = |number: Option<f64>| number.is_some_and(|number| number != 0.0);
        let wishes = [
            ("temperature", self.temperature.is_some()),
            ("top_p", self.top_p.is_some()),
            ("top_k", self.top_k.is_some()),
            ("presence_penalty", is_some_number(self.presence_penalty)),
            ("frequency_penalty", is_some_number(self.frequency_penalty)),
            ("seed", self.seed.is_some()),
            ("stop", self.stop.is_some_and(|stop| stop.get() != "[]")),
            ("logprobs", self.logprobs == Some(true)),
            ("top_logprobs", self.top_logprobs.is_some_and(|count| count > 0)),
            ("logit_bias", self.logit_bias.is_some()),
            ("tools", !self.tools.is_empty()),
            ("parallel_tool_calls", self.parallel_tool_calls == Some(false)),
            ("response_format", is_structured),
            ("reasoning_effort", self.reasoning_effort.is_some()),
            ("thinking", self.thinking.is_some()),
            ("prediction", self.prediction.is_some()),
            ("verbosity", self.verbosity.is_some()),
            ("web_search_options", self.web_search_options.is_some()),
            ("messages[].images", self.has_images),
        ];
        for (name, _) in wishes.iter().filter(|wish| is_missed(wish)) {
            losses.leave_out(*name)?;
        }
        let is_tier = |tier: &str| !matches!(tier, "auto" | "default");
        let hints = [
            (
                "service_tier",
                self.service_tier.as_ref().is_some_and(|tier| is_tier(&tier.0)),
            ),
            ("user", self.user.is_some()),
            ("safety_identifier", self.safety_identifier.is_some()),
            ("metadata", self.metadata.is_some()),
            ("prompt_cache_key", self.prompt_cache_key.is_some()),
            ("store", self.store == Some(true)),
        ];
        for (name, _) in hints.iter().filter(|hint| is_missed(hint)) {
            losses.name(*name);
        }
        for name in self.own.names() {
            match DIFFERING.contains(&name) {
                true => losses.leave_out(name)?,
                false => losses.name(name),
            }
        }
        Ok(())
    }
}
