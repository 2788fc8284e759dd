//! An answer that is held back until policies have reviewed it: taken in whole, read, and let go as it came. A stream that
//! breaks meanwhile is a failed attempt like any other, since nothing of it has gone out.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::attempt::{Beginning, Failure, Reply, write_event};
use super::decide::Step;
use super::milliseconds;
use super::reading::Reading;
use super::receipt::{self, Receipt};
use super::relay::Watched;
use crate::json::{Document, Kind, Limits};
use crate::money::Usage;
use crate::plugins::words;
use crate::upstream::sse::Splitter;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };

/// What came of holding an answer back.
pub(super) enum Taken {
    Held(Box<Held>),
    /// It has more bytes than may be held; the rest of a stream is still to come.
    TooLarge(Reply),
}

/// A whole answer of which nothing has gone out.
#[derive(Debug)]
pub(super) struct Held {
    reply: Reply,
    reading: Reading,
    /// The event of a stream that says what was used.
    usage_at: Option<Range<usize>>,
}

/// Takes in what is left of an answer, up to so many bytes of it. An error says what was used until then.
pub(super) async fn whole(reply: Reply, step: &Step, most: usize) -> Result<Taken, (Failure, Option<Usage>)> {
    match reply {
        Reply::Whole(whole) if whole.body.len() > most => Ok(Taken::TooLarge(Reply::Whole(whole))),
        Reply::Whole(whole) => {
            let document = Document::parse(whole.body.clone(), LIMITS);
            let unreadable = |error| Failure::upstream(format!("the answer is not JSON: {error}"));
            let document = document.map_err(|error| (unreadable(error), whole.usage))?;
            Ok(Taken::Held(Box::new(Held {
                reading: Reading::of(&document),
                reply: Reply::Whole(whole),
                usage_at: None,
            })))
        }
        Reply::Stream(beginning) => stream(*beginning, step, most).await,
    }
}

async fn stream(beginning: Beginning, step: &Step, most: usize) -> Result<Taken, (Failure, Option<Usage>)> {
    let Beginning {
        mut events,
        mut has_more,
        source,
        dropped,
        is_own,
    } = beginning;
    let mut watched = Watched::new(source, step);
    while has_more && events.len() <= most {
        let next = watched.next(&mut events).await;
        has_more = next.map_err(|failure| (failure, watched.source.usage()))?;
    }
    let is_too_large = events.len() > most;
    let (reading, usage_at) = if is_too_large {
        Default::default()
    } else {
        read(&events)
    };
    let reply = Reply::Stream(Box::new(Beginning {
        events,
        has_more,
        source: watched.source,
        dropped,
        is_own,
    }));
    Ok(if is_too_large {
        Taken::TooLarge(reply)
    } else {
        Taken::Held(Box::new(Held {
            reply,
            reading,
            usage_at,
        }))
    })
}

/// What a stream's events say together, and where the last one is that says what was used.
fn read(events: &BytesMut) -> (Reading, Option<Range<usize>>) {
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(events);
    let mut reading = Reading::default();
    let mut usage_at = None;
    while let Ok(Some(event)) = splitter.next_event() {
        let end = events.len() - splitter.buffer().len();
        // What is no JSON is passed on, and says nothing.
        let data = event.data().map(|data| Bytes::copy_from_slice(&data));
        let Some(chunk) = data.and_then(|data| Document::parse(data, LIMITS).ok()) else {
            continue;
        };
        reading.chunk(&chunk);
        if chunk
            .root()
            .field("usage")
            .is_some_and(|usage| usage.kind() == Kind::Object)
        {
            usage_at = Some(end - event.raw().len()..end);
        }
    }
    (reading, usage_at)
}

impl Held {
    /// What it used, where the provider said.
    pub(super) fn usage(&self) -> Option<Usage> {
        match &self.reply {
            Reply::Whole(whole) => whole.usage,
            Reply::Stream(beginning) => beginning.source.usage(),
        }
    }

    /// Tokens of output, where nobody says.
    pub(super) fn counted(&self) -> u64 {
        match &self.reply {
            Reply::Whole(whole) => whole.counted(),
            Reply::Stream(beginning) => beginning.source.progress(),
        }
    }

    /// As policies are shown it.
    pub(super) fn answer(&self, step: &Step, total: Duration, steps_left: usize) -> words::Reviewed {
        let model = &step.model;
        let used = self.usage();
        let usage = used.unwrap_or_default();
        words::Reviewed {
            candidate: model.id.clone(),
            text: self.reading.text.clone(),
            refusal: self.reading.refusal.clone(),
            finish_reason: self.reading.finish_reason.clone(),
            tool_calls: self.reading.tool_calls.clone(),
            mean_logprob: self.reading.mean_logprob(),
            input_tokens: usage.all_input(),
            output_tokens: usage.output,
            cost: model.cost(used.as_ref()).map(|cost| cost.0),
            total_ms: milliseconds(total),
            steps_left: u32::try_from(steps_left).unwrap_or(u32::MAX),
            extras: Vec::new(),
        }
    }

    /// Lets it go as it came; where a stream says what it cost, with what the request has cost by now.
    pub(super) fn release(self, receipt: Option<Receipt>, shows_usage: bool) -> Reply {
        match (self.reply, self.usage_at.filter(|_| shows_usage)) {
            (Reply::Stream(mut beginning), Some(range)) => {
                if let Some(event) = priced(&beginning.events[range.clone()], receipt) {
                    let rest = beginning.events.split_off(range.end);
                    beginning.events.truncate(range.start);
                    beginning.events.extend_from_slice(&event);
                    beginning.events.extend_from_slice(&rest);
                }
                Reply::Stream(beginning)
            }
            (reply, _) => reply,
        }
    }
}

/// An event with this receipt in the place of its own.
fn priced(event: &[u8], receipt: Option<Receipt>) -> Option<BytesMut> {
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(event);
    let event = splitter.next_event().ok()??;
    let chunk = Document::parse(Bytes::copy_from_slice(&event.data()?), LIMITS).ok()?;
    let members = receipt.map_or_else(|| receipt::none("/usage"), |receipt| receipt.members("/usage"));
    let text = receipt::with(&chunk, &members).ok()?;
    let mut event = BytesMut::new();
    write_event(&mut event, &[&text]);
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Nanodollars;

    #[test]
    fn the_event_that_says_what_was_used_is_found_among_all_line_ends() {
        let usage = "data: {\"choices\":[],\"usage\":{\"cost\":1}}\r\n\r\n";
        let text = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}");
        let events = format!("{}\r\r\n: ping\n\n{}\n\n{usage}data: no json\n\n", text("a"), text("b"));
        let (reading, range) = read(&BytesMut::from(events.as_str()));
        assert_eq!((reading.text.as_str(), &events[range.unwrap()]), ("ab", usage));
    }

    #[test]
    fn a_cost_is_put_in_the_place_of_another_or_taken_out() {
        let event = b"data: {\"usage\":{\"a\":1,\"cost\":1,\"cost_details\":{}}}\n\n";
        let with = priced(event, Some(Receipt::again(Nanodollars(2_500_000_000)))).unwrap();
        let expected =
            r#"data: {"usage":{"a":1,"cost":2.50,"cost_details":{"input":0.00,"output":0.00,"beside":2.50}}}"#;
        assert_eq!(with, format!("{expected}\n\n"));
        assert_eq!(priced(event, None).unwrap(), &b"data: {\"usage\":{\"a\":1}}\n\n"[..]);
    }
}
