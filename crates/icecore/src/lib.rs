//! Icecore: the storage and backup engine of InfluxDB 2.x.
//!
//! This crate is the front door. [`Database`] opens a data directory that a real influxd wrote, or makes a new one;
//! [`http`] serves it over the InfluxDB v2 API. The parts can be had alone: `icecore-tsm` (files and shards),
//! `icecore-kvstore` (BoltDB files), `icecore-lineprotocol`, `icecore-catalog` (metadata), `icecore-backup` (streams without HTTP).
//!
//! It is not a query engine.
//!
//! ```
//! use icecore::{Database, Format, Mode, Options, Paths};
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//!
//! let database = Database::open(Paths::in_dir(dir), Options::new(Mode::ReadWrite))?;
//! for bucket in database.catalog().buckets()? {
//!     let values = database.export(&bucket.id.to_string(), Format::LineProtocol, &mut std::io::stdout())?;
//!     eprintln!("{}: {values} values", bucket.name);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use icecore_catalog::OnboardRequest;
pub use icecore_database::{
    Database, Error, FieldValue, Format, Id, MetadataCut, Mode, OpenShard, Options, Partial, Paths, Point,
    Precision, ShardId, WriteError, WriteReport,
};
pub use icecore_http as http;
pub use icecore_tsm::TimeRange;

/// The example of the README runs with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
