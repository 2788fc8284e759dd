//! Asks several models the client's own request side by side, and has a judge make one answer of theirs, streamed.
//!
//! A plan cannot answer by itself: it names who answers and edits what that one is asked. So the judge is the plan's first
//! step, and its request is the client's with a note behind the last message that holds the members' answers. What can be
//! configured is in `config.rs`, the notes are in `note.rs`, and how answers count as votes in `election.rs`.

mod config;
mod election;
mod note;

use config::{Config, Member, Mode};
use election::Election;
use pointsman_plugin::{
    Candidate, Plan, Policy, Request, Surface, Verdict,
    draw::Draw,
    export_policy, finals, log,
    models::{self, Ask, Failure, Question, Reply},
    money::Usd,
};

struct Ensemble(Config);

/// The members' answers, in an order that says nothing about who gave them.
struct Answers {
    texts: Vec<String>,
    /// How many were to be asked.
    members: usize,
    /// What they cost, where that is known of all.
    cost: Option<u64>,
}

impl Policy for Ensemble {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Ensemble(config))
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        if !self.0.is_meant(request) {
            return Ok(Verdict::Pass);
        }
        let Some(place) = place_of_note(request) else {
            return Ok(Plan::keep().reason("not for an ensemble").into());
        };
        let members: Vec<&Member> = self
            .0
            .members
            .iter()
            .filter(|member| member.is_among(candidates))
            .collect();
        let least = self.0.min_answers as usize;
        if members.len() < least {
            let why = format!("{} of {} members are candidates", members.len(), self.0.members.len());
            return Ok(self.plain(candidates, &why));
        }
        let answers = self.ask(request, &members)?;
        if answers.texts.len() < least {
            return Ok(self.plain(candidates, &answers.account()));
        }
        self.conclude(request, candidates, place, &answers)
    }
}

impl Ensemble {
    fn ask(&self, request: &Request, members: &[&Member]) -> Result<Answers, String> {
        let asks: Vec<Ask> = members
            .iter()
            .map(|member| self.question(request, member))
            .collect::<Result<_, _>>()?;
        let replies = models::ask_all(&asks);
        for (member, reply) in members.iter().zip(&replies) {
            if let Err(failure) = reply {
                log::warn(&format!("`{}` gave no answer: {}", member.model, words(failure)));
            }
        }
        Ok(Answers::of(replies, request.seed))
    }

    fn question(&self, request: &Request, member: &Member) -> Result<Ask, String> {
        let mut ask = Ask::same(&*member.model).timeout_ms(self.0.timeout_ms);
        if let Some(tokens) = self.0.max_output_tokens {
            ask = ask.max_output_tokens(tokens);
        }
        // One answer of each member is read, whatever the client wants of the judge.
        if request.get("/n").is_some() {
            ask = ask.edit("/n", &1)?;
        }
        if let Question::Same(edits) = &mut ask.question {
            edits.extend(member.set.0.iter().cloned());
        }
        Ok(ask)
    }

    fn conclude(
        &self,
        request: &Request,
        candidates: &[Candidate],
        place: Place,
        answers: &Answers,
    ) -> Result<Verdict, String> {
        // What is compared stands at an answer's end, so votes are counted on whole answers, and only what is shown is cut.
        let bytes = self.0.answer_bytes as usize;
        let election = (self.0.mode == Mode::Vote).then(|| Election::of(&answers.texts, self.0.compare));
        let elected = election
            .as_ref()
            .filter(|election| self.0.is_majority(election.votes, answers.texts.len()));
        let (names, note, label) = match elected {
            Some(election) => {
                let note = note::elected(
                    &answers.texts[election.winner],
                    bytes,
                    election.votes,
                    answers.texts.len(),
                );
                (self.0.scribe(), note, "vote")
            }
            None => (
                &*self.0.judge,
                note::synthesis(&answers.texts, bytes, &self.0.instructions),
                "synthesis",
            ),
        };
        let able: Vec<&Candidate> = candidates.iter().filter(|one| has_room(one, request, &note)).collect();
        if able.is_empty() {
            return Ok(self.plain(candidates, &format!("{}, too long for any judge", answers.account())));
        }
        let votes = election
            .map(|election| format!(", {} agree", election.votes))
            .unwrap_or_default();
        let mut plan = Plan::prefer(names, able)
            .label(&*self.0.label, label)
            .reason(format!("{label}: {}{votes}", answers.account()));
        plan.edits.extend(self.0.set.0.iter().cloned());
        let (pointer, value) = place.with(&note);
        Ok(plan.edit(pointer, &value)?.into())
    }

