//! Which histories a run tries.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seed of a history; tells which one it was that failed.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// The seeds of this run: `ICECORE_HISTORIES` of them from `ICECORE_SEED` on, or as many as the test wants.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse().expect("a number"));
    let first = number("ICECORE_SEED").unwrap_or(1);
    first..first + number("ICECORE_HISTORIES").unwrap_or(count)
}

/// Calls `each` with every seed, on all cores; returns the sum of what it returned.
pub(crate) fn on_all_cores(seeds: Range<u64>, each: impl Fn(u64) -> u64 + Sync) -> u64 {
    let (next, sum) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let _seed = Seed(seed);
        crate::machine::reset_clock();
        sum.fetch_add(each(seed), Ordering::Relaxed);
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    sum.into_inner()
}
