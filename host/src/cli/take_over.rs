//! `pointsman serve --take-over`: what the successor asks for before it serves, and how the gateway before it leaves.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::{self, App};
use crate::config::{Config, Listen};
use crate::handover::{Books, Link, Offer, Open, Said, Sockets, Taken};
use crate::ledger::Ledger;
use crate::load::Gate;
use crate::server::Listener;
use crate::store::sqlite::Sqlite;
use crate::store::{Hold, Store};

/// Requests that are under way in the process that leaves end by themselves, at the latest when their own time is over.
pub(super) const DRAIN: Duration = Duration::from_secs(86_400);
/// For requests that have no answer yet: those that begin one in this time are booked as ever.
const BEGINNING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);
/// For a process that has given up to be gone.
const ENDING: Duration = Duration::from_secs(10);

/// What a gateway begins with, beside its configuration.
pub(super) struct Begin {
    /// Of the store.
    pub(super) lock: File,
    /// Those of the gateway before this one, where there is one to take over from.
    pub(super) listeners: Option<[Listener; 2]>,
    /// What that one has left open.
    pub(super) open: Option<Open>,
    /// What this process itself still ends, from before it took its store back.
    pub(super) leaving: Vec<Leaving>,
}

impl Begin {
    /// With a store that nobody serves from.
    pub(super) fn alone(config: &Config) -> Result<Self, String> {
        Ok(Self {
            lock: super::ledger::lock_to_serve(&config.store)?,
            listeners: None,
            open: None,
            leaving: Vec::new(),
        })
    }

    /// With what the gateway before this one has left.
    pub(super) fn after(predecessor: Predecessor, config: &Config) -> Result<Self, String> {
        let lock = super::ledger::lock_to_serve(&config.store)?;
        let (listeners, open) = predecessor.left(&config.store)?;
        Ok(Self {
            lock,
            listeners: Some(listeners),
            open: Some(open),
            leaving: Vec::new(),
        })
    }
}

/// Requests that began before this process took its store back.
pub(super) struct Leaving {
    app: Arc<App>,
    ended: tokio::task::JoinHandle<()>,
}

impl Leaving {
    /// They end when this does.
    pub(super) fn of(app: Arc<App>, ended: impl Future<Output = ()> + Send + 'static) -> Self {
        let books = app.ledger.clone();
        let ended = tokio::spawn(async move {
            ended.await;
            books.end();
        });
        Self { app, ended }
    }

    /// They have no more time but to say so.
    pub(super) async fn cut(self, farewell: Duration) {
        let _ = self.app.cut.send_replace(true);
        if tokio::time::timeout(farewell, self.ended).await.is_err() {
            self.app.ledger.end();
        }
    }
}

/// The gateway that is taken over, once its store is free.
pub(super) struct Predecessor {
    listeners: [Listener; 2],
    said: Said,
}

impl Predecessor {
    /// Takes over from the gateway that serves from the configuration's store. What can be wrong with the configuration or a
    /// plugin shows before that one hears of it, and what has to be compiled is compiled by then.
    pub(super) async fn of(config: &Config) -> Result<Self, String> {
        super::serve::load(config.clone()).await?;
        super::serve::encryption(config)?;
        let store = config.store.clone();
        let failed = |error: io::Error| {
            let reason = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "there is none".to_owned(),
                _ => error.to_string(),
            };
            format!(
                "the gateway that serves from {} cannot be taken over: {reason}; without `--take-over` this one starts by itself",
                store.display()
            )
        };
        let mut taken = Taken::ask(&store).map_err(failed)?;
        let mut listener = |place, listen: &Listen| {
            let missing = || format!("no listener was handed over for {listen}");
            Listener::taken(taken.socket(place).ok_or_else(missing)?, listen)
        };
        let listeners = [
            listener(0, &Listen::Address(config.server.listen))?,
            listener(1, &config.admin.listen)?,
        ];
        let begun = tokio::task::spawn_blocking(move || taken.begin());
        let said = begun.await.map_err(|error| error.to_string())?.map_err(failed)?;
        Ok(Self { listeners, said })
    }

    /// What it left in the store, whose lock this process has by now.
    fn left(self, store: &Path) -> Result<([Listener; 2], Open), String> {
        let found = Sqlite::open_to_read(store).and_then(|reader| Open::of(self.said, &reader));
        let open = found.map_err(|error| format!("the store in {}: {error}", store.display()))?;
        Ok((self.listeners, open))
    }
}