    /// The request as it came, to the judge.
    fn plain(&self, candidates: &[Candidate], why: &str) -> Verdict {
        Plan::prefer(&self.0.judge, candidates)
            .label(&*self.0.label, "plain")
            .reason(format!("plain: {why}"))
            .into()
    }
}

impl Answers {
    /// Those that say something, without the thoughts before it, shuffled by the seed (Fisher and Yates).
    fn of(replies: Vec<Result<Reply, Failure>>, seed: u64) -> Self {
        let members = replies.len();
        let cost = replies
            .iter()
            .flatten()
            .try_fold(0_u64, |sum, reply| Some(sum.saturating_add(reply.cost?)));
        let texts = replies
            .into_iter()
            .flatten()
            .map(|reply| finals::spoken(&reply.text).to_owned())
            .filter(|text| !text.trim().is_empty());
        let mut texts: Vec<String> = texts.collect();
        let mut draw = Draw::new(seed, "ensemble");
        for last in (1..texts.len()).rev() {
            texts.swap(last, draw.below(last as u64 + 1) as usize);
        }
        Answers { texts, members, cost }
    }

    fn account(&self) -> String {
        let cost = match self.cost {
            Some(nanos) => Usd { nanos }.to_string(),
            None => "an unknown amount".into(),
        };
        format!("{} of {} members answered for {cost}", self.texts.len(), self.members)
    }
}

/// Where the note goes: behind the text of the last message.
enum Place {
    /// The message's text, to which the note is added.
    Text(u32, String),
    /// A message of parts, of which the note becomes one more.
    Parts(u32),
}

/// None where there is nothing that an ensemble could work on: tools (a member's answer would be a call, which nobody can
/// make here), speech, or a conversation whose last word is not the user's.
fn place_of_note(request: &Request) -> Option<Place> {
    let last = request.message_count.checked_sub(1)?;
    let is_fit = request.surface == Surface::ChatCompletions
        && !request.has_tools
        && request.get("/functions").is_none()
        && request.get("/audio").is_none()
        && request.role(last).as_deref() == Some("user");
    let content = is_fit.then(|| request.get(&format!("/messages/{last}/content")))??;
    match content.starts_with('[') {
        true => Some(Place::Parts(last)),
        false => Some(Place::Text(last, serde_json::from_str(&content).ok()?)),
    }
}

impl Place {
    fn with(self, note: &str) -> (String, serde_json::Value) {
        match self {
            Place::Text(index, text) => (format!("/messages/{index}/content"), format!("{text}\n\n{note}").into()),
            Place::Parts(index) => {
                let part = serde_json::json!({ "type": "text", "text": note });
                (format!("/messages/{index}/content/-"), part)
            }
        }
    }
}

/// Whether the note fits beside what the client asks, at three bytes a token to be on the safe side.
fn has_room(candidate: &Candidate, request: &Request, note: &str) -> bool {
    let needed = u64::from(request.estimated_input_tokens)
        + note.len().div_ceil(3) as u64
        + u64::from(request.max_output_tokens.unwrap_or(0));
    candidate.context_window == 0 || needed <= u64::from(candidate.context_window)
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::TimedOut => "it was not in time".into(),
        Failure::Refused(why) => format!("it was not asked: {why}"),
        Failure::Upstream(why) | Failure::Other(why) => why.clone(),
    }
}

export_policy!(Ensemble);

#[cfg(test)]
mod tests;
