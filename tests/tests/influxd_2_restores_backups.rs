//! The influx CLI backs up from Icecore, restores into a real influxd 2.9, and every value is there again: asked for
//! over the network, and read from the files by influxd's own export.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use icecore_tests::fixture::{self, FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::{self, Cli, Influxd};
use icecore_tests::peers;

/// Of the server that the backup is restored into, before that.
const OTHER_TOKEN: &str = "a-token-of-the-other-server";

/// Restores all that lies in `backup` and compares every bucket.
fn restore_full(influxd: &Path, influx: &Path, backup: &Path, fixture: &Fixture) {
    let dir = tempfile::tempdir().unwrap();
    let server = Influxd::start(influxd, dir.path());
    influxd2::set_up(server.client(), OTHER_TOKEN);
    let cli = Cli::new(influx, server.client(), OTHER_TOKEN);
    cli.run(&["restore", "--full", "--operator-token", fixture.token], Some(backup));
    let client = server.client().with_token(fixture.token);
    for bucket_id in fixture.buckets {
        let found = influxd2::answered(&client, bucket_id);
        found.assert_equal(&fixture.expected(bucket_id), &format!("{bucket_id} over the network"));
    }
    server.stop();
    for bucket_id in fixture.buckets {
        let found = influxd2::exported(influxd, dir.path(), bucket_id);
        found.assert_equal(&fixture.expected(bucket_id), &format!("{bucket_id} in the files"));
    }
}

fn check_full(fixture: &Fixture, flags: &[&str]) {
    let Some((influxd, influx)) = peers::influxd2_and_cli() else { return };
    let dir = fixture.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(fixture.token);
    let backup = tempfile::tempdir().unwrap();
    Cli::new(&influx, &client, fixture.token).run(&[&["backup"], flags].concat(), Some(backup.path()));
    server.stop();
    restore_full(&influxd, &influx, backup.path(), fixture);
}

#[test]
fn a_full_backup_of_kitchen_sink_restores_with_every_value() {
    check_full(&KITCHEN_SINK, &[]);
}

#[test]
fn a_full_backup_of_fleet_restores_with_every_value() {
    check_full(&FLEET, &[]);
}

#[test]
fn a_full_backup_of_layers_restores_with_every_value_however_it_is_compressed() {
    check_full(&LAYERS, &[]);
    check_full(&LAYERS, &["--compression", "none"]);
    for level in ["full", "speedy", "default", "none"] {
        check_full(&LAYERS, &["--gzip-compression-level", level]);
    }
}

#[test]
fn a_backup_of_one_bucket_restores_into_a_new_bucket() {
    let Some((influxd, influx)) = peers::influxd2_and_cli() else { return };
    let dir = tempfile::tempdir().unwrap();
    let other = Influxd::start(&influxd, dir.path());
    influxd2::set_up(other.client(), OTHER_TOKEN);
    let restore = Cli::new(&influx, other.client(), OTHER_TOKEN);
    for fixture in [KITCHEN_SINK, LAYERS] {
        let dir = fixture.unpack();
        let server = Server::start(dir.path());
        let client = server.client().with_token(fixture.token);
        let cli = Cli::new(&influx, &client, fixture.token);
        for bucket in fixture::manifest(&client).iter().filter(|b| fixture.buckets.contains(&b.id.as_str())) {
            let backup = tempfile::tempdir().unwrap();
            let filter = ["--org", &bucket.organization, "--bucket", &bucket.name];
            cli.run(&[&["backup"][..], &filter].concat(), Some(backup.path()));
            let new = format!("new-{}", bucket.id);
            restore.run(&[&["restore", "--new-bucket", &new][..], &filter].concat(), Some(backup.path()));
        }
        server.stop();
    }
    let client = other.client().with_token(OTHER_TOKEN);
    let ids = influxd2::bucket_ids(&client);
    for fixture in [KITCHEN_SINK, LAYERS] {
        for bucket_id in fixture.buckets {
            let found = influxd2::answered(&client, &ids[&format!("new-{bucket_id}")]);
            found.assert_equal(&fixture.expected(bucket_id), bucket_id);
        }
    }
    other.stop();
}
