//! The threads that compress, one for each core, shared by all streams of a process.
//!
//! Invariant: a thread that waits for a piece waits for the crew alone, never for a client. How much is queued is bounded by
//! those who queue: a stream has so many pieces out and no more (see `Encoded`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Sender, unbounded};

use super::Failed;
use super::tools::Tools;

type Job = Box<dyn FnOnce(&mut Tools) + Send>;

/// Threads that compress. They start with the first job and end when the crew is dropped and its jobs are done.
#[derive(Debug)]
pub struct Crew {
    threads: usize,
    jobs: Mutex<Option<Sender<Job>>>,
}

impl Crew {
    /// A crew of so many threads, at least one.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), jobs: Mutex::new(None) }
    }

    /// A thread for each core.
    pub fn of_all_cores() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Lets a thread do `job`, after those that were queued before. What it holds is dropped when it panics.
    pub(super) fn run(&self, job: impl FnOnce(&mut Tools) + Send + 'static) -> Result<(), Failed> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &mut *jobs {
            Some(sender) => sender,
            none => none.insert(start(self.threads)?),
        };
        // The threads live as long as the sender does.
        sender.send(Box::new(job)).map_err(|_| Failed::new("the threads that compress are gone"))
    }
}

fn start(threads: usize) -> Result<Sender<Job>, Failed> {
    let (sender, jobs) = unbounded::<Job>();
    for _ in 0..threads {
        let jobs = jobs.clone();
        let work = move || {
            let mut tools = Tools::default();
            for job in jobs {
                if catch_unwind(AssertUnwindSafe(|| job(&mut tools))).is_err() {
                    tools = Tools::default(); // in what state they are nobody knows
                }
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
