//! Which way a step is taken: in the client's own words where the provider speaks them, forwarded where it speaks OpenAI's, else
//! translated; images and sound pass. What each way leaves out of a request is told to the client.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::{Attempt, Failure, Reply, Whole, betas, forward, media, own, simulate, translate};
use crate::generation::{Remote, Way};
use crate::json::Document;
use crate::money::Usage;
use crate::operation::{Dialect, Door, Operation};
use crate::plugins::words::{Abilities, Kind};
use crate::surfaces::Surface;
use crate::surfaces::plain::{Reader, plain};

/// What no answer differs by.
const HINTS: [&str; 3] = ["serviceTier", "service_tier", "metadata"];

impl Attempt<'_> {
    pub(super) async fn take(&self, waited: &mut Duration) -> Result<Reply, Failure> {
        let operation = self.call.ask.operation;
        let provider = &self.step.model.provider;
        let is_counting = operation == Operation::CountTokens;
        let remote = match &provider.way {
            Way::Remote(remote) if !is_counting || provider.serves(operation) => remote,
            Way::Simulated(config) if !is_counting => {
                self.check_needs()?;
                let reply = simulate::send(self, config, waited).await;
                return reply.map(|reply| reply.losing(&self.call.wording.lost));
            }
            _ => return Ok(self.estimate()),
        };
        if operation.is_media() {
            return media::send(self, remote, waited).await;
        }
        let door = self.call.wording.surface.dialect();
        let door = door.and_then(|dialect| remote.door(dialect, operation));
        if let Some((own, door)) = self.own.zip(door).filter(|(_, door)| self.may_pass(remote, door)) {
            let turn = self.call.wording.turn.as_ref();
            let own = turn.and_then(|turn| turn.again_at(&provider.name)).unwrap_or(own);
            let own = self.affordable(own)?;
            if self.call.wording.surface.dialect() != Some(Dialect::Completions) {
                return own::send(self, remote, &own, door, waited).await;
            }
            // OpenAI's first dialect streams, ends and counts as the canonical one does.
            let attempt = Attempt {
                document: &own,
                ..*self
            };
            let reply = forward::send(&attempt, remote, &door.path, waited).await;
            return reply.map(Reply::in_own_words);
        }
        self.check_needs()?;
        let (document, lost) = self.written_for(remote)?;
        self.check_losses(&lost)?;
        let attempt = Attempt {
            document: &document,
            ..*self
        };
        let reply = match remote.path(operation).filter(|_| attempt.has_no_settings()) {
            Some(path) => forward::send(&attempt, remote, path, waited).await,
            None => translate::send(&attempt, remote, waited).await,
        };
        reply.map(|reply| reply.losing(&lost))
    }

    /// A request in the client's own words, limited to what the money is enough for.
    fn affordable<'a>(&self, own: &'a Document) -> Result<Cow<'a, Document>, Failure> {
        let surface = self.call.wording.surface;
        let output = match self.payment.most_output() {
            (Some(output), _) => output,
            // What its dialect takes where a request names no limit was held, and not everybody keeps to that.
            (None, Some(stated)) if surface.is_unlimited(own) => stated,
            _ => return Ok(Cow::Borrowed(own)),
        };
        let limited = surface.limited(own, output);
        limited.map(Cow::Owned).map_err(|reason| Failure::fault(&reason))
    }

    /// Refuses what nobody but a provider that speaks the client's words could do.
    fn check_needs(&self) -> Result<(), Failure> {
        let Some(needs) = self.call.wording.needs else {
            return Ok(());
        };
        let message = format!(
            "`{needs}` is only there where the provider speaks this API itself, and the model `{}` is reached by a translation{}",
            self.step.model.id,
            match self.call.wording.surface {
                Surface::Responses => ", of which nothing is kept; send the whole conversation instead",
                _ if needs.starts_with("prompt") => "; send one text in each request",
                _ => "; leave it out",
            }
        );
        Err(Failure::said(Kind::InvalidRequest, &message))
    }

    /// How a provider differs from its dialect, and where it wants what, is said in settings, which are the adapter's to heed.
    pub(super) fn has_no_settings(&self) -> bool {
        self.step.model.settings == "{}"
    }

    /// Whether nothing is set that a request in the provider's own words would have to heed.
    fn may_pass(&self, remote: &Remote, door: &Door) -> bool {
        // Where nobody says where it goes but its dialect, what is no conversation may be asked for in other words.
        let is_known = self.call.ask.operation == Operation::Chat || !door.path.is_empty();
        self.has_no_settings() || is_known && self.step.model.settings == remote.known.passing
    }

    /// The request as this provider can read it, and what it has lost since the client wrote it.
    fn written_for(&self, remote: &Remote) -> Result<(Cow<'_, Document>, Vec<String>), Failure> {
        let mut lost = self.call.wording.lost.clone();
        let is_translated = self.call.wording.surface.dialect().is_some();
        if !remote.speaks_openai {
            let (document, more) = betas::without(self, remote, self.document)?;
            lost.extend(more);
            return Ok((document, lost));
        }
        if !is_translated {
            return Ok((Cow::Borrowed(self.document), lost));
        }
        let model = &self.step.model;
        let reader = Reader {
            limit: remote.output_limit.trim_start_matches('/'),
            most: model.max_output,
            may_reason: model.abilities.is_none_or(|all| all.contains(Abilities::REASONING)),
            keeps_reasoning: !self.has_no_settings(),
            keeps_signatures: remote.known.is_googles,
        };
        let unreadable = || Failure::fault("the request could not be put into the provider's words");
        let (document, more) = plain(self.document, reader).ok_or_else(unreadable)?;
        lost.extend(more);
        Ok((Cow::Owned(document), lost))
    }

    /// Refuses what gets lost before an adapter could, where the settings say that nothing is to.
    fn check_losses(&self, lost: &[String]) -> Result<(), Failure> {
        let Some(field) = lost.iter().find(|field| !HINTS.contains(&field.as_str())) else {
            return Ok(());
        };
        let settings: serde_json::Value = serde_json::from_str(&self.step.model.settings).unwrap_or_default();
        if settings["on_unsupported"] != "refuse" {
            return Ok(());
        }
        let provider = &self.step.model.provider.name;
        let message = format!("{field} cannot be asked of {provider}; leave it out");
        Err(Failure::said(Kind::InvalidRequest, &message))
    }

    /// What an answer has used of which nobody says so: nothing, where tokens are counted.
    pub(super) fn costs_nothing(&self) -> Option<Usage> {
        (self.call.ask.operation == Operation::CountTokens).then(Usage::default)
    }

    /// Tokens of input, by the gateway's own guess.
    fn estimate(&self) -> Reply {
        let tokens = self.call.ask.estimated_input_tokens();
        Reply::Whole(Whole {
            body: Bytes::from(format!("{{\"input_tokens\":{tokens}}}")),
            usage: self.costs_nothing(),
            dropped: None,
            is_text: false,
            is_own: false,
            is_estimated: true,
            content_type: None,
        })
    }
}

impl Reply {
    fn in_own_words(mut self) -> Self {
        match &mut self {
            Self::Whole(whole) => whole.is_own = true,
            Self::Stream(beginning) => beginning.is_own = true,
        }
        self
    }

    /// Names more that was left out.
    pub(super) fn losing(mut self, lost: &[String]) -> Self {
        if lost.is_empty() {
            return self;
        }
        let dropped = match &mut self {
            Self::Whole(whole) => &mut whole.dropped,
            Self::Stream(beginning) => &mut beginning.dropped,
        };
        let before = dropped.take();
        *dropped = Some(
            before
                .into_iter()
                .chain(lost.iter().cloned())
                .collect::<Vec<_>>()
                .join(", "),
        );
        self
    }
}
