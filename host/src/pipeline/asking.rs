//! Models that policies ask while they decide: each ask is an attempt like any other, at one model, whole and without a
//! retry. What it costs goes on the request's bill. Whether it may be made was checked before it came here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::HeaderMap;
use serde_json::json;

use super::attempt::{self, Failure, Reply, Whole};
use super::bill::Bill;
use super::decide::{Step, edited};
use super::purse::Place;
use super::reading::Reading;
use super::{Call, facts, milliseconds};
use crate::generation::{Generation, Model, Route};
use crate::json::{Document, Limits};
use crate::operation::Operation;
use crate::plugins::words::{self, Abilities, Ask as Wish, AskFailure, Kind, Question};
use crate::plugins::{Models, Replies};
use crate::surfaces::Wording;
use crate::surfaces::chat::Ask;

/// As deep as a request may be configured to be.
const LIMITS: Limits = Limits { depth: 512 };

/// Asks models for the policies of one request.
pub(super) struct Asking {
    generation: Arc<Generation>,
    call: Arc<Call>,
    bill: Arc<Bill>,
    /// In microseconds.
    waited: AtomicU64,
}

impl Asking {
    /// None where no policy of the route may ask.
    pub(super) fn of(
        generation: &Arc<Generation>,
        route: &Route,
        call: &Arc<Call>,
        bill: &Arc<Bill>,
    ) -> Option<Arc<Self>> {
        let may_ask = route.policies.iter().any(|policy| policy.policy.may_ask());
        may_ask.then(|| {
            Arc::new(Self {
                generation: generation.clone(),
                call: call.clone(),
                bill: bill.clone(),
                waited: AtomicU64::new(0),
            })
        })
    }

