//! Power is lost before every call that changes the disk: what is left is the last committed state or the one that was
//! being committed, sound, and can be written to.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::history::{Manner, Seed, assert_is, change, seeds};
use common::{Content, content};
use icecore_disk::{Disk, LockMode};
use icecore_kvstore::{Builder, ErrorKind, Problem, Store};
use icecore_testkit::Random;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Loss, MemDisk, Verdict, fail_calls, fill_up};

const FILE: &str = "/data/history.bolt";
const LOSSES: u64 = 8;

fn losses(seed: u64) -> impl Iterator<Item = Loss> {
    let torn = (2..LOSSES).map(move |n| Loss::Torn(seed.wrapping_mul(LOSSES).wrapping_add(n)));
    [Loss::Everything, Loss::Nothing].into_iter().chain(torn)
}

fn open(disk: &MemDisk) -> Store {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Store::open(disk, Path::new(FILE), LockMode::Exclusive).unwrap_or_else(|error| panic!("{error}"))
}

/// The file of this disk is sound and shows a state that is expected; and goes on from there.
fn assert_left(disk: &MemDisk, expected: &[Content], goes_on: bool) {
    let store = open(disk);
    let shown = content(&store.view()).unwrap();
    assert!(expected.contains(&shown), "neither the state before nor the one after");
    let report = store.view().verify().unwrap_or_else(|error| panic!("{error}"));
    assert!(report.notes.iter().all(is_expected), "{:?}", report.notes);
    if goes_on {
        let (_, ()) = store.write(|tx| tx.bucket_or_create(b"after")?.put(b"power", b"is back")).unwrap();
        store.view().verify().unwrap();
    }
}

/// A torn meta page; and, where digests are kept, free pages of the commit that did not happen.
fn is_expected(note: &Problem) -> bool {
    note.page().get() < 2 || note.what() == "a page that is not used is not what was written"
}

/// A disk that is looked at before every change: what would be left of it, were the power lost now?
struct Watched {
    disk: MemDisk,
    expected: Arc<Mutex<Vec<Content>>>,
    points: Arc<AtomicU64>,
}

impl Watched {
    fn new(seed: u64) -> (Self, Arc<dyn Disk>) {
        let disk = MemDisk::recording();
        disk.create_dir(Path::new("/data")).unwrap();
        let watched = Self { disk: disk.clone(), expected: Arc::default(), points: Arc::default() };
        let (below, expected, points) = (disk.clone(), watched.expected.clone(), watched.points.clone());
        let hook = move |call: &Call<'_>| {
            let expected = expected.lock().unwrap();
            if call.action.changes() && !expected.is_empty() {
                let point = points.fetch_add(1, Ordering::Relaxed);
                for loss in losses(seed.wrapping_mul(1_000_003).wrapping_add(point)) {
                    assert_left(&below.after_power_loss(loss), &expected, point % 4 == 0);
                }
            }
            Verdict::Go
        };
        (watched, Arc::new(Hooked::new(disk, hook)))
    }

    fn expect(&self, states: &[&Content]) {
        *self.expected.lock().unwrap() = states.iter().copied().cloned().collect();
    }

    /// Nothing but this may be left now.
    fn assert_durable(&self, state: &Content) {
        for loss in losses(0) {
            assert_left(&self.disk.after_power_loss(loss), std::slice::from_ref(state), false);
        }
    }
}

fn small(random: &mut Random) -> Manner {
    Manner { changes: 1 + random.below(60), ..Manner::of(random) }
}

/// Makes transactions, each watched; returns the number of points at which power was lost.
fn lose_power_in(seed: u64, transactions: usize) -> u64 {
    let mut random = Random::new(seed);
    let manner = small(&mut random);
    let (watched, disk) = Watched::new(seed);
    let builder = Builder::new(1024 << random.below(3)).unwrap();
    let mut store = Store::create(Arc::clone(&disk), Path::new(FILE), builder).unwrap();
    if seed.is_multiple_of(3) {
        store.keep_digests().unwrap();
    }
    let mut model = Content::new();
    let mut held = Vec::new();
    for _ in 0..transactions {
        let mut wanted = model.clone();
        watched.expect(&[&model]); // the first transaction writes before it changes anything
        let mut tx = store.begin().unwrap();
        change(&mut tx, &mut wanted, manner, &mut random).unwrap();
        watched.expect(&[&model, &wanted]);
        tx.commit().unwrap();
        watched.assert_durable(&wanted);
        model = wanted;
        match random.below(6) {
            0 => held.push(store.view()), // its pages are not written over
            1 => held.clear(),
            2 => {
                held.clear();
                drop(store);
                store = Store::open(Arc::clone(&disk), Path::new(FILE), LockMode::Exclusive).unwrap();
            }
            _ => {}
        }
    }
    assert_is(&store.view(), &model);
    watched.points.load(Ordering::Relaxed)
}

