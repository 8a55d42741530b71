//! A shard with deletes: the second download has length, tag and parts at once, out of `engine/icecore.spool`, and the same bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use icecore_tests::fixture::{self, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::http::{Answer, Client};
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::manifest::Bucket;
use icecore_tests::{archive, peers};

/// Names and contents of the spool.
fn spooled(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir.join("engine/icecore.spool")) else { return BTreeMap::new() };
    entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The shards of a server, each with its bucket.
fn shards(client: &Client) -> Vec<(u64, String)> {
    let buckets = fixture::manifest(client);
    buckets.iter().flat_map(Bucket::shards).map(|shard| (shard.id, shard.bucket_id)).collect()
}

fn download(client: &Client, shard: u64, headers: &[(&str, &str)]) -> Answer {
    client.send("GET", &format!("/api/v2/backup/shards/{shard}"), headers, &[])
}

/// Every archive of a fixture by a server, twice; the files that deletes are applied to lie in the spool then.
fn archives(fixture: &Fixture, dir: &Path, flags: &[&str]) -> BTreeMap<u64, Vec<u8>> {
    let server = Server::start_with(dir, flags);
    let client = server.client().with_token(fixture.token);
    let mut archives = BTreeMap::new();
    for (id, _) in shards(&client) {
        let first = download(&client, id, &[]);
        if first.status == 404 {
            continue; // in the metadata alone
        }
        assert_eq!(first.status, 200, "{}", first.text());
        for _ in 0..2 {
            let again = download(&client, id, &[]);
            assert_eq!(again.header("Content-Length"), Some(first.body.len().to_string()).as_deref());
            assert_eq!(again.header("ETag"), first.header("ETag"));
            assert!(again.body == first.body, "{} {id}", fixture.name);
            let tag = again.header("ETag").unwrap();
            let from = first.body.len() / 3;
            let range = format!("bytes={from}-");
            let part = download(&client, id, &[("Range", &range), ("If-Range", tag)]);
            assert_eq!((part.status, part.header("ETag")), (206, Some(tag)));
            assert!(part.body == first.body[from..]);
            let coded =
                download(&client, id, &[("Accept-Encoding", "gzip"), ("Gzip-Compression-Level", "speedy")]);
            assert!(coded.decoded() == first.body, "compressed");
        }
        archives.insert(id, first.body);
    }
    if flags.is_empty() {
        let spool = spooled(dir);
        assert!(
            !spool.is_empty() && spool.keys().all(|path| path.extension().unwrap() == "tsm"),
            "{:?}",
            spool.keys()
        );
        // Each is a file of an archive, as it left.
        let sent: Vec<Vec<u8>> = shards(&client)
            .iter()
            .filter_map(|(id, bucket)| Some(archive::files(archives.get(id)?, bucket, *id)))
            .flat_map(|files| files.into_values())
            .collect();
        assert!(spool.values().all(|content| sent.contains(content)));
    }
    server.stop();
    archives
}

#[test]
fn a_second_download_has_the_bytes_of_the_first_and_its_length_tag_and_parts() {
    for fixture in [LAYERS, KITCHEN_SINK] {
        let dir = fixture.unpack();
        let spooled_ones = archives(&fixture, dir.path(), &[]);
        assert_eq!(spooled(dir.path()).len(), 0, "a server that stops leaves nothing in its spool");
        // The same directory without a spool.
        assert!(
            archives(&fixture, dir.path(), &["--backup-spool-max", "0"]) == spooled_ones,
            "{}",
            fixture.name
        );
        assert_eq!(spooled(dir.path()).len(), 0);
        assert!(archives(&fixture, dir.path(), &["--read-only"]) == spooled_ones, "{}", fixture.name);
        let packed = tempfile::tempdir().unwrap();
        for (id, archive) in &spooled_ones {
            let path = packed.path().join(format!("{id}.tar"));
            fs::write(&path, archive).unwrap();
            icecore::verify(&path);
        }
    }
}

#[test]
fn a_server_that_is_read_only_writes_no_spool() {
    let dir = LAYERS.unpack();
    let path = dir.path().join("engine/icecore.spool");
    fs::create_dir(&path).unwrap();
    let left = path.join(format!("{}.0.tmp", "ab".repeat(32)));
    fs::write(&left, b"of a server that was killed").unwrap();
    archives(&LAYERS, dir.path(), &["--read-only"]);
    assert!(spooled(dir.path()).into_keys().eq([left.clone()]));
    // One that may write empties it.
    let server = Server::start(dir.path());
    assert!(!left.exists());
    server.stop();
}

#[test]
fn influxd_starts_beside_a_spool_and_leaves_it_alone() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = LAYERS.unpack();
    archives(&LAYERS, dir.path(), &[]);
    // As a server leaves it that is killed.
    let path = dir.path().join("engine/icecore.spool");
    fs::create_dir_all(&path).unwrap();
    let names = [format!("{}.tsm", "01".repeat(32)), format!("{}.3.tmp", "ef".repeat(32))];
    names.iter().for_each(|name| fs::write(path.join(name), b"a part of a file").unwrap());
    let before = spooled(dir.path());
    assert_eq!(before.len(), 2);
    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(LAYERS.token);
    for bucket_id in LAYERS.buckets {
        influxd2::answered(&client, bucket_id).assert_equal(&LAYERS.expected(bucket_id), bucket_id);
    }
    server.stop();
    assert!(spooled(dir.path()) == before);
}
