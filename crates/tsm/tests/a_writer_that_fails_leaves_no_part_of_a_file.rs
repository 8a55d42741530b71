//! Every call to the disk fails once, and from every call on all fail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod failing;

use std::path::Path;

use failing::{Failing, Outage};
use icecore_disk::Disk;
use icecore_testkit::{MemDisk, tsm};
use icecore_tsm::block::Flavor;
use icecore_tsm::{BlockType, ErrorKind, FileName, Result, TsmFile, TsmWriter, WriterOptions};

const DIR: &str = "/shard";

/// Five files, and an index that passes memory in each.
fn write(disk: &dyn Disk) -> Result<Vec<FileName>> {
    let options = WriterOptions {
        block_points_max: 10,
        key_blocks_max: 4,
        index_memory_max: 0,
        modified_ns: Some(9),
        ..WriterOptions::default()
    };
    let first = FileName::parse("000000003-000000001.tsm").unwrap();
    let mut writer = TsmWriter::new(disk, Path::new(DIR), first, options);
    let column = tsm::column(BlockType::Float, (0..100).collect(), 4);
    for key in [&b"a#!~#f"[..], b"b#!~#f"] {
        writer.column(key, &column, Flavor::Batch)?;
    }
    writer.finish()
}

/// No part of a file under a final name, and no other name that an engine would not remove.
fn assert_only_whole_files(disk: &MemDisk, what: &str) {
    for path in disk.files().into_keys() {
        let text = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = FileName::parse(text) {
            let file = TsmFile::open(disk, &path, name).unwrap_or_else(|error| panic!("{what}: {error}"));
            file.check().unwrap();
        } else {
            assert!(text.ends_with(".tmp"), "{what}: {text}");
        }
    }
}

#[test]
fn what_failed_stays_failed() {
    let disk = MemDisk::default();
    disk.create_dir(Path::new(DIR)).unwrap();
    let failing = Failing::new(&disk, 3, Outage::Once); // the piece that is written when the file is full
    let options = WriterOptions { key_blocks_max: 1, ..WriterOptions::default() };
    let first = FileName::parse("000000003-000000001.tsm").unwrap();
    let mut writer = TsmWriter::new(&failing, Path::new(DIR), first, options);
    let column = tsm::column(BlockType::Float, (0..100).collect(), 4);
    writer.column(b"a#!~#f", &column, Flavor::Batch).unwrap();
    let error = writer.column(b"b#!~#f", &column, Flavor::Batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let again = writer.column(b"b#!~#f", &column, Flavor::Batch).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(writer.finish().unwrap_err().to_string(), error.to_string());
    assert!(disk.files().is_empty());
}

/// What is durable when: contents before names, names before the return.
#[test]
fn all_files_are_synced_before_the_first_gets_its_name() {
    let disk = MemDisk::default();
    disk.create_dir(Path::new(DIR)).unwrap();
    let recording = Failing::new(&disk, usize::MAX, Outage::Once);
    assert_eq!(write(&recording).unwrap().len(), 5);
    let calls = recording.calls();
    let place = |call: &str| {
        let mut places = calls.iter().enumerate().filter(|(_, found)| *found == call).map(|(at, _)| at);
        let place = places.next().unwrap_or_else(|| panic!("no {call} in {calls:#?}"));
        assert_eq!(places.next(), None, "{call} twice");
        place
    };
    let first_rename = calls.iter().position(|call| call.starts_with("rename")).unwrap();
    for sequence in 1..=5 {
        let name = format!("000000003-{sequence:09}.tsm.tmp");
        let sync = place(&format!("sync {name}"));
        let last_append = calls.iter().rposition(|call| *call == format!("append {name}")).unwrap();
        assert!(last_append < place(&format!("set_modified {name}")));
        assert!(place(&format!("set_modified {name}")) < sync && sync < first_rename);
        assert!(place(&format!("remove {}", name.replace("tsm", "idx"))) < first_rename);
    }
    assert_eq!(place("sync_dir shard"), calls.len() - 1);
}

#[test]
fn failures_at_every_call() {
    for outage in [Outage::Once, Outage::ForGood] {
        let mut failures = 0;
        for budget in 0.. {
            let disk = MemDisk::default();
            disk.create_dir(Path::new(DIR)).unwrap();
            let failing = Failing::new(&disk, budget, outage);
            let outcome = write(&failing);
            let what = format!("call {budget} fails {outage:?}");
            assert_only_whole_files(&disk, &what);
            match outcome {
                Ok(names) => {
                    assert!(!failing.has_failed(), "{what}: hidden");
                    assert_eq!(disk.files().len(), names.len());
                    break;
                }
                Err(error) => {
                    failures += 1;
                    assert_eq!(error.kind(), ErrorKind::Io, "{what}");
                    assert!(error.path().is_some(), "{what}");
                    let left: Vec<_> = disk.files().into_keys().collect();
                    assert!(outage == Outage::ForGood || left.is_empty(), "{what}: {left:?}");
                }
            }
        }
        assert!(failures > 50, "{failures}");
    }
}
