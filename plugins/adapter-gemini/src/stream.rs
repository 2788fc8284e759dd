//! A streamed answer. Every event is a piece of an answer in the shape of a whole one. There is no closing event: an
//! answer is whole when each of its candidates said why it ended, or the prompt was refused. Since counts, and more of the
//! text, may follow that, the finish goes out at the end of the body.

use crate::calls::Calls;
use crate::errors;
use crate::grounding;
use crate::logprobs;
use crate::response::{Candidate, Feedback, Part, Response};
use crate::usage::Reported;
use pointsman_plugin::translate::{
    Annotation, Delta, ExtraContent, Finish, Logprobs, Piece, Pieces, ToolCall, ToolDelta, upstream,
};
use pointsman_plugin::{AdapterStream, Chunk, Event, Failure, Operation, Target};

/// One answer under way.
pub struct Stream {
    /// For what the answer lacks.
    id: String,
    model: String,
    created: u64,
    /// Present as soon as the answer has begun.
    pieces: Option<Pieces>,
    choices: Vec<Choice>,
    calls: Calls,
    reported: Reported,
}

/// One candidate under way; there is rarely more than one.
struct Choice {
    index: u32,
    calls: u32,
    finish: Option<Finish>,
    refusal: Option<String>,
    /// What it has said, and where of that each part begins.
    said: String,
    starts: Vec<usize>,
    /// JSON of where it looked things up; it comes when they have been said, more than once from some.
    grounding: Vec<String>,
}

impl AdapterStream for Stream {
    fn begin(_: Operation, target: &Target) -> Result<Self, Failure> {
        Ok(Stream {
            id: target.request_id.clone(),
            model: target.model.clone(),
            created: target.now_ms / 1000,
            pieces: None,
            choices: Vec::new(),
            calls: Calls::of(target),
            reported: Reported::default(),
        })
    }

    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::with_capacity(events.len());
        for event in events {
            // The closing word of another dialect, as some proxies add it.
            if event.data.trim_ascii() != b"[DONE]" {
                self.take(&event.data, &mut chunks)?;
            }
        }
        Ok(chunks)
    }

    fn finish(&mut self) -> Result<Vec<Chunk>, Failure> {
        let broken = |what: &str| Err(upstream(format!("the provider's stream ended before {what}")));
        let Some(pieces) = &self.pieces else {
            return broken("the answer began");
        };
        let mut chunks = Vec::with_capacity(self.choices.len() + 1);
        for choice in &self.choices {
            let Some(finish) = choice.finish else {
                return broken("the answer was whole");
            };
            if let Some(refusal) = &choice.refusal {
                let delta = Delta {
                    refusal: Some(refusal),
                    ..Delta::default()
                };
                chunks.push(chunk(pieces, choice.index, delta, None, None)?);
            }
            let annotations = choice.annotations();
            if !annotations.is_empty() {
                let delta = Delta {
                    annotations: &annotations,
                    ..Delta::default()
                };
                chunks.push(chunk(pieces, choice.index, delta, None, None)?);
            }
            chunks.push(chunk(pieces, choice.index, Delta::default(), None, Some(finish))?);
        }
        if self.choices.is_empty() {
            return broken("the answer was whole");
        }
        if let Some((used, counts)) = self.reported.billed().zip(self.reported.counts()) {
            chunks.push(pieces.usage(used, counts)?);
        }
        Ok(chunks)
    }
}

impl Stream {
    fn take(&mut self, data: &[u8], chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let response = match Response::read(data) {
            Ok(response) if response.error.is_some() => return Err(errors::explain_inside(data)),
            Ok(response) => response,
            Err(failure) => return Err(failure),
        };
        if self.pieces.is_none() {
            let id = response.response_id.as_ref().map_or(&*self.id, |id| &id.0);
            let model = response.model_version.as_ref().map_or(&*self.model, |model| &model.0);
            self.pieces = Some(Pieces::of(id, model, self.created)?);
        }
        if let Some(counts) = response.usage_metadata {
            self.reported.update(counts);
        }
        for candidate in response.candidates.into_iter().flatten() {
            self.reported.count_searches(candidate.grounding_metadata);
            self.add(candidate, chunks)?;
        }
        match response.prompt_feedback.filter(Feedback::is_blocked) {
            Some(feedback) => self.block(feedback, chunks),
            None => Ok(()),
        }
    }

