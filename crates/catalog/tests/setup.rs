//! A fresh store and a setup, against the stores that influxd made.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{FIXTURES, TestStore, fixture, fixture_with, random, store_of};
use icecore_catalog::{
    Contents, OnboardError, OnboardErrorKind, OnboardRequest, Onboarded, Random, fresh, meta, onboard,
};
use icecore_testkit::fixtures::OPERATOR_TOKEN;
use prost::Message as _;

const NOW_NS: i64 = 1_795_367_725_670_309_100;

fn request() -> OnboardRequest {
    OnboardRequest {
        username: "admin".into(),
        password: "adminpassword".into(),
        org: "org1".into(),
        bucket: "fleet".into(),
        token: Some(OPERATOR_TOKEN.into()),
        ..OnboardRequest::default()
    }
}

fn fresh_store(seed: u64) -> TestStore {
    store_of(&fresh(NOW_NS, &mut random(seed)).unwrap())
}

fn set_up(
    store: TestStore,
    request: &OnboardRequest,
    hash: bool,
) -> Result<(Onboarded, TestStore), OnboardError> {
    let (_, onboarded) = store.store.write(|tx| {
        let onboarded = onboard(&store.view(), request, NOW_NS, &mut random(2), hash)?;
        onboarded.write(tx)?;
        Ok::<_, OnboardError>(onboarded)
    })?;
    store.view().verify().unwrap();
    Ok((onboarded, store))
}

/// The pairs of a store as text, with everything that differs between two servers replaced by what it stands for.
fn normalized(contents: &Contents) -> BTreeSet<(String, String, String)> {
    let roles = roles(contents);
    let mut pairs = BTreeSet::new();
    for bucket in contents.buckets() {
        let bucket = std::str::from_utf8(bucket).unwrap();
        for (key, value) in contents.pairs(bucket) {
            let value = match bucket {
                "v1_tsm1_metadata" => storage_of_a_new_server(value),
                "userspasswordv1" => String::from_utf8(value[..7].to_vec()).unwrap(),
                _ => without_times(std::str::from_utf8(value).unwrap()),
            };
            let role =
                |text: &str| roles.iter().fold(text.to_owned(), |text, (id, role)| text.replace(id, role));
            pairs.insert((bucket.to_owned(), role(std::str::from_utf8(key).unwrap()), role(&value)));
        }
    }
    pairs
}

/// The ids of a store and what they are of.
fn roles(contents: &Contents) -> BTreeMap<String, String> {
    let mut roles = BTreeMap::new();
    for (bucket, role) in [
        ("bucketsv1", "bucket"),
        ("organizationsv1", "org"),
        ("usersv1", "user"),
        ("authorizationsv1", "token"),
    ] {
        for (key, value) in contents.pairs(bucket) {
            let record: serde_json::Value = serde_json::from_slice(value).unwrap();
            let name = record["name"].as_str().or(record["description"].as_str()).unwrap();
            let org =
                contents.get("organizationsv1", record["orgID"].as_str().unwrap_or_default().as_bytes());
            let org = org.map_or(String::new(), |org| {
                serde_json::from_slice::<serde_json::Value>(org).unwrap()["name"].to_string()
            });
            roles.insert(String::from_utf8(key.to_vec()).unwrap(), format!("<{role} {name} {org}>"));
        }
    }
    let server = contents.get("idsv1", b"id").unwrap();
    roles.insert(String::from_utf8(server.to_vec()).unwrap(), "<server>".into());
    roles
}

/// Values of fields that hold a time become `T`.
fn without_times(json: &str) -> String {
    let mut out = String::new();
    for (at, part) in json.split('"').enumerate() {
        let is_time = part.len() >= 20 && part.starts_with("20") && part.ends_with('Z') && part.contains('T');
        out.push_str(if at > 0 { "\"" } else { "" });
        out.push_str(if is_time { "T" } else { part });
    }
    out
}

/// Storage metadata without what came after setup, and without the random cluster id.
fn storage_of_a_new_server(bytes: &[u8]) -> String {
    let mut data = meta::Data::decode(bytes).unwrap();
    assert!(data.cluster_id > 0 && i64::try_from(data.cluster_id).is_ok());
    data.cluster_id = 0;
    let groups = data.databases.iter_mut().flat_map(|database| &mut database.retention_policies);
    let groups: u64 =
        groups.map(|policy| u64::try_from(std::mem::take(&mut policy.shard_groups).len()).unwrap()).sum();
    assert_eq!((groups, groups), (data.max_shard_group_id, data.max_shard_id));
    data.index -= groups;
    (data.max_shard_group_id, data.max_shard_id) = (0, 0);
    format!("{data:?}")
}

