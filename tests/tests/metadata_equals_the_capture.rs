//! What Icecore serves of the metadata of `kitchen-sink` against what the real server sent. The capture is older than
//! the directory, but its metadata did not change afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use icecore_testkit::fixtures;
use icecore_tests::fixture::{FLEET, KITCHEN_SINK, LAYERS};
use icecore_tests::http::Answer;
use icecore_tests::icecore::Server;
use icecore_tests::multipart::{self, Part};
use icecore_tests::{bolt, peers, sql};

const METADATA: &str = "/api/v2/backup/metadata";
const KV: &str = "/api/v2/backup/kv";
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");

fn captured_headers(name: &str) -> Vec<(String, String)> {
    let text = String::from_utf8(fixtures::read(&format!("kitchen-sink/http/{name}.headers"))).unwrap();
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn captured_parts(name: &str) -> Vec<Part> {
    let answer = Answer {
        status: 200,
        headers: captured_headers(name),
        body: fixtures::read("kitchen-sink/http/metadata.multipart"),
    };
    let boundary = std::str::from_utf8(&answer.body[2..62]).unwrap();
    multipart::parse(&answer.body, boundary)
}

/// Every header of the capture is there, but for those that frame the body, the date, and the boundary, which is random.
#[track_caller]
fn assert_headers(answer: &Answer, capture: &str) {
    for (name, expected) in captured_headers(capture) {
        let found = answer.header(&name.to_lowercase());
        match name.as_str() {
            "Date" => assert!(found.is_some()),
            "Transfer-Encoding" | "Content-Length" => {}
            "Content-Type" if expected.starts_with("multipart/") => {
                let boundary = multipart::boundary(found.unwrap());
                assert_eq!(boundary.len(), 60);
                assert!(boundary.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{boundary}");
            }
            _ => assert_eq!(found, Some(expected.as_str()), "{capture}: {name}"),
        }
    }
}

#[test]
fn the_multipart_has_the_captured_structure_and_the_captured_buckets() {
    let dir = KITCHEN_SINK.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    let expected = captured_parts("metadata");
    for (headers, capture) in [(&[][..], "metadata"), (&[GZIP][..], "metadata.gz")] {
        let answer = client.send("GET", METADATA, headers, &[]);
        assert_eq!(answer.status, 200);
        assert_headers(&answer, capture);
        let found = multipart::parts(&answer);
        assert!(
            found.iter().map(|part| &part.headers).eq(expected.iter().map(|part| &part.headers)),
            "{found:?}"
        );
        let [found_buckets, expected_buckets] =
            [&found, &expected].map(|parts| multipart::content(parts, "buckets"));
        assert_eq!(String::from_utf8_lossy(found_buckets), String::from_utf8_lossy(expected_buckets));
        assert_eq!(
            sql::contents(multipart::content(&found, "sql")),
            sql::contents(multipart::content(&expected, "sql"))
        );
    }
    server.stop();
}

#[test]
fn the_bolt_file_passes_the_check_of_bbolt_and_holds_the_captured_pairs() {
    let Some(bbolt) = peers::bbolt() else { return };
    let dir = KITCHEN_SINK.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    let answer = client.get(KV);
    assert_headers(&answer, "kv");
    let expected = bolt::checked_contents(bbolt, &fixtures::read("kitchen-sink/http/kv.bolt"));
    assert!(expected.lines().count() > 100, "the capture holds something");
    assert_eq!(bolt::checked_contents(bbolt, &answer.body), expected);
    let parts = multipart::parts(&client.get(METADATA));
    assert_eq!(bolt::checked_contents(bbolt, multipart::content(&parts, "kv")), expected);
    server.stop();
}

/// `layers` has a larger one, with branch pages and free pages.
#[test]
fn every_bolt_file_holds_what_the_file_on_disk_holds() {
    let Some(bbolt) = peers::bbolt() else { return };
    for fixture in [LAYERS, FLEET] {
        let dir = fixture.unpack();
        let expected =
            bolt::checked_contents(bbolt, &std::fs::read(dir.path().join("influxd.bolt")).unwrap());
        let server = Server::start(dir.path());
        let found = server.client().with_token(fixture.token).body_of(KV);
        server.stop();
        assert_eq!(bolt::checked_contents(bbolt, &found), expected, "{}", fixture.name);
    }
}
