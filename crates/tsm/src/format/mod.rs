//! Bytes to values and back: no I/O, no log, and nothing allocated but the result.

pub(crate) mod batch;
pub mod block;
pub(crate) mod column;
pub mod fields;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod iwal;
pub mod key;
pub mod manifest;
pub(crate) mod merge;
pub(crate) mod read;
pub mod series;
pub mod sums;
pub mod tombstone;
pub mod wal;