#[test]
fn a_fresh_store_that_is_set_up_equals_the_one_of_influxd_pair_by_pair() {
    let (_, ours) = set_up(fresh_store(1), &request(), true).unwrap();
    let (ours, theirs) = (ours.contents(), fixture("fleet").contents());
    assert!(ours.buckets().eq(theirs.buckets()));
    assert_eq!(normalized(&ours), normalized(&theirs));
}

#[test]
fn every_record_of_a_setup_is_in_a_store_that_lived_on() {
    let request = OnboardRequest { bucket: "bucket1".into(), ..request() };
    let (onboarded, ours) = set_up(fresh_store(1), &request, true).unwrap();
    let theirs = fixture("kitchen-sink").contents();
    assert!(ours.contents().buckets().eq(theirs.buckets()));
    let theirs = normalized(&theirs);
    let missing: Vec<_> = normalized(&ours.contents())
        .into_iter()
        .filter(|pair| pair.0 != "v1_tsm1_metadata" && !theirs.contains(pair))
        .collect();
    assert_eq!(missing, [], "of {} records", onboarded.records().len());
}

#[test]
fn a_fresh_store_waits_for_its_setup_and_a_used_one_does_not() {
    let fresh = fresh_store(1);
    let catalog = fresh.catalog();
    assert!(catalog.is_onboarding().unwrap());
    catalog.check_migrations().unwrap();
    assert_eq!(catalog.storage_meta().unwrap().index, 1);
    assert_eq!(catalog.manifest().unwrap(), []);
    assert_ne!(fresh.contents(), fresh_store(2).contents(), "ids are random");
    for name in FIXTURES {
        let used = fixture(name);
        assert!(!used.catalog().is_onboarding().unwrap(), "{name}");
        used.catalog().check_migrations().unwrap();
        let error = onboard(&used.view(), &request(), NOW_NS, &mut random(1), true).unwrap_err();
        assert_eq!(error.to_string(), "onboarding has already been completed");
        assert_eq!(error.kind(), OnboardErrorKind::Conflict);
    }
}

#[test]
fn the_token_of_a_setup_works_and_is_stored_as_it_was_asked() {
    for hash in [true, false] {
        let (onboarded, store) = set_up(fresh_store(1), &request(), hash).unwrap();
        assert_eq!(onboarded.auth.token.as_deref(), Some(OPERATOR_TOKEN));
        assert_eq!(onboarded.auth.hashed_token.is_some(), hash);
        let operator = store.catalog().token(OPERATOR_TOKEN).unwrap().unwrap();
        assert_eq!(operator.require_operator(), Ok(()));
        assert_eq!((operator.token.is_none(), operator.hashed_token.is_some()), (hash, hash));
        let contents = store.contents();
        let clear = contents.buckets().map(|name| std::str::from_utf8(name).unwrap()).any(|bucket| {
            let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(OPERATOR_TOKEN);
            contents.pairs(bucket).any(|(key, value)| has(key) || has(value))
        });
        assert_eq!(clear, !hash, "in clear somewhere in the store");
    }
}

#[test]
fn without_a_token_one_is_made() {
    for token in [None, Some(String::new())] {
        let (onboarded, store) =
            set_up(fresh_store(1), &OnboardRequest { token, ..request() }, true).unwrap();
        let token = onboarded.auth.token.unwrap();
        assert_eq!(token.len(), 88);
        assert_eq!(store.catalog().token(&token).unwrap().unwrap().id, onboarded.auth.id);
    }
}

