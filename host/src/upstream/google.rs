//! Access tokens of a Google service account: a statement signed with the account's key (RFC 7523) is exchanged for a token that is
//! good for an hour. It is renewed before it ends; until then requests go out with the one that is there, and those that have none
//! wait for one exchange together. Neither key nor token is ever shown.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method};
use serde::Deserialize;
use thiserror::Error;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::aws_lc_rs::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::sign::SigningKey;

use super::{Endpoint, TlsRoots, Upstream, UpstreamError, lock};
use crate::config::ServiceAccount;
use crate::store::now_ms;

/// For how long a token is asked for.
const ASKED: Duration = Duration::from_secs(3600);
/// A token is not used any more so long before its end, and renewed so long before that.
const MARGIN: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(300);
/// The exchange has so long.
const WITHIN: Duration = Duration::from_secs(15);
const ANSWER_BYTES: usize = 64 << 10;

/// Why there is no token.
#[derive(Debug, Clone, Error)]
pub enum NoToken {
    /// Google does not want this account.
    #[error("no access token for {account}: {reason}")]
    Refused {
        /// Whose.
        account: String,
        /// What Google says.
        reason: String,
    },
    /// Nobody could be asked.
    #[error("no access token for {account}: {reason}")]
    Unreachable {
        /// Whose.
        account: String,
        /// Why not.
        reason: String,
    },
}

/// The tokens of one account, for one purpose.
pub struct Tokens {
    account: ServiceAccount,
    scope: String,
    key: Arc<dyn SigningKey>,
    upstream: Arc<Upstream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Token>,
    /// The exchange under way.
    minting: Option<Minting>,
}

type Minting = Shared<BoxFuture<'static, Result<HeaderValue, NoToken>>>;

#[derive(Clone)]
struct Token {
    /// As it stands in a header.
    value: HeaderValue,
    good_until: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tokens({})", self.account.client_email)
    }
}

impl Tokens {
    /// Prepares the way; asks nobody yet. The error says what is wrong with the account.
    pub fn new(
        account: &ServiceAccount,
        scope: &str,
        may_be_private: bool,
        roots: &TlsRoots,
        within: Duration,
    ) -> Result<Arc<Self>, String> {
        let key = PrivateKeyDer::from_pem_slice(account.private_key.reveal().as_bytes());
        let key = key.map_err(|_| "the service account's private_key is no key in PEM".to_owned())?;
        let key =
            any_supported_type(&key).map_err(|_| "the service account's private_key cannot be used".to_owned())?;
        if key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_none() {
            return Err("the service account's private_key is no RSA key".to_owned());
        }
        let endpoint = Endpoint::parse(&account.token_uri).map_err(|reason| format!("token_uri: {reason}"))?;
        let endpoint = endpoint.allowing_private(may_be_private);
        Ok(Arc::new(Self {
            account: account.clone(),
            scope: scope.to_owned(),
            key,
            upstream: Upstream::new(endpoint, roots, within),
            state: Mutex::default(),
        }))
    }

    /// The header's value for a request that goes out now.
    pub async fn bearer(self: &Arc<Self>) -> Result<HeaderValue, NoToken> {
        let minting = {
            let mut state = lock(&self.state);
            let left = |token: &Token| token.good_until.saturating_duration_since(Instant::now());
            let usable = state.current.clone().filter(|token| left(token) > MARGIN);
            let is_fresh = usable.as_ref().is_some_and(|token| left(token) > MARGIN + RENEWAL);
            if !is_fresh && state.minting.is_none() {
                state.minting = Some(self.clone().begin());
            }
            match usable {
                Some(token) => return Ok(token.value),
                None => state.minting.clone(),
            }
        };
        match minting {
            Some(minting) => minting.await,
            None => Err(self.unreachable("no exchange is under way")),
        }
    }

    /// The token itself, to be kept out of texts.
    pub fn current(&self) -> Option<String> {
        let current = lock(&self.state).current.clone()?;
        let text = current.value.to_str().ok()?;
        text.strip_prefix("Bearer ").map(str::to_owned)
    }

    /// The exchange runs on when the request that began it is gone: others may wait for it.
    fn begin(self: Arc<Self>) -> Minting {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let tokens = self.clone();
        tokio::spawn(async move {
            let minted = tokio::time::timeout(WITHIN, tokens.mint()).await;
            let minted = minted.unwrap_or_else(|_| Err(tokens.unreachable("no answer in time")));
            let mut state = lock(&tokens.state);
            state.minting = None;
            match &minted {
                Ok(token) => state.current = Some(token.clone()),
                Err(error) => tracing::error!(%error, "a provider's credential cannot be renewed"),
            }
            drop(state);
            // Nobody may be waiting any more.
            let _ = sender.send(minted.map(|token| token.value));
        });
        let gone = move |_| Err(self.unreachable("the exchange was given up"));
        receiver.map(move |minted| minted.unwrap_or_else(gone)).boxed().shared()
    }

    async fn mint(&self) -> Result<Token, NoToken> {
        let began = Instant::now();
        let assertion = self.assertion(now_ms() / 1000)?;
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        let body = format!("grant_type={grant}&assertion={assertion}");
        let mut headers = HeaderMap::new();
        let host = HeaderValue::try_from(self.upstream.endpoint().authority());
        headers.insert(HOST, host.map_err(|error| self.unreachable(&error.to_string()))?);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        let path = self.upstream.endpoint().own_path();
        let failed = |error: UpstreamError| self.unreachable(&error.to_string());
        let sent = self.upstream.send(Method::POST, path, headers, Bytes::from(body));
        let response = sent.await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().collect(ANSWER_BYTES).await.map_err(failed)?;
        if !status.is_success() {
            return Err(self.denied(status.as_u16(), &body));
        }
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| self.unreachable("the answer holds no access_token"))?;
        let value = HeaderValue::try_from(format!("Bearer {}", granted.access_token));
        let mut value = value.map_err(|_| self.unreachable("the access_token cannot be sent"))?;
        value.set_sensitive(true);
        let lasts = granted.expires_in.map_or(ASKED, Duration::from_secs).min(ASKED);
        Ok(Token {
            value,
            good_until: began + lasts,
        })
    }

    /// Who asks, for what, and until when: signed with the account's key.
    fn assertion(&self, now: u64) -> Result<String, NoToken> {
        let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": self.account.private_key_id });
        let claims = serde_json::json!({
            "iss": self.account.client_email, "scope": self.scope, "aud": self.account.token_uri,
            "iat": now, "exp": now + ASKED.as_secs(),
        });
        let encoded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(&claims));
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.map(|signer| signer.sign(message.as_bytes()));
        match signature {
            Some(Ok(signature)) => Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))),
            _ => Err(self.unreachable("the private_key does not sign")),
        }
    }

    /// What Google says of a statement that it does not take is no secret; of anything else only the status is told.
    fn denied(&self, status: u16, body: &[u8]) -> NoToken {
        let said = serde_json::from_slice::<Denied>(body).ok();
        let said = said.map(|denied| format!(": {} ({})", denied.error, denied.error_description));
        let reason = format!("the answer was {status}{}", said.unwrap_or_default());
        match status {
            400..=403 => NoToken::Refused {
                account: self.account.client_email.clone(),
                reason,
            },
            _ => self.unreachable(&reason),
        }
    }

    fn unreachable(&self, reason: &str) -> NoToken {
        NoToken::Unreachable {
            account: self.account.client_email.clone(),
            reason: reason.to_owned(),
        }
    }
}
