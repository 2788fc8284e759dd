//! Conversations that the gateway keeps, so that a turn may name the one before by its id. A turn is rebuilt with everything that was
//! said before it, whichever provider said it, so that any provider can answer.

use std::sync::Arc;

use bytes::Bytes;

use super::super::Request;
use super::super::chat::wrong_type;
use crate::error::ApiError;
use crate::json::{Document, Edit, Kind, Limits, Value, Writer};

/// As what turns are kept in the store.
pub const KIND: &str = "response";
/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };
/// Ids of the gateway's own responses begin so; those of a provider that speaks the dialect are its own.
const OWN_ID: &str = "resp_pm_";
/// Members of items that only who made them knows.
const MAKERS: [&str; 2] = ["id", "status"];

/// What is kept of a turn.
#[derive(Debug)]
pub struct Kept(Document);

impl Kept {
    /// Of what [`Turn::record`] made.
    pub fn parse(record: Vec<u8>) -> Option<Self> {
        let document = Document::parse(record.into(), LIMITS).ok()?;
        let is_whole = ["items", "response"]
            .iter()
            .all(|name| document.root().field(name).is_some());
        is_whole.then_some(Self(document))
    }

    /// The response as its client has got it.
    pub fn response(&self) -> Bytes {
        let response = self
            .0
            .root()
            .field("response")
            .map_or("null", |response| response.raw());
        Bytes::copy_from_slice(response.as_bytes())
    }

    /// The provider that has kept it as well.
    fn provider(&self) -> Option<String> {
        Some(self.0.root().field("provider")?.as_str()?.into_owned())
    }

    fn items(&self) -> impl Iterator<Item = Value<'_>> {
        self.0
            .root()
            .field("items")
            .into_iter()
            .flat_map(|items| items.elements())
    }
}

/// A turn whose response is to be kept, or that goes on with one that was.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What the response is called, if the gateway writes it.
    pub id: String,
    /// The turn before, as the client named it.
    pub previous: Option<String>,
    /// Whether the response is to be kept.
    pub is_kept: bool,
    /// All that was said before the response: items of JSON, apart by commas.
    items: Arc<str>,
    /// The request as it came, for the provider that has kept the turn before as well.
    again: Option<(String, Document)>,
}

impl Turn {
    /// Of a request, the response that it goes on with, and something that no other response is called.
    pub fn of(request: Document, kept: Option<&Kept>, unique: &str) -> Result<(Self, Document), ApiError> {
        let root = request.root();
        let is_set = |name: &str| root.field(name).is_some_and(|value| value.as_bool() != Some(false));
        // What is kept elsewhere, or comes later, is not all there.
        let is_elsewhere = ["conversation", "prompt", "background"].into_iter().any(is_set);
        let is_wanted = root.field("store").and_then(|store| store.as_bool()) != Some(false);
        let mut turn = Self {
            id: format!("{OWN_ID}{unique}"),
            previous: Self::previous_of(&request)?,
            is_kept: is_wanted && !is_elsewhere,
            items: Arc::from(""),
            again: None,
        };
        let before = kept
            .into_iter()
            .flat_map(|kept| kept.items())
            .map(|item| item.raw().to_owned());
        let items: Vec<String> = before.chain(said(root)).collect();
        turn.items = items.join(",").into();
        let Some(kept) = kept else { return Ok((turn, request)) };
        let whole = rebuilt(&request, &format!("[{}]", turn.items))?;
        turn.again = kept.provider().map(|provider| (provider, request));
        Ok((turn, whole))
    }

    /// The turn before, as a request names it.
    pub fn previous_of(request: &Document) -> Result<Option<String>, ApiError> {
        let Some(id) = request.root().field("previous_response_id") else {
            return Ok(None);
        };
        let id = id.as_str().map(|id| Some(id.into_owned()));
        id.ok_or_else(|| wrong_type("previous_response_id", "a text"))
    }

    /// The request for a provider that speaks the dialect: as it came for the one that has kept the turn before; for others without
    /// reasoning that only its maker can read.
    pub fn own(&self, request: &Document) -> Result<Document, ApiError> {
        if self.previous.is_none() {
            return Ok(request.clone());
        }
        let items = Document::parse(format!("[{}]", self.items).into(), LIMITS).map_err(damaged)?;
        let is_sealed = |item: &Value<'_>| item.get("type").is_some_and(|kind| kind.is("reasoning"));
        let items: Vec<&str> = items
            .root()
            .elements()
            .filter(|item| !is_sealed(item))
            .map(|item| item.raw())
            .collect();
        rebuilt(request, &format!("[{}]", items.join(",")))
    }

    /// The request as it came, where this provider has kept the turn before.
    pub fn again_at(&self, provider: &str) -> Option<&Document> {
        let again = self.again.as_ref().filter(|(keeper, _)| keeper == provider);
        again.map(|(_, request)| request)
    }

    /// Whether a provider may know more of the conversation than the request says.
    fn is_known(&self) -> bool {
        self.again.is_some()
    }

    /// What is to be kept of a response that is whole, with its id.
    pub fn record(&self, response: &Document, provider: &str) -> Option<(String, Vec<u8>)> {
        let root = response.root();
        let id = root.field("id")?.as_str()?;
        let is_ended = |status: &Value<'_>| status.is("completed") || status.is("incomplete");
        root.get("status").filter(is_ended)?;
        let mut to = Writer::with_capacity(self.items.len() + 2 * root.raw().len());
        to.open('{');
        if !id.starts_with(OWN_ID) {
            to.text("provider", provider);
        }
        to.key("items");
        to.open('[');
        if !self.items.is_empty() {
            to.raw(&self.items);
        }
        let output = root.field("output").into_iter().flat_map(|output| output.elements());
        output.for_each(|item| without_makers(&mut to, item));
        to.close(']');
        to.member("response", root.raw());
        to.close('}');
        Some((id.into_owned(), to.finish()))
    }
}

