//! Damage in a data directory: named with file and place, never a wrong or shorter answer, and nothing is changed.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use icecore_database::{Database, Error, Format, Mode, Options, Paths, ShardId};
use icecore_testkit::fixtures;
use icecore_tsm::{FileName, Offset, TsmFile};
use tempfile::TempDir;

const SHARD_1: &str = "725e5d10302da261/autogen/1";

struct Damaged {
    dir: TempDir,
    path: PathBuf,
}

/// `kitchen-sink` with one file changed.
fn damage(file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Damaged {
    let dir = fixtures::unpack("kitchen-sink");
    let path = dir.path().join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    Damaged { dir, path }
}

fn open(dir: &Path, mode: Mode) -> Result<Database, Error> {
    Database::open(Paths::in_dir(dir), Options::new(mode))
}

/// The shard is known to be damaged as soon as the directory is open and looked over, in both modes; the others are served; the
/// damaged file and all beside it stay as they were.
#[track_caller]
fn assert_named_at_start(damaged: &Damaged, what: &str) {
    let bytes = std::fs::read(&damaged.path).unwrap();
    let beside = || std::fs::read_dir(damaged.path.parent().unwrap()).unwrap().count();
    let count = beside();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let database = open(damaged.dir.path(), mode).unwrap();
        database.check_indexes();
        let found: Vec<_> = database
            .shards()
            .into_iter()
            .flat_map(|shard| {
                shard.shard.damage().into_iter().map(move |damage| (shard.id, damage.to_string()))
            })
            .collect();
        assert_eq!(found, [(1, format!("{}: {what}", damaged.path.display()))]);
        assert!(database.snapshot(ShardId(1)).unwrap_err().is_damage());
        assert!(database.snapshot(ShardId(2)).is_ok());
        let mut out = Vec::new();
        let error = database.export("725e5d10302da261", Format::Tsv, &mut out).unwrap_err();
        assert!(
            error.is_damage() && out.is_empty(),
            "an export of the bucket is refused before the first line"
        );
        database.export("83fa952f192155e3", Format::Tsv, &mut out).unwrap();
        assert!(out == fixtures::read("kitchen-sink/expected/83fa952f192155e3.tsv.gz"));
    }
    assert!(std::fs::read(&damaged.path).unwrap() == bytes && beside() == count, "nothing was changed");
}

#[test]
fn a_damaged_index_is_named_at_start() {
    let file = format!("engine/data/{SHARD_1}/000000003-000000002.tsm");
    let index = |bytes: &[u8]| usize::try_from(u64::from_be_bytes(*bytes.last_chunk().unwrap())).unwrap();
    let mut start = 0;
    let damaged = damage(&file, |bytes| {
        start = index(bytes);
        bytes[start + 2] = 0xff; // the first byte of the first key
    });
    let second = start
        + 2
        + usize::from(u16::from_be_bytes(
            *std::fs::read(&damaged.path).unwrap()[start..].first_chunk().unwrap(),
        ));
    let entries = usize::from(u16::from_be_bytes(
        *std::fs::read(&damaged.path).unwrap()[second + 1..].first_chunk().unwrap(),
    ));
    let at = second + 3 + entries * 28;
    assert_named_at_start(&damaged, &format!("damaged: keys are not in ascending order at byte {at}"));

    let damaged = damage(&file, |bytes| bytes.truncate(bytes.len() - 1));
    let at = std::fs::metadata(&damaged.path).unwrap().len() - 8;
    assert_named_at_start(&damaged, &format!("damaged: the footer points outside the file at byte {at}"));

    let damaged = damage(&file, |bytes| bytes[0] = 0);
    assert_named_at_start(&damaged, "damaged: not a TSM file at byte 0");
}

#[test]
fn a_damaged_tombstone_is_named_at_start() {
    let file = format!("engine/data/{SHARD_1}/000000003-000000002.tombstone");
    let damaged = damage(&file, |bytes| bytes[40] ^= 1);
    assert_named_at_start(
        &damaged,
        "damaged: a tombstone record is cut off or its checksum is wrong at byte 4",
    );
}

#[test]
fn a_damaged_log_entry_is_named_at_start() {
    let file = format!("engine/wal/{SHARD_1}/_00004.wal");
    let damaged = damage(&file, |bytes| bytes[5..40].fill(0xff)); // inside the first entry
    assert_named_at_start(&damaged, "damaged: the length of a compressed log entry is wrong at byte 5");
}

