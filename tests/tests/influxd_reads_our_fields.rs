//! The field index of a shard goes both ways between a real influxd 2.9 and Icecore.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use icecore_disk::RealDisk;
use icecore_tests::fixture::KITCHEN_SINK;
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::peers;
use icecore_tsm::BlockType;
use icecore_tsm::fields::{FieldSet, IDX_NAME, IDXL_NAME, Replayed};

/// The data directories of the shards that have fields, with these.
fn fields(dir: &Path) -> BTreeMap<PathBuf, FieldSet> {
    let inside = |dir: PathBuf| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let policies =
        inside(dir.join("engine/data")).map(|bucket| bucket.join("autogen")).filter(|dir| dir.is_dir());
    let shards = policies.flat_map(inside).map(|shard| {
        let (fields, replayed) = FieldSet::read(&RealDisk, &shard).unwrap().unwrap();
        assert_eq!(replayed.torn, None);
        (shard, fields)
    });
    shards.collect()
}

/// influxd folds its logs of changes into whole files when it is stopped: the same fields, which we read.
#[test]
fn the_files_of_a_stopped_influxd_have_the_fields_of_its_logs() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = KITCHEN_SINK.unpack();
    let logged = fields(dir.path());
    assert!(logged.keys().all(|shard| !shard.join(IDX_NAME).exists()));
    Influxd::start(&influxd, dir.path()).stop();
    let whole = fields(dir.path());
    assert!(logged.keys().all(|shard| shard.join(IDX_NAME).exists() && !shard.join(IDXL_NAME).exists()));
    for (shard, fields) in &logged {
        assert_eq!(whole[shard], *fields, "{}", shard.display());
    }
    // The same but for the order of their parts.
    for (shard, fields) in &logged {
        let (theirs, ours) = (fs::read(shard.join(IDX_NAME)).unwrap(), fields.to_idx_bytes());
        let sorted = |mut bytes: Vec<u8>| {
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(theirs), sorted(ours), "{}", shard.display());
    }
    println!("{} shards", logged.len());
}

/// influxd finds values only through the fields: it answers all of them by the files that we wrote, and refuses a value of
/// another type than they say.
#[test]
fn influxd_answers_every_value_by_our_fields_and_leaves_them_as_they_are() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = KITCHEN_SINK.unpack();
    let logged = fields(dir.path());
    for (shard, fields) in &logged {
        let mut fields = fields.clone();
        // A field that no key has tells that influxd takes ours, and makes none anew.
        assert_eq!(fields.add(b"only in the index", b"ice", BlockType::Unsigned), Ok(true));
        fields.replace(&RealDisk, shard).unwrap();
        assert!(!shard.join(IDXL_NAME).exists());
    }
    let server = Influxd::start(&influxd, dir.path());
    let client = server.client().with_token(KITCHEN_SINK.token);
    for bucket_id in KITCHEN_SINK.buckets {
        influxd2::answered(&client, bucket_id).assert_equal(&KITCHEN_SINK.expected(bucket_id), bucket_id);
    }
    let bucket_id = KITCHEN_SINK.buckets[0];
    let bucket: serde_json::Value =
        serde_json::from_slice(&client.body_of(&format!("/api/v2/buckets/{bucket_id}"))).unwrap();
    let target = format!("/api/v2/write?bucket={bucket_id}&org={}", bucket["orgID"].as_str().unwrap());
    let answer = client.send("POST", &target, &[], br"only\ in\ the\ index ice=1.5 1704067200000000000");
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("is type float, already exists as type unsigned"), "{}", answer.text());
    server.stop();
    for (shard, fields) in &logged {
        let (read, replayed) = FieldSet::read(&RealDisk, shard).unwrap().unwrap();
        assert_eq!(replayed, Replayed::default());
        assert_eq!(read.kind(b"only in the index", b"ice"), Some(BlockType::Unsigned));
        assert_eq!(read.iter().count(), fields.iter().count() + 1);
    }
}
