//! From a host's name to a connection, and which addresses a name may lead to. A name is resolved once for each connection, all
//! that it resolves to is judged, and only what was judged is connected to: whoever holds the name cannot turn the gateway,
//! and a provider's key with it, against its own network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unreached {
    /// The gateway itself has no file left for one.
    NoFiles(String),
    /// As far as anybody knows it is the provider's doing, or of the way there.
    Other(String),
}

/// `ENFILE` and `EMFILE`, on every Unix.
const NO_FILES: [i32; 2] = [23, 24];

impl Unreached {
    fn of(error: &io::Error, said: String) -> Self {
        match error.raw_os_error() {
            Some(number) if NO_FILES.contains(&number) => Self::NoFiles(said),
            _ => Self::Other(said),
        }
    }
}

impl From<String> for Unreached {
    fn from(said: String) -> Self {
        Self::Other(said)
    }
}

/// Whom an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Public,
    /// Of this machine, of its network, or of nobody.
    Private,
    /// No service has a name there, but a cloud's metadata do.
    Never,
}

/// Endings of names that the public DNS does not have.
const PRIVATE_NAMES: [&str; 4] = [".localhost", ".local", ".internal", ".home.arpa"];

/// Whether whoever wrote this host wrote it for a private address: the address itself, or a name that no stranger can hold.
/// Digits are no name, though the system's resolver takes `127.1`, `2130706433` and `0x7f000001` for an address.
fn is_private_by_name(host: &str) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_plain = !host.contains('.') && host.starts_with(|first: char| first.is_ascii_alphabetic());
    is_plain || PRIVATE_NAMES.iter().any(|ending| host.ends_with(ending))
}

/// Whether a host that resolves to this address may be connected to. The error says why not, and what to do.
fn permit(host: &str, address: IpAddr, may_be_private: bool) -> Result<(), String> {
    // What is written as an address is meant as one.
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match place(address) {
        Place::Public => Ok(()),
        Place::Private if may_be_private || is_private_by_name(host) => Ok(()),
        Place::Private => Err(format!(
            "`{host}` leads to {address}, which is not public; if it is to, say `allow_private = true` of the provider"
        )),
        Place::Never => Err(format!(
            "`{host}` leads to {address}, where no provider is; write the address itself if one is"
        )),
    }
}

fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

fn of_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        [0 | 224.., ..] | [169, 254, ..] => Place::Never,
        [10 | 127, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 0 | 2, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Place::Private,
        _ => Place::Public,
    }
}

/// Addresses that carry one of the other kind lead where that one leads.
fn of_v6(address: Ipv6Addr) -> Place {
    let within = |high: u16, low: u16| of_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Place::Never,
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        // Mapped, translated, compatible, and the two kinds of NAT64 and 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => within(high, low),
        [0xfe80..=0xfebf | 0xff00.., ..] => Place::Never,
        // Of a site, local NAT64, discarded, Teredo and other protocols, and for documents.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..]
        | [0x64, 0xff9b, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 0..=0x1ff | 0xdb8, ..]
        | [0x3fff, ..] => Place::Private,
        _ => Place::Public,
    }
}

/// Tries one address of a host after the other. Each has its share of the time that is left, so that one that does not answer
/// does not hide the next.
pub(super) async fn reach(
    host: &str,
    port: u16,
    may_be_private: bool,
    within: Duration,
) -> Result<TcpStream, Unreached> {
    let deadline = Instant::now() + within;
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|error| Unreached::of(&error, error.to_string()))?
        .collect();
    // One that leads astray makes the name suspect as a whole.
    for address in &addresses {
        permit(host, address.ip(), may_be_private)?;
    }
    for (index, address) in addresses.iter().enumerate() {
        let left = (addresses.len() - index) as u32;
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let connecting = TcpStream::connect(address);
        // The last one has all the time that there is, and whoever gave it knows when it is over.
        if left == 1 {
            return connecting
                .await
                .map_err(|error| Unreached::of(&error, format!("{address}: {error}")));
        }
        match tokio::time::timeout(share, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if matches!(Unreached::of(&error, String::new()), Unreached::NoFiles(_)) => {
                return Err(Unreached::NoFiles(format!("{address}: {error}")));
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "an address of a provider"),
            Err(_) => tracing::debug!(%address, "an address of a provider does not answer"),
        }
    }
    Err(Unreached::Other("the name has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_permitted(host: &str, address: &str, may_be_private: bool) -> bool {
        permit(host, address.parse().unwrap(), may_be_private).is_ok()
    }

    #[test]
    fn a_public_name_leads_to_public_addresses_only() {
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            assert!(is_permitted("api.example.com", public, false), "{public}");
        }
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ];
        for private in private {
            assert!(!is_permitted("api.example.com", private, false), "{private}");
            assert!(is_permitted("api.example.com", private, true), "{private}");
        }
    }

    #[test]
    fn no_name_leads_to_metadata_and_an_address_is_what_it_says() {
        for never in [
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            for host in ["api.example.com", "metadata.google.internal", "vllm", "2852039166"] {
                assert!(!is_permitted(host, never, true), "{host}: {never}");
            }
            assert!(is_permitted(never, never, false), "{never}");
        }
    }

    #[test]
    fn names_that_no_stranger_can_hold_are_taken_at_their_word_and_numbers_are_no_names() {
        for own in [
            "localhost",
            "ollama",
            "vllm-1",
            "LOCALHOST.",
            "models.internal",
            "box.local",
            "a.home.arpa",
        ] {
            assert!(is_permitted(own, "10.0.0.1", false), "{own}");
        }
        for stranger in [
            "2130706433",
            "127.1",
            "0x7f000001",
            "017700000001",
            "internal.example.com",
            "local.dev",
        ] {
            assert!(!is_permitted(stranger, "127.0.0.1", false), "{stranger}");
        }
    }
}
