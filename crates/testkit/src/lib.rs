//! Fixtures, disks, models and properties shared by the tests of Icecore. Not for use outside tests.
//!
//! A property of [`props`] takes any bytes and panics when the engine breaks a promise about them. It has three
//! drivers: the fuzzer searches (`fuzz/`), `tests/corpus.rs` replays what was kept in `fuzz/corpus/<target>/`, and the
//! same test damages those files at random.

pub mod corpus;
pub mod fixtures;
pub mod props;
pub mod tsm;

pub mod disk;

mod random;

pub use corpus::replay;
pub use disk::MemDisk;
pub use random::Random;
