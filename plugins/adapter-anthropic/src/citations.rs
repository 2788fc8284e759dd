//! Where an answer comes from: what stands at an address of the web becomes an annotation of the text that rests on it. Places in
//! documents that the client sent have no address, and there is no canonical word for them.

use pointsman_plugin::translate::{Annotation, Text};
use serde::Deserialize;

/// One citation; which members are there depends on what is cited.
#[derive(Deserialize)]
pub(crate) struct Citation<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    /// Of search results that the client brought: an address, or any other name.
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

/// All of a block; what cannot be read is no reason to lose the answer.
pub(crate) fn listed(json: &str) -> Vec<Citation<'_>> {
    serde_json::from_str(json).unwrap_or_default()
}

impl<'a> Citation<'a> {
    /// Of these characters of the answer.
    pub(crate) fn annotation(self, span: (usize, usize)) -> Option<Annotation<'a>> {
        let url = self.url.or(self.source)?;
        Annotation::of(url.0, self.title.map(|title| title.0), span)
    }
}
