//! A data directory goes from Icecore to a real influxd 2.9 and back, and nothing is lost on the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use icecore_tests::fixture::{self, FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{self, Cli, Influxd};
use icecore_tests::process::Signal;
use icecore_tests::values::Values;
use icecore_tests::{influxd1, line_protocol, peers};

const TOKEN: &str = "an-operator-token-of-tests";
const OTHER_TOKEN: &str = "a-token-of-the-other-server";
/// Every type, two series, two shards.
const LINES: &str = "m,host=a f=-0,i=9223372036854775807i,u=18446744073709551615u,b=true,s=\"x \\\"y\\\"\" 1704067200000000001\n\
                     m,host=b f=1e-300,i=-5i 1704067200000000002\n\
                     m,host=a f=2.5,b=false 1709251200000000000\n";

/// influxd opens the directory, and answers and exports what is expected.
fn assert_influxd_has(influxd: &Path, dir: &Path, token: &str, buckets: &[(&str, &Values)]) {
    let server = Influxd::start(influxd, dir);
    let client = server.client().with_token(token);
    for (id, expected) in buckets {
        influxd2::answered(&client, id).assert_equal(expected, &format!("{id} over the network"));
    }
    server.stop();
    for (id, expected) in buckets {
        influxd2::exported(influxd, dir, id).assert_equal(expected, &format!("{id} in the files"));
    }
}

/// Icecore takes over the log, so what was only in there is in TSM files that influxd never saw.
fn check_taken_over(fixture: &Fixture) {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = fixture.unpack();
    Server::start(dir.path()).stop();
    let expected: Vec<_> = fixture.buckets.iter().map(|id| fixture.expected(id)).collect();
    let buckets: Vec<_> = fixture.buckets.iter().copied().zip(&expected).collect();
    assert_influxd_has(&influxd, dir.path(), fixture.token, &buckets);
    for (id, expected) in buckets {
        let found = Values::from_tsv(&icecore::export(dir.path(), id, "tsv"));
        found.assert_equal(expected, &format!("{id}, back from influxd"));
    }
}

#[test]
fn influxd_opens_kitchen_sink_after_icecore_took_over_its_log() {
    check_taken_over(&KITCHEN_SINK);
}

#[test]
fn influxd_opens_layers_after_icecore_took_over_its_log() {
    check_taken_over(&LAYERS);
}

#[test]
fn influxd_opens_fleet_after_icecore_took_over_its_log() {
    check_taken_over(&FLEET);
}

#[test]
fn a_directory_made_by_icecore_is_written_by_influxd_and_served_by_icecore_again() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    influxd2::set_up(server.client(), TOKEN);
    server.stop();

    let real = Influxd::start(&influxd, dir.path());
    let client = real.client().with_token(TOKEN);
    let ids = influxd2::bucket_ids(&client);
    assert_eq!(ids.keys().collect::<Vec<_>>(), ["_monitoring", "_tasks", "first"]);
    let answer = client.send("POST", "/api/v2/write?org=main&bucket=first", &[], LINES.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    real.stop();

    let expected = line_protocol::parse(LINES);
    let bucket_id = &ids["first"];
    let found = Values::from_tsv(&icecore::export(dir.path(), bucket_id, "tsv"));
    found.assert_equal(&expected, "what influxd left in its log");
    let server = Server::start(dir.path());
    let client = server.client().with_token(TOKEN);
    let archives = fixture::archives(&client);
    assert_eq!(archives.len(), 2, "shards");
    if let Some(influxd1) = peers::influxd1() {
        let mut found = Values::default();
        influxd1::values_of(&influxd1, &archives).into_values().for_each(|values| found.extend(values));
        found.assert_equal(&expected, "archives in influxd 1.x");
    }
    if let Some(influx) = peers::influx() {
        let backup = tempfile::tempdir().unwrap();
        Cli::new(&influx, &client, TOKEN).run(&["backup"], Some(backup.path()));
        let other_dir = tempfile::tempdir().unwrap();
        let other = Influxd::start(&influxd, other_dir.path());
        influxd2::set_up(other.client(), OTHER_TOKEN);
        let cli = Cli::new(&influx, other.client(), OTHER_TOKEN);
        cli.run(&["restore", "--full", "--operator-token", TOKEN], Some(backup.path()));
        influxd2::answered(&other.client().with_token(TOKEN), bucket_id).assert_equal(&expected, "restored");
        other.stop();
    }
    server.stop();
    assert_influxd_has(&influxd, dir.path(), TOKEN, &[(bucket_id, &expected)]);
}

#[test]
fn a_directory_that_influxd_holds_is_refused() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = LAYERS.unpack();
    let real = Influxd::start(&influxd, dir.path());
    for flags in [&[][..], &["--read-only"]] {
        let (status, log) = icecore::refusal_to_serve(dir.path(), flags);
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("influxd.bolt is in use by another process: stop it first"), "{log}");
    }
    let output = icecore::try_export(dir.path(), LAYERS.buckets[0], "tsv");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("influxd.bolt is in use by another process: stop it first"), "{text}");
    real.stop();
}

/// The other way round: influxd finds the lock held.
#[test]
fn influxd_cannot_start_in_a_directory_that_icecore_serves() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = LAYERS.unpack();
    let server = Server::start(dir.path());
    let log = Influxd::log_of_a_start_that_fails(&influxd, dir.path());
    assert!(log.contains("timeout"), "{log}");
    let (status, _) = server.end_by(Signal::TERM);
    assert!(status.success());
}
