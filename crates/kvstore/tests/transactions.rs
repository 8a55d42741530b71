//! Random histories of transactions, beside a model: what is committed is there, what is dropped is not, and a view
//! stays what it was while others write.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::history::{Manner, Seed, assert_is, seeds, step};
use common::{Content, Entry, assert_found_one_by_one, content};
use icecore_disk::{Disk, LockMode, RealDisk};
use icecore_kvstore::{Builder, ErrorKind, Item, Result, Store, TxId};
use icecore_testkit::Random;
use icecore_testkit::disk::{Hooked, without_sync};

/// The real disk, whose maps show what is written, and without its slowest call.
fn disk() -> Arc<dyn Disk> {
    Arc::new(Hooked::new(RealDisk, without_sync))
}

fn create(path: &Path, page_size: u32) -> Store {
    Store::create(disk(), path, Builder::new(page_size).unwrap()).unwrap()
}

fn reopen(store: Store) -> Store {
    let path = store.path().to_owned();
    drop(store);
    Store::open(disk(), &path, LockMode::Exclusive).unwrap()
}

fn live_through(seed: u64, transactions: usize) {
    let mut random = Random::new(seed);
    let manner = Manner::of(&mut random);
    let page_size = 1024 << random.below(3);
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(&dir.path().join("history.bolt"), page_size);
    let mut model = Content::new();
    let mut held = Vec::new();
    for _ in 0..transactions {
        step(&store, &mut model, manner, &mut random).unwrap();
        assert_is(&store.view(), &model);
        if random.one_in(3) {
            held.push((store.view(), model.clone()));
        }
        while held.len() > 6 || (!held.is_empty() && random.one_in(4)) {
            let (view, then) = held.swap_remove(random.below(held.len()));
            assert_is(&view, &then);
        }
        if random.one_in(15) {
            held.drain(..).for_each(|(view, then)| assert_is(&view, &then));
            store = reopen(store);
            assert_is(&store.view(), &model);
        }
    }
    assert_found_one_by_one(&store.view(), &model);
    held.iter().for_each(|(view, then)| assert_is(view, then));
}

#[test]
fn random_histories_equal_the_model() {
    for seed in seeds(80) {
        let _seed = Seed(seed);
        live_through(seed, 24);
    }
}

fn pairs(store: &Store, bucket: &[u8]) -> usize {
    store.view().bucket(bucket).unwrap().unwrap().iter().unwrap().count()
}

fn put_many(store: &Store, bucket: &[u8], keys: std::ops::Range<u32>, value: &[u8]) -> TxId {
    store
        .write(|tx| {
            let mut bucket = tx.bucket_or_create(bucket)?;
            keys.clone().try_for_each(|key| bucket.put(&key.to_be_bytes(), value))
        })
        .unwrap()
        .0
}

#[test]
fn what_is_refused_changes_nothing_and_the_transaction_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 4096);
    let mut tx = store.begin().unwrap();
    let refused =
        |error: icecore_kvstore::Error| assert!(matches!(error.kind(), ErrorKind::Unfit(_)), "{error}");
    let mut bucket = tx.create_bucket(b"b").unwrap();
    bucket.create_bucket(b"inside").unwrap().put(b"k", b"v").unwrap();
    bucket.put(b"pair", b"1").unwrap();
    refused(bucket.put(b"", b"no key").unwrap_err());
    refused(bucket.put(&vec![1; 32769], b"").unwrap_err());
    refused(bucket.put(b"inside", b"a bucket's name").unwrap_err());
    refused(bucket.delete(b"inside").unwrap_err());
    refused(bucket.create_bucket(b"pair").unwrap_err());
    refused(bucket.create_bucket(b"inside").unwrap_err());
    refused(bucket.create_bucket(b"").unwrap_err());
    refused(bucket.bucket_or_create(b"pair").unwrap_err());
    assert!(!bucket.delete_bucket(b"pair").unwrap() && !bucket.delete(b"none").unwrap());
    assert!(bucket.bucket(b"pair").unwrap().is_none() && bucket.get(b"inside").unwrap().is_none());
    bucket.set_sequence(u64::MAX);
    refused(bucket.next_sequence().unwrap_err());
    refused(tx.create_bucket(b"b").unwrap_err());
    tx.commit().unwrap();
    let inside = Content::from([(b"k".to_vec(), Entry::Value(b"v".to_vec()))]);
    let bucket = Content::from([
        (b"inside".to_vec(), Entry::Bucket(0, inside)),
        (b"pair".to_vec(), Entry::Value(b"1".to_vec())),
    ]);
    assert_is(&store.view(), &Content::from([(b"b".to_vec(), Entry::Bucket(u64::MAX, bucket))]));
}

