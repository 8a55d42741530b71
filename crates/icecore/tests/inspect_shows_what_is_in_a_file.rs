//! `icecore inspect` against what influxd's own `dump-tsm` printed, and the form of its text.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{LOG, TOMBSTONE, TSM, icecore};
use icecore_testkit::fixtures;
use serde_json::Value;

const KITCHEN_SINK: &str = "kitchen-sink";

fn json(dir: &std::path::Path, arguments: &[&str]) -> Value {
    let ran = icecore(dir, arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The blocks as `dump-tsm` lists them: checksum, length without it, type, number of points, encodings and lengths of
/// times and values. (Its offsets of blocks are not used: they are sums of the wrong numbers.)
fn dumped_blocks(dump: &str) -> Vec<[String; 8]> {
    let (_, rest) = dump.split_once("Blocks:\n").unwrap();
    let rows = rest.lines().skip(1).take_while(|line| !line.is_empty());
    rows.map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [_, crc, _, len, kind, _, points, encodings, lens] = words[..] else { panic!("{row}") };
        let (times, values) = encodings.split_once('/').unwrap();
        let (times_len, values_len) = lens.split_once('/').unwrap();
        let kind = match kind {
            "float64" => "float",
            "int64" => "integer",
            "bool" => "boolean",
            other => other,
        };
        let name = |encoding| match encoding {
            "none" => "raw",
            "s8b" => "packed",
            "rle" => "run",
            "gor" => "xor",
            "bp" => "bits",
            "snpy" => "snappy",
            other => panic!("{other}"),
        };
        [crc, len, kind, points, name(times), name(values), times_len, values_len].map(str::to_owned)
    })
    .collect()
}

/// The entries of the index: place and length.
fn dumped_entries(dump: &str) -> Vec<(u64, u64)> {
    let (_, rest) = dump.split_once("Index:\n").unwrap();
    let (rows, _) = rest.split_once("Blocks:").unwrap();
    rows.lines()
        .skip(2)
        .filter(|line| !line.is_empty())
        .map(|row| {
            let words: Vec<&str> = row.split('\t').collect();
            (words[3].parse().unwrap(), words[4].parse().unwrap())
        })
        .collect()
}

fn shown_blocks(index: &Value) -> impl Iterator<Item = &Value> {
    index.as_array().unwrap().iter().flat_map(|key| key["blocks"].as_array().unwrap())
}

#[test]
fn every_block_of_the_fixture_is_shown_as_influxd_shows_it() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let mut compared = 0;
    for entry in fs::read_dir(fixtures::path("kitchen-sink/inspect")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let file = format!("engine/data/{}", name.strip_suffix(".txt").unwrap().replace('_', "/"));
        let dump = fs::read_to_string(entry.path()).unwrap();
        let shown = json(dir.path(), &["inspect", "tsm", "--blocks", "--json", &file]);
        let blocks: Vec<[String; 8]> = shown_blocks(&shown["index"])
            .map(|block| {
                assert_eq!(block["crc_is_right"], true);
                let number = |field: &str| block[field].as_u64().unwrap().to_string();
                let text = |field: &str| block[field].as_str().unwrap().to_owned();
                let len = block["bytes"].as_u64().unwrap() - 4;
                [
                    number("crc32"),
                    len.to_string(),
                    text("type"),
                    number("values"),
                    text("time_encoding"),
                    text("value_encoding"),
                    number("time_bytes"),
                    number("value_bytes"),
                ]
            })
            .collect();
        assert_eq!(blocks, dumped_blocks(&dump), "{file}");
        let entries: Vec<_> = shown_blocks(&shown["index"])
            .map(|block| (block["offset"].as_u64().unwrap(), block["bytes"].as_u64().unwrap()))
            .collect();
        assert_eq!(entries, dumped_entries(&dump), "{file}");
        assert_eq!(shown["summary"]["blocks"], blocks.len());
        compared += blocks.len();
    }
    assert_eq!(compared, 256);
}

