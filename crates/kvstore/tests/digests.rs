//! Digests beside the file find every flipped bit, stay right through commits, and are never taken for those of a state
//! that somebody else wrote.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::history::{Manner, Seed, assert_is, seeds, step};
use common::{Content, Entry, content, copied, fill};
use icecore_disk::{Disk, LockMode};
use icecore_kvstore::{Builder, ErrorKind, Store};
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Verdict, fail_calls};
use icecore_testkit::{MemDisk, Random, fixtures};

const FILE: &str = "/data/file.bolt";
const SUMS: &str = "/data/file.bolt.sums";
const UNUSED: &str = "a page that is not used is not what was written";
const OTHER_STATE: &str = "the digests beside the file are of another state";

fn open(disk: &MemDisk, mode: LockMode) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new(FILE), mode).unwrap_or_else(|error| panic!("{error}"))
}

/// A disk with this file on it.
fn disk_with(bytes: Vec<u8>) -> MemDisk {
    let disk = MemDisk::default();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.put(Path::new(FILE), bytes);
    disk
}

fn read(disk: &MemDisk, path: &str) -> Vec<u8> {
    disk.files()[Path::new(path)].clone()
}

/// An influxd's file of 65,536 bytes, all of them pages below the high-water mark, and its digests.
fn real() -> (Vec<u8>, Vec<u8>) {
    let disk = disk_with(fixtures::read("kitchen-sink/http/kv.bolt"));
    open(&disk, LockMode::Exclusive).keep_digests().unwrap();
    (read(&disk, FILE), read(&disk, SUMS))
}

/// Tries the bits of so many bytes, on all cores: one bit of each byte, or, where `ICECORE_EVERY_BIT` is set, all eight.
/// Returns how many of each byte.
fn each_bit(bytes: usize, check: impl Fn(usize) + Sync) -> usize {
    let of_a_byte = if std::env::var_os("ICECORE_EVERY_BIT").is_some() { 8 } else { 1 };
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(512, Ordering::Relaxed);
                    if first >= bytes {
                        return;
                    }
                    for byte in first..bytes.min(first + 512) {
                        (0..of_a_byte).for_each(|nth| check(byte * 8 + (byte + nth) % 8));
                    }
                }
            });
        }
    });
    of_a_byte
}

/// Without digests: whatever is flipped, reading ends; and what passes the check unnoted has taken nothing away.
fn assert_reads_without(bytes: Vec<u8>, bit: usize, pairs: usize) {
    let disk = disk_with(bytes);
    let store = open(&disk, LockMode::Shared);
    let shown = content(&store.view());
    let report = store.view().check();
    if report.is_clean() {
        let shown = shown.unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        assert!(!report.notes.is_empty() || count(&shown) == pairs, "bit {bit} took something away");
    }
}

fn count(content: &Content) -> usize {
    let inside = content.values().map(|entry| match entry {
        Entry::Value(_) => 1,
        Entry::Bucket(_, inside) => count(inside),
    });
    inside.sum()
}

