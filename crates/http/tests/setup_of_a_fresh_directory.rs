//! From an empty directory to a first backup.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::net::SocketAddr;

use client::{Reply, exchange, send};
use icecore_database::Mode;
use icecore_testkit::fixtures;
use serde_json::Value;

async fn post(server: SocketAddr, body: &str) -> Reply {
    let len = body.len();
    let head = "POST /api/v2/setup HTTP/1.1\r\nHost: x\r\nConnection: close";
    exchange(server, format!("{head}\r\nContent-Length: {len}\r\n\r\n{body}").as_bytes()).await
}

async fn is_allowed(server: SocketAddr) -> String {
    send(server, "GET", "/api/v2/setup", &[]).await.text()
}

#[tokio::test]
async fn a_fresh_directory_is_set_up_once_and_then_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = server::start(dir.path(), Mode::ReadWrite).await;
    assert_eq!(is_allowed(server).await, "{\n\t\"allowed\": true\n}");
    let request = r#"{"username":"nora","password":"lake vostok","org":"drilling","bucket":"cores","token":"mine",
        "retentionPeriodSeconds":86400,"retentionPeriodHrs":null,"unknown":1}"#;
    let reply = post(server, request).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("Content-Type"), Some("application/json; charset=utf-8"));
    assert!(reply.text().starts_with("{\n\t\"user\": {\n\t\t\"links\": {\n\t\t\t\"self\": \"/api/v2/users/"));
    assert_shape(&serde_json::from_str(&reply.text()).unwrap());
    assert_eq!(is_allowed(server).await, "{\n\t\"allowed\": false\n}");

    let again = post(server, request).await;
    assert_eq!((again.status, again.header("X-Platform-Error-Code")), (422, Some("conflict")));
    assert_eq!(
        again.text(),
        "{\n\t\"code\": \"conflict\",\n\t\"message\": \"onboarding has already been completed\"\n}"
    );
    let metadata = send(server, "GET", "/api/v2/backup/metadata", &[("Authorization", "Token mine")]).await;
    assert_eq!(metadata.status, 200);
    let body = metadata.body().unwrap();
    assert!(String::from_utf8_lossy(&body).contains("\"bucketName\":\"_monitoring\""));
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn assert_shape(answer: &Value) {
    assert_eq!(keys(answer), ["user", "bucket", "org", "auth"]);
    assert_eq!(keys(&answer["user"]), ["links", "id", "name", "status"]);
    let bucket = &answer["bucket"];
    assert_eq!(
        keys(bucket),
        ["id", "orgID", "type", "name", "retentionRules", "createdAt", "updatedAt", "links", "labels"]
    );
    assert_eq!(bucket["retentionRules"][0]["everySeconds"], 86400);
    assert_eq!(bucket["retentionRules"][0]["shardGroupDurationSeconds"], 3600);
    let org_id = answer["org"]["id"].as_str().unwrap();
    let bucket_id = bucket["id"].as_str().unwrap();
    assert_eq!(bucket["links"]["write"], format!("/api/v2/write?org={org_id}&bucket={bucket_id}"));
    assert_eq!(keys(&answer["org"]), ["links", "id", "name", "description", "createdAt", "updatedAt"]);
    let auth = &answer["auth"];
    assert_eq!(
        keys(auth),
        [
            "id",
            "token",
            "hashedToken",
            "status",
            "description",
            "orgID",
            "userID",
            "permissions",
            "createdAt",
            "updatedAt",
            "links"
        ]
    );
    assert_eq!((&auth["token"], &auth["description"]), (&Value::from("mine"), &Value::from("nora's Token")));
    assert_eq!(auth["permissions"].as_array().unwrap().len(), 44);
    assert_eq!(
        auth["permissions"][1],
        serde_json::json!({"action": "write", "resource": {"type": "authorizations"}})
    );
}

#[tokio::test]
async fn a_bad_setup_is_refused_with_the_text_of_the_original_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = server::start(dir.path(), Mode::ReadWrite).await;
    for (body, status, code, message) in [
        ("", 400, "invalid", "EOF while parsing"),
        ("{\"username\":", 400, "invalid", "EOF while parsing"),
        ("{\"username\":1}", 400, "invalid", "invalid type"),
        (
            "{\"password\":\"x\"}",
            422,
            "unprocessable entity",
            "missing required fields [username,org,bucket]",
        ),
        (r#"{"username":"u","org":"o"}"#, 422, "unprocessable entity", "missing required fields [bucket]"),
        (r#"{"username":"u","org":"o","bucket":"b","password":"short"}"#, 400, "invalid", "between 8 and 72"),
    ] {
        let reply = post(server, body).await;
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!((reply.status, answer["code"].as_str()), (status, Some(code)), "{body}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
        assert!(reply.text().starts_with("{\n\t\"code\""), "layout A");
    }
    assert_eq!(is_allowed(server).await, "{\n\t\"allowed\": true\n}");
}

#[tokio::test]
async fn what_is_served_to_read_only_is_not_set_up() {
    let dir = fixtures::unpack("kitchen-sink");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let reply = post(server, r#"{"username":"u","org":"o","bucket":"b"}"#).await;
    assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (403, Some("forbidden")));
}
