//! Hashes of keys in memory: seeded once in a process, so that nobody can choose keys that collide. Never on disk.

use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;

static SEED: LazyLock<hashbrown::DefaultHashBuilder> = LazyLock::new(Default::default);

/// The same for equal values, as long as the process lives.
pub(crate) fn of<T: Hash + ?Sized>(value: &T) -> u64 {
    SEED.hash_one(value)
}
