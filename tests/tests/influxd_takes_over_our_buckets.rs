//! influxd 2.9 starts on a directory where buckets and shard groups were made by Icecore, shows the same, and goes on
//! from there; then Icecore goes on from what influxd made.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::path::Path;

use icecore_catalog::{Bucket, NewBucket, OnboardRequest};
use icecore_database::{Database, Mode, Options, Paths};
use icecore_tests::fixture::KITCHEN_SINK;
use icecore_tests::http::{Answer, Client};
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::Influxd;
use icecore_tests::{fixture, peers};
use serde_json::Value;

const TOKEN: &str = "an-operator-token-of-tests";
const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
/// 2024-01-01, a Monday.
const MONDAY_NS: i64 = 1_704_067_200_000_000_000;

fn open(dir: &Path) -> Database {
    Database::open(Paths::in_dir(dir), Options::new(Mode::ReadWrite)).unwrap()
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// Everything that both servers answer to the same questions.
const QUESTIONS: [&str; 8] = [
    "/api/v2/orgs",
    "/api/v2/orgs?org=main",
    "/api/v2/buckets?limit=100",
    "/api/v2/buckets?limit=3&offset=2",
    "/api/v2/buckets?org=main&descending=true",
    "/api/v2/buckets?name=weeks",
    "/api/v2/buckets?org=main&name=weeks",
    "/api/v2/buckets?org=nowhere",
];

fn answers(client: &Client) -> Vec<(u16, String)> {
    QUESTIONS.iter().map(|question| client.get(question)).map(|a| (a.status, a.text())).collect()
}

/// The groups of a bucket in a metadata backup: id, first instant, first instant behind it, id of the shard.
fn groups(client: &Client, bucket: &Bucket) -> BTreeSet<(u64, String, String, u64)> {
    let manifest = icecore_tests::multipart::parts(&client.get("/api/v2/backup/metadata"));
    let buckets: Value = serde_json::from_slice(&manifest[2].content).unwrap();
    let bucket = buckets.as_array().unwrap().iter().find(|found| found["bucketID"] == bucket.id.to_string());
    let groups = bucket.unwrap()["retentionPolicies"][0]["shardGroups"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let read = |group: &Value| {
        let shards = group["shards"].as_array().unwrap();
        assert_eq!(shards.len(), 1);
        let shard = shards[0]["id"].as_u64().unwrap();
        (group["id"].as_u64().unwrap(), text(&group["startTime"]), text(&group["endTime"]), shard)
    };
    groups.iter().map(read).collect()
}

fn write(client: &Client, bucket: &str, times: &[i64]) {
    let lines: String = times.iter().map(|time_ns| format!("m f=1 {time_ns}\n")).collect();
    let answer =
        client.send("POST", &format!("/api/v2/write?org=main&bucket={bucket}"), &[], lines.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// Around 1970, at the end of time, in runs and with gaps. Not at its beginning: there influxd shows another start of the
/// group after it was started again.
const WEEKS: [i64; 7] = [MONDAY_NS, MONDAY_NS - 1, MONDAY_NS + 30 * DAY_NS, 0, -1, -5 * DAY_NS, i64::MAX - 1];
const DAYS: [i64; 5] = [MONDAY_NS, MONDAY_NS + DAY_NS, 0, -1, i64::MAX - 1];
/// For influxd, afterwards: between ours, beside them, and in them.
const LATER: [i64; 6] = [MONDAY_NS + 2, MONDAY_NS + 10 * DAY_NS, MONDAY_NS - 8 * DAY_NS, 3, -2, i64::MAX - 5];

fn make(dir: &Path) -> [Bucket; 2] {
    let database = open(dir);
    let request = OnboardRequest {
        username: "admin".into(),
        org: "main".into(),
        bucket: "first".into(),
        token: Some(TOKEN.into()),
        ..OnboardRequest::default()
    };
    let org_id = database.onboard(&request).unwrap().org.id;
    let new = |name: &str, description: &str, retention_period_ns, shard_group_duration_ns| NewBucket {
        org_id,
        name: name.into(),
        description: description.into(),
        retention_policy: String::new(),
        retention_period_ns,
        shard_group_duration_ns,
    };
    let weeks = database.create_bucket(&new("weeks", "", 0, 0)).unwrap();
    let days = database.create_bucket(&new("days <&>", "a \"day\"", 0, DAY_NS)).unwrap();
    database.create_bucket(&new("", "two hours", 2 * HOUR_NS, 0)).unwrap();
    database.ensure_shards(weeks.id, WEEKS, 0).unwrap();
    database.ensure_shards(days.id, DAYS, 0).unwrap();
    [weeks, days]
}

#[test]
fn influxd_shows_our_buckets_and_groups_and_makes_more_of_them() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [weeks, days] = make(dir.path());
    let server = Server::start(dir.path());
    let client = server.client().with_token(TOKEN);
    let ours = answers(&client);
    let our_groups = [groups(&client, &weeks), groups(&client, &days)];
    assert_eq!(our_groups.each_ref().map(BTreeSet::len), [6, 5]);
    server.stop();

    let real = Influxd::start(&influxd, dir.path());
    let client = real.client().with_token(TOKEN);
    for ((question, ours), theirs) in QUESTIONS.iter().zip(&ours).zip(answers(&client)) {
        assert_eq!(*ours, theirs, "{question}");
    }
    write(&client, "weeks", &LATER);
    write(&client, &days.id.to_string(), &LATER);
    let made = client.send(
        "POST",
        "/api/v2/buckets",
        &[],
        format!("{{\"orgID\":\"{}\",\"name\":\"theirs\"}}", weeks.org_id).as_bytes(),
    );
    assert_eq!(made.status, 201);
    write(&client, "theirs", &[MONDAY_NS]);
    let their_groups = [groups(&client, &weeks), groups(&client, &days)];
    real.stop();

    let server = Server::start(dir.path());
    let client = server.client().with_token(TOKEN);
    assert_eq!([groups(&client, &weeks), groups(&client, &days)], their_groups, "read as they were written");
    assert!(client.get("/api/v2/buckets?org=main&name=theirs").status == 200);
    server.stop();
    for ((bucket, ours), theirs) in [&weeks, &days].into_iter().zip(our_groups).zip(&their_groups) {
        assert!(theirs.is_superset(&ours), "{}: {ours:?} {theirs:?}", bucket.name);
        assert!(theirs.len() > ours.len(), "influxd made more");
    }
    let database = open(dir.path());
    for bucket in database.catalog().buckets().unwrap() {
        let groups = database.ensure_shards(bucket.id, WEEKS, i64::MIN).unwrap();
        assert!(WEEKS.iter().all(|time_ns| groups.shard_at(*time_ns).is_some()));
    }
    let shards = database.catalog().shards().unwrap();
    let ids: BTreeSet<u64> = shards.iter().map(|shard| shard.id.0).collect();
    assert_eq!(
        (ids.len(), ids.last().copied()),
        (shards.len(), u64::try_from(shards.len()).ok()),
        "no clash"
    );
}

/// The same times, written to influxd in the same order, make the same groups.
#[test]
fn our_groups_are_those_that_influxd_makes_for_the_same_times() {
    let Some(influxd) = peers::influxd2() else { return };
    let ours = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    let [our_weeks, our_days] = make(ours.path());
    let mut client = None;
    let mut servers = Vec::new();
    for dir in [&ours, &theirs] {
        let server = Influxd::start(&influxd, dir.path());
        if client.is_some() {
            icecore_tests::influxd2::set_up(server.client(), TOKEN);
        }
        client = Some(server.client().with_token(TOKEN));
        servers.push(server);
    }
    let (ours, theirs) = (servers[0].client().with_token(TOKEN), servers[1].client().with_token(TOKEN));
    let org_id = json(&theirs.get("/api/v2/orgs"))["orgs"][0]["id"].as_str().unwrap().to_owned();
    for (our_bucket, length, times) in [(our_weeks, 0, &WEEKS[..]), (our_days, 86_400, &DAYS[..])] {
        let body = serde_json::json!({"orgID": org_id, "name": our_bucket.name,
            "retentionRules": [{"everySeconds": 0, "shardGroupDurationSeconds": length}]});
        let made = theirs.send("POST", "/api/v2/buckets", &[], body.to_string().as_bytes());
        let id = json(&made)["id"].as_str().unwrap().parse().unwrap();
        let mut times = times.to_vec();
        times.sort_unstable();
        write(&theirs, json(&made)["id"].as_str().unwrap(), &times);
        let their_bucket = Bucket { id, ..our_bucket.clone() };
        assert_eq!(groups(&ours, &our_bucket), groups(&theirs, &their_bucket), "{}", our_bucket.name);
    }
    servers.into_iter().for_each(Influxd::stop);
}

/// Of a directory that lived: what it has and what is added.
#[test]
fn both_servers_show_the_same_of_a_directory_that_lived() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = KITCHEN_SINK.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    let org_id = json(&client.get("/api/v2/orgs"))["orgs"][0]["id"].as_str().unwrap().to_owned();
    let body = format!("{{\"orgID\":\"{org_id}\",\"name\":\"weeks\"}}");
    let made = client.send("POST", "/api/v2/buckets", &[], body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    let ours = answers(&client);
    let manifest = fixture::manifest(&client).len();
    server.stop();
    let real = Influxd::start(&influxd, dir.path());
    let client = real.client().with_token(KITCHEN_SINK.token);
    assert_eq!(ours, answers(&client));
    assert_eq!(fixture::manifest(&client).len(), manifest);
    real.stop();
}
