//! Files that are open for connections of clients and to providers. Together they never take those that are kept back: what would is
//! refused before the system refuses it, and with it whatever else wants to open a file.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of the process, which may have had several gates: one for each time that it began to serve.
static FILES: Files = Files {
    all: AtomicUsize::new(usize::MAX),
    of_providers: AtomicUsize::new(usize::MAX),
    clients: AtomicUsize::new(0),
    providers: AtomicUsize::new(0),
};

struct Files {
    /// The most for both.
    all: AtomicUsize,
    of_providers: AtomicUsize,
    clients: AtomicUsize,
    providers: AtomicUsize,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Client,
    Provider,
}

/// A connection's file. It is given back when this is dropped.
#[derive(Debug)]
pub struct OpenFile(Whose);

/// How many there may be, with what clients may have of them at most: providers have what is left, and half of them in any case.
pub(super) fn allow(all: usize, connections: usize) {
    FILES.all.store(all, Ordering::Relaxed);
    let left = all.saturating_sub(connections);
    FILES.of_providers.store(left.max(all / 2).max(1), Ordering::Relaxed);
}

/// Those that are open for connections to providers, and the most that may be.
pub(super) fn of_providers() -> (usize, usize) {
    let most = &FILES.of_providers;
    (FILES.providers.load(Ordering::Relaxed), most.load(Ordering::Relaxed))
}

impl OpenFile {
    /// For a client's connection, where there is one left.
    pub(super) fn of_client() -> Option<Self> {
        Self::take(Whose::Client)
    }

    /// For a connection to a provider, where there is one left.
    pub fn of_provider() -> Option<Self> {
        Self::take(Whose::Provider)
    }

    fn take(whose: Whose) -> Option<Self> {
        let before = whose.count().fetch_add(1, Ordering::Relaxed);
        let taken = Self(whose);
        let open = FILES.clients.load(Ordering::Relaxed) + FILES.providers.load(Ordering::Relaxed);
        let has_room = open <= FILES.all.load(Ordering::Relaxed);
        let may = whose == Whose::Client || before < FILES.of_providers.load(Ordering::Relaxed);
        (has_room && may).then_some(taken)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.count().fetch_sub(1, Ordering::Relaxed);
    }
}

impl Whose {
    fn count(self) -> &'static AtomicUsize {
        match self {
            Self::Client => &FILES.clients,
            Self::Provider => &FILES.providers,
        }
    }
}
