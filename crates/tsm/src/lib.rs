//! The storage engine of Icecore: TSM files of InfluxDB 2.x, the log beside them, shards, and snapshots of them.
//!
//! Synchronous, without HTTP and without a runtime; it reaches files through [`icecore_disk::Disk`] alone. It is not a
//! database: which shards there are, what they are called and who may read them is the business of the crates above.
//!
//! ```
//! use icecore_disk::RealDisk;
//! use icecore_tsm::{Shard, ShardDir, Trust};
//! # let dir = tempfile::tempdir()?;
//! # let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
//! # std::fs::create_dir(&paths.data)?;
//! let shard = Shard::open_read_only(&RealDisk, &paths, Trust::Directory)?;
//! for damage in shard.damage() {
//!     eprintln!("{damage}");
//! }
//! let snapshot = shard.snapshot()?;
//! snapshot.keys(|key, kind| {
//!     println!("{} is {}", String::from_utf8_lossy(key), kind.name());
//!     snapshot.read(key, |column| {
//!         println!("{} points from {:?} on", column.len(), column.times.first());
//!         Ok(())
//!     })
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod cache;
mod engine;
mod error;
mod file;
mod format;
pub mod guide;
mod hash;
mod log;
mod shard;
mod snapshot;
mod sync;
mod tickets;
mod units;

pub use budget::Budget;
pub use engine::{Engine, EngineOptions, OpenShard, Trusted};
pub use error::{Error, ErrorKind, Result};
pub use file::digest::Digest;
pub use file::expected::Expected;
pub use file::name::{FileName, Generation, Sequence};
pub use file::reader::{Tombstone, TsmFile};
pub use file::tombstone::{Delete, Scope};
pub use file::writer::{TsmWriter, WriterOptions};
pub use file::{scan, verify};
pub use format::batch::{Batch, BatchPoint, Refused, Value};
pub use format::column::{Bits, BlockType, Column, Strings, Values};
pub use format::index::{Entry, Index, Key};
pub use format::{block, fields, key, manifest, series, sums, tombstone, wal};
pub use log::influx::TornTail;
pub use shard::{
    Conflict, Recovery, Shard, ShardDir, Trust, Writing, Written, adopt, snapshot_together, write_together,
};
pub use snapshot::listing::ListedFile;
pub use snapshot::{Chunks, Deletes, Listing, Member, Snapshot, Spool, SpoolOptions, prepare_all};
pub use tickets::Tickets;
pub use units::{Offset, Ticket, TimeRange};

/// For the tests and benches of this repository alone; changes without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::log::own::{Log, LogOptions, LogStats, Replayed, Segment, Unconfirmed, replay};

    /// The body of a record of the log that holds a batch.
    pub fn body(batch: &crate::Batch) -> Vec<u8> {
        batch.body(&mut Default::default()).concat()
    }
}
