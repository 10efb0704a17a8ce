//! What can go wrong with a store, and what the operator does then.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a store cannot be opened. The text says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process works with it.
    #[error(
        "the store {path} is in use by another bowline{}; stop that one, or choose another directory for this one",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// Its directory.
        path: PathBuf,
        /// The other process, where it said.
        pid: Option<u32>,
    },
    /// It is to be looked at, but there is none.
    #[error("there is no store in {path}; give the directory that the server says at its start")]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// There is something else in its place.
    #[error("{path} is not a store of bowline ({found}); move it away, or choose another directory")]
    NotOurs {
        /// The database.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A later version of the program has written it.
    #[error(
        "the store {path} was written by a newer bowline (its schema is {found}, this program knows {known}); \
         run that version, or `bowline store export` with it and import the result here"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// It cannot be written.
    #[error("the store {path} cannot be written; give this user write access to its directory and files")]
    ReadOnly {
        /// Its directory or database.
        path: PathBuf,
    },
    /// It is damaged.
    #[error(
        "the store {path} is damaged ({detail}); keep a copy of its directory, and restore a backup or save what \
         can be read: `bowline store export`, then `bowline store import` into a new directory"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no room for it.
    #[error("no room for the store {path}; free space on its file system, or raise its limit")]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("cannot open the store {path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Anything else.
    #[error("cannot open the store {path}: {detail}")]
    Other {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, error },
        }
    }

    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::NotOurs { path, found: "no SQLite database".to_owned() };
        }
        match StoreError::from(error) {
            StoreError::Locked => Self::InUse { path, pid: None },
            StoreError::Full => Self::Full { path },
            StoreError::ReadOnly => Self::ReadOnly { path },
            StoreError::Corrupt(detail) => Self::Corrupt { path, detail },
            StoreError::Io(detail) | StoreError::Other(detail) => Self::Other { path, detail },
        }
    }
}

/// Why a store does not work at the moment, or not any more. The text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another program has locked it.
    #[error("the store is locked by another program; end what works on its database (a sqlite3 shell?)")]
    Locked,
    /// There is no room.
    #[error("the store is full; free space on its file system, or raise its limit")]
    Full,
    /// It cannot be written any more.
    #[error("the store cannot be written; give this user write access to its directory and files")]
    ReadOnly,
    /// It is damaged.
    #[error("the store is damaged ({0}); stop the server, keep a copy, and run `bowline store check`")]
    Corrupt(String),
    /// The disk does not work.
    #[error("the store's disk fails ({0}); look into the system's log")]
    Io(String),
    /// Anything else.
    #[error("the store fails: {0}")]
    Other(String),
}

impl From<&rusqlite::Error> for StoreError {
    fn from(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::Io(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(&error)
    }
}
