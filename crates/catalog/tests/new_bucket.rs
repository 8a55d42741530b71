//! Buckets made in transactions, against the records of those that influxd made.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{TestStore, fixture, random, store_of};
use icecore_catalog::{
    Bucket, BucketError, BucketErrorKind, BucketRequest, Contents, Id, NewBucket, RetentionRule, Time,
    create_bucket, meta,
};
use prost::Message as _;

const NOW_NS: i64 = 1_795_367_725_670_309_100;
const HOUR_NS: i64 = 3_600_000_000_000;

/// The store of `kitchen-sink`, to be written.
fn kitchen_sink() -> TestStore {
    store_of(&fixture("kitchen-sink").contents())
}

fn create(store: &TestStore, new: &NewBucket) -> Result<Bucket, BucketError> {
    let (_, bucket) = store.store.write(|tx| create_bucket(tx, new, NOW_NS, &mut random(7)))?;
    store.view().verify().unwrap();
    Ok(bucket)
}

fn new_bucket(store: &TestStore, name: &str) -> NewBucket {
    NewBucket {
        org_id: store.catalog().organizations().unwrap()[0].id,
        name: name.into(),
        description: String::new(),
        retention_policy: String::new(),
        retention_period_ns: 0,
        shard_group_duration_ns: 0,
    }
}

/// What `after` has and `before` has not.
fn added(before: &Contents, after: &Contents) -> Vec<(String, String, Vec<u8>)> {
    let mut added = Vec::new();
    for bucket in after.buckets() {
        let bucket = std::str::from_utf8(bucket).unwrap();
        for (key, value) in after.pairs(bucket).filter(|(key, value)| before.get(bucket, key) != Some(value))
        {
            added.push((bucket.to_owned(), String::from_utf8(key.to_vec()).unwrap(), value.to_vec()));
        }
    }
    added
}

/// Each bucket that a user of the real server made is made again under another name: but for name, id and times the same
/// bytes are written, under the same keys.
#[test]
fn a_bucket_is_the_records_that_influxd_writes() {
    let store = kitchen_sink();
    let theirs: Vec<Bucket> = store.catalog().buckets().unwrap();
    let theirs: Vec<_> = theirs.into_iter().filter(|bucket| !bucket.name.starts_with('_')).collect();
    assert!(theirs.len() >= 4);
    for their in theirs {
        let before = store.contents();
        let name = format!("{} again", their.name);
        let new = NewBucket {
            org_id: their.org_id,
            name: name.clone(),
            description: their.description.clone(),
            retention_policy: their.retention_policy.clone(),
            retention_period_ns: their.retention_period_ns,
            shard_group_duration_ns: their.shard_group_duration_ns,
        };
        let (_, ours) =
            store.store.write(|tx| create_bucket(tx, &new, NOW_NS, &mut random(their.id.get()))).unwrap();
        let id = ours.id.to_string();
        let their_record = before.get("bucketsv1", their.id.to_string().as_bytes()).unwrap();
        let expected = String::from_utf8(their_record.to_vec())
            .unwrap()
            .replace(&their.id.to_string(), &id)
            .replace(&format!("\"name\":\"{}\"", their.name), &format!("\"name\":\"{name}\""))
            .replace(&their.created_at.to_string(), &Time::from_ns(NOW_NS).to_string())
            .replace(&their.updated_at.to_string(), &Time::from_ns(NOW_NS).to_string());
        let added = added(&before, &store.contents());
        let [index, record, storage] = added.as_slice() else { panic!("{added:?}") };
        assert_eq!(
            *index,
            ("bucketindexv1".into(), format!("{}{name}", their.org_id), id.clone().into_bytes())
        );
        assert_eq!((record.0.as_str(), &record.1), ("bucketsv1", &id));
        assert_eq!(std::str::from_utf8(&record.2).unwrap(), expected);
        assert_storage(&before, &storage.2, &their, &id);
    }
}

fn assert_storage(before: &Contents, after: &[u8], their: &Bucket, id: &str) {
    let mut expected = meta::Data::decode(before.get("v1_tsm1_metadata", b"meta.db").unwrap()).unwrap();
    let mut copy = expected.database(&their.id.to_string()).unwrap().clone();
    copy.name = id.to_owned();
    copy.retention_policies[0].shard_groups.clear();
    expected.databases.push(copy);
    expected.index += 1;
    assert_eq!(meta::Data::decode(after).unwrap(), expected);
}

#[test]
fn a_new_bucket_is_found_and_an_id_that_is_taken_is_drawn_again() {
    let store = kitchen_sink();
    let first = create(&store, &new_bucket(&store, "one")).unwrap();
    let second = create(&store, &new_bucket(&store, "two")).unwrap();
    assert_ne!(first.id, second.id, "the random bytes are the same both times");
    assert_eq!(store.catalog().bucket(second.id).unwrap(), Some(second));
    assert_eq!(store.catalog().buckets_without_storage().unwrap(), []);
    let manifest = store.catalog().manifest().unwrap();
    assert!(manifest.iter().any(|bucket| bucket.bucket_name == "one"));

    // Storage metadata that a bucket left behind keeps its id, too.
    let mut contents = kitchen_sink().contents();
    let mut data = meta::Data::decode(contents.get("v1_tsm1_metadata", b"meta.db").unwrap()).unwrap();
    data.databases[0].name = first.id.to_string();
    contents.put("v1_tsm1_metadata", "meta.db", data.encode_to_vec());
    let store = store_of(&contents);
    assert_ne!(create(&store, &new_bucket(&store, "one")).unwrap().id, first.id);
}

