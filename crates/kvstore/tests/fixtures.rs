//! Bolt files of a real influxd 2.9.1.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::path::PathBuf;

use common::{Content, Entry, assert_found_one_by_one, content, copied, open, open_bytes};
use icecore_kvstore::{PageId, TxId};
use icecore_testkit::fixtures;
use tempfile::TempDir;

const DIRECTORIES: [&str; 3] = ["kitchen-sink", "layers", "fleet"];

fn bolt(name: &str) -> (TempDir, PathBuf) {
    let dir = fixtures::unpack(name);
    let path = dir.path().join("influxd.bolt");
    (dir, path)
}

fn pairs(content: &Content) -> (u64, u64) {
    content.values().fold((0, 0), |(buckets, pairs), entry| match entry {
        Entry::Value(_) => (buckets, pairs + 1),
        Entry::Bucket(_, inside) => {
            let below = self::pairs(inside);
            (buckets + 1 + below.0, pairs + below.1)
        }
    })
}

#[test]
fn every_file_is_clean_and_all_its_pairs_are_found() {
    // Transaction, pages and free pages were parsed out of the files by hand.
    let facts = [(152, 16, 4), (185, 149, 14), (121, 13, 3)];
    for (name, (txid, pages, free)) in DIRECTORIES.into_iter().zip(facts) {
        let (_dir, path) = bolt(name);
        let view = open(&path).view();
        let report = view.check();
        assert_eq!(report.problems, [], "{name}");
        assert_eq!(report.notes, [], "{name}");
        assert_eq!((report.txid, report.pages, report.free), (TxId::new(txid), pages, free), "{name}");
        assert_eq!(report.used + report.free, report.pages, "{name}");
        let all = content(&view).unwrap();
        assert_eq!(pairs(&all), (report.buckets, report.pairs), "{name}");
        assert!(report.buckets > 50 && report.pairs > 40, "{name}: {report:?}");
        assert_found_one_by_one(&view, &all);
    }
}

#[test]
fn known_records_have_their_values() {
    let (_dir, path) = bolt("layers");
    let view = open(&path).view();
    let metadata = view.bucket(b"v1_tsm1_metadata").unwrap().unwrap();
    assert!(metadata.get(b"meta.db").unwrap().is_some_and(|value| value.len() > 100), "the shard groups");
    let organizations = view.bucket(b"organizationsv1").unwrap().unwrap();
    let (id, record) = organizations.iter().unwrap().next().unwrap().unwrap();
    let record = serde_json::from_slice::<serde_json::Value>(record).unwrap();
    assert_eq!(record["id"].as_str().unwrap().as_bytes(), id);
    let index = view.bucket(b"organizationindexv1").unwrap().unwrap();
    assert_eq!(index.get(record["name"].as_str().unwrap().as_bytes()).unwrap(), Some(id));
    assert!(view.bucket(b"sessionsv1").unwrap().is_none());
}

#[test]
fn a_prefix_and_a_range_give_what_a_filter_gives() {
    let (_dir, path) = bolt("layers");
    let view = open(&path).view();
    for bucket in view.buckets().unwrap() {
        let (_, bucket) = bucket.unwrap();
        let all = bucket.iter().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let Some(&(middle, _)) = all.get(all.len() / 2) else { continue };
        for len in 0..=middle.len() {
            let prefix = &middle[..len];
            let found = bucket.prefix(prefix).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
            let wanted = all.iter().filter(|(key, _)| key.starts_with(prefix)).copied().collect::<Vec<_>>();
            assert_eq!(found, wanted);
        }
        let from = bucket.range(middle..).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(from, all[all.len() / 2..]);
        let through = bucket.range(..=middle).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(through, all[..=all.len() / 2]);
        let before = bucket.range(..middle).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(before, all[..all.len() / 2]);
    }
}

#[test]
fn the_backup_that_influxd_sent_holds_what_its_file_holds() {
    let (_dir, path) = bolt("kitchen-sink");
    let sent = open(&fixtures::path("kitchen-sink/http/kv.bolt")).view();
    assert_eq!(sent.check().problems, []);
    assert_eq!(sent.txid(), TxId::new(152));
    assert_eq!(content(&sent).unwrap(), content(&open(&path).view()).unwrap());
}

#[test]
fn our_copy_differs_from_influxds_in_free_pages_only() {
    let (_dir, path) = bolt("kitchen-sink");
    let ours = copied(&open(&path).view()).unwrap();
    let theirs = fixtures::read("kitchen-sink/http/kv.bolt");
    assert_eq!(ours.len(), theirs.len());
    let differing = (0..ours.len() / 4096).filter(|n| ours[n * 4096..][..4096] != theirs[n * 4096..][..4096]);
    let differing = differing.collect::<Vec<_>>();
    assert_eq!(differing.len(), 4, "the four free pages: {differing:?}");
    assert!(differing.iter().all(|n| ours[n * 4096..][..4096].iter().all(|&byte| byte == 0)));
}

#[test]
fn a_copy_of_each_file_is_clean_and_equal_and_always_the_same() {
    for name in DIRECTORIES {
        let (_dir, path) = bolt(name);
        let view = open(&path).view();
        let copy = copied(&view).unwrap();
        assert_eq!(copied(&open(&path).view()).unwrap(), copy, "{name}: once more");
        let store = open_bytes(copy.clone()).unwrap();
        assert_eq!(store.txid(), view.txid());
        let report = store.view().verify().unwrap();
        assert_eq!((report.notes, report.free), (Vec::new(), view.check().free), "{name}");
        assert_eq!(content(&store.view()).unwrap(), content(&view).unwrap(), "{name}");
        assert_eq!(copied(&store.view()).unwrap(), copy, "{name}: a copy of the copy");
    }
}

#[test]
fn a_file_whose_newest_meta_is_torn_serves_the_state_before_and_says_so() {
    let (_dir, path) = bolt("layers"); // transaction 185 is on page 1
    let mut bytes = std::fs::read(path).unwrap();
    bytes[4096 + 16 + 20] ^= 1;
    let store = open_bytes(bytes).unwrap();
    assert_eq!(store.txid(), TxId::new(184));
    let notes = store.view().check().notes;
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].page(), notes[0].what()), (PageId::new(1), "wrong checksum of a meta page"));
}