#[test]
fn buckets_nest_up_to_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 1024);
    fn nest(bucket: &mut icecore_kvstore::BucketMut<'_>, levels: usize) -> Result<()> {
        bucket.put(b"level", &levels.to_be_bytes())?;
        if levels == 0 { Ok(()) } else { nest(&mut bucket.create_bucket(b"b")?, levels - 1) }
    }
    store.write(|tx| nest(&mut tx.create_bucket(b"b")?, 63)).unwrap();
    assert_eq!(store.view().verify().unwrap().buckets, 64);
    let error = store.write(|tx| nest(&mut tx.create_bucket(b"c")?, 64)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unfit(_)));
    store.write(|tx| tx.delete_bucket(b"b")).unwrap();
    assert_is(&store.view(), &Content::new());
}

#[test]
fn a_bucket_lies_inside_its_name_while_it_is_small_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 4096);
    let is_inline = || store.view().bucket(b"b").unwrap().unwrap().is_inline();
    for _ in 0..2 {
        put_many(&store, b"b", 0..1, &[1; 1024 - 16 - 16 - 4]);
        assert!(is_inline(), "a quarter of a page");
        put_many(&store, b"b", 0..1, &[1; 1024 - 16 - 16 - 3]);
        assert!(!is_inline(), "a byte more");
        put_many(&store, b"b", 0..2000, b"value");
        assert!(!is_inline());
        store
            .write(|tx| {
                let mut bucket = tx.bucket(b"b")?.unwrap();
                (1..2000_u32).try_for_each(|key| bucket.delete(&key.to_be_bytes()).map(drop))
            })
            .unwrap();
        assert!(is_inline() && pairs(&store, b"b") == 1);
    }
    store.write(|tx| tx.bucket(b"b")?.unwrap().create_bucket(b"inside").map(drop)).unwrap();
    assert!(!is_inline(), "a bucket inside a bucket needs a page");
    assert!(store.view().bucket(b"b").unwrap().unwrap().bucket(b"inside").unwrap().unwrap().is_inline());
}

#[test]
fn a_transaction_that_changes_nothing_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bolt");
    let store = create(&path, 4096);
    let txid = put_many(&store, b"b", 0..100, b"value");
    let before = std::fs::read(&path).unwrap();
    let read = store.write(|tx| {
        let bucket = tx.bucket(b"b")?.unwrap();
        Ok::<_, icecore_kvstore::Error>(bucket.get(&7_u32.to_be_bytes())?.map(<[u8]>::to_vec))
    });
    assert_eq!(read.unwrap(), (txid, Some(b"value".to_vec())));
    drop(store.begin().unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(store.begin().unwrap().txid(), TxId::new(txid.get() + 1));
}

#[test]
fn a_failed_closure_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 4096);
    let outcome = store.write(|tx| {
        tx.create_bucket(b"b")?.put(b"k", b"v")?;
        Err::<(), Box<dyn std::error::Error>>("the caller's own".into())
    });
    assert_eq!(outcome.unwrap_err().to_string(), "the caller's own");
    assert_is(&store.view(), &Content::new());
}

#[test]
fn a_store_opened_to_read_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bolt");
    drop(create(&path, 4096));
    let error = common::open(&path).begin().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("the store was opened to read only"));
}

