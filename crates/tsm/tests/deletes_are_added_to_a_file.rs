//! Deletes of a TSM file become records of its tombstone: those that hit it, beside all that were there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod failing;

use std::path::{Path, PathBuf};

use failing::{Failing, Outage};
use icecore_disk::Disk;
use icecore_testkit::{MemDisk, tsm};
use icecore_tsm::{
    BlockType, Delete, ErrorKind, FileName, Scope, Shard, ShardDir, TimeRange, Trust, TsmFile,
};

const NAME: &str = "000000002-000000001.tsm";
const TOMBSTONE: &str = "000000002-000000001.tombstone";

/// In the order of a file, which is not that of the series: `!` comes before `#`.
const KEYS: [&str; 6] = [
    "x,host=a!b#!~#load",
    "x,host=a#!~#idle",
    "x,host=a#!~#load",
    "x,host=a#!~#odd#!~#field",
    "x,host=ab#!~#load",
    "y#!~#load",
];

fn dir() -> ShardDir {
    ShardDir { data: PathBuf::from("/shard"), wal: PathBuf::from("/wal") }
}

fn path() -> PathBuf {
    dir().data.join(NAME)
}

fn tombstone_path() -> PathBuf {
    dir().data.join(TOMBSTONE)
}

/// A file whose keys have the times 0, 10 … 990, in ten blocks.
fn disk() -> MemDisk {
    let disk = MemDisk::default();
    let column = tsm::column(BlockType::Integer, (0..100).map(|at| at * 10).collect(), 5);
    disk.put(&path(), tsm::file(KEYS.iter().map(|key| (key, column.clone())), 10));
    disk.create_dir(&dir().wal).unwrap();
    disk
}

fn open(disk: &dyn Disk) -> TsmFile {
    TsmFile::open(disk, &path(), FileName::parse(NAME).unwrap()).unwrap()
}

fn range(min: i64, max: i64) -> TimeRange {
    TimeRange::new(min, max).unwrap()
}

