//! The stores that are tried.

use std::path::Path;

use clap::ValueEnum;
use pointsman::store::sqlite::Sqlite;
use pointsman::store::{Store, StoreError};

use crate::redb::Redb;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The one that the gateway uses.
    Sqlite,
    /// The one that it is compared with.
    Redb,
}

impl Kind {
    /// Opens the store of a folder, and makes it where there is none.
    pub(crate) fn open(self, folder: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite => Box::new(Sqlite::open(folder)?),
            Self::Redb => Box::new(Redb::open(folder)?),
        })
    }

    /// As it is named on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redb => "redb",
        }
    }
}
