//! What once went wrong with a shard, each as small as it can be.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, RealDisk, Stat, WriteAt};

use super::tests::{Change, column, entry, frame, now, put, real, tombstone};
use super::*;
use crate::cache::flush;
use crate::cache::replayed::Replayed;
use crate::format::column::BlockType;
use crate::format::wal::Entry;
use crate::{Deletes, Offset};

/// Index of the key that the tests use, a float one, and its bytes.
const KEY: usize = 1;
const COMPOSITE: &[u8] = b"m,h=a#!~#f";

/// What a shard is opened for.
#[derive(Clone, Copy, Debug)]
enum Access {
    ReadOnly,
    ReadWrite,
}

struct Place {
    _root: tempfile::TempDir,
    dir: ShardDir,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let dir = ShardDir { data: root.path().join("data"), wal: root.path().join("wal") };
    std::fs::create_dir_all(&dir.data).unwrap();
    std::fs::create_dir_all(&dir.wal).unwrap();
    Place { _root: root, dir }
}

fn write(times: &[i64]) -> Change {
    Change::Write(KEY, times.iter().map(|time| (*time, 8)).collect())
}

fn put_file(place: &Place, name: &str, entry: Entry) {
    let mut cache = Replayed::default();
    cache.apply(entry).unwrap();
    flush::to_disk(&cache.sort(), &RealDisk, &place.dir.data, FileName::parse(name).unwrap(), 1_000).unwrap();
}

fn times(shard: &Shard) -> Vec<i64> {
    let mut times = Vec::new();
    shard
        .snapshot()
        .unwrap()
        .read(COMPOSITE, |column| {
            times.extend_from_slice(&column.times);
            Ok(())
        })
        .unwrap();
    times
}

fn open(place: &Place, access: Access) -> Shard {
    match access {
        Access::ReadOnly => Shard::open_read_only(&RealDisk, &place.dir, Trust::Manifest),
        Access::ReadWrite => Shard::open(&real(), &place.dir, &Writing::new(now)),
    }
    .unwrap()
}

#[test]
fn a_field_may_get_another_type_when_all_of_it_was_deleted() {
    let place = place();
    let integers = Entry::Write(vec![(COMPOSITE.to_vec(), column(BlockType::Integer, &[(1, 1), (2, 2)]))]);
    put_file(&place, "000000001-000000001.tsm", integers);
    let deleted = tombstone(4, &[(KEY, i64::MIN, i64::MAX)]);
    put(&place.dir.data.join("000000001-000000001.tombstone"), &deleted);
    put(&place.dir.wal.join("_00001.wal"), &frame(&write(&[5])));
    let shard = open(&place, Access::ReadOnly);
    assert_eq!((times(&shard), shard.damage().len()), (vec![5], 0));
}

#[test]
fn a_log_with_another_type_than_the_files_is_damage_and_stays() {
    let place = place();
    let integers = Entry::Write(vec![(COMPOSITE.to_vec(), column(BlockType::Integer, &[(1, 1)]))]);
    put_file(&place, "000000001-000000001.tsm", integers);
    put(&place.dir.wal.join("_00001.wal"), &frame(&write(&[5])));
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let damage = open(&place, access).damage();
        assert_eq!(damage.len(), 1);
        let place = (damage[0].path().unwrap().file_name().unwrap(), damage[0].offset());
        assert_eq!(place, ("000000001-000000001.tsm".as_ref(), Some(Offset::new(5))));
    }
    assert!(place.dir.wal.join("_00001.wal").exists());
}

#[test]
fn an_orphan_tombstone_does_not_delete_what_the_log_holds() {
    let place = place();
    let deleted = tombstone(4, &[(KEY, i64::MIN, i64::MAX)]);
    put(&place.dir.data.join("000000001-000000001.tombstone"), &deleted);
    put(&place.dir.wal.join("_00001.wal"), &frame(&write(&[5])));
    for access in [Access::ReadOnly, Access::ReadWrite, Access::ReadOnly] {
        assert_eq!(times(&open(&place, access)), [5], "{access:?}");
    }
}

#[test]
fn a_damaged_shard_keeps_its_leftovers_and_a_sound_one_loses_whole_trees_of_them() {
    let place = place();
    let leftover = place.dir.data.join("index.tmp/0/L0-00000001.tsl");
    put(&leftover, b"x");
    put(&place.dir.data.join("000000001-000000001.tsm"), b"broken");
    assert_eq!(open(&place, Access::ReadWrite).damage().len(), 1);
    assert!(leftover.exists());
    std::fs::remove_file(place.dir.data.join("000000001-000000001.tsm")).unwrap();
    assert_eq!(open(&place, Access::ReadWrite).damage().len(), 0);
    assert!(!place.dir.data.join("index.tmp").exists());
}