#[test]
fn the_summary_adds_up_to_the_values_of_the_file() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let shown = json(dir.path(), &["inspect", "tsm", "--index", "--json", TSM]);
    let summary = &shown["summary"];
    assert_eq!(summary["bytes"], fs::metadata(dir.path().join(TSM)).unwrap().len());
    assert_eq!(summary["values"], 81_390);
    let types = summary["types"].as_object().unwrap();
    let of_types = |field: &str| types.values().map(|of| of[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of_types("values"), of_types("blocks"), of_types("keys")), (81_390, 102, 51));
    assert_eq!(shown["index"].as_array().unwrap().len(), 51);
    let sizes =
        summary["block_sizes"].as_array().unwrap().iter().map(|size| size["blocks"].as_u64().unwrap());
    assert_eq!(sizes.sum::<u64>(), 102);
}

#[test]
fn the_text_of_a_tsm_file_is_made_to_be_read() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let ran = icecore(dir.path(), &["inspect", "tsm", TSM]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("tsm", ran.stdout);
    let small = "engine/data/83fa952f192155e3/autogen/8/000000001-000000001.tsm";
    let ran = icecore(dir.path(), &["inspect", "tsm", "--blocks", small]);
    insta::assert_snapshot!("tsm_blocks", ran.stdout);
}

#[test]
fn the_text_of_a_log_and_of_a_tombstone_is_made_to_be_read() {
    let dir = fixtures::unpack("layers");
    let log = "engine/wal/a5de34553b154f33/autogen/1/_00006.wal";
    insta::assert_snapshot!("log", icecore(dir.path(), &["inspect", "wal", log]).stdout);
    let tombstone = "engine/data/a5de34553b154f33/autogen/1/000000001-000000001.tombstone";
    insta::assert_snapshot!("tombstone", icecore(dir.path(), &["inspect", "tombstone", tombstone]).stdout);
}

/// A write in the log is a request of `requests.ndjson`: the points are values of lines, the deletes those that were made.
#[test]
fn the_entries_of_a_log_are_counted() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let shown = json(dir.path(), &["inspect", "wal", "--keys", "--json", LOG]);
    let entries = shown["entries"].as_array().unwrap();
    let size = fs::metadata(dir.path().join(LOG)).unwrap().len();
    let mut end = 0;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries {
        assert_eq!(entry["offset"], end, "entries follow each other");
        end += entry["bytes"].as_u64().unwrap();
        *kinds.entry(entry["kind"].as_str().unwrap()).or_default() += 1;
        if let Some(columns) = entry["columns"].as_array() {
            assert_eq!(entry["keys"], columns.len());
            let points = columns.iter().map(|column| column["points"].as_u64().unwrap()).sum::<u64>();
            assert_eq!(entry["points"], points);
        }
    }
    assert_eq!((end, shown["summary"]["bytes"].as_u64().unwrap()), (size, size));
    assert_eq!(kinds["delete"], 2, "as the fixture's text says");
    assert_eq!(shown["summary"]["torn_tail"], Value::Null);
}

#[test]
fn a_torn_tail_is_shown_and_is_no_damage() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let path = dir.path().join(LOG);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, bytes).unwrap();
    let ran = icecore(dir.path(), &["inspect", "wal", LOG]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.lines().last().unwrap().starts_with("torn tail: "), "{}", ran.stdout);
    assert!(json(dir.path(), &["inspect", "wal", "--json", LOG])["summary"]["torn_tail"].is_u64());
}

#[test]
fn what_is_damaged_is_shown_as_far_as_it_goes() {
    let dir = fixtures::unpack(KITCHEN_SINK);
    let damage = |name: &str, at: usize| {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
    };
    damage(TSM, 1000);
    let ran = icecore(dir.path(), &["inspect", "tsm", "--blocks", TSM]);
    assert_eq!(ran.code, 4);
    assert_eq!(ran.stdout.matches("CHECKSUM WRONG").count(), 1);
    assert!(ran.stdout.contains("51 keys, 102 blocks, 81,390 values"), "{}", ran.stdout);
    damage(TOMBSTONE, 140);
    let ran = icecore(dir.path(), &["inspect", "tombstone", TOMBSTONE]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.contains("a tombstone record is cut off or its checksum is wrong at byte"),
        "{}",
        ran.stderr
    );
    let ran = icecore(dir.path(), &["inspect", "tsm", "no-such-file.tsm"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
}
