//! The writes that a cache waits for. Its locks are those of `crate::sync`.

use crate::sync::{Condvar, Mutex};

/// Writes that were admitted to a cache and have not come in yet, or failed.
#[derive(Debug, Default)]
pub(super) struct Pending {
    count: Mutex<usize>,
    none: Condvar,
}

impl Pending {
    pub(super) fn begin(&self) {
        *self.count.lock() += 1;
    }

    pub(super) fn end(&self) {
        let mut count = self.count.lock();
        *count -= 1;
        if *count == 0 {
            self.none.notify_all();
        }
    }

    pub(super) fn is_none(&self) -> bool {
        *self.count.lock() == 0
    }

    /// Returns when there is none. New ones are not kept out: that is the caller's business.
    pub(super) fn wait(&self) {
        let mut count = self.count.lock();
        while *count > 0 {
            self.none.wait(&mut count);
        }
    }
}
