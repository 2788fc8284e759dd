//! What a request may say beside OpenAI's words, as applications that were written for OpenRouter and for LiteLLM do: which models to go
//! on with, which providers may serve, how often and how long it is tried. They are wishes to this gateway and taken out of the
//! request, so that no provider sees them. A wish narrows what the caller may use and never widens it. What would be a promise
//! that nobody keeps here is refused; what only guides is left out and named.

use std::time::Duration;

use hyper::StatusCode;

use super::Request;
use super::chat::wrong_type;
use crate::config::Extensions;
use crate::error::{ApiError, printable};
use crate::json::{Document, Edit, Kind, Limits, Value};
use crate::money::Nanodollars;

/// The most models to go on with.
const MOST_FALLBACKS: usize = 16;
/// The longest that may be asked for.
const LONGEST: f64 = 86_400.0;

/// All of a request's wishes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// The names that are asked where a model fails, in order, with the member that each stands in.
    pub fallbacks: Vec<(String, String)>,
    /// The most attempts after the first.
    pub retries: Option<u32>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// Said in the place of an answer.
    pub mock: Option<String>,
    /// Models that have one of these tags are meant, where there are any.
    pub tags: Vec<String>,
    /// Providers that may serve.
    pub only: Option<Vec<String>>,
    /// Providers that may not.
    pub ignore: Vec<String>,
    /// Providers that come first, in this order.
    pub order: Vec<String>,
    /// Whether nobody else may follow where the first fails.
    pub is_alone: bool,
    /// What comes first beside that.
    pub sort: Option<Sort>,
    /// The most that a million tokens may cost, of input and of output.
    pub most: (Option<Nanodollars>, Option<Nanodollars>),
    /// Whether models that are known to lack something are left out, however few there are.
    pub needs_all: bool,
    /// As it was written, for digests.
    pub written: String,
}

/// What providers are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The price of input and output together.
    Price,
    /// The time to the first token.
    Latency,
    /// The time to the whole answer.
    Throughput,
}

/// What the end of a model's name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    /// `:nitro`, `:floor`.
    Sorted(Sort),
    /// `:free`.
    Free,
}

impl Suffix {
    /// A name without its end, and what that asks for; none where it asks for nothing that is known.
    pub fn of(name: &str) -> Option<(&str, Result<Self, ApiError>)> {
        let (name, end) = name.rsplit_once(':')?;
        let suffix = match end {
            "nitro" => Ok(Self::Sorted(Sort::Throughput)),
            "floor" => Ok(Self::Sorted(Sort::Price)),
            "free" => Ok(Self::Free),
            "online" => Err("ask for `web_search_options` instead, of a model whose provider searches the web"),
            "thinking" => Err("say `reasoning_effort` instead"),
            "exacto" | "extended" | "beta" => Err("leave it out"),
            _ => return None,
        };
        let refused = |remedy| {
            unknown(
                format!("`:{end}` at the end of a model's name means nothing here; {remedy}"),
                "model",
            )
        };
        Some((name, suffix.map_err(refused)))
    }
}

impl Wishes {
    /// The wishes with a name's own.
    #[must_use]
    pub fn with(mut self, suffix: Suffix) -> Self {
        match suffix {
            Suffix::Sorted(sort) => self.sort = Some(sort),
            Suffix::Free => self.most = (Some(Nanodollars(0)), Some(Nanodollars(0))),
        }
        self
    }

