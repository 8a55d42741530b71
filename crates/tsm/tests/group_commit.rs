//! The group commit of the log, compiled once more with locks of shuttle, which tries interleavings of threads: every
//! record is committed exactly once, nothing is acknowledged before it is durable, everybody is woken.
//!
//! `ICECORE_SCHEDULES` chooses how many interleavings are tried. A failure prints the schedule that led to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic_in_result_fn,
    reason = "helpers of tests fail by panicking, as tests do"
)]

#[path = "../src/log/own/commit.rs"]
mod commit;

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

use std::collections::BTreeSet;
use std::sync::Arc;

use commit::{Committer, Sink};
use shuttle::sync::Mutex;
use shuttle::{check_pct, check_random, thread};

const THREADS: u32 = 3;
const RECORDS: u32 = 3;
/// Records in a group, at most.
const GROUP: usize = 2;

/// What is durable, for all to see.
type Durable = Arc<Mutex<Vec<u32>>>;

/// A disk: a write takes a while, and a sync another; some groups fail.
struct Disk {
    durable: Durable,
    fails: fn(nth: u32) -> bool,
    groups: u32,
}

impl Sink for Disk {
    type Group = Vec<u32>;
    type Error = u32;

    fn commit(&mut self, group: &mut Vec<u32>) -> Result<(), u32> {
        assert!((1..=GROUP).contains(&group.len()), "{group:?}");
        let written = group.clone();
        thread::yield_now();
        self.groups += 1;
        if (self.fails)(self.groups) {
            return Err(self.groups);
        }
        self.durable.lock().unwrap().extend(written);
        Ok(())
    }

    fn clear(group: &mut Vec<u32>) {
        group.clear();
    }

    fn broken() -> u32 {
        unreachable!("no commit panics")
    }
}

fn schedules() -> usize {
    std::env::var("ICECORE_SCHEDULES").map_or(4000, |text| text.parse().unwrap())
}

/// Threads write, one works with the idle sink meanwhile, and all is as the module says.
fn write(fails: fn(u32) -> bool) {
    let durable = Durable::default();
    let disk = Disk { durable: durable.clone(), fails, groups: 0 };
    let committer = Arc::new(Committer::new(disk));
    let writers = (0..THREADS).map(|writer| {
        let (committer, durable) = (committer.clone(), durable.clone());
        thread::spawn(move || {
            let mut failed = 0;
            for number in writer * RECORDS..(writer + 1) * RECORDS {
                let result = committer.append(|group| group.len() < GROUP, |group| group.push(number));
                let is_durable = durable.lock().unwrap().contains(&number);
                assert_eq!(result.is_ok(), is_durable, "record {number}");
                failed += usize::from(result.is_err());
            }
            failed
        })
    });
    let writers: Vec<_> = writers.collect();
    let idle = committer.when_idle(|disk| {
        let groups = disk.groups;
        thread::yield_now();
        assert_eq!(disk.groups, groups);
        groups
    });
    let failed: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    let durable = durable.lock().unwrap().clone();
    assert_eq!(durable.iter().collect::<BTreeSet<_>>().len(), durable.len(), "{durable:?}: each once");
    assert_eq!(durable.len() + failed, (THREADS * RECORDS) as usize);
    let groups = committer.when_idle(|disk| disk.groups).unwrap();
    assert!(idle.is_none_or(|before| before <= groups) && (groups as usize) <= durable.len() + failed);
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable_and_nobody_waits_for_ever() {
    check_random(|| write(|_| false), schedules());
    check_pct(|| write(|_| false), schedules(), 3);
}

#[test]
fn a_group_that_fails_fails_for_all_in_it_and_for_nobody_else() {
    check_random(|| write(|nth| nth.is_multiple_of(2)), schedules());
    check_pct(|| write(|nth| nth == 1), schedules(), 3);
}

#[test]
fn records_do_gather() {
    // In some schedule a group has more than one record: the others would show nothing.
    let least = Arc::new(std::sync::atomic::AtomicU32::new(u32::MAX));
    let seen = least.clone();
    check_random(
        move || {
            let disk = Disk { durable: Durable::default(), fails: |_| false, groups: 0 };
            let committer = Arc::new(Committer::new(disk));
            let writers: Vec<_> = (0..THREADS)
                .map(|number| {
                    let committer = committer.clone();
                    thread::spawn(move || {
                        committer.append(|group| group.len() < GROUP, |group| group.push(number))
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
            let groups = committer.when_idle(|disk| disk.groups).unwrap();
            seen.fetch_min(groups, std::sync::atomic::Ordering::Relaxed);
        },
        500,
    );
    assert_eq!(least.load(std::sync::atomic::Ordering::Relaxed), 2);
}
