//! The Python and the Node client make a bucket, list buckets and organizations, and are told why a write is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use icecore_tests::fixture::KITCHEN_SINK;
use icecore_tests::icecore::Server;
use icecore_tests::{influxd2, peers, process};
use serde_json::{Value, json};

/// Runs `PROGRAM SCRIPT URL TOKEN ORG BUCKET OUT` over the data of a real server; what the client saw, and the buckets
/// that there are afterwards.
fn run(program: &Path, script: &str, bucket: &str) -> (Value, Vec<String>) {
    let dir = KITCHEN_SINK.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    let out = dir.path().join("seen.json");
    process::run(
        Command::new(program)
            .arg(peers::own(script))
            .args([&client.url(), KITCHEN_SINK.token, "org1", bucket])
            .arg(&out),
    );
    let buckets = influxd2::bucket_ids(&client).into_keys().collect();
    server.stop();
    (serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap(), buckets)
}

const TAKEN: &str = "bucket with name from a client already exists";
const NO_FIELD: &str = "unable to parse 'm f=': missing field value";
const NO_BUCKET: &str = "bucket \"no such bucket\" not found";

#[test]
fn the_python_client_makes_and_lists_buckets() {
    let Some(python) = peers::python() else { return };
    let (seen, buckets) = run(&python, "python/buckets.py", "from a client");
    let made = &seen["made"];
    assert_eq!(seen["found"], *made);
    assert_eq!((&made["name"], &made["type"]), (&json!("from a client"), &json!("user")));
    assert_eq!((&made["every"], &made["shardGroup"]), (&json!(172_800), &json!(86_400)));
    assert_eq!(made["description"], "from Python");
    assert_eq!(seen["again"], json!({"status": 422, "message": TAKEN}));
    assert_eq!(seen["underscore"]["status"], 400);
    assert_eq!(seen["missing"], true);
    let (mut pages, all) = (seen["pages"].as_array().unwrap().clone(), &seen["all"]);
    pages.sort_by_key(|name| name.as_str().unwrap().to_owned());
    assert_eq!((pages.len(), &Value::from(pages)), (all.as_array().unwrap().len(), all));
    assert!(buckets.contains(&"from a client".to_owned()));
    assert_eq!(seen["orgs"], json!(["org1", "org two, ümläut"]));
    assert_eq!(seen["no_org"], json!({"status": 404, "message": "organization name \"nowhere\" not found"}));
    assert_eq!(seen["no_points"], true);
    assert_eq!(seen["bad_line"], json!({"status": 400, "message": NO_FIELD}));
    assert_eq!(seen["bad_line_gzip"]["status"], 400);
    assert_eq!(seen["no_bucket"], json!({"status": 404, "message": NO_BUCKET}));
}

#[test]
fn the_node_client_makes_and_lists_buckets() {
    let Some(node) = peers::node() else { return };
    let (seen, buckets) = run(&node, "node/buckets.js", "from a client");
    let made = &seen["made"];
    assert_eq!(seen["found"], json!([made]));
    assert_eq!(made["name"], "from a client");
    let rule = json!({"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 86_400});
    assert_eq!(made["retentionRules"], json!([rule]));
    assert_eq!(seen["again"], json!({"status": 422, "code": "conflict", "message": TAKEN}));
    let short = "retention policy duration must be at least 1h0m0s";
    assert_eq!(seen["short"], json!({"status": 422, "code": "unprocessable entity", "message": short}));
    assert_eq!(seen["missing"], json!({"status": 404, "code": "not found", "message": NO_BUCKET}));
    let links = json!({
        "prev": "/api/v2/buckets?descending=false&limit=1&offset=0",
        "self": "/api/v2/buckets?descending=false&limit=1&offset=1",
        "next": "/api/v2/buckets?descending=false&limit=1&offset=2",
    });
    assert_eq!(seen["links"], links);
    assert_eq!(seen["all"].as_array().unwrap().len(), 10);
    assert!(buckets.contains(&"from a client".to_owned()));
    assert_eq!(seen["orgs"], json!(["org1"]));
    assert_eq!(seen["badLine"], json!({"status": 400, "code": "invalid", "message": NO_FIELD}));
    assert_eq!(seen["noBucket"], json!({"status": 404, "code": "not found", "message": NO_BUCKET}));
}
