//! Where an answer comes from: pages that the provider's own search has found become annotations of the stretches that rest on
//! them. What has no address of the web, a file of the client's say, is not told.

use pointsman_plugin::translate::{Annotation, Text};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Grounding<'a> {
    #[serde(borrow)]
    grounding_chunks: Vec<Source<'a>>,
    #[serde(borrow)]
    grounding_supports: Vec<Support<'a>>,
}

/// One of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    #[serde(borrow)]
    web: Option<Page<'a>>,
    #[serde(borrow)]
    retrieved_context: Option<Page<'a>>,
    #[serde(borrow)]
    maps: Option<Page<'a>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Support<'a> {
    #[serde(borrow)]
    segment: Segment<'a>,
    grounding_chunk_indices: Vec<usize>,
}

/// In bytes of one of the parts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Segment<'a> {
    part_index: usize,
    start_index: usize,
    end_index: usize,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// Whether there is anything to tell of it: in most events of a stream there is not.
pub(crate) fn has_sources(json: &str) -> bool {
    json.contains("\"groundingChunks\"")
}

/// Of what was said, whose parts begin at these bytes. What cannot be read is no reason to lose the answer.
pub(crate) fn annotations<'a>(json: &'a str, said: &str, starts: &[usize]) -> Vec<Annotation<'a>> {
    let Grounding {
        grounding_chunks: sources,
        grounding_supports: supports,
    } = serde_json::from_str(json).unwrap_or_default();
    let page = |source: &Source<'a>| {
        let page = source.web.as_ref().or(source.retrieved_context.as_ref());
        let page = page.or(source.maps.as_ref())?;
        Some((page.uri.clone()?.0, page.title.clone().map(|title| title.0)))
    };
    let annotation = |source: &Source<'a>, span: (usize, usize)| {
        let (url, title) = page(source)?;
        let characters = |at: usize| said[..at].chars().count();
        Annotation::of(url, title, (characters(span.0), characters(span.1)))
    };
    if supports.is_empty() {
        let all = sources.iter();
        return all
            .filter_map(|source| annotation(source, (said.len(), said.len())))
            .collect();
    }
    let mut told = Vec::new();
    for support in &supports {
        let span = support.segment.span(said, starts);
        let named = support.grounding_chunk_indices.iter();
        told.extend(named.filter_map(|index| annotation(sources.get(*index)?, span)));
    }
    told
}

impl Segment<'_> {
    /// Its bytes of what was said. Parts are counted in more than one way, so the stretch has to read as it should; else it is
    /// looked for, and where it cannot be found, it is the end.
    fn span(&self, said: &str, starts: &[usize]) -> (usize, usize) {
        let text = self.text.as_ref().map(|text| &*text.0);
        let reads = |from: &usize| {
            let span = (from + self.start_index, from + self.end_index);
            let stretch = said.get(span.0..span.1)?;
            text.is_none_or(|text| text == stretch).then_some(span)
        };
        let part = starts.get(self.part_index).and_then(reads);
        let found = || {
            let text = text.filter(|text| !text.is_empty())?;
            said.find(text).map(|at| (at, at + text.len()))
        };
        part.or_else(|| reads(&0))
            .or_else(found)
            .unwrap_or((said.len(), said.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_found_by_bytes_and_told_in_characters() {
        let json = r#"{"groundingChunks":[{"web":{"uri":"https://a.example","title":"A"}},{"retrievedContext":{"uri":"gs://mine"}},{"web":{"uri":"https://b.example"}}],
            "groundingSupports":[{"segment":{"startIndex":10,"endIndex":14,"text":"rain"},"groundingChunkIndices":[0,1,2,7]},
                {"segment":{"partIndex":1,"endIndex":4,"text":"Snow"},"groundingChunkIndices":[2]},
                {"segment":{"startIndex":90,"endIndex":99},"groundingChunkIndices":[0]}]}"#;
        let said = "Köln has rain. Snow, too.";
        let told: Vec<String> = annotations(json, said, &[0, 16])
            .iter()
            .map(|annotation| {
                let told = serde_json::to_value(annotation).unwrap();
                let cited = &told["url_citation"];
                format!(
                    "{} {} {}..{}",
                    cited["url"], cited["title"], cited["start_index"], cited["end_index"]
                )
            })
            .collect();
        let expected = [
            r#""https://a.example" "A" 9..13"#,
            r#""https://b.example" "" 9..13"#,
            r#""https://b.example" "" 15..19"#,
            r#""https://a.example" "A" 25..25"#,
        ];
        assert_eq!(told, expected);
        let unsupported = r#"{"groundingChunks":[{"maps":{"uri":"https://m.example"}}]}"#;
        assert_eq!(annotations(unsupported, said, &[]).len(), 1);
        assert!(annotations("[]", said, &[]).is_empty() && !has_sources(r#"{"webSearchQueries":[]}"#));
    }
}
