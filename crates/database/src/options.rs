use std::path::{Path, PathBuf};

use icecore_tsm::{EngineOptions, OpenShard, SpoolOptions, Trusted};

use crate::database::now_ns;

/// Where the three parts of a data directory lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Shards and their logs.
    pub engine: PathBuf,
    /// The key-value store.
    pub bolt: PathBuf,
    /// The SQLite store.
    pub sqlite: PathBuf,
}

impl Paths {
    /// All three in one directory under the names that influxd gives them.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            engine: dir.join("engine"),
            bolt: dir.join("influxd.bolt"),
            sqlite: dir.join("influxd.sqlite"),
        }
    }
}

/// What may happen to a directory while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written, no file is created, and others may read too.
    ReadOnly,
    /// This process alone has it. What is missing is created, and influxd's logs are taken over.
    ReadWrite,
}

/// How a directory is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Read or write.
    pub mode: Mode,
    /// Whether new tokens are stored as hashes; influxd's default since 2.9.
    pub use_hashed_tokens: bool,
    /// Bytes of files that were rewritten for backups, because points in them are deleted, and are kept for the next one; 0 keeps
    /// none.
    pub spool_size_max: u64,
}

impl Options {
    /// The defaults for a mode.
    pub const fn new(mode: Mode) -> Self {
        Self { mode, use_hashed_tokens: true, spool_size_max: 4 << 30 }
    }

    pub(crate) fn engine(self, trust: Trusted) -> EngineOptions {
        let spool = SpoolOptions {
            size_max: self.spool_size_max,
            on_failure: log_spool_failure,
            ..SpoolOptions::default()
        };
        EngineOptions { on_failure: log_failure, trust, spool, ..EngineOptions::new(now_ns) }
    }
}

fn log_spool_failure(error: &icecore_tsm::Error) {
    let reason = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    tracing::warn!(
        "{error}{reason}; backups go on, and rewrite files anew that they could have found in the spool"
    );
}

fn log_failure(open: &OpenShard, error: &icecore_tsm::Error) {
    let reason = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    tracing::error!(shard = %open.id, bucket = %open.bucket, "{error}{reason}; no point is lost, and it is tried again");
}
