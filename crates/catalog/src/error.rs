//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::PathBuf;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the catalog cannot answer. The text says what is wrong on this level; `source()` has the next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The BoltDB file is damaged or the system refused to read it.
    #[error("the key-value store is not readable")]
    Store(#[from] icecore_kvstore::Error),

    /// A record is there, but is not what influxd writes.
    #[error("record {key:?} in {bucket} of the key-value store: {what}")]
    Record {
        /// The Bolt bucket.
        bucket: String,
        /// The key, as far as it is text.
        key: String,
        /// What is wrong with the value.
        what: String,
    },

    /// A file of SQLite is not what it must be, or SQLite failed.
    #[error("{}: {what}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What was being done and what SQLite said.
        what: String,
    },

    /// A writer of this SQLite file was killed within a transaction: what the file holds now is a mixture of before
    /// and after, and only its journal can undo that. See [`sql::recover`](crate::sql::recover).
    #[error("{}: an interrupted transaction must be rolled back first, and nothing may be written here", path.display())]
    HotJournal {
        /// The database file, not its journal.
        path: PathBuf,
    },

    /// The system refused a call on a file.
    #[error("{}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The source of random bytes failed.
    #[error("no random bytes for ids and tokens")]
    Random(#[source] io::Error),

    /// The given time is before 2017, when the ids of influxd begin, or after 2156, when they end.
    #[error("the clock of this machine is wrong: ids cannot be made at that time")]
    Clock,
}

impl Error {
    pub(crate) fn record(bucket: &str, key: &[u8], what: impl Into<String>) -> Self {
        let key = String::from_utf8_lossy(key).into_owned();
        Self::Record { bucket: bucket.to_owned(), key, what: what.into() }
    }
}
