//! Where connections come from: an address or a Unix socket, with or without TLS; and who is at the other end.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use listenfd::ListenFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::config::Listen;

/// Takes connections.
#[derive(Debug)]
pub enum Listener {
    /// At an address.
    Tcp(TcpListener),
    /// At a file, which is the gateway's own where it made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// A socket's file, which goes with it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Another process listens there by now.
    is_left: AtomicBool,
}

impl SocketFile {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            is_left: AtomicBool::new(false),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    /// Nobody has one at a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it has shown a certificate that is asked for and accepted.
    pub has_certificate: bool,
}

/// Opens a listener.
async fn bind(listen: &Listen) -> Result<Listener, String> {
    let failed = |error: io::Error| format!("cannot listen on {listen}: {error}");
    match listen {
        Listen::Address(address) => TcpListener::bind(address).await.map(Listener::Tcp).map_err(failed),
        Listen::Socket(path) => bind_socket(path).map_err(failed),
    }
}

/// Listeners that whoever started the process has opened for it, as systemd does. They outlive the process, and so do connections
/// that nobody has taken yet.
pub struct Inherited {
    sockets: ListenFd,
    /// As whoever opened them calls them, in their order.
    names: Vec<String>,
}

/// What the sockets are called, and where they are among those that have no such names: the first is for clients, the second for
/// operators.
const NAMES: [&str; 2] = ["data", "admin"];

impl Inherited {
    /// What the environment tells of.
    pub fn find() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            sockets: ListenFd::from_env(),
            names: names.split(':').map(str::to_owned).collect(),
        }
    }

    /// The two listeners, of the kinds that the configuration speaks of; a new one where none was handed over.
    pub async fn or_bind(mut self, data: &Listen, admin: &Listen) -> Result<[Listener; 2], String> {
        let places = places(self.sockets.len(), &self.names)?;
        Ok([
            self.at_or_bind(places[0], data).await?,
            self.at_or_bind(places[1], admin).await?,
        ])
    }

    async fn at_or_bind(&mut self, place: Option<usize>, listen: &Listen) -> Result<Listener, String> {
        let Some(place) = place else {
            return bind(listen).await;
        };
        let failed = |error: io::Error| format!("the listener that was handed over for {listen}: {error}");
        let missing = || io::Error::other("it is not there");
        match listen {
            Listen::Address(_) => {
                let listener = self.sockets.take_tcp_listener(place).map_err(failed)?;
                let listener = listener.ok_or_else(missing).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
            }
            Listen::Socket(_) => {
                let listener = self.sockets.take_unix_listener(place).map_err(failed)?;
                let listener = listener.ok_or_else(missing).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = UnixListener::from_std(listener).map_err(failed)?;
                Ok(Listener::Unix(listener, None))
            }
        }
    }
}

/// Where the sockets for clients and for operators are among so many: by their names, where one of them has one of ours, and else by
/// their order.
fn places(sockets: usize, names: &[String]) -> Result<[Option<usize>; 2], String> {
    let named = |wanted: &str| {
        let mut found = (0..sockets).filter(|place| names.get(*place).is_some_and(|name| name == wanted));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!(
                "more than one socket named `{wanted}` was handed over: each listener takes one"
            )),
            (place, None) => Ok(place),
        }
    };
    let by_name = [named(NAMES[0])?, named(NAMES[1])?];
    if by_name == [None, None] {
        return Ok([0, 1].map(|place| (place < sockets).then_some(place)));
    }
    Ok(by_name)
}

/// What a process that was killed left behind makes room; what somebody listens on, or is no socket, does not. The file is
/// its owner's before anybody can connect, since it gets its name only then.
fn bind_socket(path: &Path) -> io::Result<Listener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is no socket",
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let listener = UnixListener::bind(&beside)?;
    let named = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = named {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(Listener::Unix(listener, Some(SocketFile::new(path.to_owned()))))
}

impl Listener {
    /// A listener of the process before this one, which has to be where the configuration says.
    pub fn taken(socket: OwnedFd, listen: &Listen) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the listener that was handed over for {listen}: {error}");
        let elsewhere = |place: String| {
            format!(
                "the gateway that is to be taken over listens on {place}, not on {listen}: an address changes with a start of its own"
            )
        };
        match listen {
            Listen::Address(wanted) => {
                let listener = std::net::TcpListener::from(socket);
                let address = listener.local_addr().map_err(failed)?;
                let is_there = address.ip() == wanted.ip() && (wanted.port() == 0 || address.port() == wanted.port());
                if !is_there {
                    return Err(elsewhere(address.to_string()));
                }
                listener.set_nonblocking(true).map_err(failed)?;
                TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
            }
            Listen::Socket(path) => {
                let listener = std::os::unix::net::UnixListener::from(socket);
                // The name that it got when it was bound is not its file's: that one was renamed.
                let address = listener.local_addr().map_err(failed)?;
                let folder = address.as_pathname().and_then(Path::parent);
                if folder != path.parent() {
                    return Err(elsewhere(format!("{address:?}")));
                }
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = UnixListener::from_std(listener).map_err(failed)?;
                Ok(Listener::Unix(listener, Some(SocketFile::new(path.clone()))))
            }
        }
    }

    /// The same listener for another process. Its file stays where it is.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener, file) => {
                let duplicate = listener.as_fd().try_clone_to_owned()?;
                file.iter().for_each(|file| file.is_left.store(true, Ordering::Relaxed));
                Ok(duplicate)
            }
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Events of a stream are small and must not wait for one another.
                let _ = stream.set_nodelay(true);
                let peer = Peer {
                    address: Some(address),
                    has_certificate: false,
                };
                Ok((Stream::Tcp(stream), peer))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::default()))
            }
        }
    }

    /// Whether only processes of this machine reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
            Self::Unix(..) => true,
        }
    }

    /// As people write where it is.
    pub fn url(&self, is_tls: bool) -> Result<String, String> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr().map_err(|error| error.to_string())?;
                Ok(format!("{}://{address}", if is_tls { "https" } else { "http" }))
            }
            Self::Unix(_, Some(file)) => Ok(format!("unix:{}", file.path.display())),
            Self::Unix(listener, None) => {
                let address = listener.local_addr().map_err(|error| error.to_string())?;
                let path = address.as_pathname().unwrap_or(Path::new("?"));
                Ok(format!("unix:{}", path.display()))
            }
        }
    }
}

/// A connection's bytes.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Hands a call on to whichever stream it is.
macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_apart_by_their_names_and_else_by_their_order() {
        let places = |sockets, names: &str| places(sockets, &names.split(':').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(places(0, ""), Ok([None, None]));
        assert_eq!(places(1, ""), Ok([Some(0), None]));
        assert_eq!(places(2, "pointsman.socket:pointsman.socket"), Ok([Some(0), Some(1)]));
        assert_eq!(places(2, "admin:data"), Ok([Some(1), Some(0)]));
        assert_eq!(places(1, "admin"), Ok([None, Some(0)]));
        assert_eq!(places(3, "else:data:admin"), Ok([Some(1), Some(2)]));
        // A name without its socket is none.
        assert_eq!(places(1, "else:data"), Ok([Some(0), None]));
        assert!(places(2, "data:data").unwrap_err().contains("`data`"));
    }
}
