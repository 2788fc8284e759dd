//! Which operations each provider serves, by golden files of their requests.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Case, Provider};

/// Columns, and what golden files call them.
const OPERATIONS: [(&str, &str); 8] = [
    ("chat", "chat"),
    ("count of tokens", "count-tokens"),
    ("completions", "completion"),
    ("embeddings", "embedding"),
    ("rerank", "rerank"),
    ("moderation", "moderation"),
    ("images", "image"),
    ("speech", "speech"),
];

const HEAD: &str = "
## Operations

✓ is translated, or sent in the provider's variety of OpenAI's dialect; *as it came* passes by the adapter `openai` without a look at more than the
model's name, and whether the provider has it is the provider's matter. `/v1/chat/completions`, `/v1/completions`, `/v1/responses` and `/v1/messages` reach all
that serve chat ([surfaces](surfaces.md)), as a conversation where the cell is empty. What a provider does not serve is [no candidate](surfaces.md) for such a request.
A test asks each provider for each of them. Transcriptions and edits of images are forms, which reach providers as they came ([images and sound](surfaces.md#images-and-sound)).
";

pub(super) fn table(providers: &[Provider]) -> Result<String> {
    let mut table = String::from(HEAD);
    let heads: Vec<&str> = OPERATIONS.iter().map(|(head, _)| *head).collect();
    let rule = "|---".repeat(heads.len() + 1);
    writeln!(
        table,
        "\n| provider | chat, streamed | {} |\n|---{rule}|",
        heads.join(" | ")
    )?;
    let passing = providers.iter().find(|provider| provider.name == "openai");
    for provider in providers {
        let has = |cases: &[Case], operation: &str| {
            cases
                .iter()
                .any(|case| case.operation == operation && case.sent.is_some())
        };
        let cell = |operation: &str| {
            let media = match operation {
                "image" => "images",
                other => other,
            };
            let is_medium = ["images", "speech", "transcription"].contains(&media);
            let lacks = provider
                .media
                .as_ref()
                .is_some_and(|known| is_medium && !known.contains(media));
            let is_beside = ["rerank", "moderation"].contains(&operation);
            let lacks = lacks || is_beside && !provider.beside.contains(&operation);
            // Whoever has settings is asked for a conversation instead.
            let is_other = operation == "completion" && provider.name != "openai";
            let passes = !lacks
                && !is_other
                && provider.is_dialect
                && passing.is_some_and(|openai| has(&openai.cases, operation));
            match (has(&provider.cases, operation), passes) {
                (true, _) if provider.name != "openai" => "✓",
                (_, true) => "as it came",
                _ => "",
            }
        };
        let is_streamed = provider.cases.iter().any(|case| case.is_stream);
        let streamed = match (is_streamed, provider.name == "openai") {
            (true, false) => "✓",
            (true, true) => "as it came",
            _ => "",
        };
        let cells: Vec<&str> = OPERATIONS.iter().map(|(_, operation)| cell(operation)).collect();
        writeln!(table, "| `{}` | {streamed} | {} |", provider.name, cells.join(" | "))?;
    }
    Ok(table)
}
