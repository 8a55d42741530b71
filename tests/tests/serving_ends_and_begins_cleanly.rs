//! Start and stop of `icecore serve`: signals, a directory that is in use, a fresh directory, a wrong place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::net::TcpStream;

use icecore_tests::fixture::{self, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2;
use icecore_tests::process::Signal;
use icecore_tests::{bolt, peers, tree};

const TOKEN: &str = "an-operator-token-of-tests";
const IN_USE: &str = " is in use by another process: stop it first";

#[test]
fn sigterm_and_sigint_end_it_with_success_and_the_port_is_free() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = LAYERS.unpack();
        let server = Server::start(dir.path());
        let address = server.client().address().to_owned();
        let (status, log) = server.end_by(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_directory_killed_while_served_is_served_again() {
    let dir = KITCHEN_SINK.unpack();
    let (status, _) = Server::start(dir.path()).end_by(Signal::KILL);
    assert_eq!(status.code(), None);
    let server = Server::start(dir.path());
    assert_eq!(fixture::archives(&server.client().with_token(KITCHEN_SINK.token)).len(), 13);
    server.stop();
}

#[test]
fn a_directory_that_is_served_is_refused_to_a_second_one() {
    let dir = LAYERS.unpack();
    let server = Server::start(dir.path());
    for flags in [&[][..], &["--read-only"]] {
        let (status, log) = icecore::refusal_to_serve(dir.path(), flags);
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(IN_USE), "{log}");
    }
    let output = icecore::try_export(dir.path(), LAYERS.buckets[0], "tsv");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains(IN_USE));
    server.stop();
    assert!(icecore::try_export(dir.path(), LAYERS.buckets[0], "tsv").status.success());
}

#[test]
fn a_directory_that_is_served_read_only_may_be_read_by_others() {
    let dir = LAYERS.unpack();
    let server = Server::start_with(dir.path(), &["--read-only"]);
    let second = Server::start_with(dir.path(), &["--read-only"]);
    let archives =
        [&server, &second].map(|one| fixture::archives(&one.client().with_token(LAYERS.token))[0].1.clone());
    assert!(archives[0] == archives[1], "both send the same bytes");
    assert!(icecore::try_export(dir.path(), LAYERS.buckets[0], "tsv").status.success());
    let (status, log) = icecore::refusal_to_serve(dir.path(), &[]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(IN_USE), "{log}");
    second.stop();
    server.stop();
}

#[test]
fn a_missing_directory_becomes_a_fresh_one_that_says_how_to_set_it_up() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/data");
    let server = Server::start(&dir);
    assert!(server.client().get("/api/v2/setup").text().contains("\"allowed\": true"));
    influxd2::set_up(server.client(), TOKEN);
    assert!(server.client().get("/api/v2/setup").text().contains("\"allowed\": false"));
    let (_, log) = server.end_by(Signal::TERM);
    assert!(log.contains("/api/v2/setup -d '{\"username\""), "{log}");

    let server = Server::start(&dir);
    let client = server.client().with_token(TOKEN);
    let buckets = fixture::manifest(&client);
    let mut names: Vec<_> = buckets.iter().map(|bucket| bucket.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["_monitoring", "_tasks", "first"]);
    assert!(buckets.iter().all(|bucket| bucket.shards().next().is_none()), "nobody wrote");
    assert_eq!(client.get("/api/v2/backup/shards/1").status, 404);
    if let Some(bbolt) = peers::bbolt() {
        assert!(!bolt::checked_contents(bbolt, &client.body_of("/api/v2/backup/kv")).contains(TOKEN));
    }
    let (_, log) = server.end_by(Signal::TERM);
    assert!(!log.contains("/api/v2/setup -d"), "{log}");
}

#[test]
fn read_only_makes_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let (status, log) = icecore::refusal_to_serve(&parent.path().join("none"), &["--read-only"]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert_eq!(
        icecore::try_export(&parent.path().join("none"), LAYERS.buckets[0], "tsv").status.code(),
        Some(1)
    );
    assert!(tree::of(parent.path()).is_empty());
}

#[test]
fn a_bucket_that_nobody_knows_is_named() {
    let dir = LAYERS.unpack();
    let output = icecore::try_export(dir.path(), "0000000000000001", "tsv");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bucket 0000000000000001 not found"));
}
