//! Who may do what at the admin listener. Until there is a token, whoever reaches it from this machine may look and have
//! files read again; what makes keys or moves money needs a token always, or a client's certificate.

use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};

use super::refuse;
use crate::body::Body;
use crate::config::{AdminConfig, Role};
use crate::keys::{Operators, PREFIX, Presented};
use crate::server::Peer;

/// What a request needs whoever sends it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Anybody.
    Nothing,
    /// Who may look.
    Look,
    /// Who may have done what harms nobody.
    Order,
    /// Who may change everything.
    Change,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Visitor {
    /// A token's name and id, or what else it is known by.
    pub(super) name: String,
    /// The client's address.
    pub(super) from: String,
}

/// What is known before a request is read.
pub(super) struct Door<'a> {
    pub(super) operators: &'a Operators,
    pub(super) is_local: bool,
    pub(super) peer: Peer,
}

type Refusal = Box<Response<Body>>;

impl Door<'_> {
    /// Lets in who may.
    pub(super) fn enter(&self, headers: &HeaderMap, need: Need) -> Result<Visitor, Refusal> {
        let from = self.peer.address;
        let visitor = |name: String| Visitor {
            name,
            from: from.map_or_else(|| "the socket".to_owned(), |address| address.to_string()),
        };
        if need == Need::Nothing {
            return Ok(visitor(String::new()));
        }
        if let Some(value) = headers.get(AUTHORIZATION) {
            let (name, role) = self.holder(value)?;
            if role < needed(need) {
                let message = format!("the token {name} may only look; this needs one with the role write");
                return Err(refusal(StatusCode::FORBIDDEN, &message));
            }
            return Ok(visitor(name));
        }
        if self.operators.is_required() {
            return Err(unknown(
                "this needs a token; send it as `Authorization: Bearer pm-admin-…`",
            ));
        }
        if self.peer.has_certificate {
            return Ok(visitor("a client with a certificate".to_owned()));
        }
        match need {
            // The socket's file is the gateway's user's alone, who can do all of it without asking.
            _ if self.is_local && self.peer.address.is_none() => Ok(visitor("the gateway's own user".to_owned())),
            Need::Look | Need::Order if self.is_local => Ok(visitor("nobody known".to_owned())),
            Need::Look | Need::Order => Err(unknown(
                "this listener is not on loopback and so needs a token: `pointsman admin create --name NAME` makes one",
            )),
            _ => Err(unknown(
                "this needs a token, on loopback, too: `pointsman admin create --name NAME --role write` makes one",
            )),
        }
    }

    /// Whose token it is. A caller's key is none, however good it is.
    fn holder(&self, value: &HeaderValue) -> Result<(String, Role), Refusal> {
        let text = value.as_bytes().trim_ascii();
        let scheme = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let token = text[scheme.len()..].trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(unknown("the token is sent as `Authorization: Bearer pm-admin-…`"));
        }
        if token.starts_with(PREFIX.as_bytes()) {
            let message =
                "this is a key for callers; the admin listener has tokens of its own, which begin with `pm-admin-`";
            return Err(refusal(StatusCode::FORBIDDEN, message));
        }
        let presented = Presented::parse_admin(token).ok();
        let operator = presented.and_then(|token| self.operators.find(&token));
        let operator = operator.ok_or_else(|| unknown("this token is not known here"))?;
        Ok((operator.name.clone(), operator.role))
    }
}

fn needed(need: Need) -> Role {
    match need {
        Need::Nothing | Need::Look => Role::Read,
        Need::Order | Need::Change => Role::Write,
    }
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Box::new(refuse(status, message))
}

fn unknown(message: &str) -> Refusal {
    let mut response = refuse(StatusCode::UNAUTHORIZED, message);
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Box::new(response)
}

/// A name that resolves to this address but is not its own is how a page elsewhere would reach it.
pub(super) fn is_from_here(head: &Parts, config: &AdminConfig, is_local: bool) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), head.uri.authority()) {
        (Some(host), _) => host.to_str().unwrap_or("?"),
        (None, authority) => authority.map_or("", |authority| authority.as_str()),
    };
    if hosts.next().is_some() {
        return false;
    }
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_own = match address {
        // On loopback nobody has another address of it.
        Ok(address) => !is_local || address.is_loopback(),
        Err(_) => name.is_empty() || name.eq_ignore_ascii_case("localhost"),
    };
    let is_named = config.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
    let scheme = if config.tls.is_some() { "https://" } else { "http://" };
    let origin = head.headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or("?"));
    (is_own || is_named) && origin.is_none_or(|origin| origin.strip_prefix(scheme) == Some(host))
}