#[test]
fn a_name_with_too_few_digits_is_named_and_hides_no_other_file() {
    let place = place();
    put_file(&place, "000000001-000000001.tsm", entry(&write(&[1])));
    std::fs::copy(place.dir.data.join("000000001-000000001.tsm"), place.dir.data.join("1-1.tsm")).unwrap();
    let damage = open(&place, Access::ReadWrite).damage();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].path(), Some(&*place.dir.data.join("1-1.tsm")));
}

#[test]
fn a_flip_in_the_type_of_the_last_log_entry_is_damage() {
    for type_byte in [0, 4, 0x81] {
        let place = place();
        let first = frame(&write(&[1]));
        let mut log = [first.clone(), frame(&write(&[2]))].concat();
        log[first.len()] = type_byte;
        put(&place.dir.wal.join("_00001.wal"), &log);
        let shard = open(&place, Access::ReadWrite);
        let at: Vec<_> = shard.damage().iter().map(Error::offset).collect();
        assert_eq!(at, [Some(Offset::new(first.len() as u64))], "type {type_byte}");
        assert!(place.dir.wal.join("_00001.wal").exists());
    }
}

#[test]
fn the_bytes_of_an_earlier_torn_tail_are_kept_too() {
    let place = place();
    for round in 1..=3i64 {
        let whole = frame(&write(&[round]));
        put(&place.dir.wal.join("_00001.wal"), &[&whole[..], &whole[..9]].concat());
        assert_eq!(times(&open(&place, Access::ReadWrite)), (1..=round).collect::<Vec<_>>());
    }
    for name in ["_00001.wal.torn", "_00001.wal.torn.2", "_00001.wal.torn.3"] {
        assert!(place.dir.wal.join(name).exists(), "{name}");
    }
}

#[test]
fn chunks_that_are_taken_again_are_checked_again() {
    let place = place();
    put_file(&place, "000000001-000000001.tsm", entry(&write(&[1, 2, 4])));
    let path = place.dir.data.join("000000001-000000001.tsm");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5] ^= 1; // the first checksum
    std::fs::write(&path, bytes).unwrap();
    let snapshot = open(&place, Access::ReadOnly).snapshot().unwrap();
    let mut member = snapshot.members(Deletes::Apply).remove(0);
    drop(member.chunks().unwrap());
    for _ in 0..2 {
        assert!(member.chunks().unwrap().next().unwrap().is_err());
    }
    assert!(member.prepare(None).is_err() && member.digest().is_err());
}

/// The real disk, and the order of the calls that change names.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn note(&self, call: &str, path: &Path) {
        self.0.lock().unwrap().push(format!("{call} {}", path.file_name().unwrap().to_string_lossy()));
    }
}

impl Disk for Recorder {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealDisk.open(path)
    }
    fn map(&self, path: &Path) -> io::Result<Map> {
        RealDisk.map(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        self.note("create", path);
        RealDisk.create(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        RealDisk.open_write(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename", to);
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note("remove", path);
        RealDisk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }
    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        RealDisk.set_modified(path, modified_ns)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note("sync", dir);
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path, mode)
    }
}

#[test]
fn the_log_goes_after_its_points_are_durable_and_oldest_first() {
    let place = place();
    for (at, change) in [write(&[5, 20]), Change::Delete(KEY, 5, 5), write(&[30])].iter().enumerate() {
        put(&place.dir.wal.join(format!("_{:05}.wal", at + 1)), &frame(change));
    }
    let recorder = Arc::new(Recorder::default());
    let disk: Arc<dyn Disk> = Arc::clone(&recorder) as _;
    let shard = Shard::open(&disk, &place.dir, &Writing::new(now)).unwrap();
    assert_eq!(times(&shard), [20, 30]);
    let calls = [
        "sync data", // what is found is durable before anything builds on it
        "create 000000001-000000001.tsm.tmp",
        "rename 000000001-000000001.tsm",
        "sync data",
        "remove _00001.wal",
        "sync wal",
        "remove _00002.wal",
        "sync wal",
        "remove _00003.wal",
        "sync wal",
    ];
    assert_eq!(*recorder.0.lock().unwrap(), calls);
}
