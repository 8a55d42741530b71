//! Where caches have no room, writes wait, and go on when a flush has made some.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use icecore_tsm::{Batch, Budget, ErrorKind, Shard, Value, Writing, Written};

use crate::check::content;
use crate::machine::{Machine, empty_disk, now};

const SIZE_MAX: u64 = 4000;

fn shard(patience: Duration) -> (Shard, Writing) {
    let writing = Writing { budget: Arc::new(Budget::new(SIZE_MAX, patience)), ..Writing::new(now) };
    (Machine::new(empty_disk(), false).open(&writing), writing)
}

fn write(shard: &Shard, time: i64) -> icecore_tsm::Result<Written> {
    let mut batch = Batch::new();
    batch.point(b"m", 1, time, [(&b"s"[..], Value::String(&[b'x'; 500]))]).unwrap();
    shard.write(&mut batch)
}

/// Writes until there is no room; returns how many went in.
fn fill(shard: &Shard) -> i64 {
    let mut count = 0;
    loop {
        match write(shard, count) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                return count;
            }
        }
    }
}

#[test]
fn a_write_that_finds_no_room_for_too_long_is_refused_and_the_next_one_behind_a_flush_is_not() {
    let (shard, writing) = shard(Duration::from_millis(20));
    let mut written = 0;
    for _ in 0..3 {
        let count = fill(&shard);
        assert!(count > 3 && writing.budget.used() <= SIZE_MAX);
        assert_eq!(writing.budget.used(), shard.cached_size(), "what was refused takes nothing");
        assert!(fill(&shard) == 0);
        written = written.max(count);
        shard.flush().unwrap();
        assert_eq!(writing.budget.used(), 0);
    }
    assert_eq!(
        content(&shard)[&b"m#!~#s"[..]].len(),
        usize::try_from(written).unwrap(),
        "refused points are nowhere"
    );
}

/// Who waits for room has no ticket, so a cut does not wait for it.
#[test]
fn a_snapshot_goes_by_a_write_that_waits_and_makes_room_for_it() {
    let (shard, writing) = shard(Duration::from_secs(3600));
    let mut count = 0;
    while writing.budget.used() + 700 < SIZE_MAX {
        write(&shard, count).unwrap();
        count += 1;
    }
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let shard = &shard;
                    move || write(shard, 1000 + n).unwrap()
                })
            })
            .collect();
        let mut snapshots = 0;
        while !waiting.iter().all(thread::ScopedJoinHandle::is_finished) {
            let ticket = shard.snapshot().unwrap().ticket().unwrap();
            snapshots += 1;
            assert!(ticket.get() > 0 && snapshots < 1_000_000);
        }
        waiting.into_iter().for_each(|waiting| drop(waiting.join().unwrap()));
    });
    assert_eq!(content(&shard)[&b"m#!~#s"[..]].len(), usize::try_from(count + 8).unwrap());
    assert!(writing.budget.used() <= SIZE_MAX);
}

/// What a log had when the shard was opened is there whether there is room or not; then the next write waits.
#[test]
fn a_log_that_is_larger_than_the_room_is_replayed_and_flushed() {
    let (machine, writing) = (Machine::new(empty_disk(), false), Writing::new(now));
    let shard = machine.open(&writing);
    (0..20).for_each(|time| drop(write(&shard, time).unwrap()));
    drop(shard);
    let writing = Writing { budget: Arc::new(Budget::new(SIZE_MAX, Duration::ZERO)), ..Writing::new(now) };
    let shard = machine.open(&writing);
    assert!(writing.budget.used() > SIZE_MAX && writing.budget.used() == shard.cached_size());
    assert_eq!(write(&shard, 20).unwrap_err().kind(), ErrorKind::Unavailable);
    shard.flush().unwrap();
    write(&shard, 20).unwrap();
    assert_eq!(content(&shard)[&b"m#!~#s"[..]].len(), 21);
}
