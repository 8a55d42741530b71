//! A shard: the TSM files of one slice of time, and the log beside them.
//!
//! A shard publishes what it has as one immutable [`View`]: files and caches; whoever holds it reads from it without a
//! lock. Damage is collected, not thrown: a damaged shard opens, names everything that is wrong with it, and gives no
//! snapshot and takes no writes. It is not read either where the damage was found when it was opened: files or a log may be
//! missing from what it shows. What is found later is an error of the reads that meet it.

pub mod adopt;
pub(crate) mod cursor;
pub(crate) mod damage;
mod fields;
pub(crate) mod file_set;
mod flush;
mod manifest;
mod open;
mod overlay;
#[cfg(test)]
mod regressions;
mod slices;
#[cfg(test)]
mod tests;
mod types;
mod view;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use icecore_disk::Disk;

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::format::column::{BlockType, Column};
use crate::log::influx::TornTail;
use crate::tickets::Tickets;
use crate::units::TimeRange;
use damage::Damage;
use view::View;
use write::Writer;

pub use adopt::Trust;
pub use flush::snapshot_together;
pub use types::Conflict;
pub use write::{Written, write_together};

/// Where the files of a shard lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDir {
    /// TSM files and tombstones.
    pub data: PathBuf,
    /// influxd's log.
    pub wal: PathBuf,
}

/// What shards that are written share.
#[derive(Clone, Debug)]
pub struct Writing {
    /// The time now, ns since 1970. Files take it as their time of modification, raised where it is not later than all
    /// files of the shard.
    pub now: fn() -> i64,
    /// Common to all shards that are written or cut together.
    pub tickets: Arc<Tickets>,
    /// Bounds the points that are in no file yet.
    pub budget: Arc<Budget>,
    /// What is believed where the manifest and the directory differ.
    pub trust: Trust,
}

impl Writing {
    /// Trust in the manifest, tickets of its own, and 256 MiB of points that a write waits for, for ten seconds at most.
    pub fn new(now: fn() -> i64) -> Self {
        const SIZE_MAX: u64 = 256 << 20;
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
        let budget = Arc::new(Budget::new(SIZE_MAX, PATIENCE));
        Self { now, tickets: Arc::default(), budget, trust: Trust::Manifest }
    }
}

/// An open shard.
#[derive(Debug)]
pub struct Shard {
    view: ArcSwap<View>,
    damage: Arc<Damage>,
    /// Why what it shows may not be all; `None` where it is.
    gap: Option<Error>,
    recovery: Recovery,
    /// `None` in one that is open to be read only, or damaged.
    writer: Option<Writer>,
}

/// What opening a shard did with its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Entries of influxd's log and records of ours that were replayed.
    pub entries: u64,
    /// The unfinished write at the end of the log that was left out.
    pub torn: Option<TornTail>,
    /// The files that the log's points went into.
    pub flushed: Vec<FileName>,
    /// Files that no manifest knew, under the names that they were given. Their points do not count.
    pub set_aside: Vec<PathBuf>,
}

impl Shard {
    /// Opens a shard to read it and replays its logs in memory: what only a log has becomes a file there. Nothing is
    /// written. O(files + logs) where there is no log and no tombstone: indexes are checked at their first use, or by
    /// [`check_indexes`](Self::check_indexes).
    ///
    /// Mapped files must not be truncated by another process while the shard is open: that raises SIGBUS. Checks and
    /// compressed streams read with `pread`, where a bad sector is an error.
    ///
    /// # Errors
    /// `Io` when the system refuses a call. Damage is not an error here: see [`Shard::damage`].
    pub fn open_read_only(disk: &dyn Disk, dir: &ShardDir, trust: Trust) -> Result<Self> {
        open::read_only(disk, dir, trust)
    }

