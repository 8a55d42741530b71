//! What downloads in progress hold: it cannot be freed before they end.
//!
//! Lock: `held`, for changes of the table alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use icecore_tsm::Snapshot;

/// The snapshots that are held by downloads.
#[derive(Debug, Default)]
pub struct Pins {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    snapshots: BTreeMap<u64, Snapshot>,
}

/// Holds a snapshot until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    number: u64,
}

impl Pins {
    /// Holds a snapshot, and lets it be counted.
    #[must_use]
    pub fn hold(self: &Arc<Self>, snapshot: Snapshot) -> Pin {
        let mut held = self.held();
        let number = held.next;
        held.next += 1;
        held.snapshots.insert(number, snapshot);
        Pin { pins: Arc::clone(self), number }
    }

    /// What is held now.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.held().snapshots.values().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let freed = self.pins.held().snapshots.remove(&self.number);
        drop(freed); // behind the lock: it may be the last holder of its files
    }
}

/// Bytes of the TSM files in these snapshots, each file once, without tombstones. Costs O(files).
pub fn pinned_bytes<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> u64 {
    let files = snapshots.into_iter().flat_map(|snapshot| snapshot.files());
    // A file that got other deletes meanwhile is open twice, and lies on the disk once.
    let sizes: BTreeMap<_, _> = files.map(|file| (file.path(), file.size())).collect();
    sizes.values().sum()
}