    /// Time spent on providers since this was asked last.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_micros(self.waited.swap(0, Relaxed))
    }

    async fn ask(&self, wish: Wish, within: Duration) -> Result<words::Reply, AskFailure> {
        let refused = |why: String| AskFailure::Refused(why);
        let model = self.generation.models.get(&wish.model);
        let model = model.ok_or_else(|| refused("the catalog has no such model".to_owned()))?;
        if !self.call.caller.may_use(&model.id, &model.tags) {
            return Err(refused("the caller's key may not use this model".to_owned()));
        }
        let document = self.document(wish, model).map_err(refused)?;
        let call = Call {
            id: self.call.id.clone(),
            received: Instant::now(),
            now_ms: self.call.now_ms,
            seed: self.call.seed,
            headers: HeaderMap::new(),
            ask: Ask::read(&document, Operation::Chat).map_err(|error| refused(error.message))?,
            document,
            policy_headers: Vec::new(),
            caller: self.call.caller.clone(),
            wording: Wording::canonical(self.call.wording.surface),
            sent: self.call.sent.clone(),
            tried: self.call.tried.clone(),
            is_told: Arc::default(),
        };
        let step = Step::alone(model.clone(), within);
        let pass = model.admit(facts::expected_tokens(&call.ask)).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            AskFailure::Upstream(format!("the model is at its limits for {seconds} s"))
        })?;
        let mut taken = attempt::take(&call, (&call.document, None), &step, &self.bill, pass).await;
        let payment = taken.run.payment.take();
        match taken.result {
            Ok(Reply::Whole(whole)) => {
                if let Some(payment) = payment {
                    payment.answered(None, whole.usage, (whole.counted(), taken.run.took), Place::Beside);
                }
                self.answered(model, &whole, taken.run.took)
            }
            Ok(Reply::Stream(_)) => Err(AskFailure::Other("the provider answered with a stream".to_owned())),
            Err(failure) => Err(self.failed(model, &failure)),
        }
    }

    /// The request that goes out, whole and not streamed.
    fn document(&self, wish: Wish, model: &Model) -> Result<Document, String> {
        match wish.question {
            Question::Prompt(prompt) => {
                let request = request(prompt, wish.max_output_tokens, model)?;
                let text = Bytes::from(request.to_string());
                Document::parse(text, LIMITS).map_err(|error| error.to_string())
            }
            Question::Same(edits) => {
                let mut edits: Vec<(String, String)> =
                    edits.into_iter().map(|edit| (edit.pointer, edit.value)).collect();
                for unwanted in ["/stream", "/stream_options"] {
                    edits.push((unwanted.to_owned(), String::new()));
                }
                if let Some(tokens) = wish.max_output_tokens {
                    let has = |key| self.call.document.root().field(key).is_some();
                    let is_old = has("max_tokens") && !has("max_completion_tokens");
                    let pointer = if is_old {
                        "/max_tokens"
                    } else {
                        "/max_completion_tokens"
                    };
                    edits.push((pointer.to_owned(), tokens.to_string()));
                }
                edited(&self.call.document, &edits)
            }
        }
    }

    fn answered(&self, model: &Model, whole: &Whole, total: Duration) -> Result<words::Reply, AskFailure> {
        let cost = model.cost(whole.usage.as_ref());
        model.seen.health.success(total);
        model.meter.served(total);
        model.meter.used(whole.usage.as_ref(), cost);
        self.bill.add_asked(cost);
        let document = Document::parse(whole.body.clone(), LIMITS);
        let document = document.map_err(|error| AskFailure::Upstream(format!("the answer is not JSON: {error}")))?;
        let reading = Reading::of(&document);
        let usage = whole.usage.unwrap_or_default();
        Ok(words::Reply {
            text: reading.text,
            finish_reason: reading.finish_reason,
            input_tokens: usage.all_input(),
            output_tokens: usage.output,
            cost: cost.map(|cost| cost.0),
            total_ms: milliseconds(total),
        })
    }

    fn failed(&self, model: &Model, failure: &Failure) -> AskFailure {
        let word = failure.word();
        model.meter.failed(&word);
        tracing::warn!(
            request_id = %self.call.id, model = model.id, kind = %word, status = failure.status,
            detail = failure.detail(), "a policy's ask failed"
        );
        match &failure.kind {
            Kind::TimedOut => AskFailure::TimedOut,
            // What a caller would be told: policies say it on to callers.
            Kind::Other(_) => AskFailure::Other(failure.told()),
            _ => AskFailure::Upstream(failure.told()),
        }
    }
}

impl Models for Asking {
    fn ask_all(&self, asks: Vec<(Wish, Duration)>) -> Replies<'_> {
        Box::pin(async move {
            let began = Instant::now();
            let asking = asks.into_iter().map(|(ask, within)| self.ask(ask, within));
            let replies = join_all(asking).await;
            let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.waited.fetch_add(waited, Relaxed);
            replies
        })
    }
}

/// A prompt of a policy's own as a chat request.
fn request(
    prompt: words::OwnPrompt,
    max_output_tokens: Option<u32>,
    model: &Model,
) -> Result<serde_json::Value, String> {
    let message = |role, content| json!({ "role": role, "content": content });
    let system = prompt.system.map(|system| message("system", system));
    let messages: Vec<_> = system.into_iter().chain([message("user", prompt.user)]).collect();
    let mut request = json!({ "model": model.id, "messages": messages });
    if let Some(tokens) = max_output_tokens {
        request["max_completion_tokens"] = tokens.into();
    }
    let can_follow = model
        .abilities
        .is_none_or(|abilities| abilities.contains(Abilities::STRUCTURED_OUTPUT));
    if let Some(schema) = prompt.json_schema.filter(|_| can_follow) {
        let schema: serde_json::Value =
            serde_json::from_str(&schema).map_err(|error| format!("the JSON Schema is not JSON: {error}"))?;
        let format = json!({ "name": "answer", "strict": true, "schema": schema });
        request["response_format"] = json!({ "type": "json_schema", "json_schema": format });
    }
    Ok(request)
}
