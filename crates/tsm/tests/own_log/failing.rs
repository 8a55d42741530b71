//! Calls fail: nothing is acknowledged that is not durable, and the log goes on by itself when they work again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use icecore_disk::Disk;
use icecore_testkit::MemDisk;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Loss, Verdict, fail_calls};
use icecore_tsm::internal::Log;
use icecore_tsm::{ErrorKind, Ticket};

use super::model::{Model, SMALL, append, disk, open, record, tickets};

/// Opens a log until that works, as often as calls may fail.
fn open_at_last(hooked: &Arc<dyn Disk>, model: &mut Model, tries: u64) -> Log {
    for _ in 0..=tries {
        match open(hooked.clone(), SMALL) {
            Ok((log, records)) => {
                assert!(model.allows(&records), "{:?} of {model:?}", tickets(&records));
                // What was found counts from now on.
                model.acknowledged = records;
                model.tried.clear();
                return log;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
        }
    }
    panic!("opening fails although the disk works");
}

fn try_append(log: &Log, model: &mut Model, ticket: u64, len: usize) -> bool {
    let new = record(ticket, len);
    match append(log, &new) {
        Ok(()) => {
            model.tried.clear();
            model.acknowledged.push(new);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.path().is_some() && std::error::Error::source(&error).is_some());
            model.tried.push(new);
            false
        }
    }
}

fn try_release(log: &Log, model: &mut Model, flushed: u64) -> bool {
    model.flushed = model.flushed.max(flushed);
    match log.release(Ticket::new(flushed)) {
        Ok(empty) => empty,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            false
        }
    }
}

/// Appends, rolls, releases and opens again. Each failing call costs at most one more try.
fn work(disk: &MemDisk, hooked: &Arc<dyn Disk>, tries: u64) {
    let mut model = Model::default();
    let mut ticket = 0;
    let mut log = open_at_last(hooked, &mut model, tries);
    for len in [10, 900, 900, 0, 3000, 20, 700] {
        ticket += 1;
        try_append(&log, &mut model, ticket, len);
        if ticket == 3 {
            try_release(&log, &mut model, 2);
        }
        if ticket == 5 {
            drop(log);
            log = open_at_last(hooked, &mut model, tries);
        }
        for loss in [Loss::Everything, Loss::Nothing, Loss::Torn(ticket)] {
            model.clone().assert_left(&disk.after_power_loss(loss));
        }
    }
    let worked = (0..=tries).any(|_| {
        ticket += 1;
        try_append(&log, &mut model, ticket, 30)
    });
    assert!(worked, "an append fails although the disk works");
    model.assert_left(&disk.after_power_loss(Loss::Everything));
    assert!((0..=tries).any(|_| try_release(&log, &mut model, ticket + 1)), "the log is not emptied");
    for disk in [disk.after_power_loss(Loss::Everything), disk.clone()] {
        assert!(
            disk.files().keys().all(|path| path.extension().unwrap() == "torn"),
            "{:?}",
            disk.files().keys()
        );
    }
}

#[test]
fn any_call_fails_once_or_thrice_in_any_way() {
    let mut cases = 0;
    for failure in [Failure::Io, Failure::NoSpace] {
        for short in [0, 40] {
            for width in [1, 3] {
                let mut first = 0;
                loop {
                    let calls = Arc::new(AtomicU64::new(0));
                    let counted = calls.clone();
                    let counts = move |call: &Call<'_>| {
                        call.action.changes() && counted.fetch_add(1, Ordering::Relaxed) < u64::MAX
                    };
                    let disk = disk();
                    let hook = fail_calls(counts, first..=first + width - 1, failure, short);
                    let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(disk.clone(), hook));
                    work(&disk, &hooked, width);
                    if calls.load(Ordering::Relaxed) <= first {
                        break;
                    }
                    (first, cases) = (first + 1, cases + 1);
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 300, "{cases}");
}

#[test]
fn when_space_returns_writes_go_on_without_opening_again() {
    let full = Arc::new(AtomicBool::new(false));
    let is_full = full.clone();
    let below = disk();
    let hook = move |call: &Call<'_>| {
        let needs_room = matches!(
            call.action,
            Action::Create | Action::Append | Action::WriteAt | Action::Reserve | Action::SetSize
        );
        match needs_room && is_full.load(Ordering::Relaxed) {
            true => Verdict::Short(call.len / 3, Failure::NoSpace),
            false => Verdict::Go,
        }
    };
    let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(below.clone(), hook));
    let mut model = Model::default();
    let log = open_at_last(&hooked, &mut model, 0);
    for round in 0..5 {
        full.store(false, Ordering::Relaxed);
        assert!((1..4).all(|n| try_append(&log, &mut model, round * 100 + n, 300)), "there is room");
        full.store(true, Ordering::Relaxed);
        assert!((4..9).all(|n| !try_append(&log, &mut model, round * 100 + n, 300)), "there is none");
        model.clone().assert_left(&below.after_power_loss(Loss::Everything));
        assert!(!try_release(&log, &mut model, round * 100 + 2));
    }
    assert!(try_release(&log, &mut model, 1000), "a full disk is made emptier");
    assert!(below.files().is_empty());
}

#[test]
fn a_file_that_is_in_the_way_is_not_touched() {
    let disk = disk();
    let mut model = Model::default();
    let hooked: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = open_at_last(&hooked, &mut model, 0);
    disk.put(&super::model::path(1), b"somebody's".to_vec());
    assert!(!try_append(&log, &mut model, 1, 20));
    assert!(try_append(&log, &mut model, 2, 20));
    assert_eq!(disk.files()[&super::model::path(1)], b"somebody's");
}

#[test]
fn a_segment_that_failed_is_never_written_again() {
    for action in [Action::WriteAt, Action::Sync] {
        let (below, calls) = (disk(), AtomicU64::new(0));
        let hook = move |call: &Call<'_>| {
            let is_first = call.path == super::model::path(1);
            if is_first && call.action == action {
                // The first is for the header, the second for a record.
                match calls.fetch_add(1, Ordering::Relaxed) {
                    1 => return Verdict::Short(20, Failure::Io),
                    nth => assert_eq!(nth, 0, "{call:?}"),
                }
            }
            Verdict::Go
        };
        let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(below.clone(), hook));
        let mut model = Model::default();
        let log = open_at_last(&hooked, &mut model, 0);
        assert!(!try_append(&log, &mut model, 1, 200));
        assert!(try_append(&log, &mut model, 2, 10) && try_append(&log, &mut model, 3, 10));
        assert_eq!(log.stats().segments, 2);
        assert_eq!(tickets(&super::model::found(&below).unwrap().1), [2, 3], "the first is void");
    }
}
