//! Events as webhooks, signed as the Standard Webhooks specification says.
//!
//! Whoever tells of an event never waits: messages queue up, one task sends them in their order, and each is tried again with
//! growing pauses until the receiver takes it. What waits when the process ends is lost; the log has had it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::json;
use sha2::Sha256;
use tokio::sync::mpsc;

use crate::config::{SigningKey, WebhookConfig, is_wanted};
use crate::ledger::Event;
use crate::telemetry::WebhookMeter;
use crate::upstream::{Endpoint, TlsRoots, Upstream};

/// Messages that may wait. A receiver that is away for long is told of the oldest.
const WAITING: usize = 1_000;
/// Each pause is so many times the one before.
const GROWTH: u32 = 4;
/// A day is enough.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// Where events are told. Dropped, it ends when all has been sent.
#[derive(Debug)]
pub struct Webhook {
    queue: mpsc::Sender<Message>,
    events: Vec<String>,
    meter: WebhookMeter,
}

#[derive(Debug)]
struct Message {
    event: &'static str,
    id: String,
    body: Bytes,
}

/// The way to the receiver.
struct Post {
    upstream: Arc<Upstream>,
    path: String,
    key: SigningKey,
    attempts: u32,
    backoff: Duration,
    timeout: Duration,
    meter: WebhookMeter,
}

impl Webhook {
    /// Starts the task that sends. To be called inside a runtime.
    pub fn start(config: &WebhookConfig, meter: WebhookMeter) -> Result<Self, String> {
        let scheme = config.url.scheme_str().unwrap_or_default();
        let authority = config.url.authority().map_or("", |authority| authority.as_str());
        let endpoint = Endpoint::parse(&format!("{scheme}://{authority}"))?.allowing_private(true);
        let roots = TlsRoots::new(config.ca_file.as_deref())?;
        let (queue, messages) = mpsc::channel(WAITING);
        let post = Post {
            upstream: Upstream::new(endpoint, &roots, config.timeout),
            path: config.url.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            key: config.key.clone(),
            attempts: config.attempts,
            backoff: config.backoff,
            timeout: config.timeout,
            meter: meter.clone(),
        };
        tokio::spawn(post.run(messages));
        Ok(Self {
            queue,
            events: config.events.clone(),
            meter,
        })
    }

    /// Tells of an event, if it is one of those that are wanted. Never waits.
    pub fn tell(&self, event: &Event) {
        let name = event.name();
        if !is_wanted(name, &self.events) {
            return;
        }
        if self.queue.try_send(Message::of(event)).is_err() {
            self.meter.count(name, "dropped");
        }
    }
}

impl Message {
    fn of(event: &Event) -> Self {
        let id = id();
        let body = json!({
            "id": id,
            "type": event.name(),
            "timestamp": jiff::Timestamp::now().to_string(),
            "data": event.data(),
        });
        Self {
            event: event.name(),
            id,
            body: body.to_string().into(),
        }
    }
}

/// By which a receiver knows a message that it has had before.
fn id() -> String {
    let mut random = [0; 16];
    // Without randomness the clock has to do.
    if getrandom::fill(&mut random).is_err() {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        random = since.as_nanos().to_le_bytes();
    }
    format!("msg_{:032x}", u128::from_le_bytes(random))
}

impl Post {
    async fn run(self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            self.deliver(&message).await;
        }
    }

    async fn deliver(&self, message: &Message) {
        let mut pause = self.backoff;
        for attempt in 1..=self.attempts {
            let Err(reason) = self.send(message).await else {
                self.meter.count(message.event, "delivered");
                return;
            };
            if attempt == self.attempts {
                tracing::warn!(
                    id = message.id,
                    event = message.event,
                    attempt,
                    reason,
                    "a webhook's message was given up"
                );
                break;
            }
            self.meter.count(message.event, "retried");
            tracing::debug!(
                id = message.id,
                event = message.event,
                attempt,
                reason,
                "a webhook did not take a message"
            );
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(GROWTH).min(LONGEST_PAUSE);
        }
        self.meter.count(message.event, "failed");
    }

    /// One attempt. Whatever is no success is a failure; a redirection is not followed.
    async fn send(&self, message: &Message) -> Result<(), String> {
        let headers = self.headers(message).ok_or("its headers cannot be written")?;
        let method = hyper::Method::POST;
        let sending = self.upstream.send(method, &self.path, headers, message.body.clone());
        match tokio::time::timeout(self.timeout, sending).await {
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("answered with status {}", response.status().as_u16())),
        }
    }

    /// Signed anew at each attempt, since receivers refuse what is old.
    fn headers(&self, message: &Message) -> Option<HeaderMap> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_secs().to_string();
        let signature = signature(&self.key, &message.id, &timestamp, &message.body)?;
        let texts = [
            (HOST, self.upstream.endpoint().authority()),
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, concat!("pointsman/", env!("CARGO_PKG_VERSION"))),
            (HeaderName::from_static("webhook-id"), &message.id),
            (HeaderName::from_static("webhook-timestamp"), &timestamp),
            (HeaderName::from_static("webhook-signature"), &signature),
        ];
        let header = |(name, text): (HeaderName, &str)| Some((name, HeaderValue::from_str(text).ok()?));
        texts.into_iter().map(header).collect()
    }
}

fn signature(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_messages_have_the_same_id() {
        assert_ne!(id(), id());
        assert_eq!(id().len(), 36);
    }
}
