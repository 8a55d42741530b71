//! What a real influxd 2.9.1 answered, against what we answer to the same requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use client::{Reply, parse_head, send};
use icecore_database::Mode;
use icecore_testkit::fixtures;

const TOKEN: (&str, &str) = ("Authorization", "Token fixture-operator-token-0123456789");
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");

fn captured(name: &str, body: &str) -> (u16, BTreeSet<(String, String)>, Vec<u8>) {
    let head = String::from_utf8(fixtures::read(&format!("kitchen-sink/http/{name}.headers"))).unwrap();
    let (status, headers) = parse_head(&head);
    let body = if body.is_empty() {
        Vec::new()
    } else {
        fixtures::read(&format!("kitchen-sink/http/{name}.{body}"))
    };
    (status, comparable(headers), body)
}

/// The headers as a set with names in lower case, without `Date`, and without the one line of ours that tells
/// a client's connection to end.
fn comparable(headers: Vec<(String, String)>) -> BTreeSet<(String, String)> {
    let lower = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
    lower.filter(|(name, _)| name != "date" && name != "connection").collect()
}

fn headers(reply: &Reply) -> BTreeSet<(String, String)> {
    comparable(reply.headers.clone())
}

/// Names of the headers.
fn names(headers: &BTreeSet<(String, String)>) -> Vec<&str> {
    headers.iter().map(|(name, _)| &**name).collect()
}

async fn kitchen_sink() -> (tempfile::TempDir, SocketAddr) {
    let dir = fixtures::unpack("kitchen-sink");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    (dir, server)
}

#[tokio::test]
async fn errors_that_stay_are_equal_in_status_headers_and_body() {
    let (_dir, server) = kitchen_sink().await;
    for (name, method, path, request_headers) in [
        ("no-such-shard", "GET", "/api/v2/backup/shards/999999", &[TOKEN][..]),
        ("unauthorized", "GET", "/api/v2/backup/metadata", &[]),
        ("bad-level", "GET", "/api/v2/backup/shards/1", &[TOKEN, GZIP, ("Gzip-Compression-Level", "bogus")]),
        ("wrong-method", "POST", "/api/v2/backup/kv", &[TOKEN]),
    ] {
        let reply = send(server, method, path, request_headers).await;
        let (status, expected, body) = captured(name, "body");
        assert_eq!(reply.status, status, "{name}");
        assert_eq!(headers(&reply), expected, "{name}");
        assert_eq!(reply.text().as_bytes(), body, "{name}");
    }
}

/// docs/http.md, 19 no. 22.
#[tokio::test]
async fn bad_input_is_a_400_that_quotes_it_with_the_headers_of_the_original() {
    let (_dir, server) = kitchen_sink().await;
    for (name, path, quoted) in [
        ("bad-shard-id", "/api/v2/backup/shards/abc", "abc"),
        ("since-invalid", "/api/v2/backup/shards/1?since=yesterday", "yesterday"),
    ] {
        let reply = send(server, "GET", path, &[TOKEN]).await;
        let (status, expected, _) = captured(name, "body");
        assert_eq!((status, reply.status), (500, 400));
        assert_eq!(names(&headers(&reply)), names(&expected));
        assert_eq!(reply.header("X-Platform-Error-Code"), Some("invalid"));
        let body: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!(body["code"], "invalid");
        assert!(body["message"].as_str().unwrap().contains(&format!("\"{quoted}\"")), "{body}");
    }
}

#[tokio::test]
async fn a_since_in_the_future_gives_the_empty_archive() {
    let (_dir, server) = kitchen_sink().await;
    let path = "/api/v2/backup/shards/1?since=2100-01-01T00:00:00Z";
    for request_headers in [&[TOKEN][..], &[TOKEN, GZIP]] {
        let reply = send(server, "GET", path, request_headers).await;
        let (status, expected, body) = captured("since-future", "tar");
        assert_eq!(reply.status, status);
        let mut ours = headers(&reply);
        let is_added = |name: &str| name.contains("icecore") || matches!(name, "etag" | "accept-ranges");
        ours.retain(|(name, _)| !is_added(name));
        assert_eq!(ours, expected);
        assert_eq!(reply.body().unwrap(), body);
        assert!(reply.header("Icecore-Cut").unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn inspection_is_equal_but_for_our_version() {
    let (_dir, server) = kitchen_sink().await;
    let (_, expected, _) = captured("ping", "");
    let ping = send(server, "GET", "/ping", &[]).await;
    let mut ours = headers(&ping);
    ours.retain(|(name, _)| !name.contains("icecore"));
    assert_eq!((ping.status, ours), (204, expected));

    let (_, _, body) = captured("health", "body");
    let body = String::from_utf8(body).unwrap();
    let health = send(server, "GET", "/health", &[]).await;
    let version = health.header("X-Icecore-Version").unwrap();
    assert_eq!(health.text(), body.replace("d4fa1941fd", version));
}

#[tokio::test]
async fn tokens_without_permission_are_told_why() {
    let dir = fixtures::unpack("layers");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let model: serde_json::Value = serde_json::from_slice(&fixtures::read("layers/model.json")).unwrap();
    let cases = [("read buckets", "read:authorizations is unauthorized"), ("inactive", "token is inactive")];
    for (key, message) in cases {
        let authorization = format!("Token {}", model["tokens"][key].as_str().unwrap());
        for path in ["kv", "metadata", "shards/1", "shards/999"] {
            let path = format!("/api/v2/backup/{path}");
            let reply = send(server, "GET", &path, &[("Authorization", &authorization)]).await;
            assert_eq!(reply.status, 401, "{key} {path}");
            assert_eq!(reply.text(), format!("{{\"code\":\"unauthorized\",\"message\":\"{message}\"}}"));
        }
    }
}
