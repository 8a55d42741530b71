//! Lists of organizations and buckets. What the real server answers to the same questions is recorded in the tests of
//! `icecore-http`; here is what its fixtures do not have.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{TestStore, fixture, store_of};
use icecore_catalog::{
    Action, Authorization, BucketFilter, Id, OrganizationFilter, Page, Permission, Resource, ResourceType,
    Status,
};
use icecore_testkit::fixtures::OPERATOR_TOKEN;

const ORG: &str = "0bf6ccd6884c2b99";
const BUCKET: &str = "725e5d10302da261";
const SYSTEM_BUCKET: &str = "794195e834d9b9c0";
const LABELS: [(&str, &str); 2] = [
    (
        "11b3dc00803ec000",
        r##"{"id":"11b3dc00803ec000","orgID":"0bf6ccd6884c2b99","name":"Zeta \u003cx\u003e","properties":{"a":"b","color":"#fff"}}"##,
    ),
    ("11b3dc0082bec000", r#"{"id":"11b3dc0082bec000","orgID":"0bf6ccd6884c2b99","name":"plain"}"#),
];

const ALL: Page = Page { limit: 100, offset: 0, after: None, descending: false };

/// `kitchen-sink` with two labels on two buckets, as influxd 2.9.1 wrote them, and a mapping to a label that is gone.
fn labeled() -> TestStore {
    let mut contents = fixture("kitchen-sink").contents();
    for (id, label) in LABELS {
        contents.put("labelsv1", id, label);
        for bucket in [BUCKET, SYSTEM_BUCKET] {
            let mapping = format!(r#"{{"labelID":"{id}","resourceID":"{bucket}","resourceType":"buckets"}}"#);
            contents.put("labelmappingsv1", format!("{bucket}{id}"), mapping);
        }
    }
    contents.put("labelmappingsv1", format!("{BUCKET}0000000000000001"), "{}");
    store_of(&contents)
}

fn operator(store: &TestStore) -> Authorization {
    store.catalog().token(OPERATOR_TOKEN).unwrap().unwrap()
}

/// Somebody who may read this and nothing else.
fn reader(store: &TestStore, resources: &[Resource]) -> Authorization {
    let permission = |resource: &Resource| Permission { action: Action::Read, resource: *resource };
    Authorization { permissions: resources.iter().map(permission).collect(), ..operator(store) }
}

fn of_org(kind: ResourceType) -> Resource {
    Resource { kind, id: None, org_id: Some(ORG.parse().unwrap()) }
}

fn one(kind: ResourceType, id: &str) -> Resource {
    Resource { kind, id: Some(id.parse().unwrap()), org_id: None }
}

/// Names of the labels of a bucket; `None`: the bucket is not seen.
fn labels(store: &TestStore, reader: &Authorization, bucket: &str) -> Option<Vec<String>> {
    let filter = BucketFilter { id: Some(bucket.parse().unwrap()), ..BucketFilter::default() };
    let mut found = store.catalog().find_buckets(&filter, &ALL, reader).unwrap();
    Some(found.pop()?.labels.into_iter().map(|label| label.name).collect())
}

#[test]
fn labels_are_those_that_the_reader_may_read() {
    let store = labeled();
    let both = Some(vec!["Zeta <x>".to_owned(), "plain".to_owned()]);
    assert_eq!(labels(&store, &operator(&store), BUCKET), both);
    assert_eq!(labels(&store, &operator(&store), SYSTEM_BUCKET), both);
    let filter = BucketFilter { id: Some(BUCKET.parse().unwrap()), ..BucketFilter::default() };
    let found = store.catalog().find_buckets(&filter, &ALL, &operator(&store)).unwrap();
    let json = String::from_utf8(icecore_catalog::to_json(&found[0].labels)).unwrap();
    assert_eq!(json, format!("[{},{}]", LABELS[0].1, LABELS[1].1));

    use ResourceType::{Buckets, Labels, Orgs};
    let no_labels = reader(&store, &[of_org(Buckets)]);
    assert_eq!(labels(&store, &no_labels, BUCKET), Some(Vec::new()));
    assert_eq!(
        labels(&store, &no_labels, SYSTEM_BUCKET),
        None,
        "buckets of the system belong to the organization"
    );
    let one_label = reader(&store, &[of_org(Buckets), one(Labels, LABELS[1].0)]);
    assert_eq!(labels(&store, &one_label, BUCKET), Some(vec!["plain".to_owned()]));
    let of_the_org = reader(&store, &[one(Orgs, ORG), of_org(Labels)]);
    assert_eq!(labels(&store, &of_the_org, SYSTEM_BUCKET), Some(Vec::new()), "the labels are the bucket's");
    assert_eq!(labels(&store, &of_the_org, BUCKET), None);
}

fn names(store: &TestStore, page: Page, filter: BucketFilter) -> Vec<String> {
    let found = store.catalog().find_buckets(&filter, &page, &operator(store)).unwrap();
    found.into_iter().map(|found| found.bucket.name).collect()
}

#[test]
fn pages_of_any_size_make_the_whole_list_forwards_and_backwards() {
    let store = fixture("kitchen-sink");
    for org_id in [None, Some(ORG.parse().unwrap())] {
        let filter = || BucketFilter { org_id, ..BucketFilter::default() };
        let mut whole = names(&store, ALL, filter());
        assert!(whole.len() >= 6, "{whole:?}");
        for descending in [false, true] {
            let ids: Vec<Id> = {
                let page = Page { descending, ..ALL };
                let found = store.catalog().find_buckets(&filter(), &page, &operator(&store)).unwrap();
                found.iter().map(|found| found.bucket.id).collect()
            };
            for limit in 1..=whole.len() + 1 {
                let page = |offset, after| Page { limit, offset, after, descending };
                let by_offset: Vec<String> = (0..whole.len())
                    .step_by(limit)
                    .flat_map(|offset| names(&store, page(offset, None), filter()))
                    .collect();
                assert_eq!(by_offset, whole, "{limit}");
                let starts = (0..whole.len()).step_by(limit);
                let by_after: Vec<String> = starts
                    .flat_map(|start| {
                        let after = start.checked_sub(1).map(|before| ids[before]);
                        names(&store, page(0, after), filter())
                    })
                    .collect();
                assert_eq!(by_after, whole, "{limit}");
            }
            whole.reverse();
        }
    }
}

#[test]
fn who_may_not_read_all_organizations_sees_those_of_his_user_that_he_may_read() {
    let store = fixture("kitchen-sink");
    let list = |reader: &Authorization, filter: OrganizationFilter| {
        let found = store.catalog().find_organizations(&filter, &ALL, reader).unwrap();
        found.into_iter().map(|org| org.name).collect::<Vec<_>>()
    };
    let all = OrganizationFilter::default;
    assert_eq!(list(&operator(&store), all()), ["org1", "org two, ümläut"]);
    let of_one = reader(&store, &[one(ResourceType::Orgs, ORG)]);
    assert_eq!(list(&of_one, all()), ["org1"]);
    assert_eq!(list(&Authorization { user_id: Id::new(7), ..of_one.clone() }, all()), [""; 0], "another's");
    assert_eq!(list(&Authorization { user_id: None, ..of_one.clone() }, all()), [""; 0]);
    let named = OrganizationFilter { name: Some("org two, ümläut".into()), ..all() };
    assert_eq!(list(&of_one, named.clone()), [""; 0], "it is there, and not shown");
    assert_eq!(list(&operator(&store), named), ["org two, ümläut"]);
    let inactive = Authorization { status: Status::Inactive, ..operator(&store) };
    assert_eq!(list(&inactive, all()), [""; 0]);
}

#[test]
fn a_bucket_is_called_by_its_id_or_else_by_its_name() {
    let store = fixture("kitchen-sink");
    let (org, other) = (ORG.parse().unwrap(), "6e8191b4d5681990".parse().unwrap());
    let find = |org, name: &str| store.catalog().find_bucket(org, name).map(|bucket| bucket.id.to_string());
    assert_eq!(find(org, "telemetry").unwrap(), BUCKET);
    assert_eq!(find(org, BUCKET).unwrap(), BUCKET);
    assert_eq!(find(other, BUCKET).unwrap(), BUCKET, "the caller has to look whose it is");
    assert_eq!(find(other, "telemetry").unwrap_err().to_string(), "bucket \"telemetry\" not found");
    // A name that looks like an id of no bucket.
    let mut contents = store.contents();
    contents.put("bucketindexv1", format!("{ORG}00000000000000aa"), BUCKET);
    let found = store_of(&contents).catalog().find_bucket(org, "00000000000000aa").unwrap();
    assert_eq!(found.id.to_string(), BUCKET);
}

#[test]
fn damage_in_an_index_or_a_label_is_named() {
    for (bucket, key, value, expected) in [
        (
            "bucketindexv1",
            format!("{ORG}broken"),
            "zz",
            "in bucketindexv1 of the key-value store: id must have",
        ),
        ("labelsv1", LABELS[0].0.to_owned(), "{}", "in labelsv1 of the key-value store: missing field `id`"),
        (
            "labelmappingsv1",
            format!("{BUCKET}x"),
            "{}",
            "in labelmappingsv1 of the key-value store: id must have",
        ),
    ] {
        let mut contents = labeled().contents();
        contents.put(bucket, key.as_str(), value);
        let store = store_of(&contents);
        let filter = BucketFilter { org_id: Some(ORG.parse().unwrap()), ..BucketFilter::default() };
        let error = store.catalog().find_buckets(&filter, &ALL, &operator(&store)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