#[test]
fn power_loss_at_every_call_leaves_the_state_before_or_after() {
    let mut points = 0;
    for seed in seeds(32) {
        let _seed = Seed(seed);
        points += lose_power_in(seed, 12);
    }
    println!("{points} points, {} images", points * LOSSES);
    assert!(points >= 2000 || std::env::var_os("ICECORE_HISTORIES").is_some(), "{points}");
}

/// A whole new file takes the old one's place: the name leads to one of them at any moment.
#[test]
fn power_loss_at_every_call_of_a_replacement_leaves_the_old_file_or_the_new_one() {
    for seed in seeds(12) {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let (watched, disk) = Watched::new(seed);
        let store = Store::create(disk, Path::new(FILE), Builder::new(1024).unwrap()).unwrap();
        let mut model = Content::new();
        for _ in 0..3 {
            let mut wanted = Content::new();
            let mut tx = store.begin().unwrap();
            change(&mut tx, &mut model, small(&mut random), &mut random).unwrap();
            watched.expect(&[]);
            tx.commit().unwrap();
            bucket_named(&mut wanted, seed);
            let builder = common::fill(store.builder(), &wanted).unwrap();
            watched.expect(&[&model, &wanted]);
            store.replace(builder).unwrap();
            watched.assert_durable(&wanted);
            watched.expect(&[]);
            model = wanted;
        }
        assert!(watched.points.load(Ordering::Relaxed) > 12);
    }
}

fn bucket_named(model: &mut Content, seed: u64) {
    let pairs = (0..60 * (seed % 5)).map(|n| (n.to_be_bytes().to_vec(), common::Entry::Value(vec![1; 90])));
    model.insert(b"bucket-1".to_vec(), common::Entry::Bucket(seed, pairs.collect()));
}

/// A disk whose failed syncs lose what they were to make durable, while it is still shown.
fn failing(disk: &MemDisk, hook: impl Fn(&Call<'_>) -> Verdict + Send + Sync + 'static) -> Arc<dyn Disk> {
    let below = disk.clone();
    Arc::new(Hooked::new(disk.clone(), move |call: &Call<'_>| {
        let verdict = hook(call);
        if call.action == Action::Sync && matches!(verdict, Verdict::Fail(_) | Verdict::Short(..)) {
            below.forget_unsynced(call.path);
        }
        verdict
    }))
}

/// A store with some content on a disk of its own, all of it durable.
fn prepared(seed: u64) -> (MemDisk, Content, Manner, Random) {
    let mut random = Random::new(seed);
    let manner = small(&mut random);
    let disk = MemDisk::recording();
    disk.create_dir(Path::new("/data")).unwrap();
    let store = Store::create(Arc::new(disk.clone()), Path::new(FILE), Builder::new(1024).unwrap()).unwrap();
    if seed.is_multiple_of(3) {
        store.keep_digests().unwrap();
    }
    let mut model = Content::new();
    for _ in 0..3 {
        common::history::step(&store, &mut model, manner, &mut random).unwrap();
    }
    (disk, model, manner, random)
}

