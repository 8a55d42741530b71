//! Deletes that the library records beside TSM files, read by a real influxd: it answers what a model says is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use icecore_disk::RealDisk;
use icecore_tests::archive::Files;
use icecore_tests::fixture::{self, FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::manifest::{Bucket, Shard};
use icecore_tests::values::Values;
use icecore_tests::{influxd1, peers, tsm};
use icecore_tsm::{Delete, Scope, TimeRange};

const SEPARATOR: &str = "#!~#";

/// A delete with what it names, for the library and for the model.
#[derive(Debug)]
enum Named {
    Key(String, String),
    Series(String),
    Prefix(String),
}

impl Named {
    fn hits(&self, series: &str, field: &str) -> bool {
        match self {
            Self::Key(of_series, of_field) => series == of_series && field == of_field,
            Self::Series(of_series) => series == of_series,
            Self::Prefix(prefix) => format!("{series}{SEPARATOR}{field}").starts_with(prefix.as_str()),
        }
    }
}

/// Every seventh column of a bucket begins a delete; the kinds and ranges take turns.
fn choose(values: &Values) -> Vec<(Named, TimeRange)> {
    let columns =
        values.spans().filter(|((series, _), ..)| !series.contains(SEPARATOR)).step_by(7).enumerate();
    let deletes = columns.map(|(nth, ((series, field), first, last))| {
        let middle = i64::midpoint(first, last);
        let named = match nth % 3 {
            0 => Named::Key(series.clone(), field.clone()),
            1 => Named::Series(series.clone()),
            _ => {
                let end = series.char_indices().map(|(at, _)| at).nth(series.chars().count() - 1);
                Named::Prefix(series[..end.unwrap()].to_owned())
            }
        };
        let range = match nth % 4 {
            0 => TimeRange::new(first, middle).unwrap(),
            1 => TimeRange::ALL,
            2 => TimeRange::new(middle, i64::MAX).unwrap(),
            _ => TimeRange::new(middle, middle).unwrap(),
        };
        (named, range)
    });
    deletes.collect()
}

/// Records deletes in all files of a bucket, one half after the other, so that each tombstone gets two members; gives
/// how many tombstones were written.
fn delete(dir: &Path, bucket_id: &str, deletes: &[(Named, TimeRange)]) -> usize {
    let mut written = 0;
    for path in tsm::paths(&dir.join("engine/data").join(bucket_id)) {
        let (first, second) = deletes.split_at(deletes.len() / 2);
        for half in [first, second] {
            let keys: Vec<_> = half
                .iter()
                .map(|(named, _)| match named {
                    Named::Key(series, field) => format!("{series}{SEPARATOR}{field}"),
                    Named::Series(text) | Named::Prefix(text) => text.clone(),
                })
                .collect();
            let half = half.iter().zip(&keys).map(|((named, range), key)| {
                let key = key.as_bytes();
                let scope = match named {
                    Named::Key(..) => Scope::Key(key),
                    Named::Series(_) => Scope::Series(key),
                    Named::Prefix(_) => Scope::Prefix(key),
                };
                Delete { scope, range: *range }
            });
            let file = tsm::open(&RealDisk, &path);
            written +=
                usize::from(file.delete(&RealDisk, &half.collect::<Vec<_>>(), None).unwrap().is_some());
        }
    }
    written
}

/// What is left in each bucket, of the directory and of the model.
fn delete_in(dir: &Path, fixture: &Fixture) -> Vec<(&'static str, Values)> {
    // Without a log all values are in files.
    Server::start(dir).stop();
    let (mut written, mut before, mut after) = (0, 0, 0);
    let mut left = Vec::new();
    for bucket_id in fixture.buckets {
        let mut values = fixture.expected(bucket_id);
        let deletes = choose(&values);
        before += values.len();
        written += delete(dir, bucket_id, &deletes);
        values.delete(|series, field| {
            let hits = deletes.iter().filter(|(named, _)| named.hits(series, field));
            hits.map(|(_, range)| range.min()..=range.max()).collect()
        });
        after += values.len();
        left.push((*bucket_id, values));
    }
    println!("{}: {written} commits deleted {} of {before} values", fixture.name, before - after);
    assert!(written > 1 && after > 0 && after < before);
    left
}

fn check(fixture: &Fixture) {
    let dir = fixture.unpack();
    let left = delete_in(dir.path(), fixture);
    for (bucket_id, left) in &left {
        let found = Values::from_tsv(&icecore::export(dir.path(), bucket_id, "tsv"));
        found.assert_equal(left, &format!("{bucket_id} through icecore"));
    }
    let Some(influxd) = peers::influxd2() else { return };
    for (bucket_id, left) in &left {
        let found = influxd2::exported(&influxd, dir.path(), bucket_id);
        found.assert_equal(left, &format!("{bucket_id} in the files"));
    }
    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(fixture.token);
    for (bucket_id, left) in &left {
        influxd2::answered(&client, bucket_id).assert_equal(left, &format!("{bucket_id} over the network"));
    }
    server.stop();
}

#[test]
fn in_kitchen_sink() {
    check(&KITCHEN_SINK);
}

#[test]
fn in_layers() {
    check(&LAYERS);
}

#[test]
fn in_fleet() {
    check(&FLEET);
}

/// influxd goes on where we stopped: its members stand behind ours, and both count, for it and for us.
#[test]
fn and_deletes_more_itself() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = LAYERS.unpack();
    let mut left = delete_in(dir.path(), &LAYERS);
    let (bucket_id, left) = left.pop().unwrap();
    let (_, first, last) = left.spans().next().unwrap();
    let middle = i64::midpoint(first, last);
    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(LAYERS.token);
    let bucket: serde_json::Value =
        serde_json::from_slice(&client.body_of(&format!("/api/v2/buckets/{bucket_id}"))).unwrap();
    let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
    let body = serde_json::json!({"start": time(middle), "stop": time(last)});
    let target = format!("/api/v2/delete?orgID={}&bucketID={bucket_id}", bucket["orgID"].as_str().unwrap());
    let answer = client.send("POST", &target, &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    let mut expected = left;
    let before = expected.len();
    expected.delete(|_, _| vec![middle..=last]);
    println!("influxd deleted {} of {before} values", before - expected.len());
    assert!(expected.len() < before && !expected.is_empty());
    influxd2::answered(&client, bucket_id).assert_equal(&expected, "over the network");
    server.stop();
    let found = Values::from_tsv(&icecore::export(dir.path(), bucket_id, "tsv"));
    found.assert_equal(&expected, "through icecore");
}

/// influxd 1.6.7 gets files and tombstones as they lie in the directory.
#[test]
fn influxd_1_applies_them_too() {
    let Some(influxd) = peers::influxd1() else { return };
    for fixture in [KITCHEN_SINK, LAYERS, FLEET] {
        let dir = fixture.unpack();
        let left = delete_in(dir.path(), &fixture);
        let server = Server::start_with(dir.path(), &["--read-only"]);
        let buckets = fixture::manifest(&server.client().with_token(fixture.token));
        server.stop();
        let folders: Vec<(Shard, Files)> = buckets
            .iter()
            .flat_map(Bucket::shards)
            .map(|shard| {
                let folder = dir.path().join(format!("engine/data/{}/autogen/{}", shard.bucket_id, shard.id));
                let mut files = Files::new();
                for path in tsm::paths(&folder) {
                    for path in [path.with_extension("tombstone"), path] {
                        if path.exists() {
                            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                            files.insert(name, std::fs::read(path).unwrap());
                        }
                    }
                }
                (shard, files)
            })
            .collect();
        let found = influxd1::values_of(&influxd, &folders);
        for (shard, _) in &folders {
            let Some((_, left)) = left.iter().find(|(bucket_id, _)| *bucket_id == shard.bucket_id) else {
                continue;
            };
            let left = left.within(&shard.times);
            found[&shard.id].assert_equal(&left, &format!("{} shard {}", fixture.name, shard.id));
        }
    }
}
