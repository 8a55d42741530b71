//! A data directory of influxd: metadata, shards, and who may write it.
//!
//! It joins `catalog`, `lineprotocol` and `tsm`: it finds the three parts of a directory, locks them, opens every shard,
//! writes points, and gives snapshots of shards and of the metadata. It is not a server and knows no protocol; streams are `backup`'s.
//!
//! ```no_run
//! use icecore_database::{Database, Mode, Options, Paths};
//!
//! let paths = Paths::in_dir("/var/lib/influxdb".as_ref());
//! let database = Database::open(paths, Options::new(Mode::ReadOnly))?;
//! for bucket in database.catalog().buckets().map_err(icecore_database::Error::Catalog)? {
//!     println!("{} {}", bucket.id, bucket.name);
//! }
//! # Ok::<(), icecore_database::Error>(())
//! ```

mod cut;
mod database;
mod error;
mod export;
mod fresh;
mod groups;
mod lock;
mod options;
mod read;
mod write;

pub use cut::Cut;
pub use database::{Database, MetadataCut};
pub use error::Error;
pub use export::Format;
pub use icecore_catalog::{Id, ShardId};
pub use icecore_lineprotocol::{Precision, UnknownPrecision};
pub use icecore_tsm::OpenShard;
pub use lock::who_is_right;
pub use options::{Mode, Options, Paths};
pub use write::{FieldValue, Partial, Point, WriteError, WriteReport};
