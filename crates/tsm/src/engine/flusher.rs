//! Flushes in the background: one thread for all shards of an engine.
//!
//! It flushes a shard whose points take [`EngineOptions::flush_size`]; the largest one while all together take more than
//! half of what they may; and one that nobody has written for [`EngineOptions::flush_age`]. A failed flush is
//! told and tried again after a pause.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{EngineOptions, Inner, OpenShard};

/// How often it looks when nobody wakes it.
const TICK: Duration = Duration::from_secs(1);
/// How long a shard is left alone after its flush has failed.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<Inner>,
    options: EngineOptions,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_due: bool,
    stops: bool,
}

impl Flusher {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(inner: Arc<Inner>, options: EngineOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared { inner, options, state: Mutex::default(), wake: Condvar::new() });
        let thread = thread::Builder::new().name("icecore-flush".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A write of so many bytes is about to take them: it must not wait for a thread that sleeps.
    pub(super) fn expect(&self, size: u64) {
        if self.shared.is_short_of(size) {
            self.shared.wake_up();
        }
    }

    /// These shards were written.
    pub(super) fn look_at(&self, shards: &[Arc<OpenShard>]) {
        let is_full = |open: &Arc<OpenShard>| open.shard.cached_size() >= self.shared.options.flush_size;
        if shards.iter().any(is_full) {
            self.shared.wake_up();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.state.lock().stops = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no panic of its own to hand on: a flush that panics is a bug that its message has shown.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut failed: HashMap<u64, Instant> = HashMap::new();
        loop {
            failed.retain(|_, at| at.elapsed() < PAUSE);
            while let Some(open) = self.due(&failed) {
                if self.state.lock().stops {
                    return;
                }
                if let Err(error) = open.shard.flush() {
                    (self.options.on_failure)(&open, &error);
                    failed.insert(open.id, Instant::now());
                }
            }
            if let Some(spool) = &self.inner.spool {
                spool.free_unused(Instant::now());
            }
            if !self.sleep() {
                return;
            }
        }
    }

    /// Returns whether to go on.
    fn sleep(&self) -> bool {
        let mut state = self.state.lock();
        if !state.is_due && !state.stops {
            self.wake.wait_for(&mut state, TICK);
        }
        state.is_due = false;
        !state.stops
    }

    fn wake_up(&self) {
        self.state.lock().is_due = true;
        self.wake.notify_all();
    }

    /// The shard that is to be flushed next, but for those that have just failed.
    fn due(&self, failed: &HashMap<u64, Instant>) -> Option<Arc<OpenShard>> {
        let EngineOptions { flush_size, flush_age, .. } = self.options;
        let shards = self.inner.shards.read();
        let may_be = |open: &&Arc<OpenShard>| open.shard.is_writable() && !failed.contains_key(&open.id);
        let sizes = shards.values().filter(may_be).map(|open| (open.shard.cached_size(), open));
        let (size, largest) = sizes.max_by_key(|(size, _)| *size)?;
        if size >= flush_size || size > 0 && self.is_short_of(0) {
            return Some(Arc::clone(largest));
        }
        let now_ms = self.inner.now_ms();
        let is_cold = |open: &&Arc<OpenShard>| {
            let idle_ms = now_ms.saturating_sub(open.written_ms.load(Ordering::Relaxed));
            u128::from(idle_ms) >= flush_age.as_millis() && open.shard.cached_size() > 0
        };
        shards.values().filter(may_be).find(is_cold).cloned()
    }

    /// Whether less than half of the memory would be left.
    fn is_short_of(&self, size: u64) -> bool {
        let budget = self.inner.writing.as_ref().map(|writing| &writing.budget);
        budget.is_some_and(|budget| budget.used().saturating_add(size) > budget.size_max() / 2)
    }
}
