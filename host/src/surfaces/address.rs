//! What a request's address says: which surface is there and, where its dialect has them in the path, the model and how a streamed
//! answer is framed. Azure's addresses are OpenAI's below another path, with the model's name, there a deployment's, in it.

use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use super::chat::check_object;
use super::wishes::Taken;
use super::{Request, Surface};
use crate::config::Extensions;
use crate::error::ApiError;
use crate::json::{Document, Edit, Kind, Limits};

/// Where a request comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What is there.
    pub surface: Surface,
    /// The model that the path names.
    pub model: Option<String>,
    /// Whether a streamed answer is wanted as one array.
    pub is_array: bool,
}

const GEMINI: [(&str, Surface); 5] = [
    (":generateContent", Surface::GenerateContent),
    (":streamGenerateContent", Surface::StreamGenerateContent),
    (":countTokens", Surface::CountContentTokens),
    (":embedContent", Surface::EmbedContent),
    (":batchEmbedContents", Surface::BatchEmbedContents),
];

/// Below these are Gemini's models.
const COLLECTIONS: [&str; 2] = ["/v1beta/models/", "/v1/models/"];

impl Address {
    /// None where there is nothing to be asked.
    pub fn of(uri: &Uri) -> Option<Self> {
        let path = uri.path();
        let plain = |surface| Self {
            surface,
            model: None,
            is_array: false,
        };
        let found = Surface::at(path).map(plain);
        found.or_else(|| gemini(path, uri.query())).or_else(|| azure(path))
    }

    /// The surface in whose words a client is told what there is at a path where nothing is asked. Google's SDKs look for
    /// models where OpenAI's do, and say who they are; Anthropic's look there, too, and say which version they speak.
    pub fn words(path: &str, headers: &HeaderMap) -> Surface {
        let is_googles = || headers.contains_key("x-goog-api-client");
        let is_models = || path == "/v1/models" || path.starts_with("/v1/models/");
        match path.starts_with("/v1beta/") || is_models() && is_googles() {
            true => Surface::GenerateContent,
            false if is_models() && headers.contains_key("anthropic-version") => Surface::Messages,
            false => Surface::ChatCompletions,
        }
    }

    /// A request that came here, for the model that the path names, without the wishes in it; and those.
    pub fn prepared(
        &self,
        document: Document,
        limits: Limits,
        known: Extensions,
    ) -> Result<(Document, Taken), ApiError> {
        let takes = self.surface.is_openais() && document.root().kind() == Kind::Object;
        let (document, taken) = match takes {
            true => Taken::of(document, known, limits)?,
            false => (document, Taken::none(known)),
        };
        match (&self.model, self.surface.has_model_in_path()) {
            (Some(model), false) => {
                check_object(&document)?;
                Ok((named(&document, model, limits)?, taken))
            }
            _ => Ok((document, taken)),
        }
    }

    /// Reads a request that was prepared; the error names the field that is wrong.
    pub fn read(&self, document: Document, limits: Limits) -> Result<Request, ApiError> {
        let mut request = self.surface.read(document, self.model.as_deref(), limits)?;
        request.wording.is_array = self.is_array;
        Ok(request)
    }
}

fn gemini(path: &str, query: Option<&str>) -> Option<Address> {
    let named = COLLECTIONS
        .iter()
        .find_map(|collection| path.strip_prefix(collection))?;
    let (method, surface) = GEMINI.into_iter().find(|(method, _)| named.ends_with(method))?;
    let mut options = query.unwrap_or_default().split('&');
    let is_events = options.any(|option| matches!(option, "alt=sse" | "$alt=sse" | "%24alt=sse"));
    Some(Address {
        surface,
        model: Some(decoded(&named[..named.len() - method.len()])),
        is_array: surface == Surface::StreamGenerateContent && !is_events,
    })
}

fn azure(path: &str) -> Option<Address> {
    let below = path.strip_prefix("/openai/")?;
    let (surface, model) = match below.strip_prefix("deployments/") {
        // A deployment may be a model's id, which has slashes of its own.
        Some(named) => {
            let ends = |(known, surface): &(&'static str, Surface)| {
                let known = known.strip_prefix("/v1")?;
                Some((known.len(), named.strip_suffix(known)?, *surface))
            };
            let (_, model, surface) = Surface::PATHS
                .iter()
                .filter_map(ends)
                .max_by_key(|(length, ..)| *length)?;
            (surface, Some(decoded(model)))
        }
        None => (
            Surface::at(&format!("/v1/{}", below.strip_prefix("v1/").unwrap_or(below)))?,
            None,
        ),
    };
    (surface.is_openais() && model.as_deref() != Some("")).then_some(Address {
        surface,
        model,
        is_array: false,
    })
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

/// A request for this model, whichever its body names.
pub(super) fn named(document: &Document, model: &str, limits: Limits) -> Result<Document, ApiError> {
    if document.root().get("model").is_some_and(|known| known.is(model)) {
        return Ok(document.clone());
    }
    let value = serde_json::Value::from(model).to_string();
    let edit = Edit {
        pointer: "/model",
        value: Some(&value),
    };
    let text = document
        .with(&[edit])
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Document::parse(text.into(), limits).map_err(|error| ApiError::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_surfaces_models_and_framings() {
        let of = |address: &str| {
            let address = Address::of(&address.parse().unwrap())?;
            Some((address.surface, address.model.unwrap_or_default(), address.is_array))
        };
        let some = |surface, model: &str, is_array| Some((surface, model.to_owned(), is_array));
        let stream = Surface::StreamGenerateContent;
        for (address, expected) in [
            ("/v1/chat/completions", some(Surface::ChatCompletions, "", false)),
            (
                "/v1beta/models/auto:generateContent",
                some(Surface::GenerateContent, "auto", false),
            ),
            (
                "/v1/models/a/b:8b:generateContent?x=1",
                some(Surface::GenerateContent, "a/b:8b", false),
            ),
            ("/v1beta/models/a%2Fb:streamGenerateContent", some(stream, "a/b", true)),
            (
                "/v1beta/models/m:streamGenerateContent?key=k&alt=sse",
                some(stream, "m", false),
            ),
            (
                "/v1beta/models/m:countTokens",
                some(Surface::CountContentTokens, "m", false),
            ),
            ("/v1beta/models/m", None),
            ("/v1beta/models/m:embedContent", some(Surface::EmbedContent, "m", false)),
            (
                "/v1beta/models/m:batchEmbedContents",
                some(Surface::BatchEmbedContents, "m", false),
            ),
            ("/v1beta/models/m:embedText", None),
            (
                "/openai/deployments/d/chat/completions?api-version=1",
                some(Surface::ChatCompletions, "d", false),
            ),
            (
                "/openai/deployments/a/chat/completions",
                some(Surface::ChatCompletions, "a", false),
            ),
            (
                "/openai/deployments/a/b/completions",
                some(Surface::Completions, "a/b", false),
            ),
            (
                "/openai/deployments/d/embeddings",
                some(Surface::Embeddings, "d", false),
            ),
            ("/openai/deployments//embeddings", None),
            ("/openai/deployments/d/messages", None),
            ("/openai/v1/responses", some(Surface::Responses, "", false)),
            (
                "/openai/responses?api-version=preview",
                some(Surface::Responses, "", false),
            ),
            ("/openai/v1/messages", None),
            ("/openai/v2/responses", None),
        ] {
            assert_eq!(of(address), expected, "{address}");
        }
    }
}
