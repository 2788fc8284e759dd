//! What a request has cost, as its client reads it: `usage.cost`, and the parts that add up to it.

use bytes::{Bytes, BytesMut};

use super::Account;
use super::attempt::write_event;
use crate::json::{Document, Edit, EditError, Kind, Limits};
use crate::money::{Nanodollars, Parts, Price, Usage};
use crate::operation::Dialect;
use crate::upstream::sse::Splitter;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// The cost of an answer and of what it took to get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    cost: Nanodollars,
    /// Of the answer itself.
    parts: Parts,
}

impl Receipt {
    /// Of an answer, with what the request has cost in all.
    pub(super) fn new(price: &Price, usage: &Usage, cost: Nanodollars) -> Self {
        let parts = price.parts(usage);
        Self { cost, parts }
    }

    /// Of an answer that was there already.
    pub(super) fn again(cost: Nanodollars) -> Self {
        let parts = Parts::default();
        Self { cost, parts }
    }

    /// As members of the usage that stands at this place.
    pub(super) fn members(&self, place: &str) -> [(String, Option<String>); 2] {
        [
            (format!("{place}/cost"), Some(self.cost.to_string())),
            (format!("{place}/cost_details"), Some(self.details())),
        ]
    }

    /// In US dollars, as JSON: the parts that are always there, and the others where they cost something.
    fn details(&self) -> String {
        let Parts {
            input,
            audio_input,
            image_input,
            cached_input,
            cache_write,
            output,
            reasoning,
            audio_output,
            image_output,
            characters,
            searches,
        } = self.parts;
        let beside = Nanodollars(self.cost.0.saturating_sub(self.parts.total().0));
        let parts = [
            ("input", input, true),
            ("audio_input", audio_input, false),
            ("image_input", image_input, false),
            ("cached_input", cached_input, false),
            ("cache_write", cache_write, false),
            ("output", output, true),
            ("reasoning", reasoning, false),
            ("audio_output", audio_output, false),
            ("image_output", image_output, false),
            ("characters", characters, false),
            ("searches", searches, false),
            ("beside", beside, false),
        ];
        let told = parts.into_iter().filter(|(_, cost, always)| *always || cost.0 > 0);
        let told: Vec<String> = told.map(|(name, cost, _)| format!("\"{name}\":{cost}")).collect();
        format!("{{{}}}", told.join(","))
    }
}

/// Members of a usage without any receipt.
pub(super) fn none(place: &str) -> [(String, Option<String>); 2] {
    [(format!("{place}/cost"), None), (format!("{place}/cost_details"), None)]
}

/// A text with these members put in their places, or taken out of them.
pub(super) fn with(document: &Document, members: &[(String, Option<String>)]) -> Result<Vec<u8>, EditError> {
    let edits = members.iter().map(|(pointer, value)| Edit {
        pointer,
        value: value.as_deref(),
    });
    document.with(&edits.collect::<Vec<_>>())
}

/// A whole answer for a client that wants to know what it cost; none where that is not known.
pub(super) fn on(body: &Bytes, account: &Account) -> Option<Vec<u8>> {
    let place = account.call().wording.surface.usage_at(false);
    priced(body.clone(), place, account.receipt()?)
}

fn priced(text: Bytes, place: &str, receipt: Receipt) -> Option<Vec<u8>> {
    let document = Document::parse(text, LIMITS).ok()?;
    let is_told = document.pointer(place)?.kind() == Kind::Object;
    is_told.then(|| with(&document, &receipt.members(place)).ok())?
}

/// Whole events of a stream for a client that wants to know what it cost: the last that say what was used say that, too.
/// Where the canonical form is told, it stands there already.
pub(super) fn onto(events: &mut BytesMut, account: &Account) {
    let call = account.call();
    if !call.ask.wants_cost {
        return;
    }
    let last: &[&[u8]] = match call.wording.surface.dialect() {
        Some(Dialect::Messages) => &[b"message_delta"],
        Some(Dialect::Responses) => &[b"response.completed", b"response.incomplete"],
        // Each counts what there was up to it.
        Some(Dialect::Gemini) => &[b"finishReason"],
        Some(Dialect::Completions) | None => return,
    };
    let is_last = |bytes: &[u8]| last.iter().any(|word| memchr::memmem::find(bytes, word).is_some());
    let Some(receipt) = account.receipt().filter(|_| is_last(events)) else {
        return;
    };
    let place = call.wording.surface.usage_at(true);
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(&events.split());
    while let Ok(Some(event)) = splitter.next_event() {
        let data = event.data().filter(|data| is_last(data));
        let told = data.and_then(|data| priced(Bytes::copy_from_slice(&data), place, receipt));
        let Some(told) = told else {
            events.extend_from_slice(event.raw());
            continue;
        };
        if let Some(name) = event.name() {
            events.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        write_event(events, &[&told]);
    }
    events.extend_from_slice(splitter.buffer());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{PriceList, StatedRates};

    #[test]
    fn the_parts_of_a_receipt_add_up_to_its_cost() {
        let usd = Nanodollars(1_000_000_000);
        let rates = StatedRates {
            input: usd,
            output: Nanodollars(2 * usd.0),
            cached_input: Some(Nanodollars(usd.0 / 10)),
            ..StatedRates::default()
        };
        let price = Price::new(&PriceList {
            rates,
            ..PriceList::default()
        });
        let usage = Usage {
            input: 10,
            cache_read: 100,
            output: 5,
            reasoning: 2,
            ..Usage::default()
        };
        let receipt = Receipt::new(&price, &usage, Nanodollars(40_000));
        assert_eq!(
            receipt.members("/usage")[1].1.as_deref(),
            Some(r#"{"input":0.00001,"cached_input":0.00001,"output":0.000006,"reasoning":0.000004,"beside":0.00001}"#)
        );
    }
}
