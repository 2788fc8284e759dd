//! Betas of Anthropic's, where a request is translated for a provider of its dialect: those that the client asks for go out beside
//! those that are set, and members that nobody may send without one are left out where it is not asked for.

use std::borrow::Cow;

use super::{Attempt, Failure};
use crate::generation::Remote;
use crate::json::{Document, Edit, Limits};
use crate::operation::Dialect;

/// What asks for them.
const HEADER: &str = "anthropic-beta";

/// Members of a request, and how the names of betas begin that know them.
const NEED: [(&str, &[&str]); 2] = [
    ("mcp_servers", &["mcp-client-"]),
    ("context_management", &["context-management-", "compact-"]),
];

/// As deep as a request may be configured to be.
const LIMITS: Limits = Limits { depth: 520 };

fn speaks_messages(remote: &Remote) -> bool {
    remote.own.iter().any(|(dialect, ..)| *dialect == Dialect::Messages)
}

fn asked(attempt: &Attempt<'_>) -> String {
    let values = attempt.call.headers.get_all(HEADER).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// The client's betas, beside those of the settings: without them its provider would refuse members that are passed on.
pub(super) fn add(attempt: &Attempt<'_>, remote: &Remote, headers: &mut Vec<(String, String)>) {
    if !speaks_messages(remote) {
        return;
    }
    let asked = asked(attempt);
    let set = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case(HEADER));
    let set = set.map(|at| headers.swap_remove(at).1).unwrap_or_default();
    let mut betas: Vec<&str> = Vec::new();
    for beta in set.split(',').chain(asked.split(',')).map(str::trim) {
        if !beta.is_empty() && !betas.contains(&beta) {
            betas.push(beta);
        }
    }
    if !betas.is_empty() {
        headers.push((HEADER.to_owned(), betas.join(",")));
    }
}

/// The request without members whose beta nobody asks for, and their names.
pub(super) fn without<'a>(
    attempt: &Attempt<'a>,
    remote: &Remote,
    document: &'a Document,
) -> Result<(Cow<'a, Document>, Vec<String>), Failure> {
    let is_there = |(member, _): &&(&str, &[&str])| document.root().field(member).is_some();
    let there: Vec<_> = NEED.iter().filter(is_there).collect();
    if there.is_empty() || !speaks_messages(remote) {
        return Ok((Cow::Borrowed(document), Vec::new()));
    }
    let settings: serde_json::Value = serde_json::from_str(&attempt.step.model.settings).unwrap_or_default();
    let set = settings["betas"].as_array().into_iter().flatten();
    let mut betas: Vec<String> = set.filter_map(|beta| Some(beta.as_str()?.to_owned())).collect();
    let attached = remote
        .attached
        .iter()
        .filter_map(|attached| attached.headers.get(HEADER)?.to_str().ok());
    let named = attached.map(str::to_owned).chain([asked(attempt)]);
    betas.extend(named.flat_map(|list| list.split(',').map(|beta| beta.trim().to_owned()).collect::<Vec<_>>()));
    let is_asked = |starts: &[&str]| {
        betas
            .iter()
            .any(|beta| starts.iter().any(|start| beta.starts_with(start)))
    };
    let lost: Vec<String> = there
        .into_iter()
        .filter(|(_, starts)| !is_asked(starts))
        .map(|(member, _)| (*member).to_owned())
        .collect();
    if lost.is_empty() {
        return Ok((Cow::Borrowed(document), lost));
    }
    let pointers: Vec<String> = lost.iter().map(|member| format!("/{member}")).collect();
    let edits: Vec<Edit<'_>> = pointers.iter().map(|pointer| Edit { pointer, value: None }).collect();
    let text = document
        .with(&edits)
        .map_err(|error| Failure::fault(&error.to_string()))?;
    let document = Document::parse(text.into(), LIMITS).map_err(|error| Failure::fault(&error.to_string()))?;
    Ok((Cow::Owned(document), lost))
}
