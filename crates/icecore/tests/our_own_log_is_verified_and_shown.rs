//! `icecore verify` and `icecore inspect wal` know the segments of Icecore's own log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::icecore;
use icecore_disk::RealDisk;
use icecore_tsm::internal::{Log, LogOptions, body, replay};
use icecore_tsm::{Batch, Ticket, Value};

const FIRST: &str = "wal/00000001.iwal";
const SECOND: &str = "wal/00000002.iwal";

/// A record of points of one field, whose text is so long, at these times.
fn record(len: usize, times: &[i64]) -> Vec<u8> {
    let mut batch = Batch::new();
    for time_ns in times {
        let text = "x".repeat(len);
        let fields = [(&b"a b"[..], Value::String(text.as_bytes())), (&b"n"[..], Value::Integer(-1))];
        batch.point(b"m,t=a", 1, *time_ns, fields).unwrap();
    }
    body(&batch)
}

/// A log of two segments: three records, then one.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join("wal");
    fs::create_dir(&wal).unwrap();
    let replayed = replay(&RealDisk, &wal, |_, _| Ok(())).unwrap();
    let options = LogOptions { segment_size: 512, reserve: true };
    let log = Log::open(Arc::new(RealDisk), &wal, replayed, options).unwrap();
    let records: [(u64, usize, &[i64]); 4] = [(7, 3, &[5]), (3, 1, &[7, 6]), (8, 2, &[8]), (9, 100, &[9])];
    for (ticket, len, times) in records {
        log.append(Ticket::new(ticket), &[&record(len, times)]).unwrap();
    }
    assert_eq!(log.stats().segments, 2);
    dir
}

fn edit(dir: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(dir.join(name)).unwrap();
    change(&mut bytes);
    fs::write(dir.join(name), bytes).unwrap();
}

#[test]
fn a_sound_log_is_sound_and_its_records_are_shown() {
    let dir = log();
    let ran = icecore(dir.path(), &["verify", "wal"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let ran = icecore(dir.path(), &["inspect", "wal", FIRST]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines = [
        "byte 33               107 B  record 1, ticket 7: 1 point, 2 values  1970-01-01T00:00:00.000000005Z",
        "byte 140              134 B  record 2, ticket 3: 2 points, 4 values  1970-01-01T00:00:00.000000006Z to 1970-01-01T00:00:00.000000007Z",
        "byte 274              106 B  record 3, ticket 8: 1 point, 2 values  1970-01-01T00:00:00.000000008Z",
        "3 records, 8 values, 512 bytes",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), lines);
    let ran = icecore(dir.path(), &["inspect", "wal", "--keys", "--points", FIRST]);
    let lines = [
        "    string       2 values  m,t=a#!~#a b",
        "    integer      2 values  m,t=a#!~#n",
        "    m,t=a a\\ b=\"x\",n=-1i 7",
        "    m,t=a a\\ b=\"x\",n=-1i 6",
    ];
    assert_eq!(ran.stdout.lines().skip(5).take(4).collect::<Vec<_>>(), lines, "{}", ran.stdout);
    let ran = icecore(dir.path(), &["inspect", "wal", "--json", "--keys", "--points", SECOND]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let line = format!("m,t=a a\\ b=\"{}\",n=-1i 9", "x".repeat(100));
    let record = serde_json::json!({
        "offset": 33, "bytes": 204, "number": 4, "ticket": 9, "points": 1, "values": 2, "min_time": 9, "max_time": 9,
        "columns": [
            { "key": "m,t=a#!~#a b", "type": "string", "values": 1 },
            { "key": "m,t=a#!~#n", "type": "integer", "values": 1 },
        ],
        "lines": [{ "line": line }],
    });
    let summary =
        serde_json::json!({ "records": 1, "values": 2, "bytes": 512, "torn_tail": null, "damage": null });
    assert_eq!((&shown["records"], &shown["summary"]), (&serde_json::json!([record]), &summary));
    let ran = icecore(dir.path(), &["inspect", "wal", "--points", "wal/_00001.wal"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn a_torn_tail_is_a_note_and_damage_is_named() {
    let dir = log();
    edit(dir.path(), SECOND, |bytes| bytes[33 + 40] ^= 1);
    for arguments in [&["verify", "wal"][..], &["inspect", "wal", SECOND]] {
        let ran = icecore(dir.path(), arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("torn tail") || ran.stdout.contains(&format!("note: {SECOND}: ")),
            "{}",
            ran.stdout
        );
    }
    edit(dir.path(), FIRST, |bytes| bytes[140 + 40] ^= 1);
    for arguments in [&["verify", "wal"][..], &["inspect", "wal", FIRST]] {
        let ran = icecore(dir.path(), arguments);
        assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
        let named = format!("{FIRST}: the body of a record is not intact at byte 140");
        assert!(ran.stdout.contains(&named) || ran.stderr.contains(&named), "{}{}", ran.stdout, ran.stderr);
    }
}