    /// Opens a shard to write it; nobody else may have it open to write. Points of our own log stay in it until a flush;
    /// influxd's log is taken over: its points become a TSM file. Cost and maps as
    /// [`open_read_only`](Self::open_read_only).
    ///
    /// # Durability
    /// The points of influxd's log are in synced files under their names, and the directory is synced, before the first
    /// segment is removed. A damaged shard is left exactly as it is.
    ///
    /// # Errors
    /// `Io` when the system refuses a call. Damage is not an error here: see [`Shard::damage`].
    pub fn open(disk: &Arc<dyn Disk>, dir: &ShardDir, writing: &Writing) -> Result<Self> {
        open::to_write(disk, dir, writing)
    }

    /// A shard that could not be opened: it holds nothing, names `error`, and gives no snapshot.
    pub fn unusable(error: Error) -> Self {
        let gap = Some(error.again());
        let damage = Arc::new(Damage::of(error));
        Self { view: ArcSwap::default(), damage, gap, recovery: Recovery::default(), writer: None }
    }

    /// Checks the index of every file that was not used before; [`damage`](Self::damage) then has what was found. In a shard
    /// that is open to be written, the index of fields, too; see [`mended`](Self::mended). O(keys + blocks).
    pub fn check_indexes(&self) {
        let files = Arc::clone(&self.view.load().files);
        self.damage.note_all(files.damaged_indexes());
        if let (Some(writer), None) = (&self.writer, self.damage.first()) {
            // What contradicts the log or the disk refuses is told to whoever writes.
            let _ = writer.with_types(&self.view.load(), |_| ());
            writer.commits.lock().write_remade_sums(&*writer.disk, &writer.dir.data, &files, &writer.mended);
        }
    }

    /// What was found to be damaged or missing and has been made again of the rest, while the shard is open to be written:
    /// sums of TSM files, and the index of fields, of which the bad one was set aside. Nothing is lost by it.
    pub fn mended(&self) -> Vec<Error> {
        self.writer.as_ref().map_or_else(Vec::new, |writer| writer.mended.all())
    }

    /// Everything found to be damaged so far, when the shard was opened and by snapshots since.
    pub fn damage(&self) -> Vec<Error> {
        self.damage.all()
    }

    /// What opening did with the log.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Calls `each` with the points of a composite key in a range, by time: merged from files and caches, one per time,
    /// deletes applied. Columns are sorted, within the range, and not empty. Every write that was acknowledged before is
    /// among them.
    ///
    /// # Errors
    /// `Corrupt` names the file and the block; the shard remembers it. The first damage found when the shard was opened, if
    /// any was; `each` has seen nothing then. What `each` returns.
    pub fn read(
        &self,
        composite: &[u8],
        range: TimeRange,
        mut each: impl FnMut(&Column) -> Result<()>,
    ) -> Result<()> {
        self.is_whole()?;
        let read = self.view.load_full().read(composite, range, &mut each);
        read.map_err(|error| self.damage.note(error))
    }

    /// Calls `each` with every composite key and its type, ascending, each once. A key whose points are all deleted may be
    /// among them.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged, which the shard remembers, or when damage was found as it was opened; `each` has
    /// seen nothing then. What `each` returns.
    pub fn keys(&self, each: impl FnMut(&[u8], BlockType) -> Result<()>) -> Result<()> {
        self.is_whole()?;
        self.view.load_full().keys(&self.damage, each)
    }

    /// # Errors
    /// Why it may show less than there is.
    fn is_whole(&self) -> Result<()> {
        self.gap.as_ref().map_or(Ok(()), |gap| Err(gap.again()))
    }

    /// Whether it is open to be written and not damaged.
    pub fn is_writable(&self) -> bool {
        self.writer.is_some() && self.damage.first().is_none()
    }

    /// The number of its files.
    pub fn files_len(&self) -> usize {
        self.view.load().files.files().len()
    }

    /// Bytes of points that are in no file yet.
    pub fn cached_size(&self) -> u64 {
        self.view.load().caches.iter().map(|cache| cache.size()).sum()
    }
}