/// Pages that only dropped states showed are used again, so the file stays small, whoever reads for how long.
#[test]
fn the_file_does_not_grow_by_rewriting_even_under_a_long_reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 4096);
    put_many(&store, b"b", 0..2000, &[1; 50]);
    let pages = |store: &Store| store.view().check().pages;
    for n in 0..5 {
        put_many(&store, b"b", 0..2000, &[n; 50]);
    }
    let without = pages(&store);
    let (view, then) = (store.view(), content(&store.view()).unwrap());
    for n in 0..200 {
        put_many(&store, b"b", 0..2000, &[n; 50]);
    }
    assert!(pages(&store) <= without * 2, "{} pages, {without} before", pages(&store));
    assert_is(&view, &then);
    let reader = store.stats().readers[0];
    assert_eq!((reader.txid, reader.age, reader.holders), (view.txid(), 200, 1));
    let also = (view.clone(), view.copy().unwrap(), store.view());
    let readers = store.stats().readers;
    assert_eq!(
        readers.iter().map(|reader| (reader.age, reader.holders)).collect::<Vec<_>>(),
        [(200, 3), (0, 1)]
    );
    drop((view, also));
    let waited = store.stats().waiting_pages.unwrap();
    assert!(waited > 30 && store.stats().readers.is_empty(), "{waited}");
    put_many(&store, b"b", 0..1, b"one more");
    let stats = store.stats();
    assert!(stats.waiting_pages.unwrap() < 10 && stats.free_pages.unwrap() + 10 > waited, "{stats:?}");
}

/// The map is made anew when the file outgrows it; the old one serves the views that have it.
#[test]
fn a_view_outlives_the_growth_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("a.bolt"), 4096);
    put_many(&store, b"b", 0..100, b"small");
    let (view, then) = (store.view(), content(&store.view()).unwrap());
    let copy = view.copy().unwrap();
    let wanted = common::copied(&view).unwrap();
    for n in 0..40 {
        put_many(&store, b"b", n * 1000..(n + 1) * 1000, &[3; 1000]);
    }
    assert_is(&view, &then);
    assert_eq!(copy.map(Result::unwrap).collect::<Vec<_>>().concat(), wanted, "a copy goes on meanwhile");
    assert_eq!(pairs(&store, b"b"), 40_000);
    let store = reopen({
        drop(view);
        store
    });
    assert_eq!(pairs(&store, b"b"), 40_000);
}

#[test]
fn more_free_pages_than_the_short_count_can_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(&dir.path().join("a.bolt"), 1024);
    put_many(&store, b"long", 0..70, &vec![7; 1 << 20]);
    store.write(|tx| tx.delete_bucket(b"long")).unwrap();
    for n in 0..3 {
        put_many(&store, b"b", n..n + 1, b"value");
        let report = store.view().verify().unwrap();
        assert!(report.free > 70_000, "{report:?}");
        store = reopen(store);
    }
    // Down through 65,535, where the form of the list changes, and up again.
    let taken = store.view().check().free - 65_533;
    put_many(&store, b"taken", 0..1, &vec![1; usize::try_from(taken).unwrap() * 1024]);
    for n in 0..12 {
        put_many(&store, b"b", 10 * n..10 * n + 10, &[1; 300]);
        store.view().verify().unwrap();
    }
    store = reopen(store);
    assert!(store.view().check().free < 65_535);
    put_many(&store, b"b", 0..10, b"again");
    store.view().verify().unwrap();
}

#[test]
fn nothing_is_written_to_a_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bolt");
    let store = create(&path, 1024);
    put_many(&store, b"b", 0..2000, &[1; 50]);
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let root = (2..bytes.len() / 1024).find(|page| bytes[page * 1024 + 8] == 1).unwrap();
    bytes[root * 1024 + 16 + 16] ^= 0x40; // where the second child's key lies
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(disk(), &path, LockMode::Exclusive).unwrap();
    for _ in 0..2 {
        assert!(store.begin().unwrap_err().is_damage());
    }
    drop(store);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

