//! The field index of every shard that a real influxd left behind, against the keys of its TSM files and its log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use icecore_disk::RealDisk;
use icecore_testkit::fixtures;
use icecore_tsm::fields::{FieldSet, IDX_NAME, IDXL_NAME, Replayed};
use icecore_tsm::wal::{Entry, frames};
use icecore_tsm::{FileName, TsmFile};

fn inside(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Data and log directory of every shard.
fn shards(engine: &Path) -> Vec<(PathBuf, PathBuf)> {
    let is_policy = |dir: &PathBuf| dir.is_dir() && dir.file_name().unwrap() != "_series";
    let policies =
        inside(&engine.join("data")).into_iter().flat_map(|bucket| inside(&bucket)).filter(is_policy);
    let shards = policies.flat_map(|policy| inside(&policy));
    let log = |data: &Path| engine.join("wal").join(data.strip_prefix(engine.join("data")).unwrap());
    shards.map(|data| (data.clone(), log(&data))).collect()
}

/// What the keys of a shard say, deleted ones too.
fn of_keys(data: &Path, log: &Path) -> FieldSet {
    let mut fields = FieldSet::default();
    for path in inside(data) {
        if let Some(name) = FileName::parse(path.file_name().unwrap().to_str().unwrap()) {
            let file = TsmFile::open(&RealDisk, &path, name).unwrap();
            for key in file.index().unwrap().keys() {
                fields.add_key(key.key, key.kind).unwrap();
            }
        }
    }
    let mut buffer = Vec::new();
    for segment in
        inside(log).iter().filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
    {
        for frame in frames(&fs::read(segment).unwrap()) {
            if let Entry::Write(groups) = frame.unwrap().decode(&mut buffer).unwrap() {
                for (key, column) in groups {
                    fields.add_key(&key, column.kind()).unwrap();
                }
            }
        }
    }
    fields
}

/// `mem` was deleted, and `user` written again. influxd does not log that a measurement is gone (docs/formats/fields.md),
/// so that its fields are back after a crash.
const WITHOUT_KEYS: [&str; 9] = [
    "bytes unsigned",
    "const integer",
    "idle float",
    "jobs integer",
    "noise float",
    "reads integer",
    "seq unsigned",
    "state string",
    "up boolean",
];

#[test]
fn every_field_of_every_shard_has_the_type_that_its_keys_have() {
    let (mut shards_seen, mut fields_seen, mut records) = (0, 0, 0);
    let mut without_keys = Vec::new();
    for fixture in ["kitchen-sink", "layers", "fleet"] {
        let dir = fixtures::unpack(fixture);
        for (data, log) in shards(&dir.path().join("engine")) {
            let (read, replayed) = FieldSet::read(&RealDisk, &data).unwrap().unwrap();
            let keys = of_keys(&data, &log);
            for (measurement, field, kind) in keys.iter() {
                assert_eq!(read.kind(measurement, field), Some(kind), "{}", data.display());
            }
            for (measurement, field, kind) in read.iter().filter(|(m, f, _)| keys.kind(m, f).is_none()) {
                assert!(data.ends_with("725e5d10302da261/autogen/3"), "{}", data.display());
                assert_eq!(measurement, b"mem");
                without_keys.push(format!("{} {}", String::from_utf8_lossy(field), kind.name()));
            }
            assert_eq!(replayed.torn, None);
            shards_seen += 1;
            fields_seen += keys.iter().count();
            records += replayed.records;
            // As one file they are the same.
            read.replace(&RealDisk, &data).unwrap();
            assert_eq!(FieldSet::read(&RealDisk, &data).unwrap(), Some((read, Replayed::default())));
            assert!(!data.join(IDXL_NAME).exists());
        }
    }
    assert_eq!(without_keys, WITHOUT_KEYS);
    println!("{shards_seen} shards, {fields_seen} fields with keys, {records} records of changes");
    assert!(shards_seen >= 15 && fields_seen > 50 && records > 15);
}

/// influxd writes its messages in the same form, so that what we write of one of its measurements is what it wrote.
#[test]
fn the_changes_of_a_real_log_have_the_bytes_that_we_would_write() {
    let dir = fixtures::unpack("kitchen-sink");
    let mut seen = BTreeSet::new();
    for (data, _) in shards(&dir.path().join("engine")) {
        let Some((fields, _)) = FieldSet::read(&RealDisk, &data).unwrap() else { continue };
        let log = fs::read(data.join(IDXL_NAME)).unwrap_or_default();
        let idx = fs::read(data.join(IDX_NAME)).unwrap_or_default();
        for (measurement, field, kind) in fields.iter() {
            let mut one = FieldSet::default();
            one.add(measurement, field, kind).unwrap();
            let ours = one.to_idx_bytes();
            // From the field's tag on: what is around it differs.
            let from = ours.len() - field.len() - 4;
            let has = |bytes: &[u8]| bytes.windows(ours.len() - from).any(|window| window == &ours[from..]);
            assert!(has(&log) || has(&idx), "{}: {}", data.display(), field.escape_ascii());
            seen.insert(kind.name());
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}