fn delete(scope: Scope<'_>, range: TimeRange) -> Delete<'_> {
    Delete { scope, range }
}

/// How many points a reader finds of each key, with the deletes applied.
fn counts(disk: &MemDisk) -> Vec<usize> {
    let shard = Shard::open_read_only(disk, &dir(), Trust::Manifest).unwrap();
    let snapshot = shard.snapshot().unwrap();
    let count = |key: &&str| {
        let mut count = 0;
        let read = snapshot.read(key.as_bytes(), |column| {
            count += column.len();
            Ok(())
        });
        read.unwrap();
        count
    };
    KEYS.iter().map(count).collect()
}

/// The records of the tombstone on disk, by a reader of its own.
fn records(disk: &MemDisk) -> Vec<(String, i64, i64)> {
    use std::io::Read;
    let bytes = &disk.files()[&tombstone_path()];
    let (magic, members) = bytes.split_first_chunk::<4>().unwrap();
    assert_eq!(magic, &[0, 0, 0x15, 4]);
    let mut content = Vec::new();
    flate2::read::MultiGzDecoder::new(members).read_to_end(&mut content).unwrap();
    let mut rest = content.as_slice();
    let mut records = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (key, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        let (min, tail) = tail.split_first_chunk().unwrap();
        let (max, tail) = tail.split_first_chunk().unwrap();
        let key = String::from_utf8(key.to_vec()).unwrap();
        records.push((key, i64::from_be_bytes(*min), i64::from_be_bytes(*max)));
        rest = tail;
    }
    assert!(rest.is_empty());
    records
}

#[test]
fn each_scope_deletes_its_keys_and_no_others() {
    let odd = "x,host=a#!~#odd#!~#field";
    let cases: [(Scope<'_>, &[usize]); 9] = [
        (Scope::Key(b"x,host=a#!~#load"), &[2]),
        (Scope::Key(odd.as_bytes()), &[3]),
        (Scope::Series(b"x,host=a"), &[1, 2, 3]),
        (Scope::Series(b"x,host=a!b"), &[0]),
        (Scope::Series(b"y"), &[5]),
        (Scope::Prefix(b"x,host=a"), &[0, 1, 2, 3, 4]),
        (Scope::Prefix(b"x,host=a#"), &[1, 2, 3]),
        (Scope::Prefix(b"y#!~#load"), &[5]),
        (Scope::Prefix(b""), &[0, 1, 2, 3, 4, 5]),
    ];
    for (scope, hit) in cases {
        let disk = disk();
        let file = open(&disk).delete(&disk, &[delete(scope, TimeRange::ALL)], None).unwrap().unwrap();
        assert!(file.has_deletes());
        let expected = hit.iter().map(|at| (KEYS[*at].to_owned(), i64::MIN, i64::MAX));
        assert_eq!(records(&disk), expected.collect::<Vec<_>>(), "{scope:?}");
        let left = |at| if hit.contains(&at) { 0 } else { 100 };
        assert_eq!(counts(&disk), (0..6).map(left).collect::<Vec<_>>(), "{scope:?}");
    }
}

#[test]
fn what_hits_nothing_is_not_recorded() {
    let all = TimeRange::ALL;
    for nothing in [
        delete(Scope::Key(b"x,host=a"), all),
        delete(Scope::Series(b"x"), all),
        delete(Scope::Series(b"x,host="), all),
        // influxd and we split a key at its first separator, so no key is of this series.
        delete(Scope::Series(b"x,host=a#!~#odd"), all),
        delete(Scope::Prefix(b"z"), all),
        delete(Scope::Prefix(b""), range(991, i64::MAX)),
        delete(Scope::Prefix(b""), range(i64::MIN, -1)),
        delete(Scope::Prefix(b""), range(91, 99)), // between two blocks
    ] {
        let disk = disk();
        let before = disk.files();
        assert!(open(&disk).delete(&disk, &[nothing], Some(1)).unwrap().is_none(), "{nothing:?}");
        assert!(open(&disk).delete(&disk, &[], Some(1)).unwrap().is_none());
        assert_eq!(disk.files(), before);
    }
}

#[test]
fn ranges_of_a_key_are_joined_and_what_is_deleted_already_is_not_recorded_again() {
    let disk = disk();
    let y = Scope::Key(b"y#!~#load");
    let deletes = [delete(y, range(100, 200)), delete(y, range(201, 305)), delete(y, range(500, 500))];
    let file = open(&disk).delete(&disk, &deletes, Some(77)).unwrap().unwrap();
    let key = || "y#!~#load".to_owned();
    assert_eq!(records(&disk), [(key(), 100, 305), (key(), 500, 500)]);
    assert_eq!(counts(&disk), [100, 100, 100, 100, 100, 78]);
    assert_eq!((file.modified_ns(), disk.stat(&tombstone_path()).unwrap().modified_ns), (77, 77));

    let before = disk.files();
    let again = [delete(y, range(120, 300)), delete(Scope::Prefix(b"y"), range(500, 500))];
    assert!(file.delete(&disk, &again, None).unwrap().is_none());
    assert_eq!(disk.files(), before);
    file.delete(&disk, &[delete(y, range(300, 306))], None).unwrap().unwrap();
    // 306 lies in no point, but a block covers it.
    assert_eq!(records(&disk).last().unwrap(), &(key(), 300, 306));
}

#[test]
fn a_commit_leaves_the_bytes_before_it_as_they_stand_whatever_handle_it_comes_from() {
    let disk = disk();
    let stale = open(&disk);
    let mut before = Vec::new();
    for (at, key) in KEYS.iter().enumerate() {
        let deletes = [delete(Scope::Key(key.as_bytes()), range(0, 95))];
        let file = stale.delete(&disk, &deletes, None).unwrap().unwrap();
        let bytes = disk.files()[&tombstone_path()].clone();
        assert!(bytes.starts_with(&before) && bytes.len() > before.len());
        assert_eq!(file.tombstone().unwrap().bytes[..], bytes);
        assert_eq!(records(&disk).len(), at + 1);
        before = bytes;
    }
    assert_eq!(counts(&disk), [90; 6]);
}

#[test]
fn the_same_deletes_give_the_same_bytes() {
    let deletes = [delete(Scope::Prefix(b"x"), range(5, 500)), delete(Scope::Series(b"y"), TimeRange::ALL)];
    let [a, b] = [disk(), disk()].map(|disk| {
        open(&disk).delete(&disk, &deletes, None).unwrap().unwrap();
        disk.files()
    });
    assert_eq!(a, b);
}

#[test]
fn older_tombstones_keep_their_deletes() {
    let records_v2 = tsm::tombstone_v2(&[("x,host=ab#!~#load", range(0, 495))]);
    let member = tsm::tombstone_v4(&[&[("x,host=ab#!~#load", range(0, 495))]])[4..].to_vec();
    let olds: [(&str, Vec<u8>, usize); 6] = [
        ("v1", b"x,host=ab#!~#load\n".to_vec(), 0),
        ("v2", records_v2, 50),
        ("v3", [&[0, 0, 0x15, 3][..], &member].concat(), 50),
        ("v4", [&[0, 0, 0x15, 4][..], &member].concat(), 50),
        ("members without a magic", member, 50),
        ("zero length", Vec::new(), 100),
    ];
    for (what, old, left) in olds {
        let disk = disk();
        disk.put(&tombstone_path(), old);
        let file = open(&disk);
        file.delete(&disk, &[delete(Scope::Series(b"y"), TimeRange::ALL)], None).unwrap().unwrap();
        assert_eq!(counts(&disk), [100, 100, 100, 100, left, 0], "{what}");
        assert_eq!(records(&disk).len(), if left == 100 { 1 } else { 2 }, "{what}");
    }
}

#[test]
fn a_damaged_tombstone_is_an_error_and_nothing_changes() {
    let disk = disk();
    let file = open(&disk);
    let mut damaged = tsm::tombstone_v4(&[&[("x,host=ab#!~#load", range(0, 495))]]);
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [damaged, b"no key\n".to_vec(), vec![0, 0, 0x15, 2, 0]] {
        disk.put(&tombstone_path(), bytes);
        let before = disk.files();
        let error = file.delete(&disk, &[delete(Scope::Series(b"y"), TimeRange::ALL)], None).unwrap_err();
        assert!(error.is_damage());
        assert_eq!(error.path(), Some(&*tombstone_path()));
        assert_eq!(disk.files(), before);
    }
}

#[test]
fn a_leftover_of_another_commit_is_not_touched() {
    let disk = disk();
    let temporary = dir().data.join(format!("{TOMBSTONE}.tmp"));
    disk.put(&temporary, b"of another".to_vec());
    let before = disk.files();
    let error = open(&disk).delete(&disk, &[delete(Scope::Series(b"y"), TimeRange::ALL)], None).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*temporary)));
    assert_eq!(disk.files(), before);
}

