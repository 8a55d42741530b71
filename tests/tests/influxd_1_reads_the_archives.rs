//! Every shard archive that Icecore serves, opened by influxd 1.6.7, holds exactly the expected values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use icecore_testkit::fixtures;
use icecore_tests::archive::{self, Files};
use icecore_tests::fixture::{self, FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::Server;
use icecore_tests::manifest::{self, Bucket, Shard};
use icecore_tests::multipart;
use icecore_tests::values::Values;
use icecore_tests::{influxd1, peers};

/// Served read-only and read-write: the first makes files of the log for the answer, the second once at the start.
fn check(fixture: &Fixture) {
    let Some(influxd) = peers::influxd1() else { return };
    for flags in [&["--read-only"][..], &[]] {
        let dir = fixture.unpack();
        let server = Server::start_with(dir.path(), flags);
        let archives = fixture::archives(&server.client().with_token(fixture.token));
        server.stop();
        for (shard, files) in &archives {
            let deletes: Vec<_> = files.keys().filter(|name| name.ends_with(".tombstone")).collect();
            assert!(deletes.is_empty(), "shard {}: deletes are applied, not sent: {deletes:?}", shard.id);
        }
        let found = influxd1::values_of(&influxd, &archives);
        let shards: Vec<_> = archives.into_iter().map(|(shard, _)| shard).collect();
        fixture.assert_shards_hold(&shards, &found, |bucket_id| fixture.expected(bucket_id));
    }
}

#[test]
fn archives_of_kitchen_sink_hold_the_expected_values() {
    check(&KITCHEN_SINK);
}

#[test]
fn archives_of_layers_hold_the_expected_values() {
    check(&LAYERS);
}

#[test]
fn archives_of_fleet_hold_the_values_that_were_written() {
    check(&FLEET);
}

/// The control: what the real server sent goes the same way and gives what the real server held then. So a failure
/// above is Icecore's.
#[test]
fn the_captures_of_the_real_server_hold_what_it_held_then() {
    let Some(influxd) = peers::influxd1() else { return };
    let body = fixtures::read("kitchen-sink/http/metadata.multipart");
    let boundary = std::str::from_utf8(&body[2..62]).unwrap();
    let parts = multipart::parse(&body, boundary);
    let buckets = manifest::parse(multipart::content(&parts, "buckets"));
    let archives: Vec<(Shard, Files)> = buckets
        .iter()
        .flat_map(Bucket::shards)
        .map(|shard| {
            let bytes = fixtures::read(&format!("kitchen-sink/http/shards/{}.tar", shard.id));
            let files = archive::files(&bytes, &shard.bucket_id, shard.id);
            (shard, files)
        })
        .collect();
    let found = influxd1::values_of(&influxd, &archives);
    for bucket_id in KITCHEN_SINK.buckets {
        let text = fixtures::read(&format!("kitchen-sink/expected-at-backup/{bucket_id}.tsv.gz"));
        let expected = Values::from_tsv(std::str::from_utf8(&text).unwrap());
        for (shard, _) in archives.iter().filter(|(shard, _)| shard.bucket_id == *bucket_id) {
            found[&shard.id].assert_equal(&expected.within(&shard.times), &format!("shard {}", shard.id));
        }
    }
}