/// Tells the gateway before this one that it may forget everything, and books what it still has to say, until it has ended.
pub(super) fn follow(mut open: Open, ledger: Books) -> Result<JoinHandle<()>, String> {
    open.confirm();
    std::thread::Builder::new()
        .name("pointsman-follow".to_owned())
        .spawn(move || open.follow(&ledger))
        .map_err(|error| format!("cannot start the thread that books what was taken over: {error}"))
}

#[derive(Clone)]
struct Listeners([Weak<Listener>; 2]);

impl Sockets for Listeners {
    fn duplicates(&self) -> Option<io::Result<[OwnedFd; 2]>> {
        let [data, admin] = &self.0;
        let (data, admin) = (data.upgrade()?, admin.upgrade()?);
        Some(data.duplicate().and_then(|data| Ok([data, admin.duplicate()?])))
    }
}

/// Until a successor has the listeners. Without a socket to ask at, as in a folder with too long a name, there is none.
pub(super) fn successor(
    store: &Path,
    data: &Arc<Listener>,
    admin: &Arc<Listener>,
) -> impl Future<Output = (Link, [OwnedFd; 2])> + use<> {
    let listeners = Listeners([Arc::downgrade(data), Arc::downgrade(admin)]);
    let offer = Offer::open(store).inspect_err(|error| {
        tracing::warn!(%error, "no other process will be able to take over from this one");
    });
    async move {
        match offer {
            Ok(offer) => offer.asked(listeners).await,
            Err(_) => std::future::pending().await,
        }
    }
}

/// What a process that leaves keeps until its successor serves.
pub(super) struct Kept {
    listeners: [OwnedFd; 2],
    holds: Vec<Hold>,
}

/// Leaves the store to the successor: everything that was booked is on disk, and the lock is free. What ends from now on,
/// the successor is told.
pub(super) async fn leave(app: &App, gate: &Gate, begun: (File, Link, [OwnedFd; 2]), store: &Path) -> Kept {
    let (lock, link, listeners) = begun;
    let waited = tokio::time::Instant::now();
    while gate.beginning() > 0 && waited.elapsed() < BEGINNING {
        tokio::time::sleep(LOOK).await;
    }
    app::kept::write(&app.state, &app.ledger);
    app.ledger.begin(link);
    app.ledger.flush().await;
    let ledger = Ledger::clone(&app.ledger);
    let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
    let holds = Sqlite::open_to_read(store).and_then(|reader| reader.open_holds());
    drop(lock);
    app.ledger.released();
    tracing::info!(ms = waited.elapsed().as_millis(), "the store is the next process's");
    let holds = holds.map(|(holds, _)| holds);
    Kept {
        listeners,
        holds: holds.unwrap_or_default(),
    }
}

/// Takes back what was left, after the successor has ended without serving: as a gateway of this process's own, which books what
/// the one before it still has under way.
pub(super) async fn take_back(app: &App, config: &Config, kept: Kept, leaving: Vec<Leaving>) -> Result<Begin, String> {
    let waited = tokio::time::Instant::now();
    let lock = loop {
        match super::ledger::lock_to_serve(&config.store) {
            Ok(lock) => break lock,
            // The process that has given up may still be ending.
            Err(_) if waited.elapsed() < ENDING => tokio::time::sleep(LOOK).await,
            Err(reason) => return Err(reason),
        }
    };
    let said = app
        .ledger
        .take_back()
        .map_err(|error| format!("what is under way cannot be booked: {error}"))?;
    let [data, admin] = kept.listeners;
    Ok(Begin {
        lock,
        listeners: Some([
            Listener::taken(data, &Listen::Address(config.server.listen))?,
            Listener::taken(admin, &config.admin.listen)?,
        ]),
        open: Some(Open::again(said, kept.holds)),
        leaving,
    })
}
