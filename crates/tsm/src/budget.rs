//! A bound on the bytes that all caches together may take.
//!
//! Who writes takes its bytes before it draws a ticket, and waits where there are none left: a flush gives them back.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes that are shared by the caches of all shards of an engine.
#[derive(Debug)]
pub struct Budget {
    size_max: u64,
    patience: Duration,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    /// At most `size_max` bytes in all caches; a write that finds none left waits as long as `patience`.
    ///
    /// A write that is larger than the whole budget is admitted alone.
    pub fn new(size_max: u64, patience: Duration) -> Self {
        Self { size_max, patience, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Bytes that caches take, and writes on their way into one.
    pub fn used(&self) -> u64 {
        *self.used.lock()
    }

    /// The bound.
    pub fn size_max(&self) -> u64 {
        self.size_max
    }

    /// Takes bytes; `false` if there were none for too long.
    pub(crate) fn take(&self, size: u64) -> bool {
        let until = Instant::now().checked_add(self.patience);
        let mut used = self.used.lock();
        while *used > 0 && used.saturating_add(size) > self.size_max {
            let timed_out = match until {
                Some(until) => self.freed.wait_until(&mut used, until).timed_out(),
                None => {
                    self.freed.wait(&mut used);
                    false
                }
            };
            if timed_out {
                return false;
            }
        }
        *used = used.saturating_add(size);
        true
    }

    /// Takes bytes whether they are there or not: for what was acknowledged before.
    pub(crate) fn take_anyway(&self, size: u64) {
        let mut used = self.used.lock();
        *used = used.saturating_add(size);
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, size: u64) {
        let mut used = self.used.lock();
        *used = used.saturating_sub(size);
        drop(used);
        self.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_finds_nothing_waits_until_something_is_given_or_patience_ends() {
        let budget = Arc::new(Budget::new(100, Duration::from_millis(20)));
        assert!(budget.take(70) && !budget.take(31));
        assert_eq!(budget.used(), 70);
        let patient = Arc::new(Budget::new(100, Duration::from_secs(60)));
        assert!(patient.take(100));
        let waiting = std::thread::spawn({
            let patient = Arc::clone(&patient);
            move || patient.take(50)
        });
        patient.give(100);
        assert!(waiting.join().unwrap());
        assert_eq!(patient.used(), 50);
    }

    #[test]
    fn what_is_larger_than_all_goes_alone() {
        let budget = Budget::new(10, Duration::ZERO);
        assert!(budget.take(1000) && !budget.take(1));
        budget.give(1000);
        assert!(budget.take(1) && !budget.take(1000));
    }
}
