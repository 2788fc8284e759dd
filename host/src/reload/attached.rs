//! What goes out with every call of a provider: its headers, and its credential in the place where the provider wants it.
//! Adapters say where that is; what it is, only the host knows.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::build::problem;
use crate::config::{ProviderConfig, Secret, Timeouts};
use crate::generation::{Attached, Proof};
use crate::plugins::Digest;
use crate::plugins::words::{Authentication, Framing};
use crate::reports::Problem;
use crate::upstream::google::Tokens;
use crate::upstream::sigv4::Signer;
use crate::upstream::{Endpoint, TlsRoots, frames};

/// How the gateway cuts what an adapter says its provider streams.
pub(super) fn framing(framing: Framing) -> Result<frames::Framing, &'static str> {
    match framing {
        Framing::ServerSentEvents => Ok(frames::Framing::ServerSentEvents),
        Framing::JsonLines => Ok(frames::Framing::JsonLines),
        Framing::AwsEventStream => Ok(frames::Framing::AwsEventStream),
        Framing::JsonArray => Err("streams that are one JSON array are not offered by this version of the gateway"),
    }
}

/// A number for each of a provider's keys that stays the same while the key does and says nothing of it; one where there is none.
pub(super) fn key_numbers(config: &ProviderConfig) -> Vec<u64> {
    let number = |key: &Secret| {
        let digest = Digest::of(key.reveal().as_bytes()).to_string();
        u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or_default()
    };
    match config.api_keys.as_slice() {
        [] => vec![0],
        keys => keys.iter().map(number).collect(),
    }
}

/// What must never be shown. Headers are a key's place as well; short values are versions and the like, and texts without
/// their letters would be of no use.
pub(super) fn secrets(config: &ProviderConfig, attached: &[Attached]) -> Vec<Secret> {
    let headers = config.headers.iter().map(|(_, value)| value);
    let long = headers.filter(|value| value.reveal().len() >= 12);
    let aws = config.aws.iter();
    let aws = aws.flat_map(|key| {
        [
            Some(&key.access_key_id),
            Some(&key.secret_access_key),
            key.session_token.as_ref(),
        ]
    });
    let keys = config
        .api_keys
        .iter()
        .chain(aws.flatten())
        .filter(|key| !key.reveal().is_empty());
    let as_sent = attached.iter().filter_map(|one| one.query.as_ref());
    let as_sent = as_sent.map(|(_, key)| key).filter(|key| !key.reveal().is_empty());
    keys.chain(long).chain(as_sent).cloned().collect()
}

/// All but what RFC 3986 calls unreserved: what means the same everywhere in a query.
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The headers of every call, or the query parameter ready to be sent, by what the adapter says of the provider.
pub(super) fn attached(
    name: &str,
    config: &ProviderConfig,
    key: Option<&Secret>,
    authentication: &Authentication,
    fixed: &[(String, String)],
    endpoint: &Endpoint,
) -> Result<Attached, Problem> {
    let mut headers = HeaderMap::new();
    let mut put = |header: &str, value: &str, is_secret: bool| {
        let pair = (HeaderName::try_from(header), HeaderValue::try_from(value));
        let (Ok(header_name), Ok(mut value)) = pair else {
            let message = format!("[providers.{name}] the header `{header}` or its value cannot be sent");
            return Err(problem(name, None, &message));
        };
        value.set_sensitive(is_secret);
        headers.insert(header_name, value);
        Ok(())
    };
    put(HOST.as_str(), endpoint.authority(), false)?;
    put(CONTENT_TYPE.as_str(), "application/json", false)?;
    put(
        USER_AGENT.as_str(),
        concat!("pointsman/", env!("CARGO_PKG_VERSION")),
        false,
    )?;
    for (header, value) in fixed {
        put(header, value, false)?;
    }
    let mut query = None;
    if let Some(key) = key {
        match authentication {
            Authentication::Header(header) => put(header, key.reveal(), true)?,
            Authentication::Query(parameter) => {
                let key = utf8_percent_encode(key.reveal(), NOT_UNRESERVED).to_string();
                query = Some((parameter.clone(), Secret::new(key)));
            }
            Authentication::None => {}
            // Clouds take keys that are one text, Bedrock's API keys say, as everybody does.
            Authentication::Bearer | Authentication::AwsSigv4(_) | Authentication::GoogleOauth(_) => {
                put(AUTHORIZATION.as_str(), &format!("Bearer {}", key.reveal()), true)?;
            }
        }
    }
    for (header, value) in &config.headers {
        put(header, value.reveal(), true)?;
    }
    let proof = match key {
        Some(_) => None,
        None => proof(config, authentication)
            .map_err(|message| problem(name, None, &format!("[providers.{name}] {message}")))?,
    };
    Ok(Attached { headers, query, proof })
}

/// A credential that has to be made anew for each call, or for each hour.
fn proof(config: &ProviderConfig, authentication: &Authentication) -> Result<Option<Proof>, String> {
    match authentication {
        Authentication::AwsSigv4(service) => {
            let missing = "needs `aws = { access_key_id, secret_access_key }`, or an `api_key`";
            let key = config.aws.as_ref().ok_or(missing)?;
            Ok(Some(Proof::Aws(Signer {
                access_key_id: key.access_key_id.clone(),
                secret_access_key: key.secret_access_key.clone(),
                session_token: key.session_token.clone(),
                region: config
                    .region
                    .clone()
                    .ok_or("needs a `region`: requests are signed for one")?,
                service: service.clone(),
            })))
        }
        Authentication::GoogleOauth(scope) => {
            let missing = "needs `google = { service_account }`, or an `api_key` that is an access token";
            let account = config.google.as_ref().ok_or(missing)?;
            let roots = TlsRoots::new(config.ca_file.as_deref())?;
            let tokens = Tokens::new(account, scope, config.allow_private, &roots, Timeouts::CONNECT)?;
            Ok(Some(Proof::Google(tokens)))
        }
        _ => Ok(None),
    }
}

/// The base URL with the region and the project in their places.
pub(super) fn placed(base: &str, config: &ProviderConfig) -> Result<String, String> {
    let project = config.project.as_ref();
    let project = project.or(config.google.as_ref().and_then(|account| account.project_id.as_ref()));
    let places = [("region", config.region.as_ref()), ("project", project)];
    let mut placed = base.to_owned();
    for (name, value) in places {
        let mark = format!("{{{name}}}");
        if placed.contains(&mark) {
            let value = value.ok_or(format!("needs a `{name}`: it is part of the base URL {base}"))?;
            placed = placed.replace(&mark, value);
        }
    }
    Ok(placed)
}