    /// Takes the wishes out of a request, and names those that are left out.
    fn take(document: Document, known: Extensions, limits: Limits) -> Result<(Document, Self, Vec<String>), ApiError> {
        let mut taking = Taking::default();
        let root = document.root();
        if known.openrouter {
            taking.openrouter(root)?;
        }
        if known.litellm {
            taking.litellm(root)?;
        }
        let Taking {
            mut wishes,
            taken,
            lost,
            model,
        } = taking;
        if taken.is_empty() {
            return Ok((document, wishes, lost));
        }
        if wishes.fallbacks.len() > MOST_FALLBACKS {
            let message = format!(
                "{} models to go on with; at most {MOST_FALLBACKS} are tried",
                wishes.fallbacks.len()
            );
            return Err(ApiError::invalid("invalid_value", message).with_param("models"));
        }
        for pointer in &taken {
            let value = document.pointer(pointer).map_or("", |value| value.raw());
            wishes.written.push_str(&format!("{pointer} {value} "));
        }
        let mut edits: Vec<Edit<'_>> = taken.iter().map(|pointer| Edit { pointer, value: None }).collect();
        let model = model.map(|model| serde_json::Value::from(model).to_string());
        edits.extend(model.as_deref().map(|model| Edit {
            pointer: "/model",
            value: Some(model),
        }));
        let text = document
            .with(&edits)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let document = Document::parse(text.into(), limits).map_err(|error| ApiError::internal(error.to_string()))?;
        Ok((document, wishes, lost))
    }
}

/// What was taken out of a request before it is read.
#[derive(Debug)]
pub struct Taken {
    wishes: Wishes,
    /// Left out, and named.
    lost: Vec<String>,
    knows_suffixes: bool,
}

impl Taken {
    /// The request without its wishes, and those.
    pub(super) fn of(document: Document, known: Extensions, limits: Limits) -> Result<(Document, Self), ApiError> {
        let (document, wishes, lost) = Wishes::take(document, known, limits)?;
        let taken = Self {
            wishes,
            lost,
            ..Self::none(known)
        };
        Ok((document, taken))
    }

    /// Of a request that has none.
    pub(super) fn none(known: Extensions) -> Self {
        Self {
            wishes: Wishes::default(),
            lost: Vec::new(),
            knows_suffixes: known.openrouter,
        }
    }

    /// The request, once it has been read, with its wishes.
    pub fn on(self, mut request: Request) -> Request {
        let wording = &mut request.wording;
        wording.knows_suffixes = self.knows_suffixes;
        wording.lost.extend(self.lost);
        wording.wishes = self.wishes;
        request
    }
}

#[derive(Default)]
struct Taking {
    wishes: Wishes,
    /// Pointers to what is taken out.
    taken: Vec<&'static str>,
    lost: Vec<String>,
    /// The first of the models, where the request names none.
    model: Option<String>,
}

impl Taking {
    /// A member that is no longer in the request afterwards.
    fn member<'v>(&mut self, root: Value<'v>, pointer: &'static str) -> Option<Value<'v>> {
        let value = root.get(&pointer[1..])?;
        self.taken.push(pointer);
        (!value.is_null()).then_some(value)
    }

    fn openrouter(&mut self, root: Value<'_>) -> Result<(), ApiError> {
        if let Some(models) = self.member(root, "/models") {
            let mut models = texts(models, "models")?.into_iter().enumerate();
            if root.field("model").is_none() {
                self.model = models.next().map(|(_, model)| model);
            }
            let named = models.map(|(place, model)| (model, format!("models[{place}]")));
            self.wishes.fallbacks.extend(named);
        }
        // Once the word that `models` are for going on; it never had another.
        self.member(root, "/route");
        let Some(provider) = self.member(root, "/provider") else {
            return Ok(());
        };
        if provider.kind() != Kind::Object {
            return Err(wrong_type("provider", "an object"));
        }
        for (name, value) in provider.members() {
            if !value.is_null() {
                self.preference(&name.as_str().unwrap_or_default(), value)?;
            }
        }
        Ok(())
    }

