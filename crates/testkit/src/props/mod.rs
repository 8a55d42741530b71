//! Properties that hold for any bytes. Each panics when one does not.
#![expect(clippy::panic_in_result_fn, reason = "a property panics where it does not hold")]

mod bolt;
mod lineprotocol;
mod shard;
mod tombstone;
mod tsm_file;
mod wal;

pub use bolt::bolt;
pub use lineprotocol::lineprotocol;
pub use tombstone::tombstone;
pub use tsm_file::tsm_file;
pub use wal::wal;
