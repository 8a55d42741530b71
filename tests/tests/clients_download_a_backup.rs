//! The Python and the Node client download a whole backup, and get the bytes that a bare request gets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use icecore_tests::fixture::{self, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::http::Client;
use icecore_tests::icecore::Server;
use icecore_tests::manifest::Bucket;
use icecore_tests::multipart;
use icecore_tests::{peers, process, sql};
use serde_json::Value;

const EMPTY_ARCHIVE_LEN: u64 = 1024;
const STREAM: &str = "application/octet-stream";

/// Runs `PROGRAM SCRIPT URL TOKEN FOLDER SHARD...`, compares what lies in the folder afterwards, and gives what else the
/// client saw.
fn download(program: &Path, script: &str, fixture: &Fixture) -> Value {
    let dir = fixture.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(fixture.token);
    let shards: Vec<String> = fixture::manifest(&client)
        .iter()
        .flat_map(Bucket::shards)
        .map(|shard| shard.id.to_string())
        .collect();
    let out = tempfile::tempdir().unwrap();
    process::run(
        Command::new(program)
            .arg(peers::own(script))
            .args([&client.url(), fixture.token])
            .arg(out.path())
            .args(&shards),
    );
    let seen: Value = serde_json::from_slice(&std::fs::read(out.path().join("seen.json")).unwrap()).unwrap();
    for coding in ["identity", "gzip"] {
        let folder = out.path().join(coding);
        let content_type =
            |name: &str| seen["contentTypes"][format!("{coding}/{name}")].as_str().unwrap().to_owned();
        compare_metadata(
            &client,
            &std::fs::read(folder.join("metadata")).unwrap(),
            &content_type("metadata"),
        );
        for (name, target) in std::iter::once(("kv".to_owned(), "kv".to_owned()))
            .chain(shards.iter().map(|id| (format!("shard-{id}"), format!("shards/{id}"))))
        {
            let found = std::fs::read(folder.join(&name)).unwrap();
            assert!(found == client.body_of(&format!("/api/v2/backup/{target}")), "{coding} {name} differs");
            assert_eq!(content_type(&name), STREAM, "{coding} {name}");
        }
    }
    server.stop();
    seen
}

/// Each answer has a boundary of its own, so parts are compared.
fn compare_metadata(client: &Client, found: &[u8], content_type: &str) {
    let found = multipart::parse(found, multipart::boundary(content_type));
    let expected = multipart::parts(&client.get("/api/v2/backup/metadata"));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.headers, expected.headers);
        if found.headers.contains("name=\"sql\"") {
            assert_eq!(sql::contents(&found.content), sql::contents(&expected.content));
        } else {
            assert!(found.content == expected.content, "{}", found.headers);
        }
    }
}

#[test]
fn the_python_client_downloads_a_backup() {
    let Some(python) = peers::python() else { return };
    for fixture in [KITCHEN_SINK, LAYERS] {
        let seen = download(&python, "python/download.py", &fixture);
        assert_eq!(seen["ping"], true);
        assert_eq!(seen["version"], "v2.9.1");
        assert_eq!(seen["build"], "OSS");
        assert_eq!(seen["health"], "pass");
        assert_eq!(seen["unknown_shard"]["status"], 404);
        assert_eq!(seen["unknown_shard"]["message"], "shard 999999 not found");
        assert_eq!(seen["wrong_token"]["status"], 401);
        assert_eq!(seen["wrong_token"]["message"], "unauthorized access");
        assert_eq!(seen["since_aware"], EMPTY_ARCHIVE_LEN);
        assert_eq!(seen["since_naive"], EMPTY_ARCHIVE_LEN, "a time without an offset is UTC");
    }
}

#[test]
fn the_node_client_downloads_a_backup() {
    let Some(node) = peers::node() else { return };
    for fixture in [KITCHEN_SINK, LAYERS] {
        let seen = download(&node, "node/download.js", &fixture);
        assert_eq!(seen["health"], "pass");
        assert_eq!(seen["ping"], true);
        assert_eq!(seen["since"], EMPTY_ARCHIVE_LEN);
        assert_eq!(seen["unknownShard"]["status"], 404);
        assert_eq!(seen["unknownShard"]["code"], "not found");
        assert_eq!(seen["unknownShard"]["message"], "shard 999999 not found");
        assert_eq!(seen["wrongToken"]["status"], 401);
        assert_eq!(seen["wrongToken"]["code"], "unauthorized");
    }
}
