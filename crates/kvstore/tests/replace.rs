//! Replacing the content of a file: all or nothing, and nobody gets in between.

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Content, Entry, content, copied, fill, open, varied};
use icecore_disk::{Disk, LockMode, RealDisk};
use icecore_kvstore::{Builder, ErrorKind, Store, TxId};
use icecore_testkit::disk::{Failure, Hooked, fail_calls};
use tempfile::TempDir;

fn one(value: &str) -> Content {
    let pair = Content::from([(b"key".to_vec(), Entry::Value(value.as_bytes().to_vec()))]);
    Content::from([(b"bucket".to_vec(), Entry::Bucket(0, pair))])
}

fn created(disk: Arc<dyn Disk>) -> (TempDir, PathBuf, Store) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("influxd.bolt");
    let builder = fill(Builder::new(4096).expect("page size"), &one("old")).expect("fits");
    let store = Store::create(disk, &path, builder).expect("creates");
    (dir, path, store)
}

#[test]
fn the_new_content_is_served_and_a_view_keeps_the_old() {
    let (_dir, path, store) = created(Arc::new(RealDisk));
    let before = store.view();
    let copy = before.copy().unwrap();
    let expected = copied(&before).unwrap();
    assert_eq!(store.replace(fill(store.builder(), &varied()).unwrap()).unwrap(), TxId::new(2));
    assert_eq!(content(&store.view()).unwrap(), varied());
    assert_eq!((store.txid(), store.path()), (TxId::new(2), path.as_path()));
    assert_eq!(content(&before).unwrap(), one("old"));
    let late = copy.map(|chunk| chunk.unwrap()).collect::<Vec<_>>().concat();
    assert_eq!(late, expected, "a copy planned before");
    drop((store, before));
    let again = open(&path);
    assert_eq!(content(&again.view()).unwrap(), varied());
    assert_eq!(again.txid(), TxId::new(2));
}

#[test]
fn many_replacements_in_a_row_count_up_and_leave_one_file() {
    let (dir, path, store) = created(Arc::new(RealDisk));
    for n in 2..40 {
        let text = n.to_string();
        assert_eq!(store.replace(fill(store.builder(), &one(&text)).unwrap()).unwrap(), TxId::new(n));
        assert_eq!(content(&store.view()).unwrap(), one(&text));
    }
    assert_eq!(RealDisk.list(dir.path()).unwrap().len(), 1);
    assert_eq!(RealDisk.stat(&path).unwrap().mode, 0o600);
}