/// Walks at random, and turns round at random; a position in the sorted content follows.
#[test]
fn a_cursor_goes_both_ways_over_pages_of_every_kind() {
    for seed in 1..6 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let manner = Manner { keys: 3000, changes: 600, ..Manner::of(&mut random) };
        let dir = tempfile::tempdir().unwrap();
        let store = create(&dir.path().join("a.bolt"), 1024);
        let mut model = Content::new();
        for _ in 0..12 {
            step(&store, &mut model, manner, &mut random).unwrap();
        }
        let view = store.view();
        for (name, entry) in &model {
            let Entry::Bucket(_, content) = entry else { panic!("a pair at the top") };
            let wanted: Vec<_> = content
                .iter()
                .map(|(key, entry)| match entry {
                    Entry::Value(value) => Item::Pair(key, value),
                    Entry::Bucket(..) => Item::Bucket(key),
                })
                .collect();
            let mut cursor = view.bucket(name).unwrap().unwrap().cursor().unwrap();
            let mut at = 0;
            for _ in 0..60 {
                match random.below(8) {
                    0 => {
                        cursor.seek_end().unwrap();
                        at = wanted.len();
                    }
                    1 | 2 => {
                        let len = 1 + random.below(3);
                        let key = random.bytes(len);
                        cursor.seek(&key).unwrap();
                        at = wanted.partition_point(|item| item.key() < &key[..]);
                    }
                    3 | 4 => {
                        for _ in 0..random.below(wanted.len() + 20) {
                            assert_eq!(cursor.next().unwrap(), wanted.get(at).copied());
                            at = (at + 1).min(wanted.len());
                        }
                    }
                    _ => {
                        for _ in 0..random.below(wanted.len() + 20) {
                            assert_eq!(
                                cursor.prev().unwrap(),
                                at.checked_sub(1).map(|before| wanted[before])
                            );
                            at = at.saturating_sub(1);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_compact_file_has_no_free_page_and_the_same_content_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bolt");
    let store = create(&path, 1024);
    let mut random = Random::new(3);
    let manner = Manner { keys: 400, key_len_max: 12, value_len_max: 120, changes: 200 };
    let mut model = Content::new();
    for _ in 0..20 {
        step(&store, &mut model, manner, &mut random).unwrap();
    }
    let (before, then) = (store.view(), model.clone());
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let long = size(&path);
    let txid = store.txid();
    assert_eq!(store.compact().unwrap(), TxId::new(txid.get() + 1));
    let report = store.view().verify().unwrap();
    assert_eq!((report.free, report.pages * 1024), (0, size(&path)));
    assert!(size(&path) < long / 2, "{long} bytes before, {} after", size(&path));
    assert_is(&store.view(), &model);
    for _ in 0..5 {
        step(&store, &mut model, manner, &mut random).unwrap();
    }
    assert_is(&store.view(), &model);
    assert_is(&before, &then);

    let other = dir.path().join("other.bolt");
    let copy = Store::create(disk(), &other, store.view().to_builder().unwrap()).unwrap();
    assert_is(&copy.view(), &model);
    let builder = store.view().to_builder().unwrap();
    put_many(&store, b"b", 0..1, b"in between");
    assert_eq!(store.replace(builder).unwrap_err().kind(), ErrorKind::Stale);
}

#[test]
fn keys_that_ascend_fill_their_pages_and_others_leave_room() {
    let dir = tempfile::tempdir().unwrap();
    let used = |name: &str, key: &dyn Fn(u32) -> u32| {
        let store = create(&dir.path().join(name), 4096);
        for batch in 0..40 {
            let put = |n: u32| key(batch * 250 + n).to_be_bytes();
            store
                .write(|tx| {
                    let mut bucket = tx.bucket_or_create(b"b")?;
                    (0..250).try_for_each(|n| bucket.put(&put(n), &[1; 100]))
                })
                .unwrap();
        }
        store.view().verify().unwrap().used
    };
    let full = 10_000 * (16 + 4 + 100) / 4096;
    let (ascending, scattered) = (used("a", &|n| n), used("b", &|n| n.wrapping_mul(2_654_435_761)));
    assert!(ascending < full * 13 / 10, "{ascending} pages of at least {full}");
    assert!(scattered < full * 2, "{scattered} pages of at least {full}");
}
