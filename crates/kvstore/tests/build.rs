//! What the builder writes, the reader reads.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use common::{Content, Entry, assert_found_one_by_one, build, content, copied, fill, open_bytes, varied};
use icecore_kvstore::{Builder, ErrorKind, KEY_LEN_MAX, TxId};
use proptest::prelude::*;

fn assert_comes_back(page_size: u32, wanted: &Content) {
    let bytes = build(page_size, wanted);
    let store = open_bytes(bytes.clone()).unwrap();
    let view = store.view();
    let report = view.verify().unwrap();
    assert_eq!((report.free, &report.notes[..]), (0, &[][..]));
    assert_eq!(report.used * u64::from(page_size), bytes.len() as u64);
    assert_eq!(&content(&view).unwrap(), wanted);
    assert_found_one_by_one(&view, wanted);
    let copy = copied(&view).unwrap();
    assert_eq!(&content(&open_bytes(copy).unwrap().view()).unwrap(), wanted);
}

fn bytes(len: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<u8>> {
    (len, any::<u64>()).prop_map(|(len, seed)| {
        let mut state = seed | 1;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(len)
        .collect()
    })
}

fn pairs() -> impl Strategy<Value = Content> {
    let key = bytes(prop_oneof![8 => 1..30usize, 1 => 200..1200usize, 1 => Just(KEY_LEN_MAX)]);
    let value = bytes(prop_oneof![8 => 0..100usize, 2 => 500..9000usize, 1 => 60_000..200_000usize]);
    let some = prop::collection::btree_map(key, value.prop_map(Entry::Value), 0..40);
    let many = (0..6000u32, any::<u32>()).prop_map(|(count, factor)| {
        let key = |n: u32| n.wrapping_mul(factor | 1).to_be_bytes().to_vec();
        (0..count)
            .map(|n| (key(n), Entry::Value(n.to_le_bytes()[..usize::try_from(n % 5).unwrap()].to_vec())))
            .collect()
    });
    prop_oneof![4 => some, 1 => many]
}

fn buckets() -> impl Strategy<Value = Content> {
    let inside = (any::<u64>(), pairs()).prop_map(|(sequence, pairs)| Entry::Bucket(sequence, pairs));
    let outside = (any::<u64>(), pairs(), prop::collection::btree_map(bytes(1..9usize), inside, 0..4));
    let bucket = outside.prop_map(|(sequence, mut pairs, nested)| {
        pairs.extend(nested);
        Entry::Bucket(sequence, pairs)
    });
    prop::collection::btree_map(bytes(1..50usize), bucket, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_content_comes_back(content in buckets(), log in 10..=16u32) {
        assert_comes_back(1 << log, &content);
    }
}

#[test]
fn everything_the_format_has_comes_back_in_every_page_size() {
    for log in 10..=16 {
        assert_comes_back(1 << log, &varied());
        assert_comes_back(1 << log, &Content::new());
    }
}

#[test]
fn thousands_of_buckets_make_a_tree_of_buckets() {
    let pairs = Content::from([(b"key".to_vec(), Entry::Value(vec![7; 40]))]);
    let all = (0..5000u32).map(|n| (n.to_be_bytes().to_vec(), Entry::Bucket(0, pairs.clone()))).collect();
    assert_comes_back(1024, &all);
}

#[test]
fn buckets_nest_up_to_the_bound() {
    let pair = Content::from([(b"key".to_vec(), Entry::Value(vec![7]))]);
    let nested = |levels| {
        (0..levels).fold(pair.clone(), |inside, _| Content::from([(b"b".to_vec(), Entry::Bucket(0, inside))]))
    };
    assert_comes_back(1024, &nested(64));
    assert!(fill(Builder::new(1024).unwrap(), &nested(65)).is_err());
}

#[test]
fn keys_as_long_as_may_be_make_branches_of_several_pages() {
    let key = |n: u8| [vec![n], vec![b'k'; KEY_LEN_MAX - 1]].concat();
    let pairs = (0..50).map(|n| (key(n), Entry::Value(vec![n]))).collect();
    assert_comes_back(1024, &Content::from([(b"long keys".to_vec(), Entry::Bucket(0, pairs))]));
}

#[test]
fn the_same_content_gives_the_same_bytes_and_the_smallest_file_is_four_pages() {
    assert_eq!(build(4096, &varied()), build(4096, &varied()));
    assert_eq!(build(4096, &Content::new()).len(), 4 * 4096);
}

#[test]
fn what_does_not_fit_is_refused_and_adds_nothing() {
    let refused = |result: icecore_kvstore::Result<()>| {
        assert!(matches!(result.unwrap_err().kind(), ErrorKind::Unfit(_)));
    };
    let mut builder = Builder::new(4096).unwrap();
    refused(builder.put(b"key", b"outside"));
    refused(builder.close_bucket());
    refused(builder.set_sequence(1));
    builder.open_bucket(b"bucket").unwrap();
    refused(builder.put(b"", b"no key"));
    refused(builder.put(&[b'k'; KEY_LEN_MAX + 1], b"long key"));
    builder.put(b"b", b"first").unwrap();
    refused(builder.put(b"b", b"again"));
    refused(builder.put(b"a", b"below"));
    refused(builder.open_bucket(b"a"));
    refused(builder.open_bucket(b""));
    builder.close_bucket().unwrap();
    refused(builder.open_bucket(b"bucket"));
    builder.open_bucket(b"bucket 2").unwrap();
    builder.close_bucket().unwrap();
    let expected = Content::from([
        (
            b"bucket".to_vec(),
            Entry::Bucket(0, Content::from([(b"b".to_vec(), Entry::Value(b"first".to_vec()))])),
        ),
        (b"bucket 2".to_vec(), Entry::Bucket(0, Content::new())),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(icecore_disk::RealDisk);
    let store = icecore_kvstore::Store::create(disk, &dir.path().join("new.bolt"), builder).unwrap();
    assert_eq!(content(&store.view()).unwrap(), expected);
    assert_eq!(store.txid(), TxId::new(1));
    for page_size in [0, 512, 4095, 1 << 17] {
        assert!(Builder::new(page_size).is_err());
    }
}

#[test]
fn a_bucket_left_open_is_refused_before_anything_is_written() {
    let mut builder = fill(Builder::new(4096).unwrap(), &varied()).unwrap();
    builder.open_bucket(b"zzz").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(icecore_disk::RealDisk);
    let error = icecore_kvstore::Store::create(disk, &dir.path().join("new.bolt"), builder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("a bucket is still open"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}
