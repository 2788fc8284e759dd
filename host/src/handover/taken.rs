//! The end of the successor: it asks for the listeners, says when it is ready, and books what the process before it still
//! has to say once the store is its own.

use std::io::{self, BufRead, BufReader, IoSliceMut, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::words::{BEGIN, Held, SERVING, VERSION, Word};
use super::{Books, SOCKET};
use crate::store::{Hold, Line, Store, StoreError};

/// For requests that are being begun, and for what has been booked to be on disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than the requests that one process has under way.
const SAID: usize = 100_000;

/// What was handed over, until it is begun with.
#[derive(Debug)]
pub struct Taken {
    stream: UnixStream,
    sockets: [Option<OwnedFd>; 2],
}

/// What the process before this one says.
#[derive(Debug)]
pub struct Said {
    words: Receiver<Word>,
    /// Before the store was free.
    early: Vec<Word>,
    to: UnixStream,
}

/// Attempts that began in the process before this one, and what it says that they came to.
#[derive(Debug)]
pub struct Open {
    said: Said,
    holds: Vec<Hold>,
}

impl Taken {
    /// Asks the gateway that serves from this store for its listeners.
    pub fn ask(store: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(store.join(SOCKET))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; VERSION.len()];
        let received = recvmsg(
            &stream,
            &mut [IoSliceMut::new(&mut text)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if text[..received.bytes] != *VERSION.as_bytes() {
            return Err(io::Error::other("it hands over in another way than this version knows"));
        }
        let mut given = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut descriptors = given.next().into_iter().flatten();
        let sockets = [descriptors.next(), descriptors.next()];
        drop(descriptors);
        drop(given);
        Ok(Self { stream, sockets })
    }

    /// A listener: the first one is for clients, the second for operators.
    pub fn socket(&mut self, place: usize) -> Option<OwnedFd> {
        self.sockets.get_mut(place)?.take()
    }

    /// The process that serves may stop accepting. Returns when the store is free.
    pub fn begin(mut self) -> io::Result<Said> {
        self.stream.write_all(BEGIN.as_bytes())?;
        self.stream.set_read_timeout(None)?;
        let mut said = Said::of(self.stream)?;
        loop {
            match said.words.recv_timeout(PATIENCE) {
                Ok(Word::Released) => return Ok(said),
                Ok(word) => said.early.push(word),
                Err(_) => return Err(io::Error::other("it ended before its store was free")),
            }
        }
    }
}

impl Said {
    /// Read all the time: the one that says something does not wait.
    pub(super) fn of(stream: UnixStream) -> io::Result<Self> {
        let to = stream.try_clone()?;
        let (say, words) = sync_channel(SAID);
        let reading = std::thread::Builder::new().name("pointsman-handover".to_owned());
        reading.spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let said = serde_json::from_str::<Word>(&line).inspect_err(
                    |error| tracing::warn!(%error, "the gateway that was taken over says what nobody understands"),
                );
                if said.is_ok_and(|word| say.send(word).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Self {
            words,
            early: Vec::new(),
            to,
        })
    }
}

impl Open {
    /// What the process before this one has left open, read before it is booked at the most that it can cost.
    pub fn of(said: Said, store: &dyn Store) -> Result<Self, StoreError> {
        let (holds, _) = store.open_holds()?;
        Ok(Self { said, holds })
    }

    /// The same, of a process that has taken its store back: what it had left open, whoever has booked it since.
    pub fn again(said: Said, holds: Vec<Hold>) -> Self {
        Self { said, holds }
    }

    /// Says that this process serves.
    pub fn confirm(&mut self) {
        // Whoever has ended meanwhile need not know.
        let _ = self.said.to.write_all(SERVING.as_bytes());
    }

    /// Books what is said, until the process before this one has ended.
    pub fn follow(self, ledger: &Books) {
        let Self { said, mut holds } = self;
        for word in said.early.into_iter().chain(said.words) {
            match word {
                Word::Line(said) => book(&mut holds, ledger, said.held, said.line()),
                Word::Documents { documents } => {
                    let known = documents.into_iter().filter_map(super::words::Paper::document);
                    super::keep(ledger, known.collect());
                }
                Word::Released => {}
            }
        }
        // Whoever reads the line finds all of it in the store.
        ledger.flush_blocking();
        tracing::info!(unsettled = holds.len(), "the gateway that was taken over has ended");
    }
}

/// The line of a hold stands at the most that it can cost; the difference is a correction. By now this process may itself
/// have been taken over: then its successor hears of it.
fn book(holds: &mut Vec<Hold>, ledger: &Books, held: Held, said: Line) {
    let is_its = |hold: &Hold| {
        let tags = (&hold.tags.provider, &hold.tags.model);
        hold.request == said.request && tags == (&said.tags.provider, &said.tags.model) && hold.ceiling == said.ceiling
    };
    let found = holds.iter().position(is_its).filter(|_| held != Held::Not);
    let Some(found) = found else {
        if held != Held::Unsent {
            super::note(ledger, said);
        }
        return;
    };
    let hold = holds.swap_remove(found);
    let Some(cost) = said.cost else { return };
    let by = i128::from(cost.0) - i128::from(hold.ceiling.0);
    let line = Line {
        id: hold.id,
        at_ms: hold.at_ms,
        ..said
    };
    if let Ok(by @ (..=-1 | 1..)) = i64::try_from(by) {
        super::note(ledger, Line::correcting(&line, by, REASON));
    }
}

const REASON: &str = "it ended after the next gateway had taken over";