    fn preference(&mut self, name: &str, value: Value<'_>) -> Result<(), ApiError> {
        let place = format!("provider.{name}");
        let names = || texts(value, &place);
        let flag = || value.as_bool().ok_or_else(|| wrong_type(&place, "true or false"));
        match name {
            "order" => self.wishes.order = names()?,
            "only" => self.wishes.only = Some(names()?),
            "ignore" => self.wishes.ignore = names()?,
            "allow_fallbacks" => self.wishes.is_alone = !flag()?,
            "require_parameters" => self.wishes.needs_all = flag()?,
            "sort" => {
                let by = value.field("by").unwrap_or(value);
                self.wishes.sort = Some(match by.as_str().as_deref() {
                    Some("price") => Sort::Price,
                    Some("latency") => Sort::Latency,
                    Some("throughput") => Sort::Throughput,
                    _ => return Err(wrong_type(&place, "`price`, `latency` or `throughput`")),
                });
            }
            "max_price" if value.kind() != Kind::Object => return Err(wrong_type(&place, "an object")),
            "max_price" => {
                for (kind, price) in value.members() {
                    let kind = kind.as_str().unwrap_or_default();
                    let place = format!("{place}.{kind}");
                    let text = price.as_str();
                    let text = text.as_deref().unwrap_or(price.raw());
                    let usd = || {
                        Nanodollars::from_usd(text)
                            .map_err(|_| wrong_type(&place, "a price in USD, without an exponent"))
                    };
                    match &*kind {
                        "prompt" => self.wishes.most.0 = Some(usd()?),
                        "completion" => self.wishes.most.1 = Some(usd()?),
                        _ => {
                            return Err(unknown(
                                format!("`{place}` cannot be kept to here; `prompt` and `completion` can"),
                                &place,
                            ));
                        }
                    }
                }
            }
            "data_collection" if value.is("allow") => {}
            "zdr" | "enforce_distillable_text" if value.as_bool() == Some(false) => {}
            // What guides a choice and promises nothing.
            "preferred_min_throughput" | "preferred_max_latency" => self.lost.push(place),
            _ => {
                let message = format!(
                    "`{}` is not known here, and would be a promise that nobody keeps; leave it out, or ask for a route whose models are fit",
                    printable(&place, 80)
                );
                return Err(unknown(message, &place));
            }
        }
        Ok(())
    }

    fn litellm(&mut self, root: Value<'_>) -> Result<(), ApiError> {
        if let Some(fallbacks) = self.member(root, "/fallbacks") {
            if fallbacks.kind() != Kind::Array {
                return Err(wrong_type("fallbacks", "an array of models' names"));
            }
            for (place, fallback) in fallbacks.elements().enumerate() {
                let place = format!("fallbacks[{place}]");
                // An object may say what else is different then, of which the name alone is known here.
                let is_name = fallback.kind() == Kind::Object && fallback.members().count() == 1;
                let name = fallback.field("model").filter(|_| is_name).unwrap_or(fallback).as_str();
                let name = name.ok_or_else(|| wrong_type(&place, "a model's name"))?;
                self.wishes.fallbacks.push((name.into_owned(), place));
            }
        }
        if let Some(retries) = self.member(root, "/num_retries") {
            let retries = retries
                .as_u64()
                .ok_or_else(|| wrong_type("num_retries", "a whole number"))?;
            self.wishes.retries = Some(u32::try_from(retries).unwrap_or(u32::MAX));
        }
        if let Some(timeout) = self.member(root, "/timeout") {
            let seconds = timeout.as_f64().filter(|seconds| *seconds > 0.0);
            let seconds = seconds.ok_or_else(|| wrong_type("timeout", "a number of seconds"))?;
            self.wishes.timeout = Some(Duration::from_secs_f64(seconds.min(LONGEST)));
        }
        if let Some(mock) = self.member(root, "/mock_response") {
            let mock = mock.as_str().ok_or_else(|| wrong_type("mock_response", "a text"))?;
            self.wishes.mock = Some(mock.into_owned());
        }
        // OpenAI's own metadata are texts, so a list of tags is none of them.
        let tags = root.field("metadata").and_then(|metadata| metadata.field("tags"));
        if let Some(tags) = tags.filter(|tags| tags.kind() == Kind::Array) {
            self.wishes.tags = texts(tags, "metadata.tags")?;
            let is_all = root
                .field("metadata")
                .is_some_and(|metadata| metadata.members().count() == 1);
            self.taken.push(if is_all { "/metadata" } else { "/metadata/tags" });
        }
        Ok(())
    }
}