#[test]
fn a_user_without_password_and_a_bucket_with_retention() {
    let request = OnboardRequest {
        password: String::new(),
        retention_period_seconds: 7200,
        org: "  spaced ".into(),
        bucket: "a<b".into(),
        ..request()
    };
    let (onboarded, store) = set_up(fresh_store(1), &request, true).unwrap();
    let contents = store.contents();
    assert_eq!(contents.pairs("userspasswordv1").count(), 0);
    assert!(contents.get("organizationindexv1", b"spaced").is_some());
    assert_eq!(onboarded.org.name, "  spaced ");
    assert_eq!(onboarded.bucket.shard_group_duration_ns, 3_600_000_000_000);
    let manifest = String::from_utf8(icecore_catalog::to_json(&store.catalog().manifest().unwrap())).unwrap();
    assert!(manifest.contains(r#""bucketName":"a\u003cb""#), "{manifest}");
    assert!(
        manifest.contains(r#""duration":7200000000000,"shardGroupDuration":3600000000000"#),
        "{manifest}"
    );
    assert_eq!(store.catalog().buckets_without_storage().unwrap(), []);
}

#[test]
fn what_is_not_valid_is_refused_with_the_text_of_the_contract() {
    use OnboardErrorKind::{Conflict, Invalid, Unprocessable};
    let store = fresh_store(1);
    let check = |change: fn(&mut OnboardRequest), kind, text: &str| {
        let mut request = request();
        change(&mut request);
        let error = onboard(&store.view(), &request, NOW_NS, &mut random(1), false).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
    };
    let missing = "onboarding failed: missing required fields [username,org,bucket]";
    check(|r| *r = OnboardRequest::default(), Unprocessable, missing);
    check(|r| r.org.clear(), Unprocessable, "onboarding failed: missing required fields [org]");
    let length = "passwords must be between 8 and 72 characters long";
    check(|r| r.password = "1234567".into(), Invalid, length);
    check(|r| r.password = "é".repeat(36) + "x", Invalid, length);
    check(|r| r.org = " \t".into(), Invalid, "org name is empty");
    check(
        |r| r.bucket = "_x".into(),
        Invalid,
        "bucket name _x is invalid. Buckets may not start with underscore",
    );
    check(
        |r| r.bucket = "a\"b".into(),
        Invalid,
        "bucket name a\"b is invalid. Bucket names may not include quotation marks",
    );
    check(
        |r| r.retention_period_seconds = 60,
        Unprocessable,
        "retention policy duration must be at least 1h0m0s",
    );
    check(|r| r.org = "o".repeat(40_000), Invalid, "org must be at most 32752 bytes long");
    check(|r| r.token = Some("t".repeat(40_000)), Invalid, "token must be at most 32752 bytes long");
    let unusable = "token must not have the form $name$hash or that of a JSON Web Token";
    check(|r| r.token = Some("$a$b".into()), Invalid, unusable);

    let left_over = fixture_with("fleet", "idsv1", "x", b"y").contents();
    let mut contents = store.contents();
    for (key, value) in left_over.pairs("authorizationhashedindexv1") {
        contents.put("authorizationhashedindexv1", key, value);
    }
    let error = onboard(&store_of(&contents).view(), &request(), NOW_NS, &mut random(1), true).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), ("token already exists", Conflict));
}

#[test]
fn a_password_of_72_bytes_is_accepted() {
    let request = OnboardRequest { password: "é".repeat(36), ..request() };
    assert!(set_up(fresh_store(1), &request, true).is_ok());
}

#[test]
fn without_randomness_there_is_no_setup() {
    let mut broken = |_: &mut [u8]| Err(std::io::Error::other("no entropy"));
    assert!(fresh(NOW_NS, &mut broken).is_err());
    let error = onboard(&fresh_store(1).view(), &request(), NOW_NS, &mut broken, true).unwrap_err();
    assert_eq!(error.kind(), OnboardErrorKind::Internal);
    let _: &mut dyn Random = &mut broken;
}

#[test]
fn migrations_that_do_not_fit_are_named() {
    let key = "0000000000000015";
    let record = |name: &str, end: &str| {
        format!(r#"{{"id":"{key}","name":"{name}","started_at":"2026-01-01T00:00:00Z"{end}}}"#)
    };
    let finished = r#","finished_at":"2026-01-01T00:00:00Z""#;
    let newer = r#"{"id":"0000000000000016","name":"later","started_at":"2026-01-01T00:00:00Z"}"#.to_owned();
    for (key, value, expected) in [
        (key, record("something", finished), "is \"something\" and should be"),
        (key, record("create authorizationhashedindexv1 bucket", ""), "did not finish"),
        ("0000000000000016", newer, "a newer server wrote this store"),
    ] {
        let store = fixture_with("fleet", "migrationsv1", key, value.as_bytes());
        let error = store.catalog().check_migrations().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = store_of(&Contents::default()).catalog().check_migrations().unwrap_err().to_string();
    assert!(error.contains("\"initial migration\" is missing"), "{error}");
}
