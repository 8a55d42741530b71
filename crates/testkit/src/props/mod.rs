//! Properties that hold for any bytes. Each panics when one does not.
//!
//! Those of the formats are pure and cheap, so that a fuzzer tries tens of thousands of inputs a second; those with `shard`
//! in their names open a shard for each input.
#![expect(clippy::panic_in_result_fn, reason = "a property panics where it does not hold")]

mod block;
mod bolt;
#[cfg(feature = "backup")]
mod choices;
#[cfg(feature = "backup")]
mod encoded;
mod fields;
mod iwal;
mod lineprotocol;
mod manifest;
mod mend;
mod own;
mod series_key;
mod shard;
mod sums;
mod tombstone;
mod tsm_file;
mod wal;

pub use block::booleans::block_booleans;
pub use block::floats::block_floats;
pub use block::integers::block_integers;
pub use block::strings::block_strings;
pub use block::times::block_times;
pub use bolt::bolt;
#[cfg(feature = "backup")]
pub use encoded::encoded;
pub use fields::fields;
pub use iwal::iwal;
pub use lineprotocol::lineprotocol;
pub use manifest::manifest;
pub use series_key::series_key;
#[cfg(feature = "backup")]
pub use shard::archive::archive;
pub use shard::file::shard;
pub use shard::tombstone::tombstone_shard;
pub use shard::wal::wal_shard;
pub use sums::sums;
pub use tombstone::tombstone;
pub use tsm_file::tsm_file;
pub use wal::wal;