/// A request that is read with everything that was said before.
pub fn with_turn(request: Request, turn: Turn, whole: &Document) -> Result<Request, ApiError> {
    let Request {
        document,
        mut ask,
        mut wording,
    } = request;
    wording.own = Some(turn.own(whole)?);
    // Of what a provider has kept, nobody else knows how long it is.
    ask.other_parts += u32::from(turn.is_known());
    wording.turn = Some(turn);
    Ok(Request { document, ask, wording })
}

/// What the request itself says, as items.
fn said(request: Value<'_>) -> Vec<String> {
    match request.field("input") {
        Some(input) if input.kind() == Kind::String => {
            vec![format!(r#"{{"role":"user","content":{}}}"#, input.raw())]
        }
        Some(input) => input.elements().map(|item| item.raw().to_owned()).collect(),
        None => Vec::new(),
    }
}

/// The request with this input, and nothing before it.
fn rebuilt(request: &Document, input: &str) -> Result<Document, ApiError> {
    let root = request.root();
    let mut edits = vec![Edit {
        pointer: "/input",
        value: Some(input),
    }];
    if root.get("previous_response_id").is_some() {
        edits.push(Edit {
            pointer: "/previous_response_id",
            value: None,
        });
    }
    let text = request.with(&edits).map_err(damaged)?;
    Document::parse(text.into(), LIMITS).map_err(damaged)
}

fn damaged(reason: impl std::fmt::Display) -> ApiError {
    ApiError::internal(format!("a conversation that was kept cannot be gone on with: {reason}"))
}

fn without_makers(to: &mut Writer, item: Value<'_>) {
    to.open('{');
    for (name, value) in item.members() {
        if !MAKERS.iter().any(|makers| name.is(makers)) {
            to.raw(name.raw());
            to.colon();
            to.raw(value.raw());
        }
    }
    to.close('}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn document(json: &Json) -> Document {
        Document::parse(json.to_string().into(), LIMITS).unwrap()
    }

    fn read(document: &Document) -> Json {
        serde_json::from_slice(document.text()).unwrap()
    }

    #[test]
    fn a_turn_is_rebuilt_with_all_that_was_said_before() {
        let first = json!({ "model": "m", "input": "weather?", "tools": [] });
        let (turn, whole) = Turn::of(document(&first), None, "1").unwrap();
        assert_eq!(
            (read(&whole), turn.is_kept, turn.id.as_str()),
            (first, true, "resp_pm_1")
        );
        let reasoning = json!({ "id": "rs_1", "type": "reasoning", "summary": [] });
        let call = json!({ "id": "fc_1", "status": "completed", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
        let response = json!({ "id": "resp_pm_1", "status": "completed", "output": [reasoning, call] });
        let (id, record) = turn.record(&document(&response), "p1").unwrap();
        assert_eq!(id, "resp_pm_1");
        let kept = Kept::parse(record).unwrap();
        assert_eq!(serde_json::from_slice::<Json>(&kept.response()).unwrap(), response);
        let result = json!({ "type": "function_call_output", "call_id": "c", "output": "rain" });
        let second = json!({ "model": "m", "previous_response_id": "resp_pm_1", "input": [result], "store": false });
        let (turn, whole) = Turn::of(document(&second), Some(&kept), "2").unwrap();
        let question = json!({ "role": "user", "content": "weather?" });
        let reasoning = json!({ "type": "reasoning", "summary": [] });
        let call = json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
        let expected = json!({ "model": "m", "input": [question, reasoning, call, result], "store": false });
        assert_eq!((read(&whole), turn.is_kept), (expected, false));
        assert_eq!(
            read(&turn.own(&whole).unwrap())["input"],
            json!([question, call, result])
        );
        assert!(turn.again_at("p1").is_none());
    }

    #[test]
    fn who_has_kept_a_turn_as_well_is_asked_as_the_client_asks() {
        let (turn, _) = Turn::of(document(&json!({ "input": [] })), None, "1").unwrap();
        let response = json!({ "id": "resp_of_openai", "status": "incomplete", "output": [] });
        let (_, record) = turn.record(&document(&response), "openai").unwrap();
        let kept = Kept::parse(record).unwrap();
        let second = json!({ "previous_response_id": "resp_of_openai", "input": "and?" });
        let (turn, _) = Turn::of(document(&second), Some(&kept), "2").unwrap();
        assert_eq!(turn.again_at("openai").map(read), Some(second));
        assert!(turn.again_at("other").is_none());
    }

    #[test]
    fn what_is_not_whole_is_not_kept() {
        let (turn, _) = Turn::of(document(&json!({ "input": "a" })), None, "1").unwrap();
        for response in [
            json!({ "id": "resp_1", "status": "in_progress" }),
            json!({ "status": "completed" }),
            json!({ "id": "resp_1", "status": "failed" }),
        ] {
            assert!(turn.record(&document(&response), "p").is_none(), "{response}");
        }
        assert!(Kept::parse(b"{}".to_vec()).is_none() && Kept::parse(b"no".to_vec()).is_none());
    }
}
