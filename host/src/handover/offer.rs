//! The end of the process that serves: a socket in the folder of the store, at which its successor asks for the listeners.

use std::io::{self, BufRead, BufReader, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::words::{BEGIN, VERSION};
use super::{Link, SOCKET};

/// A successor that has been given the listeners says within this time that it can do with them.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what is said to it later.
const SAYING: Duration = Duration::from_secs(1);

/// The listeners that are handed over: that of clients, and that of operators.
pub trait Sockets: Send + 'static {
    /// Duplicates of both; none where they are closed.
    fn duplicates(&self) -> Option<io::Result<[OwnedFd; 2]>>;
}

/// Where a successor asks. The file goes with it.
#[derive(Debug)]
pub struct Offer {
    listener: tokio::net::UnixListener,
    path: PathBuf,
}

impl Offer {
    /// In the folder of a store whose lock the process has: what lies there belongs to nobody.
    pub fn open(store: &Path) -> io::Result<Self> {
        let path = store.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Whoever may open the folder is the owner: nobody else reaches the socket.
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: tokio::net::UnixListener::from_std(listener)?,
            path,
        })
    }

    /// Until a successor has the listeners and says that it is ready. One that is not changes nothing.
    /// The listeners once more are for this process, should it need them again.
    pub async fn asked(self, sockets: impl Sockets + Clone) -> (Link, [OwnedFd; 2]) {
        loop {
            match self.hand_over(sockets.clone()).await {
                Ok(handed) => return handed,
                Err(error) => {
                    tracing::warn!(%error, "another process asked for the listeners, and they were not handed over");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn hand_over(&self, sockets: impl Sockets) -> io::Result<(Link, [OwnedFd; 2])> {
        let (stream, _) = self.listener.accept().await?;
        let stream = stream.into_std()?;
        let handing = tokio::task::spawn_blocking(move || give(stream, &sockets));
        handing.await.map_err(io::Error::other)?
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn give(stream: UnixStream, sockets: &impl Sockets) -> io::Result<(Link, [OwnedFd; 2])> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(SAYING))?;
    let duplicates = sockets
        .duplicates()
        .unwrap_or_else(|| Err(io::Error::other("the gateway is stopping")))?;
    let descriptors: [BorrowedFd<'_>; 2] = [duplicates[0].as_fd(), duplicates[1].as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("two descriptors do not fit"));
    }
    sendmsg(
        &stream,
        &[IoSlice::new(VERSION.as_bytes())],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    match answer == BEGIN {
        true => Ok((Link::new(stream), duplicates)),
        false => Err(io::Error::other("it could not do with them")),
    }
}
