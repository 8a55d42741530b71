//! The threads that compress, one for each core, shared by all streams of a process.
//!
//! Invariant: a thread that waits for a piece waits for the crew alone, never for a client. How much is queued is bounded by
//! those who queue: a stream has so many pieces out and no more, and those that nobody waits for yet have [`Room`] (see `Encoded`).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

use super::tools::Tools;
use super::{Failed, PIECES_LEN};

type Job = Box<dyn FnOnce(&mut Tools) + Send>;

/// How the threads of a crew behave beside other work.
pub trait Manners: Send + Sync {
    /// What a thread does first: taking a lower priority, say.
    fn begin(&self) {}

    /// What it does before each piece; the one before `took` so long.
    fn pause(&self, took: Duration) {
        let _ = took;
    }
}

/// As if there were nothing else.
struct Unhindered;

impl Manners for Unhindered {}

/// Threads that compress. They start with the first job and end when the crew is dropped and its jobs are done.
pub struct Crew {
    threads: usize,
    manners: Arc<dyn Manners>,
    jobs: Mutex<Option<Sender<Job>>>,
    /// Bytes of pieces that were queued and not taken.
    pieces_len: Arc<AtomicUsize>,
}

/// Taken by a piece until its stream goes on to the next.
#[derive(Debug)]
pub(super) struct Room {
    len: usize,
    pieces_len: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pieces_len.fetch_sub(self.len, Ordering::AcqRel);
    }
}

impl Crew {
    /// A crew of so many threads, at least one.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            manners: Arc::new(Unhindered),
            jobs: Mutex::new(None),
            pieces_len: Arc::default(),
        }
    }

    /// The same, with regard to what else the process does.
    #[must_use]
    pub fn with_manners(self, manners: Arc<dyn Manners>) -> Self {
        Self { manners, ..self }
    }

    /// A thread for each core.
    pub fn of_all_cores() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Room for a piece of so many bytes: `None` where all streams have too many, unless this one `must` go on.
    pub(super) fn room(&self, len: usize, must: bool) -> Option<Room> {
        let pieces_len = Arc::clone(&self.pieces_len);
        let before = pieces_len.fetch_add(len, Ordering::AcqRel);
        let room = Room { len, pieces_len }; // dropped it is given back
        (must || before + len <= PIECES_LEN).then_some(room)
    }

    /// Lets a thread do `job`, after those that were queued before. What it holds is dropped when it panics.
    pub(super) fn run(&self, job: impl FnOnce(&mut Tools) + Send + 'static) -> Result<(), Failed> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &mut *jobs {
            Some(sender) => sender,
            none => none.insert(start(self.threads, &self.manners)?),
        };
        // The threads live as long as the sender does.
        sender.send(Box::new(job)).map_err(|_| Failed::new("the threads that compress are gone"))
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads).finish_non_exhaustive()
    }
}

fn start(threads: usize, manners: &Arc<dyn Manners>) -> Result<Sender<Job>, Failed> {
    let (sender, jobs) = unbounded::<Job>();
    for _ in 0..threads {
        let (jobs, manners) = (jobs.clone(), Arc::clone(manners));
        let work = move || {
            manners.begin();
            let (mut tools, mut took) = (Tools::default(), Duration::ZERO);
            for job in jobs {
                manners.pause(took);
                let begun = Instant::now();
                if catch_unwind(AssertUnwindSafe(|| job(&mut tools))).is_err() {
                    tools = Tools::default(); // in what state they are nobody knows
                }
                took = begun.elapsed();
            }
        };
        thread::Builder::new()
            .name("icecore-encode".to_owned())
            .spawn(work)
            .map_err(|error| Failed::new(format!("no thread to compress: {error}")))?;
    }
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_job_that_panics_drops_what_it_holds_and_the_crew_goes_on() {
        let crew = Crew::new(1);
        let (panics, never) = channel::<()>();
        crew.run(move |_| {
            let _held = panics;
            panic!("planted");
        })
        .unwrap();
        never.recv().expect_err("nothing was sent");
        let (done, ready) = channel();
        crew.run(move |_| done.send(7).unwrap()).unwrap();
        assert_eq!(ready.recv(), Ok(7));
    }

    #[test]
    fn all_threads_work_at_once() {
        let crew = Crew::new(3);
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(4));
        for _ in 0..3 {
            let barrier = std::sync::Arc::clone(&barrier);
            crew.run(move |_| {
                barrier.wait();
            })
            .unwrap();
        }
        barrier.wait(); // hangs unless three wait with it
    }
}