#[test]
fn what_was_built_upon_an_older_state_is_refused() {
    let (_dir, _, store) = created(Arc::new(RealDisk));
    let (first, second) = (store.builder(), store.builder());
    store.replace(fill(first, &one("first")).unwrap()).unwrap();
    let error = store.replace(fill(second, &one("second")).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert_eq!(content(&store.view()).unwrap(), one("first"));
}

#[test]
fn the_lock_is_held_by_store_view_and_copied_chunk_and_follows_the_name() {
    let (_dir, path, store) = created(Arc::new(RealDisk));
    let outcome = |mode| Store::open(Arc::new(RealDisk), &path, mode).map_err(|error| error.kind());
    let refused = |mode| matches!(outcome(mode), Err(ErrorKind::Locked));
    let assert_held = || assert!(refused(LockMode::Shared) && refused(LockMode::Exclusive));
    assert_held();
    store.replace(fill(store.builder(), &one("new")).unwrap()).unwrap();
    assert_held();
    let view = store.view();
    drop(store);
    assert_held();
    let mut copy = view.copy().unwrap();
    drop(view);
    assert_held();
    let chunk = copy.by_ref().nth(1).unwrap().unwrap(); // the first is made, the second is the file's
    drop(copy);
    assert_held();
    drop(chunk);
    let reader = open(&path);
    assert!(!refused(LockMode::Shared));
    assert!(refused(LockMode::Exclusive));
    let error = reader.replace(fill(reader.builder(), &one("x")).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("the store was opened to read only"));
}

/// A process that opened the old file and waits for its lock must not get it: nobody would find its writes.
#[test]
fn the_replaced_file_stays_locked() {
    let (dir, path, store) = created(Arc::new(RealDisk));
    let early = dir.path().join("opened early");
    std::fs::hard_link(&path, &early).unwrap(); // the file as a descriptor opened before the rename sees it
    store.replace(fill(store.builder(), &one("new")).unwrap()).unwrap();
    let error = Store::open(Arc::new(RealDisk), &early, LockMode::Exclusive).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

#[test]
fn a_file_is_not_created_over_another() {
    let (dir, path, store) = created(Arc::new(RealDisk));
    drop(store);
    let builder = fill(Builder::new(4096).unwrap(), &one("other")).unwrap();
    let error = Store::create(Arc::new(RealDisk), &path, builder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(content(&open(&path).view()).unwrap(), one("old"));
    assert_eq!(RealDisk.list(dir.path()).unwrap().len(), 1);
}

#[test]
fn a_leftover_is_removed_and_a_temporary_file_in_use_is_not() {
    let (dir, path, store) = created(Arc::new(RealDisk));
    let temporary = dir.path().join("influxd.bolt.tmp");
    std::fs::write(&temporary, b"half a file").unwrap();
    let in_use = RealDisk.lock(&temporary, LockMode::Exclusive).unwrap();
    let error = store.replace(fill(store.builder(), &one("new")).unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Locked, Some(temporary.as_path())));
    assert_eq!(std::fs::read(&temporary).unwrap(), b"half a file");
    drop(in_use);
    store.replace(fill(store.builder(), &one("new")).unwrap()).unwrap();
    drop(store);
    assert_eq!(content(&open(&path).view()).unwrap(), one("new"));
    assert_eq!(RealDisk.list(dir.path()).unwrap().len(), 1);
}

#[test]
fn a_missing_file_is_an_io_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.bolt");
    let error = Store::open(Arc::new(RealDisk), &path, LockMode::Shared).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(path.as_path())));
    std::fs::write(&path, b"").unwrap();
    let error = Store::open(Arc::new(RealDisk), &path, LockMode::Shared).unwrap_err();
    assert!(error.is_damage(), "{error}");
}

#[test]
fn a_writer_that_ignores_the_lock_ends_a_copy() {
    let (_dir, path, store) = created(Arc::new(RealDisk));
    let mut copy = store.view().copy().unwrap();
    assert!(copy.next().unwrap().is_ok());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16 + 48] ^= 1; // the transaction of meta 0
    std::fs::write(&path, bytes).unwrap();
    let error = copy.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Changed, Some(path.as_path())));
    assert!(copy.next().is_none());
}

/// Every call fails once, alone and with all later ones; then the old state or, after the rename, the new one is there.
#[test]
fn a_failure_at_every_call_leaves_the_old_file_or_the_new_one() {
    for only_one in [true, false] {
        for failing in 0.. {
            let begun = Arc::new(AtomicBool::new(false));
            let is_begun = Arc::clone(&begun);
            let numbers = failing..=if only_one { failing } else { u64::MAX };
            let hook = fail_calls(move |_| is_begun.load(Ordering::Relaxed), numbers, Failure::Io, 0);
            let (dir, path, store) = created(Arc::new(Hooked::new(RealDisk, hook)));
            let builder = fill(store.builder(), &varied()).unwrap();
            begun.store(true, Ordering::Relaxed);
            let outcome = store.replace(builder);
            let expected = match &outcome {
                Ok(_) => varied(),
                Err(error) if error.kind() == ErrorKind::NotDurable => varied(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "call {failing}: {error}");
                    assert!(error.path().is_some() && std::error::Error::source(error).is_some());
                    one("old")
                }
            };
            assert_eq!(content(&store.view()).unwrap(), expected, "served after call {failing}");
            drop(store);
            let store = open(&path);
            assert_eq!(content(&store.view()).unwrap(), expected, "in the file after call {failing}");
            if only_one || outcome.is_ok() {
                assert_eq!(
                    RealDisk.list(dir.path()).unwrap().len(),
                    1,
                    "left beside it after call {failing}"
                );
            }
            if outcome.is_ok() {
                assert!(failing > 8, "only {failing} calls");
                break;
            }
        }
    }
}
