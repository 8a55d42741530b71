//! Backups as streams of bytes, without HTTP: the tar of a shard, the multipart of the metadata, the Bolt file.
//!
//! Every stream is an iterator that blocks on the disk and holds no lock: what it sends was pinned when it was made.
//! After an `Err` nothing follows, and what came before must not be taken for a backup.
//!
//! ```no_run
//! use std::io::Write;
//! use icecore_backup::{Selection, ShardArchive};
//! use icecore_database::{Database, Mode, Options, Paths, ShardId};
//!
//! let paths = Paths::in_dir("/var/lib/influxdb".as_ref());
//! let database = Database::open(paths, Options::new(Mode::ReadOnly))?;
//! let mut file = std::fs::File::create("shard-1.tar")?;
//! for chunk in ShardArchive::new(&database, ShardId(1), &Selection::default())? {
//!     file.write_all(&chunk?)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod cuts;
pub mod encode;
mod metadata;
mod pins;
mod ustar;
pub mod verify;

pub use archive::{Selection, ShardArchive};
pub use cuts::{CutError, CutName, Cuts};
pub use icecore_database::Error;
pub use icecore_tsm::Deletes;
pub use metadata::{Boundary, Stream, kv, metadata, metadata_of};
pub use pins::{Pin, Pins, pinned_bytes};