    fn add(&mut self, mut candidate: Candidate, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let at = self.choice(candidate.index.unwrap_or(0), chunks)?;
        // They belong to all texts of the event, of which there is rarely more than one.
        let mut logprobs = candidate.logprobs_result.take().and_then(logprobs::read);
        let grounding = candidate
            .grounding_metadata
            .filter(|raw| grounding::has_sources(raw.get()));
        self.choices[at]
            .grounding
            .extend(grounding.map(|raw| raw.get().to_owned()));
        for part in candidate.parts() {
            self.choices[at].hear(&part);
            self.pass_on(at, part, &mut logprobs, chunks)?;
        }
        if candidate.finish_reason.is_some()
            && let Some(call) = self.calls.close()?
        {
            self.call(at, call, chunks)?;
        }
        let choice = &mut self.choices[at];
        let finish = candidate.finish(choice.calls > 0)?;
        if finish == Some(Finish::ContentFilter) && choice.finish.is_none() {
            choice.refusal = candidate.finish_message.map(|text| text.0.into_owned());
        }
        choice.finish = choice.finish.or(finish);
        Ok(())
    }

    fn pass_on(
        &mut self,
        at: usize,
        part: Part,
        logprobs: &mut Option<Logprobs>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let signature = part.thought_signature.map(|text| text.0);
        if let Some(call) = part.function_call {
            return match self.calls.take(call, signature)? {
                Some(call) => self.call(at, call, chunks),
                None => Ok(()),
            };
        }
        let text = part.text.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty());
        let is_thought = part.thought == Some(true);
        let image = part.inline_data.and_then(|data| data.image());
        let delta = Delta {
            content: text.filter(|_| !is_thought),
            reasoning_content: text.filter(|_| is_thought),
            images: image.map(|image| [image]),
            extra_content: signature.map(ExtraContent::signed),
            ..Delta::default()
        };
        if text.is_none() && delta.images.is_none() && delta.extra_content.is_none() {
            return Ok(());
        }
        let logprobs = if delta.content.is_some() { logprobs.take() } else { None };
        self.send(at, delta, logprobs, chunks)
    }

    fn call(&mut self, at: usize, mut call: ToolCall, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let choice = &mut self.choices[at];
        let index = choice.calls;
        choice.calls += 1;
        let delta = Delta {
            tool_calls: Some([ToolDelta::whole(index, &mut call)]),
            ..Delta::default()
        };
        self.send(at, delta, None, chunks)
    }

    fn block(&mut self, feedback: Feedback, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let at = self.choice(0, chunks)?;
        let choice = &mut self.choices[at];
        choice.finish = Some(Finish::ContentFilter);
        choice.refusal = feedback.block_reason_message.map(|text| text.0.into_owned());
        Ok(())
    }

    /// The place of a candidate; where it is new, its role goes out first.
    fn choice(&mut self, index: u32, chunks: &mut Vec<Chunk>) -> Result<usize, Failure> {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok(at);
        }
        self.choices.push(Choice {
            index,
            calls: 0,
            finish: None,
            refusal: None,
            said: String::new(),
            starts: Vec::new(),
            grounding: Vec::new(),
        });
        let at = self.choices.len() - 1;
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.send(at, delta, None, chunks)?;
        Ok(at)
    }

    fn send(
        &mut self,
        at: usize,
        delta: Delta,
        logprobs: Option<Logprobs>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if let Some(pieces) = &self.pieces {
            chunks.push(chunk(pieces, self.choices[at].index, delta, logprobs, None)?);
        }
        Ok(())
    }
}

impl Choice {
    fn hear(&mut self, part: &Part) {
        self.starts.push(self.said.len());
        if let Some(text) = part.text.as_ref().filter(|_| part.thought != Some(true)) {
            self.said.push_str(&text.0);
        }
    }

    fn annotations(&self) -> Vec<Annotation<'_>> {
        let mut all = Vec::new();
        for grounding in &self.grounding {
            for annotation in grounding::annotations(grounding, &self.said, &self.starts) {
                if !all.contains(&annotation) {
                    all.push(annotation);
                }
            }
        }
        all
    }
}

fn chunk(
    pieces: &Pieces,
    index: u32,
    delta: Delta,
    logprobs: Option<Logprobs>,
    finish_reason: Option<Finish>,
) -> Result<Chunk, Failure> {
    pieces.piece(Piece {
        index,
        delta,
        logprobs,
        finish_reason,
        native_finish_reason: None,
        stop_reason: None,
    })
}
