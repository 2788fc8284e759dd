//! What is said between the two processes: lines of JSON, of which both know the same kinds, since both know [`VERSION`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::money::{Nanodollars, Usage};
use crate::store::{Correction, Document, Line, Tags};

/// Said first. A process that speaks another one is not handed anything.
pub(super) const VERSION: &str = "pointsman-handover 2\n";
/// The successor's answer: it has what it needs, and the one that serves may stop accepting.
pub(super) const BEGIN: &str = "begin\n";
/// And what it says when it serves: the one before it may forget everything.
pub(super) const SERVING: &str = "serving\n";

/// Kinds of documents that requests write.
const KINDS: [&str; 3] = ["answer", "decision", "idempotency"];

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub(super) enum Word {
    /// The store is free.
    Released,
    /// What an attempt came to, or what nothing was reserved for.
    Line(Box<Said>),
    /// Something to be kept.
    Documents { documents: Vec<Paper> },
}

/// Whether there is a hold for a line in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Held {
    /// None was made.
    Not,
    /// The provider may have got something.
    Sent,
    /// It has got nothing.
    Unsent,
}

/// A line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) held: Held,
    at_ms: u64,
    request: String,
    /// Key, team, organisation, route, provider, model.
    tags: [String; 6],
    labels: Vec<(String, String)>,
    outcome: String,
    usage: Vec<(String, u64)>,
    cost: Option<u64>,
    ceiling: u64,
    reference: Option<u64>,
    price_version: u32,
    is_estimated: bool,
    metadata: Option<String>,
    /// The line that this one corrects, and by how much.
    corrects: Option<(u64, i64)>,
}

/// A document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Paper {
    kind: String,
    id: String,
    content: Option<String>,
    expires_ms: Option<u64>,
}

impl Word {
    pub(super) fn line(line: &Line, held: Held) -> Self {
        let Tags {
            key,
            team,
            organisation,
            route,
            provider,
            model,
            labels,
        } = &*line.tags;
        let usage = line.usage.named().into_iter().filter(|(_, count)| *count > 0);
        Self::Line(Box::new(Said {
            held,
            at_ms: line.at_ms,
            request: line.request.to_string(),
            tags: [key, team, organisation, route, provider, model].map(|tag| tag.to_string()),
            labels: labels.clone(),
            outcome: line.outcome.clone(),
            usage: usage.map(|(name, count)| (name.to_owned(), count)).collect(),
            cost: line.cost.map(|cost| cost.0),
            ceiling: line.ceiling.0,
            reference: line.reference.map(|reference| reference.0),
            price_version: line.price_version,
            is_estimated: line.is_estimated,
            metadata: line.metadata.as_deref().map(str::to_owned),
            corrects: line.corrects.map(|correction| (correction.line, correction.by)),
        }))
    }

    pub(super) fn documents(documents: &[Document]) -> Self {
        let paper = |document: &Document| Paper {
            kind: document.kind.to_owned(),
            id: document.id.clone(),
            content: document.content.as_ref().map(|content| STANDARD.encode(content)),
            expires_ms: document.expires_ms,
        };
        Self::Documents {
            documents: documents.iter().map(paper).collect(),
        }
    }
}

impl Said {
    pub(super) fn line(self) -> Line {
        let [key, team, organisation, route, provider, model] = self.tags.map(Arc::from);
        let usage = self.usage.iter().map(|(name, count)| (name.as_str(), *count));
        Line {
            id: 0,
            at_ms: self.at_ms,
            request: self.request.into(),
            tags: Arc::new(Tags {
                key,
                team,
                organisation,
                route,
                provider,
                model,
                labels: self.labels,
            }),
            outcome: self.outcome,
            usage: Usage::from_named(usage).unwrap_or_default(),
            cost: self.cost.map(Nanodollars),
            ceiling: Nanodollars(self.ceiling),
            reference: self.reference.map(Nanodollars),
            price_version: self.price_version,
            is_estimated: self.is_estimated,
            is_recovered: false,
            corrects: self.corrects.map(|(line, by)| Correction { line, by }),
            metadata: self.metadata.map(Arc::from),
        }
    }
}

impl Paper {
    /// None of a kind that requests do not write.
    pub(super) fn document(self) -> Option<Document> {
        let content = self.content.map(|content| STANDARD.decode(content)).transpose().ok()?;
        Some(Document {
            kind: KINDS.into_iter().find(|kind| *kind == self.kind)?,
            id: self.id,
            content: content.map(Arc::from),
            expires_ms: self.expires_ms,
        })
    }
}