/// Commits on a disk that fails; what is said is true, and what is left is sound. Returns whether it succeeded.
fn commit_on(
    disk: &MemDisk,
    failing: Arc<dyn Disk>,
    before: &Content,
    manner: Manner,
    mut random: Random,
) -> bool {
    let store = Store::open(failing, Path::new(FILE), LockMode::Exclusive).unwrap();
    let mut after = before.clone();
    let outcome = store.begin().and_then(|mut tx| {
        change(&mut tx, &mut after, manner, &mut random)?;
        tx.commit()
    });
    match &outcome {
        Ok(_) => assert_is(&store.view(), &after),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert!(error.path().is_some() && std::error::Error::source(error).is_some());
            assert_is(&store.view(), before);
            match store.begin() {
                Ok(tx) => drop(tx), // the file could not be mapped, and nothing was written
                Err(error) => assert_eq!(error.kind(), ErrorKind::Poisoned),
            }
        }
    }
    drop(store);
    let expected = if outcome.is_ok() { vec![after] } else { vec![before.clone(), after] };
    for loss in losses(9) {
        assert_left(&disk.after_power_loss(loss), &expected, true);
    }
    go_on_after_a_failure(disk, &expected);
    outcome.is_ok()
}

/// The process goes on with what the system shows of the file, which may never have reached the disk; then power is lost
/// at every call of the next commit.
fn go_on_after_a_failure(disk: &MemDisk, expected: &[Content]) {
    let states = Arc::new(Mutex::new(expected.to_vec()));
    let (below, known, point) = (disk.clone(), Arc::clone(&states), AtomicU64::new(0));
    let watched = Hooked::new(disk.clone(), move |call: &Call<'_>| {
        if call.action.changes() {
            let expected = known.lock().unwrap();
            for loss in losses(point.fetch_add(1, Ordering::Relaxed)) {
                assert_left(&below.after_power_loss(loss), &expected, false);
            }
        }
        Verdict::Go
    });
    let store = Store::open(Arc::new(watched), Path::new(FILE), LockMode::Exclusive).unwrap();
    let mut model = content(&store.view()).unwrap();
    assert!(expected.contains(&model));
    for n in 0..3 {
        let mut random = Random::new(n);
        let mut tx = store.begin().unwrap();
        change(&mut tx, &mut model, small(&mut random), &mut random).unwrap();
        states.lock().unwrap().push(model.clone());
        tx.commit().unwrap();
        *states.lock().unwrap() = vec![model.clone()];
    }
}

#[test]
fn a_failure_at_every_call_is_told_and_loses_nothing_that_was_committed() {
    let mut failures = 0;
    for seed in seeds(6) {
        let _seed = Seed(seed);
        for failure in [Failure::Io, Failure::NoSpace] {
            for (short, only_one) in [(0, true), (0, false), (50, true), (99, false)] {
                for call in 0.. {
                    let (disk, before, manner, random) = prepared(seed);
                    let numbers = call..=if only_one { call } else { u64::MAX };
                    let counts = |call: &Call<'_>| call.action.changes() || call.action == Action::Map;
                    let begun = AtomicU64::new(0);
                    let hook = fail_calls(
                        // The map that opening makes is not counted.
                        move |call| counts(call) && begun.fetch_add(1, Ordering::Relaxed) > 0,
                        numbers,
                        failure,
                        short,
                    );
                    let has_failed = Arc::new(AtomicBool::new(false));
                    let failed = Arc::clone(&has_failed);
                    let hook = move |call: &Call<'_>| {
                        let verdict = hook(call);
                        failed.fetch_or(verdict != Verdict::Go, Ordering::Relaxed);
                        verdict
                    };
                    let committed = commit_on(&disk, failing(&disk, hook), &before, manner, random);
                    if !has_failed.load(Ordering::Relaxed) {
                        assert!(committed && call > 4, "only {call} calls");
                        break;
                    }
                    // Once the meta page is durable, only the record of the digests is left to fail.
                    assert!(!committed || seed.is_multiple_of(3), "call {call} failed, and nobody was told");
                    failures += 1;
                }
            }
        }
    }
    println!("{failures} failures");
}

#[test]
fn a_disk_that_fills_up_at_any_byte_is_told_and_loses_nothing_that_was_committed() {
    let mut failures = 0;
    for seed in seeds(6) {
        let _seed = Seed(seed);
        for room in 0.. {
            let (disk, before, manner, random) = prepared(seed);
            if commit_on(&disk, failing(&disk, fill_up(room * 700)), &before, manner, random) {
                break;
            }
            failures += 1;
        }
    }
    println!("{failures} failures");
}