#[test]
fn a_torn_tail_is_left_out_reported_and_kept_aside() {
    let file = format!("engine/wal/{SHARD_1}/_00004.wal");
    let damaged = damage(&file, |bytes| bytes.truncate(bytes.len() - 3));
    let cut = std::fs::read(&damaged.path).unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let database = open(damaged.dir.path(), mode).unwrap();
        let shard = database.shard(ShardId(1)).unwrap();
        let torn = shard.shard.recovery().torn.clone().unwrap();
        assert_eq!(torn.path, damaged.path);
        assert_eq!(torn.at.get() + torn.size, cut.len() as u64);
        assert!(shard.shard.damage().is_empty() && database.snapshot(ShardId(1)).is_ok());
    }
    assert!(!damaged.path.exists(), "the log was taken over");
    assert!(std::fs::read(damaged.path.with_extension("wal.torn")).unwrap() == cut, "its bytes are kept");
}

#[test]
fn a_block_that_contradicts_the_index_is_found_before_it_is_sent() {
    let dir = fixtures::unpack("fleet");
    let name = FileName::parse("000000001-000000001.tsm").unwrap();
    let path = dir.path().join(format!("engine/data/1b87b4f3c6ec1165/autogen/1/{name}"));
    let healthy = std::fs::read(&path).unwrap();
    let file = TsmFile::open(&icecore_disk::RealDisk, &path, name).unwrap();
    let digest = file.check().unwrap();
    assert_eq!(digest, blake3::hash(&healthy));
    let key = file.index().unwrap().key(3).unwrap();
    let entry = key.entries().next().unwrap();
    let entry_bytes = [entry.range.min().to_be_bytes(), entry.range.max().to_be_bytes()].concat();
    let places = healthy.windows(16).enumerate().filter(|(_, window)| *window == entry_bytes);
    let at = places.map(|(at, _)| at).next().unwrap();
    drop(file);
    for (what, place) in
        [("first time", at + 7), ("last time", at + 15), ("offset", at + 23), ("size", at + 27)]
    {
        let mut bytes = healthy.clone();
        match what {
            "last time" => bytes.copy_within(at..at + 8, at + 8), // earlier; old files may state one that is too late
            _ => bytes[place] ^= 0x10,
        }
        std::fs::write(&path, &bytes).unwrap();
        let found = TsmFile::open(&icecore_disk::RealDisk, &path, name).and_then(|file| file.check());
        let error = found.expect_err(what);
        assert!(
            error.is_damage() && error.path() == Some(&path) && error.offset() > Some(Offset::START),
            "{error}"
        );
    }
}

#[test]
fn an_export_ends_at_a_damaged_block_and_has_every_line_before_its_key() {
    let dir = fixtures::unpack("fleet");
    let bucket = "1b87b4f3c6ec1165";
    let export = || {
        let mut out = Vec::new();
        let outcome =
            open(dir.path(), Mode::ReadOnly).unwrap().export(bucket, Format::LineProtocol, &mut out);
        (outcome, out)
    };
    let (outcome, healthy) = export();
    assert_eq!(outcome.unwrap(), 2_000_000);

    let name = FileName::parse("000000001-000000001.tsm").unwrap();
    let path = dir.path().join(format!("engine/data/{bucket}/autogen/1/{name}"));
    let mut bytes = std::fs::read(&path).unwrap();
    let file = TsmFile::open(&icecore_disk::RealDisk, &path, name).unwrap();
    let index = file.index().unwrap();
    // A late key is damaged too: which one is reported does not depend on who reads faster.
    let [at, _] = [40, 41].map(|ordinal| {
        let entry = index.key(ordinal).unwrap().entry(7).unwrap();
        bytes[usize::try_from(entry.offset.get()).unwrap() + 20] ^= 1;
        entry.offset
    });
    let (series, field) = icecore_tsm::key::split(index.key(40).unwrap().key).unwrap();
    let first_line = [series, b" ", field, b"="].concat();
    std::fs::write(&path, bytes).unwrap();

    let (outcome, out) = export();
    let error = outcome.unwrap_err();
    let Error::Shard { source, .. } = &error else { panic!("{error}") };
    assert!(error.is_damage() && source.path() == Some(&path) && source.offset() == Some(at), "{source}");
    let before = healthy.windows(first_line.len()).position(|window| window == first_line).unwrap();
    assert!(out.len() > before && healthy.starts_with(&out) && out.ends_with(b"\n"));
    let lines = out[before..].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 7000, "the blocks of the key before the damaged one");
}

#[test]
fn a_damaged_bolt_file_refuses_the_start_and_names_the_page() {
    let damaged = damage("influxd.bolt", |bytes| bytes[4096 * 5 + 10] ^= 1); // the count of elements in page 5
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let error = open(damaged.dir.path(), mode).unwrap_err();
        assert!(error.is_damage());
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.starts_with(&damaged.path.display().to_string()) && source.contains("page"),
            "{source}"
        );
    }
}

#[test]
fn a_missing_bolt_file_beside_data_is_not_replaced_by_a_fresh_one() {
    let dir = fixtures::unpack("layers");
    std::fs::remove_file(dir.path().join("influxd.bolt")).unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let error = open(dir.path(), mode).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
    assert!(!dir.path().join("influxd.bolt").exists());
}
