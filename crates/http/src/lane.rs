//! Which threads carry a connection: the usual ones, or, while it has a download, others of a low priority.
//!
//! Invariant: what a download costs is spent where writers leave a core free. Its connection moves to the other threads when the
//! head of the answer is ready, and back when its body is gone; whatever the connection waits for goes with it. Compression and
//! the check before the first byte have threads of their own, which take the same priority.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use icecore_backup::encode::Manners;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::write::InProgress;

/// Threads for downloads of backups, of a lower priority than all others of the process. To be dropped outside of async code.
#[derive(Debug)]
pub struct Background {
    runtime: Runtime,
    nice: u8,
}

/// What a service needs to know of a [`Background`].
#[derive(Clone, Debug)]
pub struct BackgroundHandle {
    pub(crate) runtime: Handle,
    pub(crate) nice: u8,
}

impl Background {
    /// As many threads as there are cores, at so many steps below the usual priority: 1 to 19, as `nice` counts.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(nice: u8) -> io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        threads.enable_all().thread_name("icecore-backup").on_thread_start(move || lower(nice));
        Ok(Self { runtime: threads.build()?, nice })
    }

    /// For [`Options::background`](crate::Options).
    pub fn handle(&self) -> BackgroundHandle {
        BackgroundHandle { runtime: self.runtime.handle().clone(), nice: self.nice }
    }
}

/// Lowers the priority of the thread that calls this. Linux counts it for each thread; elsewhere it stays.
pub(crate) fn lower(nice: u8) {
    #[cfg(target_os = "linux")]
    if nice > 0
        && let Err(error) =
            rustix::process::setpriority_process(Some(rustix::thread::gettid()), i32::from(nice))
    {
        tracing::warn!(%error, "a thread for backups keeps the usual priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// How downloads give way to writes: by a low priority, and by pauses. A thread of a low priority is not put aside at once when
/// another one wakes up, and a write wakes up several, one after the other; without pauses writes were a quarter as fast.
///
/// While as many writes are in progress as half of the cores, what was compressed or sent is followed by a pause of so many times the
/// time that it took. One of compression ends with the writes.
#[derive(Debug)]
pub(crate) struct Deferential {
    nice: u8,
    writes: InProgress,
    writes_many: usize,
}

const PAUSE_TIMES: u32 = 9;
/// A piece may have waited long for a core.
const PAUSE_MAX: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(1);

impl Deferential {
    pub(crate) fn new(nice: u8, writes: InProgress) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { nice, writes, writes_many: cores.div_ceil(2) }
    }

    pub(crate) fn nice(&self) -> u8 {
        self.nice
    }

    fn are_many(&self) -> bool {
        self.writes.count() >= self.writes_many
    }

    /// How long to wait with what is sent next, after something that `took` so long.
    pub(crate) fn pause_after(&self, took: Duration) -> Option<Duration> {
        self.are_many().then(|| pause_len(took))
    }
}

fn pause_len(took: Duration) -> Duration {
    took.saturating_mul(PAUSE_TIMES).min(PAUSE_MAX)
}

impl Manners for Deferential {
    fn begin(&self) {
        lower(self.nice);
    }

    fn pause(&self, took: Duration) {
        let end = Instant::now() + pause_len(took);
        while self.are_many() && Instant::now() < end {
            thread::sleep(LOOK);
        }
    }
}

/// Whether a connection has a download. Clones are of the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane(Arc<AtomicUsize>);

/// A download of a connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct InLane(Lane);

impl Lane {
    pub(crate) fn enter(&self) -> InLane {
        self.0.fetch_add(1, Ordering::AcqRel);
        InLane(self.clone())
    }

    pub(crate) fn has_download(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for InLane {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Options;
    use crate::write::Writes;

    /// Of the thread that calls this.
    #[cfg(target_os = "linux")]
    fn priority() -> i32 {
        rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_of_the_background_and_no_others_have_a_low_priority() {
        let before = priority();
        let background = Background::new(7).unwrap();
        let handle = background.handle().runtime;
        assert_eq!(handle.block_on(handle.spawn(async { priority() })).unwrap(), 7);
        assert_eq!(handle.block_on(handle.spawn_blocking(priority)).unwrap(), 7);
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn compression_pauses_while_there_are_writes_and_no_longer() {
        let writes = Writes::new(&Options::default());
        let deferential = Deferential::new(0, writes.in_progress());
        let took = |took| {
            let begun = Instant::now();
            deferential.pause(took);
            begun.elapsed()
        };
        assert!(took(Duration::from_secs(1)) < Duration::from_millis(50), "nobody writes");
        let turns = writes.take_turns(deferential.writes_many).await;
        assert!(took(Duration::from_millis(3)) >= Duration::from_millis(3) * PAUSE_TIMES);
        let longest = took(Duration::from_secs(1));
        assert!(longest >= PAUSE_MAX, "{longest:?}");
        let ends = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            drop(turns);
        });
        let longest = took(Duration::from_secs(1));
        assert!(longest < PAUSE_MAX, "{longest:?}");
        ends.join().unwrap();
    }
}