/// Every call fails once, and from every call on all fail: the tombstone is the old one or the new one.
#[test]
fn failures_at_every_call() {
    let old = tsm::tombstone_v2(&[("x,host=ab#!~#load", range(0, 495))]);
    let deletes = [delete(Scope::Series(b"y"), TimeRange::ALL)];
    for outage in [Outage::Once, Outage::ForGood] {
        let mut failures = 0;
        for budget in 0.. {
            let disk = disk();
            disk.put(&tombstone_path(), old.clone());
            let file = open(&disk);
            let failing = Failing::new(&disk, budget, outage);
            let outcome = file.delete(&failing, &deletes, Some(3));
            let what = format!("call {budget} fails {outage:?}");
            let mut files = disk.files();
            let left = files.remove(&tombstone_path().with_extension("tombstone.tmp"));
            assert!(outage == Outage::ForGood || left.is_none(), "{what}");
            assert_eq!(files.keys().collect::<Vec<_>>(), [&tombstone_path(), &path()], "{what}");
            let is_old = files[&tombstone_path()] == old;
            assert_eq!(counts(&disk), [100, 100, 100, 100, 50, if is_old { 100 } else { 0 }], "{what}");
            match outcome {
                Ok(file) => {
                    assert!(!failing.has_failed() && file.is_some() && !is_old, "{what}");
                    break;
                }
                Err(error) => {
                    failures += 1;
                    assert_eq!(error.kind(), ErrorKind::Io, "{what}");
                }
            }
        }
        assert!(failures > 10, "{failures}");
    }
}

#[test]
fn a_tombstone_is_synced_before_it_gets_its_name_and_the_name_before_the_return() {
    let disk = disk();
    let recording = Failing::new(&disk, usize::MAX, Outage::Once);
    let deletes = [delete(Scope::Series(b"y"), TimeRange::ALL)];
    open(&disk).delete(&recording, &deletes, Some(3)).unwrap().unwrap();
    let calls = recording.calls();
    let start = calls.iter().position(|call| call.starts_with("create")).unwrap();
    let end = calls.iter().position(|call| call.starts_with("sync_dir")).unwrap();
    let of_temporary = |what| format!("{what} {TOMBSTONE}.tmp");
    let expected = ["create", "append", "append", "set_modified", "sync", "rename"].map(of_temporary);
    assert_eq!(calls[start..end], expected);
    assert!(calls[end..].iter().all(|call| !call.starts_with("append") && !call.starts_with("rename")));
}

#[test]
fn a_file_that_is_gone_gets_no_tombstone() {
    let disk = disk();
    let file = open(&disk);
    disk.remove(Path::new(&path())).unwrap();
    let error = file.delete(&disk, &[delete(Scope::Series(b"y"), TimeRange::ALL)], None).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*path())));
    assert!(disk.files().is_empty());
}