#[test]
fn shard_groups_are_an_hour_at_least_and_chosen_by_the_retention() {
    let store = kitchen_sink();
    for (at, (retention, asked, expected)) in
        (0..).zip([(0, 0, 168), (48, 0, 24), (1, 0, 1), (1, 1, 1), (0, 1000, 1000), (72, 72, 72)])
    {
        let new = NewBucket {
            retention_period_ns: retention * HOUR_NS,
            shard_group_duration_ns: asked * HOUR_NS,
            ..new_bucket(&store, &format!("{at}"))
        };
        let made = create(&store, &new).unwrap();
        assert_eq!(made.shard_group_duration_ns, expected * HOUR_NS, "{new:?}");
    }
    let new = NewBucket { shard_group_duration_ns: 5, ..new_bucket(&store, "short") };
    assert_eq!(create(&store, &new).unwrap().shard_group_duration_ns, HOUR_NS);
}

#[test]
fn what_is_refused_has_the_text_of_the_contract_and_changes_nothing() {
    use BucketErrorKind::{Conflict, Invalid, NotFound, Unprocessable};
    let store = kitchen_sink();
    let before = store.contents();
    let check = |change: &dyn Fn(&mut NewBucket), kind, text: &str| {
        let mut new = new_bucket(&store, "new");
        change(&mut new);
        let error = create(&store, &new).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
    };
    let nowhere = Id::new(1).unwrap();
    let taken = store.catalog().buckets().unwrap();
    let taken = taken.iter().find(|bucket| bucket.name == "bucket1").unwrap();
    let underscore = "bucket name _x is invalid. Buckets may not start with underscore";
    check(&|new| (new.name, new.org_id) = ("_x".into(), nowhere), Invalid, underscore);
    let quote = "bucket name a\"b is invalid. Bucket names may not include quotation marks";
    check(&|new| new.name = "a\"b".into(), Invalid, quote);
    check(&|new| new.name = "x".repeat(32_753), Invalid, "bucket name must be at most 32752 bytes long");
    check(&|new| new.org_id = nowhere, NotFound, "organization not found");
    let name_taken = "bucket with name bucket1 already exists";
    let again = |new: &mut NewBucket| {
        (new.name, new.org_id, new.retention_period_ns) = ("bucket1".into(), taken.org_id, 1);
    };
    check(&again, Conflict, name_taken);
    let short = "retention policy duration must be at least 1h0m0s";
    check(&|new| new.retention_period_ns = HOUR_NS - 1, Unprocessable, short);
    check(&|new| new.retention_period_ns = -1, Unprocessable, short);
    let below = "retention policy duration must be greater than the shard duration";
    let longer = |new: &mut NewBucket| {
        (new.retention_period_ns, new.shard_group_duration_ns) = (HOUR_NS, HOUR_NS + 1);
    };
    check(&longer, Unprocessable, below);
    assert!(store.contents() == before);
    // An empty name is one, and the longest name is taken.
    create(&store, &new_bucket(&store, "")).unwrap();
    create(&store, &new_bucket(&store, &"x".repeat(32_752))).unwrap();
}

#[test]
fn a_request_is_checked_before_anybody_asks_the_store() {
    use BucketErrorKind::{Invalid, Unprocessable};
    let rule = |every_seconds, shard_group_duration_seconds| RetentionRule {
        every_seconds,
        shard_group_duration_seconds,
    };
    let org_id = Id::new(9);
    for (org_id, retention_rules, kind, text) in [
        (None, vec![rule(-1, 0)], Invalid, "organization id must be provided"),
        (
            org_id,
            vec![rule(-1, 0); 2],
            Unprocessable,
            "buckets cannot have more than one retention rule at this time",
        ),
        (org_id, vec![rule(-1, -1)], Unprocessable, "expiration seconds cannot be negative"),
        (org_id, vec![rule(0, -1)], Unprocessable, "shard-group duration seconds cannot be negative"),
        (org_id, vec![rule(i64::MAX, 0)], Unprocessable, "expiration seconds must be at most 9223372036"),
        (
            org_id,
            vec![rule(0, i64::MAX)],
            Unprocessable,
            "shard-group duration seconds must be at most 9223372036",
        ),
    ] {
        let error =
            BucketRequest { org_id, retention_rules, ..BucketRequest::default() }.check().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
    }
    let json = r#"{"orgID":"0000000000000009","name":"n","description":null,"rp":"r","other":1,
        "retentionRules":[{"type":"expire","everySeconds":7200}]}"#;
    let request: BucketRequest = serde_json::from_str(json).unwrap();
    let expected = NewBucket {
        org_id: org_id.unwrap(),
        name: "n".into(),
        description: String::new(),
        retention_policy: "r".into(),
        retention_period_ns: 2 * HOUR_NS,
        shard_group_duration_ns: 0,
    };
    assert_eq!(request.check().unwrap(), expected);
    let request: BucketRequest = serde_json::from_str(r#"{"orgID":null,"retentionRules":null}"#).unwrap();
    assert_eq!(request.check().unwrap_err().to_string(), "organization id must be provided");
    assert!(serde_json::from_str::<BucketRequest>(r#"{"orgID":"00"}"#).is_err());
}
