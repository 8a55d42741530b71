//! Shard groups made in transactions, against those that influxd made for the same times.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{FIXTURES, TestStore, fixture, store_of};
use icecore_catalog::{Error, Id, ShardGroups, ensure_shard_groups, meta};
use prost::Message as _;

const META: (&str, &str) = ("v1_tsm1_metadata", "meta.db");

/// The store of a fixture as it was before its first point, and its storage metadata as it is.
fn before_the_first_point(name: &str) -> (TestStore, meta::Data) {
    let mut contents = fixture(name).contents();
    let full = meta::Data::decode(contents.get(META.0, META.1.as_bytes()).unwrap()).unwrap();
    let mut empty = full.clone();
    let policies = empty.databases.iter_mut().flat_map(|database| &mut database.retention_policies);
    let groups: usize = policies.map(|policy| std::mem::take(&mut policy.shard_groups).len()).sum();
    empty.index -= u64::try_from(groups).unwrap();
    (empty.max_shard_group_id, empty.max_shard_id) = (0, 0);
    contents.put(META.0, META.1, empty.to_bytes());
    (store_of(&contents), full)
}

fn ensure(store: &TestStore, bucket: Id, times: &[i64]) -> Option<ShardGroups> {
    let (_, groups) = store.store.write(|tx| ensure_shard_groups(tx, bucket, times.iter().copied())).unwrap();
    groups
}

/// A time in each group of a store, by the order in which the groups were made.
fn times(data: &meta::Data, within: fn(&meta::ShardGroupInfo) -> i64) -> Vec<(Id, i64)> {
    let mut made = Vec::new();
    for database in &data.databases {
        for group in &database.retention_policies[0].shard_groups {
            assert_eq!(group.deleted_at(), None);
            made.push((group.id, database.name.parse().unwrap(), within(group)));
        }
    }
    made.sort_unstable();
    made.into_iter().map(|(_, bucket, time_ns)| (bucket, time_ns)).collect()
}

fn first(group: &meta::ShardGroupInfo) -> i64 {
    i64::try_from(group.start().as_ns()).unwrap_or(i64::MIN + 2)
}

fn last(group: &meta::ShardGroupInfo) -> i64 {
    group.end_ns - 1
}

fn middle(group: &meta::ShardGroupInfo) -> i64 {
    i64::midpoint(first(group), last(group))
}

#[test]
fn the_groups_of_every_fixture_come_out_byte_for_byte() {
    for name in FIXTURES {
        for within in [first, middle, last] {
            let (store, full) = before_the_first_point(name);
            for (bucket, time_ns) in times(&full, within) {
                ensure(&store, bucket, &[time_ns]).unwrap();
            }
            store.view().verify().unwrap();
            let made = store.contents().get(META.0, META.1.as_bytes()).unwrap().to_vec();
            let decoded = meta::Data::decode(&*made).unwrap();
            assert_eq!(decoded.databases, full.databases, "{name}");
            assert!(made == full.to_bytes(), "{name}");
        }
    }
}

#[test]
fn groups_for_one_request_are_one_transaction_and_one_commit() {
    let (store, full) = before_the_first_point("kitchen-sink");
    let database =
        full.databases.iter().max_by_key(|database| database.retention_policies[0].shard_groups.len());
    let database = database.unwrap();
    let bucket = database.name.parse().unwrap();
    let groups = &database.retention_policies[0].shard_groups;
    let times: Vec<i64> =
        groups.iter().flat_map(|group| [last(group), first(group), middle(group)]).collect();
    let (before, txid) = (store.catalog().storage_meta().unwrap(), store.store.txid().get());
    let map = ensure(&store, bucket, &times).unwrap();
    let after = store.catalog().storage_meta().unwrap();
    assert_eq!((after.index, store.store.txid().get()), (before.index + 1, txid + 1));
    assert!(groups.len() > 3 && map.slices().len() == groups.len());
    for (group, slice) in groups.iter().zip(map.slices()) {
        assert_eq!((first(group).min(slice.start_ns), group.end_ns), (slice.start_ns, slice.end_ns));
        assert!([first, middle, last].iter().all(|at| map.slice_at(at(group)) == Some(*slice)));
    }
    let again = ensure(&store, bucket, &times).unwrap();
    assert_eq!((again, store.store.txid().get()), (map.clone(), txid + 1), "nothing to do, nothing written");
    assert_eq!(store.catalog().shard_groups(bucket).unwrap(), Some(map));
}

#[test]
fn a_bucket_that_is_not_there_gets_no_groups() {
    let (store, _) = before_the_first_point("fleet");
    let (id, txid) = (Id::new(7).unwrap(), store.store.txid());
    assert_eq!(ensure(&store, id, &[0]), None);
    assert_eq!(store.catalog().shard_groups(id).unwrap(), None);
    assert_eq!(store.store.txid(), txid);
}

#[test]
fn what_is_refused_changes_nothing() {
    let (store, mut data) = before_the_first_point("fleet");
    let mut contents = store.contents();
    data.max_shard_id = u64::MAX;
    contents.put(META.0, META.1, data.to_bytes());
    let store = store_of(&contents);
    let bucket = data.databases[0].name.parse().unwrap();
    let error = store.store.write(|tx| ensure_shard_groups(tx, bucket, [1 << 60, 0])).unwrap_err();
    assert!(matches!(error, Error::Record { .. }), "{error}");
    assert!(store.contents() == contents);
}

#[test]
fn retention_says_which_times_are_kept() {
    let store = fixture("kitchen-sink");
    let oldest = |name: &str, now_ns| {
        let buckets = store.catalog().buckets().unwrap();
        let bucket = buckets.iter().find(|bucket| bucket.name == name).unwrap();
        store.catalog().shard_groups(bucket.id).unwrap().unwrap().oldest_kept_ns(now_ns)
    };
    let day_ns = 86_400_000_000_000;
    assert_eq!(oldest("_monitoring", 10 * day_ns), Some(3 * day_ns), "a week");
    assert_eq!(oldest("_monitoring", i64::MIN), Some(i64::MIN));
    assert_eq!(oldest("bucket1", 0), None, "for ever");
}