#[test]
fn a_flipped_bit_of_a_real_file_is_found_wherever_it_is() {
    let (whole, sums) = real();
    assert_eq!(whole.len(), 65_536);
    let report = {
        let disk = disk_with(whole.clone());
        disk.put(Path::new(SUMS), sums.clone());
        open(&disk, LockMode::Shared).view().verify().unwrap()
    };
    assert_eq!((report.digests, report.notes.len(), report.free), (Some(16), 0, 4));
    let (damage, noted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let pairs = count(&content(&open(&disk_with(whole.clone()), LockMode::Shared).view()).unwrap());
    let of_a_byte = each_bit(whole.len(), |bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_reads_without(bytes.clone(), bit, pairs);
        let disk = disk_with(bytes);
        disk.put(Path::new(SUMS), sums.clone());
        let store = open(&disk, LockMode::Shared);
        let report = store.view().check();
        let page = (bit / 8 / 4096) as u64;
        if report.is_clean() {
            // A meta page that is torn leads to the state before, which has its own record; free pages mean nothing.
            assert!(report.notes.iter().any(|note| note.page().get() == page), "bit {bit} passed");
            assert!(page < 2 || report.notes[0].what() == UNUSED, "bit {bit} of a page in use is only noted");
            noted.fetch_add(1, Ordering::Relaxed);
        } else {
            assert!(report.problems.iter().any(|problem| problem.page().get() == page), "bit {bit}");
            assert!(bit % 64 > 0 || store.view().copy().is_err(), "damage is not copied");
            damage.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (damage, noted) = (damage.into_inner(), noted.into_inner());
    println!("{damage} damage, {noted} noted");
    let page = 4096 * of_a_byte;
    assert_eq!((damage, noted), (10 * page, 6 * page), "pages in use; metas and free pages");
}

#[test]
fn a_damaged_side_file_is_never_taken_for_a_damaged_file() {
    let (whole, sums) = real();
    for bit in 0..sums.len() * 8 {
        let mut sums = sums.clone();
        sums[bit / 8] ^= 1 << (bit % 8);
        let disk = disk_with(whole.clone());
        disk.put(Path::new(SUMS), sums);
        open(&disk, LockMode::Shared).view().verify().unwrap_or_else(|error| panic!("bit {bit}: {error}"));
    }
    for len in 0..sums.len() {
        let disk = disk_with(whole.clone());
        disk.put(Path::new(SUMS), sums[..len].to_vec());
        let report = open(&disk, LockMode::Shared).view().verify().unwrap();
        assert!(!report.notes.is_empty() || report.digests < Some(16), "{len} bytes");
    }
}

#[test]
fn digests_follow_every_commit_replacement_and_compaction() {
    for seed in seeds(12) {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let manner = Manner::of(&mut random);
        let disk = MemDisk::default();
        disk.create_dir(Path::new("/data")).unwrap();
        let builder = Builder::new(1024 << random.below(3)).unwrap();
        let mut store = Store::create(Arc::new(disk.clone()), Path::new(FILE), builder).unwrap();
        store.keep_digests().unwrap();
        let (mut model, mut held) = (Content::new(), Vec::new());
        for _ in 0..20 {
            step(&store, &mut model, manner, &mut random).unwrap();
            assert_is(&store.view(), &model);
            // As another process would see it; a lock of this disk is one of the file's content.
            let other = disk_with(read(&disk, FILE));
            other.put(Path::new(SUMS), read(&disk, SUMS));
            let report = open(&other, LockMode::Shared).view().verify().unwrap();
            assert_eq!(report.notes, []);
            assert!(report.digests >= Some(report.used), "{report:?}");
            match random.below(8) {
                0 => held.push((store.view(), model.clone())),
                1 => held.drain(..).for_each(|(view, then)| assert_is(&view, &then)),
                2 => drop(store.compact().unwrap()),
                3 => drop(store.replace(fill(store.builder(), &model).unwrap()).unwrap()),
                4 => {
                    held.clear();
                    drop(store);
                    store = open(&disk, LockMode::Exclusive);
                }
                _ => {}
            }
        }
    }
}

/// A store with some pairs, and where the last of their values lies.
fn with_values() -> (MemDisk, usize) {
    let disk = disk_with(Vec::new());
    disk.remove(Path::new(FILE)).unwrap();
    let store = Store::create(Arc::new(disk.clone()), Path::new(FILE), Builder::new(1024).unwrap()).unwrap();
    store.keep_digests().unwrap();
    let put = |key: u32, value: &[u8]| {
        store.write(|tx| tx.bucket_or_create(b"b")?.put(&key.to_be_bytes(), value)).unwrap();
    };
    (0..100).for_each(|key| put(key, &[7; 40]));
    put(100, b"a value that nobody holds");
    let bytes = read(&disk, FILE);
    let at = bytes.windows(7).rposition(|window| window == b"a value").unwrap();
    (disk, at)
}

#[test]
fn a_flip_inside_a_value_is_neither_copied_nor_written_upon() {
    let (disk, at) = with_values();
    let mut bytes = read(&disk, FILE);
    bytes[at] ^= 1;
    disk.put(Path::new(FILE), bytes);
    let store = open(&disk, LockMode::Exclusive);
    let damaged = ErrorKind::Corrupt("the page is not what was written");
    let error = store.begin().unwrap_err();
    assert_eq!((error.kind(), error.page().unwrap().get()), (damaged, (at / 1024) as u64));
    assert_eq!(store.view().copy().unwrap_err().kind(), damaged);
    assert_eq!(store.compact().unwrap_err().kind(), damaged);
    disk.remove(Path::new(SUMS)).unwrap();
    drop(store);
    open(&disk, LockMode::Shared).view().verify().expect("the format itself does not see it");
}

#[test]
fn digests_of_another_state_are_not_used_and_the_next_transaction_makes_them_anew() {
    let (disk, _) = with_values();
    let old = read(&disk, SUMS);
    disk.remove(Path::new(SUMS)).unwrap();
    let change = |store: &Store| store.write(|tx| tx.bucket_or_create(b"b")?.put(b"key", b"other")).unwrap();
    change(&open(&disk, LockMode::Exclusive));
    disk.put(Path::new(SUMS), old);
    let report = open(&disk, LockMode::Shared).view().verify().unwrap();
    assert_eq!((report.digests, report.notes[0].what()), (None, OTHER_STATE));
    change(&open(&disk, LockMode::Exclusive));
    let report = open(&disk, LockMode::Shared).view().verify().unwrap();
    assert!(report.digests >= Some(report.used) && report.notes.is_empty(), "{report:?}");
}

/// A commit that is cut short before its meta page, then one of another program that writes the same meta page with other
/// values: the digests of the first are not held against the second.
#[test]
fn a_commit_that_did_not_happen_leaves_no_digests_behind() {
    let (disk, _) = with_values();
    let put = |store: &Store, value: u8| {
        store.write(|tx| tx.bucket_or_create(b"b")?.put(&5_u32.to_be_bytes(), &[value; 40])).unwrap();
    };
    let other = |value| {
        let disk = disk_with(read(&disk, FILE));
        put(&open(&disk, LockMode::Exclusive), value);
        read(&disk, FILE)
    };
    let (ones, twos) = (other(1), other(2));
    assert!(ones != twos && ones[..2048] == twos[..2048], "the same meta pages, other values");

    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let failing = Hooked::new(disk.clone(), move |call: &Call<'_>| {
        let is_meta = call.action == Action::WriteAt && call.path == Path::new(FILE) && call.offset < 2048;
        if is_meta && armed.load(Ordering::Relaxed) { Verdict::Fail(Failure::Io) } else { Verdict::Go }
    });
    let store = Store::open(Arc::new(failing), Path::new(FILE), LockMode::Exclusive).unwrap();
    let mut tx = store.begin().unwrap();
    tx.bucket_or_create(b"b").unwrap().put(&5_u32.to_be_bytes(), &[1; 40]).unwrap();
    is_armed.store(true, Ordering::Relaxed);
    tx.commit().unwrap_err();
    drop(store);
    let left = disk_with(twos);
    left.put(Path::new(SUMS), read(&disk, SUMS));
    let report = open(&left, LockMode::Shared).view().verify().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((report.digests, report.notes[0].what()), (None, OTHER_STATE));
}

#[test]
fn a_new_file_does_not_inherit_the_digests_of_an_earlier_one() {
    let (disk, _) = with_values();
    disk.remove(Path::new(FILE)).unwrap();
    drop(Store::create(Arc::new(disk.clone()), Path::new(FILE), Builder::new(1024).unwrap()).unwrap());
    assert!(!disk.files().contains_key(Path::new(SUMS)));
    let error = open(&disk, LockMode::Shared).keep_digests().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unfit(_)), "{error}");
}