fn texts(value: Value<'_>, place: &str) -> Result<Vec<String>, ApiError> {
    let wrong = || wrong_type(place, "an array of names");
    if value.kind() != Kind::Array {
        return Err(wrong());
    }
    let texts = value.elements().map(|text| text.as_str().map(|text| text.into_owned()));
    texts.collect::<Option<_>>().ok_or_else(wrong)
}

fn unknown(message: String, place: &str) -> ApiError {
    ApiError::refused(StatusCode::BAD_REQUEST, "unsupported_extension", message)
        .with_param(printable(place, 80))
        .final_answer()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;

    fn take(request: &Json, known: Extensions) -> Result<(Json, Wishes, Vec<String>), String> {
        let document = Document::parse(Bytes::from(request.to_string()), Limits::default()).unwrap();
        let taken = Wishes::take(document, known, Limits::default());
        let (document, wishes, lost) =
            taken.map_err(|error| format!("{} {}", error.code, error.param.unwrap_or_default()))?;
        Ok((serde_json::from_slice(document.text()).unwrap(), wishes, lost))
    }

    const ALL: Extensions = Extensions {
        openrouter: true,
        litellm: true,
    };

    #[test]
    fn wishes_are_read_and_taken_out_of_the_request() {
        let request = json!({ "models": ["a", "b"], "route": "fallback", "fallbacks": ["c", { "model": "d" }], "num_retries": 1, "timeout": 1.5,
            "metadata": { "tags": ["paid"], "kept": "x" }, "temperature": 1,
            "provider": { "order": ["p"], "only": ["p", "q"], "ignore": ["r"], "allow_fallbacks": false, "sort": { "by": "price" },
                "max_price": { "prompt": 1.5, "completion": "2" }, "preferred_max_latency": 3, "data_collection": "allow" } });
        let (left, wishes, lost) = take(&request, ALL).unwrap();
        assert_eq!(
            left,
            json!({ "model": "a", "metadata": { "kept": "x" }, "temperature": 1 })
        );
        let names: Vec<&str> = wishes.fallbacks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
        assert_eq!(lost, ["provider.preferred_max_latency"]);
        assert_eq!(
            wishes.most,
            (Some(Nanodollars(1_500_000_000)), Some(Nanodollars(2_000_000_000)))
        );
        assert!(wishes.is_alone && wishes.sort == Some(Sort::Price) && wishes.tags == ["paid"]);
        assert_eq!(
            (wishes.retries, wishes.timeout),
            (Some(1), Some(Duration::from_millis(1500)))
        );
        let none = Extensions {
            openrouter: false,
            litellm: false,
        };
        assert_eq!(take(&request, none).unwrap(), (request, Wishes::default(), Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_a_wish_is_named() {
        for (request, expected) in [
            (json!({ "models": "a" }), "invalid_type models"),
            (json!({ "fallbacks": [1] }), "invalid_type fallbacks[0]"),
            (json!({ "num_retries": -1 }), "invalid_type num_retries"),
            (json!({ "timeout": "soon" }), "invalid_type timeout"),
            (json!({ "mock_response": {} }), "invalid_type mock_response"),
            (json!({ "provider": [] }), "invalid_type provider"),
            (
                json!({ "provider": { "sort": "colour" } }),
                "invalid_type provider.sort",
            ),
            (
                json!({ "provider": { "max_price": { "prompt": -1 } } }),
                "invalid_type provider.max_price.prompt",
            ),
            (
                json!({ "provider": { "zdr": true } }),
                "unsupported_extension provider.zdr",
            ),
            (
                json!({ "provider": { "data_collection": "deny" } }),
                "unsupported_extension provider.data_collection",
            ),
            (
                json!({ "provider": { "quantizations": ["fp8"] } }),
                "unsupported_extension provider.quantizations",
            ),
        ] {
            assert_eq!(take(&request, ALL).unwrap_err(), expected);
        }
        assert!(Suffix::of("m:online").is_some_and(|(_, suffix)| suffix.is_err()));
        assert!(Suffix::of("llama3:8b").is_none());
    }
}
