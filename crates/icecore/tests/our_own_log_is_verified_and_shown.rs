//! `icecore verify` and `icecore inspect wal` know the segments of Icecore's own log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::icecore;
use icecore_disk::RealDisk;
use icecore_tsm::Ticket;
use icecore_tsm::internal::{Log, LogOptions, replay};

const FIRST: &str = "wal/00000001.iwal";
const SECOND: &str = "wal/00000002.iwal";

/// A log of two segments: three records, then one.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join("wal");
    fs::create_dir(&wal).unwrap();
    let replayed = replay(&RealDisk, &wal, |_, _| Ok(())).unwrap();
    let options = LogOptions { segment_size: 512, reserve: true };
    let log = Log::open(Arc::new(RealDisk), &wal, replayed, options).unwrap();
    [(7, 100), (3, 80), (8, 100), (9, 150)]
        .iter()
        .for_each(|(ticket, len)| log.append(Ticket::new(*ticket), &[&vec![1; *len]]).unwrap());
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
        "byte 33               140 B  record 1, ticket 7",
        "byte 173              120 B  record 2, ticket 3",
        "byte 293              140 B  record 3, ticket 8",
        "3 records, 512 bytes",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), lines);
    let ran = icecore(dir.path(), &["inspect", "wal", "--json", SECOND]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let record = serde_json::json!({ "offset": 33, "bytes": 190, "number": 4, "ticket": 9 });
    let summary = serde_json::json!({ "records": 1, "bytes": 512, "torn_tail": null, "damage": null });
    assert_eq!((&shown["records"], &shown["summary"]), (&serde_json::json!([record]), &summary));
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
    edit(dir.path(), FIRST, |bytes| bytes[33 + 140 + 40] ^= 1);
    for arguments in [&["verify", "wal"][..], &["inspect", "wal", FIRST]] {
        let ran = icecore(dir.path(), arguments);
        assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
        let named = format!("{FIRST}: the body of a record is not intact at byte 173");
        assert!(ran.stdout.contains(&named) || ran.stderr.contains(&named), "{}{}", ran.stdout, ran.stderr);
    }
}
