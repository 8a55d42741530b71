//! Buckets, shards and the manifest, against what influxd itself answered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{FIXTURES, fixture, fixture_with, open, store_of};
use icecore_catalog::{BucketKind, Id, ShardId, Time, to_json};
use icecore_testkit::fixtures;

const META: &str = "v1_tsm1_metadata";

fn captured_buckets_part() -> Vec<u8> {
    let body = fixtures::read("kitchen-sink/http/metadata.multipart");
    let start = find(&body, b"Content-Type: application/json; charset=utf-8\r\n\r\n").1;
    let part = &body[start..];
    part[..find(part, b"\n\r\n--").0].to_vec()
}

/// Where `needle` begins and ends.
fn find(haystack: &[u8], needle: &[u8]) -> (usize, usize) {
    let at = haystack.windows(needle.len()).position(|window| window == needle).expect("the part is there");
    (at, at + needle.len())
}

#[test]
fn the_manifest_is_byte_for_byte_what_influxd_answered() {
    let manifest = fixture("kitchen-sink").catalog().manifest().unwrap();
    assert_eq!(
        String::from_utf8(to_json(&manifest)).unwrap(),
        String::from_utf8(captured_buckets_part()).unwrap()
    );
    let captured_store = open(&fixtures::path("kitchen-sink/http/kv.bolt"));
    assert_eq!(icecore_catalog::Catalog::new(captured_store.view()).manifest().unwrap(), manifest);
}

#[test]
fn storage_metadata_is_written_back_byte_for_byte() {
    for name in FIXTURES {
        let store = fixture(name);
        let contents = store.contents();
        let stored = contents.get(META, b"meta.db").unwrap();
        assert_eq!(store.catalog().storage_meta().unwrap().to_bytes(), stored, "{name}");
    }
}

#[test]
fn storage_metadata_says_what_the_fixtures_hold() {
    // (fixture, commits, databases, highest group, highest shard): one commit at the start, one for each bucket and group.
    for (name, index, databases, groups, shards) in
        [("kitchen-sink", 23, 9, 13, 13), ("layers", 6, 4, 1, 1), ("fleet", 5, 3, 1, 1)]
    {
        let meta = fixture(name).catalog().storage_meta().unwrap();
        assert_eq!(
            (meta.term, meta.index, meta.databases.len(), meta.max_shard_group_id, meta.max_shard_id),
            (0, index, databases, groups, shards),
            "{name}"
        );
    }
}

#[test]
fn a_shard_is_found_with_its_bucket_policy_and_time() {
    let catalog = fixture("kitchen-sink").catalog();
    let found = |id| catalog.shard(ShardId(id)).unwrap();
    let first = found(1).unwrap();
    assert_eq!((first.database.as_str(), first.policy.as_str()), ("725e5d10302da261", "autogen"));
    assert_eq!(first.group.start().to_string(), "2024-01-01T00:00:00Z");
    let earliest = found(10).unwrap().group;
    assert_eq!(
        (earliest.start().to_string().as_str(), earliest.end().to_string().as_str()),
        ("1677-09-20T00:00:00Z", "1677-09-27T00:00:00Z")
    );
    assert!(earliest.covers(i64::MIN + 2) && earliest.start() < Time::from_ns(i64::MIN));
    assert!(found(12).unwrap().group.covers(i64::MAX - 1));
    assert_eq!((found(0), found(14), found(u64::MAX)), (None, None, None));
    assert_eq!(catalog.shards().unwrap().len(), 13);
}

#[test]
fn organizations_and_buckets_are_listed_by_id() {
    let catalog = fixture("kitchen-sink").catalog();
    let names: Vec<_> = catalog.organizations().unwrap().into_iter().map(|org| org.name).collect();
    assert_eq!(names, ["org1", "org two, ümläut"]);
    let buckets = catalog.buckets().unwrap();
    assert!(buckets.is_sorted_by_key(|bucket| bucket.id));
    let system = buckets.iter().filter(|bucket| bucket.kind == BucketKind::System).count();
    assert_eq!((buckets.len(), system), (9, 4));
    assert_eq!(catalog.bucket(buckets[0].id).unwrap().unwrap(), buckets[0]);
    assert_eq!(catalog.bucket(Id::new(1).unwrap()).unwrap(), None);
    assert_eq!(catalog.buckets_without_storage().unwrap(), []);
}

#[test]
fn records_are_written_back_byte_for_byte() {
    for name in FIXTURES {
        let store = fixture(name);
        let (contents, catalog) = (store.contents(), store.catalog());
        let pairs = |bucket| contents.pairs(bucket).map(|(_, value)| value.to_vec()).collect::<Vec<_>>();
        let all = |json: Vec<Vec<u8>>, bucket| assert_eq!(json, pairs(bucket), "{name}/{bucket}");
        all(catalog.organizations().unwrap().iter().map(to_json).collect(), "organizationsv1");
        all(catalog.buckets().unwrap().iter().map(to_json).collect(), "bucketsv1");
        all(catalog.authorizations().unwrap().iter().map(to_json).collect(), "authorizationsv1");
    }
}

#[test]
fn a_bucket_without_storage_metadata_is_left_out_and_named() {
    let store = fixture("fleet");
    let mut meta = store.catalog().storage_meta().unwrap();
    let gone: Id = meta.databases.remove(0).name.parse().unwrap();
    let mut contents = store.contents();
    contents.put(META, "meta.db", meta.to_bytes());
    let catalog = store_of(&contents).catalog();
    assert_eq!(catalog.buckets_without_storage().unwrap(), [gone]);
    assert_eq!(catalog.manifest().unwrap().len(), 2);
}

#[test]
fn damaged_records_fail_the_manifest_and_are_named() {
    let bucket = "1b87b4f3c6ec1165";
    let cases: [(&str, &str, &[u8], &str); 4] = [
        ("bucketsv1", bucket, b"\x00\x01", "record \"1b87b4f3c6ec1165\" in bucketsv1"),
        ("organizationsv1", "dd1824dfb7ba3569", b"{}", "record \"dd1824dfb7ba3569\" in organizationsv1"),
        (META, "meta.db", b"\x08\x00\x10", "record \"meta.db\" in v1_tsm1_metadata"),
        (
            "bucketsv1",
            "00000000000000aa",
            br#"{"id":"00000000000000aa","orgID":"00000000000000bb","name":"x"}"#,
            "its organization 00000000000000bb is missing",
        ),
    ];
    for (in_bucket, key, value, expected) in cases {
        let error = fixture_with("fleet", in_bucket, key, value).catalog().manifest().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
