//! `[admin]`: where operators connect, and who of them may do what. `[server.tls]` and `[admin.tls]` are read here, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::KeyHash;
use super::reader::Section;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where operators connect.
    pub listen: Listen,
    /// Connections of operators at one time.
    pub connections: usize,
    /// Names that it is called by, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Who may use it, by name, beside the tokens of the store.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// Whether connections are encrypted.
    pub tls: Option<TlsConfig>,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and a port.
    Address(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Socket(path) => write!(formatter, "{SOCKET}{}", path.display()),
        }
    }
}

/// What a Unix socket is written with.
const SOCKET: &str = "unix:";

/// What a token for the admin listener is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looking.
    Read,
    /// Changing, too.
    Write,
}

impl Role {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// `[admin.tokens.*]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// Of its text.
    pub hash: KeyHash,
    /// What it is good for.
    pub role: Role,
}

/// `[server.tls]` and `[admin.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM: the certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: the authorities that clients' certificates must come from; without it clients need none.
    pub client_ca_file: Option<PathBuf>,
}

pub(super) fn read(section: Section<'_>, base: &Path) -> AdminConfig {
    let config = AdminConfig {
        listen: listen(&section, base),
        connections: section.number("connections", 1..=1 << 20).unwrap_or(64) as usize,
        hosts: hosts(&section),
        tokens: tokens(&section),
        tls: tls(section.section("tls"), base, true),
    };
    if let (Listen::Socket(_), Some(_)) = (&config.listen, &config.tls) {
        section.note(section.span(), "a Unix socket has no TLS; leave out `tls`");
    }
    section.finish();
    config
}

fn listen(section: &Section<'_>, base: &Path) -> Listen {
    let path = section
        .any("listen")
        .and_then(|value| value.get_ref().as_str()?.strip_prefix(SOCKET));
    match path {
        Some(path) => {
            let path = base.join(path);
            Listen::Socket(std::path::absolute(&path).unwrap_or(path))
        }
        None => Listen::Address(super::address(section, 8081)),
    }
}

fn hosts(section: &Section<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (host, span) in section.strings("hosts") {
        let is_name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if is_name {
            hosts.push(host.to_ascii_lowercase());
        } else {
            section.note(
                span,
                format!("`{host}` is not a host's name; write it without scheme and port"),
            );
        }
    }
    hosts
}

fn tokens(section: &Section<'_>) -> BTreeMap<String, TokenConfig> {
    let mut tokens = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (name, token) in section.sections("tokens") {
        let hash = token.string("hash");
        if hash.is_none() && token.any("hash").is_none() {
            token.note(
                token.span(),
                "`hash` is missing: `pointsman admin hash` makes a token and prints it",
            );
        }
        let hash = hash.and_then(|(text, span)| {
            let hash = KeyHash::parse(&text)
                .map_err(|reason| token.note(span.clone(), reason))
                .ok()?;
            if !ids.insert(hash.id.clone()) {
                token.note(span, format!("the token `{}` is declared twice", hash.id));
            }
            Some(hash)
        });
        let role = token.string("role").and_then(|(role, span)| match role.as_str() {
            "read" => Some(Role::Read),
            "write" => Some(Role::Write),
            _ => {
                token.note(span, format!("no role `{role}`; there are read and write"));
                None
            }
        });
        token.finish();
        if let Some(hash) = hash {
            // Who leaves it out gets the lesser one.
            let role = role.unwrap_or(Role::Read);
            tokens.insert(name, TokenConfig { hash, role });
        }
    }
    tokens
}

/// Clients' certificates are asked for by the admin listener alone: callers have keys.
pub(super) fn tls(section: Section<'_>, base: &Path, may_ask_clients: bool) -> Option<TlsConfig> {
    if !section.is_present() {
        return None;
    }
    let file = |key| section.required_string(key).map(|(path, _)| base.join(path));
    let (cert_file, key_file) = (file("cert_file"), file("key_file"));
    let client_ca_file = match may_ask_clients {
        true => section.string("client_ca_file").map(|(path, _)| base.join(path)),
        false => None,
    };
    section.finish();
    Some(TlsConfig {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file,
    })
}