/// Whatever call to the side file fails: what is said is true, and the file itself is sound.
#[test]
fn a_side_file_that_cannot_be_written_is_told_and_loses_nothing() {
    for call in 0.. {
        let (disk, _) = with_values();
        let before = content(&open(&disk, LockMode::Shared).view()).unwrap();
        let counts = |call: &Call<'_>| {
            call.path == Path::new(SUMS) && !matches!(call.action, Action::Open | Action::Stat | Action::Read)
        };
        let failing = Hooked::new(disk.clone(), fail_calls(counts, call..=call, Failure::NoSpace, 50));
        let store = Store::open(Arc::new(failing), Path::new(FILE), LockMode::Exclusive).unwrap();
        let put = |key: &[u8]| store.write(|tx| tx.bucket_or_create(b"b")?.put(key, b"value"));
        let outcomes = [put(b"one"), put(b"two")].map(|outcome| outcome.map_err(|error| error.kind()));
        let shown = content(&store.view()).unwrap();
        assert_eq!(outcomes[0].is_ok() || outcomes[1].is_ok(), shown != before);
        drop(store);
        let left = open(&disk, LockMode::Shared).view();
        left.verify().unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(content(&left).unwrap(), shown, "call {call}");
        if outcomes.iter().all(Result::is_ok) {
            let bytes = copied(&left).unwrap();
            assert!(!bytes.is_empty() && call > 5, "only {call} calls");
            return;
        }
        drop(left);
        let store = open(&disk, LockMode::Exclusive);
        store.write(|tx| tx.bucket_or_create(b"b")?.put(b"after", b"")).unwrap();
        drop(store);
        let report = open(&disk, LockMode::Shared).view().verify().unwrap();
        assert!(report.digests >= Some(report.used), "call {call}: {report:?}");
    }
}
