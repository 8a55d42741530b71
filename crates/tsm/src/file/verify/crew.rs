//! Threads that share the work on any number of files: each takes a file, plans it, and checks its chunks; who finds no
//! more files helps with the chunks of the files in work.
//!
//! Invariant: a file in work is planned by one thread; its report is made, and `done` called, by the thread that ends its
//! last task. Order of locks: none is taken while another is held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use icecore_disk::ReadAt;

use super::Options;
use super::blocks::{self, Opened, Scratch};
use super::plan::{Plan, plan};
use super::report::{Finding, FindingKind, Report};
use crate::error::Result;
use crate::file::digest;
use crate::file::window::Source;

type Open<'a> = &'a (dyn Fn(usize) -> Result<Arc<dyn ReadAt>> + Sync);
type Done<'a> = &'a (dyn Fn(usize, Result<Report>) + Sync);

/// Verifies the files 0 to `count`.
pub(super) fn run(count: usize, open: Open<'_>, options: &Options, done: Done<'_>) {
    let crew = Crew { count, open, options, done, state: Mutex::default(), changed: Condvar::new() };
    thread::scope(|scope| {
        for _ in 1..options.threads.get() {
            scope.spawn(|| crew.work());
        }
        crew.work();
    });
}

struct Crew<'a> {
    count: usize,
    open: Open<'a>,
    options: &'a Options,
    done: Done<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next file that nobody has taken.
    next: usize,
    /// Files being planned: they may have work for others soon.
    planning: usize,
    /// Files with tasks that nobody has taken.
    jobs: VecDeque<Arc<Job>>,
}

/// A file in work. Its tasks are its digest, the longest of them, and its chunks.
struct Job {
    nth: usize,
    opened: Opened,
    plan: Plan,
    tasks: usize,
    taken: AtomicUsize,
    left: AtomicUsize,
    report: Mutex<Report>,
}

enum Turn {
    Plan(usize),
    Help(Arc<Job>),
    End,
}

impl Crew<'_> {
    fn work(&self) {
        let mut scratch = Scratch::default();
        loop {
            match self.turn() {
                Turn::Plan(nth) => {
                    let planning = Planning(self);
                    let job = self.plan(nth);
                    if let Some(job) = &job {
                        self.state().jobs.push_back(Arc::clone(job));
                    }
                    drop(planning);
                    if let Some(job) = job {
                        self.help(&job, &mut scratch);
                    }
                }
                Turn::Help(job) => self.help(&job, &mut scratch),
                Turn::End => return,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest_tasks(&self) -> usize {
        usize::from(self.options.digest)
    }

    /// Waits while there is nothing to do, but may be soon.
    fn turn(&self) -> Turn {
        let mut state = self.state();
        loop {
            // A job that is held here keeps its file open.
            state.jobs.retain(|job| job.taken.load(Ordering::Relaxed) < job.tasks);
            if state.next < self.count {
                state.next += 1;
                state.planning += 1;
                return Turn::Plan(state.next - 1);
            }
            if let Some(job) = state.jobs.front() {
                return Turn::Help(Arc::clone(job));
            }
            if state.planning == 0 {
                return Turn::End;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens and plans a file. One without tasks is done at once.
    fn plan(&self, nth: usize) -> Option<Arc<Job>> {
        let opened = match (self.open)(nth) {
            Ok(file) => Opened::new(file),
            Err(error) => {
                (self.done)(nth, Err(error));
                return None;
            }
        };
        let mut report = Report::default();
        let plan = plan(opened.source().file, &mut report);
        let tasks = plan.as_ref().map_or(0, |plan| plan.chunks.len()) + self.digest_tasks();
        let Some(plan) = plan.filter(|_| tasks > 0) else {
            if self.options.digest {
                add_digest(opened.source(), &mut report);
            }
            (self.done)(nth, Ok(report));
            return None;
        };
        let (taken, left) = (AtomicUsize::new(0), AtomicUsize::new(tasks));
        Some(Arc::new(Job { nth, opened, plan, tasks, taken, left, report: Mutex::new(report) }))
    }

    /// Does tasks of a job until none is left to take.
    fn help(&self, job: &Job, scratch: &mut Scratch) {
        let mut found = Report::default();
        let mut ended = 0;
        loop {
            let task = job.taken.fetch_add(1, Ordering::Relaxed);
            if task >= job.tasks {
                break;
            }
            let chunk = task.checked_sub(self.digest_tasks());
            match chunk.and_then(|chunk| job.plan.chunks.get(chunk)) {
                Some(chunk) => {
                    found.merge(blocks::check(
                        job.opened.source(),
                        &job.plan,
                        chunk,
                        self.options.depth,
                        scratch,
                    ));
                }
                None => add_digest(job.opened.source(), &mut found),
            }
            ended += 1;
        }
        if ended == 0 {
            return;
        }
        job.report.lock().unwrap_or_else(PoisonError::into_inner).merge(found);
        if job.left.fetch_sub(ended, Ordering::AcqRel) == ended {
            let report = std::mem::take(&mut *job.report.lock().unwrap_or_else(PoisonError::into_inner));
            (self.done)(job.nth, Ok(report));
        }
    }
}

/// Held while a file is planned; others wait for its end, also when that is a panic.
struct Planning<'c, 'a>(&'c Crew<'a>);

impl Drop for Planning<'_, '_> {
    fn drop(&mut self) {
        self.0.state().planning -= 1;
        self.0.changed.notify_all();
    }
}

fn add_digest(source: Source<'_>, report: &mut Report) {
    match digest::of_file(source) {
        Ok(digest) => report.digest = Some(digest),
        Err((error, at)) => {
            let finding = Finding::of(FindingKind::Unreadable, &error, None);
            report.add(Finding { offset: at, ..finding });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::super::Depth;
    use super::*;

    /// The worked example of docs/formats/tsm.md: one block of one point.
    const EXAMPLE: &[u8] =
        b"\x16\xd1\x16\xd1\x01\xf3\x47\x99\x9e\x00\x09\x1c\xff\xff\xff\xfe\xd5\xfa\x0e\x00\
        \x10\x3f\xf0\x00\x00\x00\x00\x00\x00\xc3\xfc\x00\x80\x00\x00\x00\x00\x00\x10\x00\x08old#!~#v\
        \x00\x00\x01\xff\xff\xff\xfe\xd5\xfa\x0e\x00\xff\xff\xff\xfe\xd5\xfa\x0e\x00\
        \x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x22\x00\x00\x00\x00\x00\x00\x00\x27";

    /// Counts how many are open.
    #[derive(Debug)]
    struct Counted<'a>(&'a AtomicUsize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    impl ReadAt for Counted<'_> {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&EXAMPLE[start..start + buf.len()]);
            Ok(())
        }

        fn size(&self) -> std::io::Result<u64> {
            Ok(EXAMPLE.len() as u64)
        }
    }

    #[test]
    fn no_more_files_are_open_than_threads_work() {
        static OPEN: AtomicUsize = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let open = |_| -> Result<Arc<dyn ReadAt>> {
            most.fetch_max(OPEN.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            Ok(Arc::new(Counted(&OPEN)))
        };
        let threads = NonZeroUsize::new(3).unwrap();
        let done = AtomicUsize::new(0);
        run(500, &open, &Options { depth: Depth::Decode, digest: true, threads }, &|_, report| {
            assert!(report.unwrap().is_sound());
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 500);
        assert_eq!(OPEN.load(Ordering::Relaxed), 0);
        // Each thread can hold its own and, for a moment, one that it has just helped with.
        assert!(most.into_inner() <= 2 * threads.get());
    }
}
