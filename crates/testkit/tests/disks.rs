//! What all disks must do alike: one suite, run on each.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::io;
use std::path::Path;

use icecore_disk::{DirEntry, Disk, LockMode, RealDisk};
use icecore_testkit::MemDisk;
use icecore_testkit::disk::{Hooked, Verdict, without_sync};

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

fn names_lead_to_files(disk: &dyn Disk, dir: &Path) {
    let (inner, a, b) = (dir.join("inner"), dir.join("inner/a"), dir.join("inner/b"));
    assert_eq!(kind(disk.create(&a)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.list(&inner)), io::ErrorKind::NotFound);
    disk.create_dir(&inner).unwrap();
    disk.create(&a).unwrap().append(b"ice").unwrap();
    assert_eq!(kind(disk.create(&a)), io::ErrorKind::AlreadyExists);
    disk.set_modified(&a, -5).unwrap();
    let stat = disk.stat(&a).unwrap();
    assert_eq!((stat.size, stat.modified_ns, stat.mode), (3, -5, 0o600));

    let (opened, map) = (disk.open(&a).unwrap(), disk.map(&a).unwrap());
    let lock = disk.lock(&a, LockMode::Exclusive).unwrap();
    assert_eq!(kind(disk.lock(&a, LockMode::Shared)), io::ErrorKind::WouldBlock);
    disk.rename(&a, &b).unwrap();
    assert_eq!(kind(disk.lock(&b, LockMode::Shared)), io::ErrorKind::WouldBlock);
    drop(lock);
    let shared = [disk.lock(&b, LockMode::Shared).unwrap(), disk.lock(&b, LockMode::Shared).unwrap()];
    assert_eq!(kind(disk.lock(&b, LockMode::Exclusive)), io::ErrorKind::WouldBlock);
    drop(shared);
    assert_eq!(disk.list(dir).unwrap(), [DirEntry { path: inner.clone(), is_dir: true, is_link: false }]);
    assert_eq!(disk.list(&inner).unwrap(), [DirEntry { path: b.clone(), is_dir: false, is_link: false }]);

    assert_eq!(kind(disk.remove_dir(&inner)), io::ErrorKind::DirectoryNotEmpty);
    disk.remove(&b).unwrap();
    assert_eq!(kind(disk.stat(&b)), io::ErrorKind::NotFound);
    assert_eq!((map.get(0..3), opened.size().unwrap()), (Some(&b"ice"[..]), 3));
    let mut buf = [0; 2];
    opened.read_exact_at(&mut buf, 1).unwrap();
    assert_eq!(&buf, b"ce");
    assert_eq!(kind(opened.read_exact_at(&mut buf, 2)), io::ErrorKind::UnexpectedEof);
    disk.remove_dir(&inner).unwrap();
    disk.sync_dir(dir).unwrap();
}

fn files_change_in_place(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    assert_eq!(kind(disk.open_write(&path)), io::ErrorKind::NotFound);
    disk.create(&path).unwrap().append(b"0123456789").unwrap();
    let (mut file, reader) = (disk.open_write(&path).unwrap(), disk.open(&path).unwrap());
    let read = |len| {
        let mut bytes = vec![0; len];
        reader.read_exact_at(&mut bytes, 0).map(|()| bytes)
    };
    file.write_all_at(b"abc", 2).unwrap();
    file.write_all_at(b"", 50).unwrap();
    assert_eq!(read(10).unwrap(), b"01abc56789");
    file.write_all_at(b"xyz", 9).unwrap();
    assert_eq!(read(12).unwrap(), b"01abc5678xyz", "over the end");
    file.write_all_at(b"!", 14).unwrap();
    assert_eq!(read(15).unwrap(), b"01abc5678xyz\0\0!", "behind the end");
    file.set_size(4).unwrap();
    assert_eq!((reader.size().unwrap(), kind(read(5))), (4, io::ErrorKind::UnexpectedEof));
    file.set_size(6).unwrap();
    assert_eq!(read(6).unwrap(), b"01ab\0\0", "what was cut off does not come back");
    file.reserve(9).unwrap();
    file.reserve(3).unwrap();
    assert_eq!((reader.size().unwrap(), read(9).unwrap()), (9, b"01ab\0\0\0\0\0".to_vec()), "never shorter");
    file.set_size(6).unwrap();
    file.sync().unwrap();

    let map = disk.map(&path).unwrap();
    file.write_all_at(b"Z", 0).unwrap();
    assert_eq!(map.get(0..1), Some(if map.is_live() { &b"Z"[..] } else { b"0" }));
    assert_eq!((map.len(), map.get(5..7), map.get(6..6)), (6, None, Some(&b""[..])));
    disk.rename(&path, &dir.join("other")).unwrap();
    file.write_all_at(b"Y", 1).unwrap();
    assert_eq!(read(2).unwrap(), b"ZY", "who has it open keeps it");
    disk.remove(&dir.join("other")).unwrap();
}

fn behaves(disk: &dyn Disk, dir: &Path) {
    disk.create_dir(dir).unwrap();
    names_lead_to_files(disk, dir);
    files_change_in_place(disk, dir);
}

#[test]
fn the_real_disk_behaves() {
    let dir = tempfile::tempdir().unwrap();
    behaves(&RealDisk, dir.path());
}

#[test]
fn the_disk_in_memory_behaves_recording_or_not() {
    behaves(&MemDisk::default(), Path::new("/disk"));
    behaves(&MemDisk::recording(), Path::new("/disk"));
}

#[test]
fn a_hook_that_lets_all_pass_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    behaves(&Hooked::new(RealDisk, |_| Verdict::Go), dir.path());
    behaves(&Hooked::new(MemDisk::recording(), without_sync), Path::new("/disk"));
}
