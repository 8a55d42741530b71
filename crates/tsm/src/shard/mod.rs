//! A shard: the TSM files of one slice of time, and the log beside them.
//!
//! A shard publishes its files as one immutable [`FileSet`]; whoever holds it reads from it without a lock. Damage is
//! collected, not thrown: a damaged shard opens, names everything that is wrong with it, and gives no snapshot.

pub mod adopt;
pub(crate) mod cursor;
pub(crate) mod damage;
mod fields;
pub(crate) mod file_set;
mod manifest;
mod open;
#[cfg(test)]
mod regressions;
mod slices;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::log::influx::TornTail;
use crate::snapshot::Snapshot;
use damage::Damage;
use file_set::FileSet;

/// Where the files of a shard lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDir {
    /// TSM files and tombstones.
    pub data: PathBuf,
    /// influxd's log.
    pub wal: PathBuf,
}

/// Whether opening may change the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written: what only the log has becomes a file in memory.
    ReadOnly,
    /// The log is taken over: its points become a TSM file, then its segments are removed.
    ReadWrite {
        /// The time of the files written, ns since 1970; raised where it is not later than all files of the shard.
        now_ns: i64,
    },
}

/// An open shard.
#[derive(Debug)]
pub struct Shard {
    files: ArcSwap<FileSet>,
    damage: Arc<Damage>,
    recovery: Recovery,
}

/// What opening a shard did with its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Log entries replayed.
    pub entries: u64,
    /// The unfinished write at the end of the log that was left out.
    pub torn: Option<TornTail>,
    /// The files that the log's points went into.
    pub flushed: Vec<FileName>,
}

impl Shard {
    /// Opens a shard and replays its log. O(files + log) where there is no log and no tombstone: indexes are checked at
    /// their first use, or by [`check_indexes`](Self::check_indexes).
    ///
    /// Mapped files must not be truncated by another process while the shard is open: that raises SIGBUS. Checks and
    /// compressed streams read with `pread`, where a bad sector is an error.
    ///
    /// # Durability
    /// With [`Access::ReadWrite`] the points of the log are in synced files under their names, and the directory is
    /// synced, before the first segment is removed. A damaged shard is left exactly as it is.
    ///
    /// # Errors
    /// `Io` when the system refuses a call. Damage is not an error here: see [`Shard::damage`].
    pub fn open(disk: &dyn Disk, dir: &ShardDir, access: Access) -> Result<Self> {
        open::open(disk, dir, access)
    }

    /// A shard that could not be opened: it holds nothing, names `error`, and gives no snapshot.
    pub fn unusable(error: Error) -> Self {
        let damage = Damage::of(error);
        let files = ArcSwap::from_pointee(FileSet::default());
        Self { files, damage: Arc::new(damage), recovery: Recovery::default() }
    }

    /// Checks the index of every file that was not used before; [`damage`](Self::damage) then has what was found.
    /// O(keys + blocks).
    pub fn check_indexes(&self) {
        self.damage.note_all(self.files.load().damaged_indexes());
    }

    /// Everything found to be damaged so far, when the shard was opened and by snapshots since.
    pub fn damage(&self) -> Vec<Error> {
        self.damage.all()
    }

    /// What opening did with the log.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The files as they are now, pinned. O(1): nothing is copied and no lock is kept.
    ///
    /// # Errors
    /// The first damage known, if there is one: a snapshot is whole or it is not given.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.damage.first().map_or(Ok(()), Err)?;
        Ok(Snapshot::new(self.files.load_full(), Arc::clone(&self.damage)))
    }
}
