//! What breaks the order or the format is refused by name, changes nothing, and the writer goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::io;
use std::path::Path;

use icecore_disk::Disk;
use icecore_testkit::MemDisk;
use icecore_tsm::block::Flavor;
use icecore_tsm::{Column, ErrorKind, FileName, Offset, TsmFile, TsmWriter, Values, WriterOptions, block};

const DIR: &str = "/shard";
const NAME: &str = "000000001-000000001.tsm";

fn disk() -> MemDisk {
    let disk = MemDisk::default();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

fn writer(disk: &MemDisk) -> TsmWriter<'_> {
    TsmWriter::new(disk, Path::new(DIR), FileName::parse(NAME).unwrap(), WriterOptions::default())
}

fn integers(times: &[i64]) -> Column {
    Column { times: times.to_vec(), values: Values::Integer(times.to_vec()) }
}

fn floats(times: &[i64], value: f64) -> Column {
    Column { times: times.to_vec(), values: Values::Float(vec![value; times.len()]) }
}

/// A block as a file has it.
fn encoded(column: &Column) -> Vec<u8> {
    let mut body = Vec::new();
    block::encode(column, 0..column.len(), Flavor::Batch, &mut body).unwrap();
    [&crc32fast::hash(&body).to_be_bytes()[..], &body].concat()
}

#[test]
fn each_refusal_is_named_and_what_was_accepted_is_written() {
    let disk = disk();
    let mut writer = writer(&disk);
    let column = integers(&[10, 20, 30]);
    writer.column(b"m,t=b#!~#f", &column, Flavor::Stream).unwrap();
    let mut refusal = |key: &[u8], column: &Column, range| {
        writer.block(key, column, range, Flavor::Stream).unwrap_err().to_string()
    };
    assert_eq!(refusal(b"m,t=a#!~#f", &column, 0..3), "keys must ascend");
    assert_eq!(refusal(b"m,t=b#!~#e", &column, 0..3), "keys must ascend");
    assert_eq!(refusal(b"m,t=b#!~#f", &column, 0..3), "blocks of a key must ascend in time");
    assert_eq!(refusal(b"m,t=b#!~#f", &integers(&[30, 31]), 0..2), "blocks of a key must ascend in time");
    assert_eq!(refusal(b"m,t=b#!~#f", &floats(&[40], 1.0), 0..1), "a key has one type");
    assert_eq!(refusal(b"m,t=c#!~#f", &integers(&[50, 40]), 0..2), "the times of a block must ascend");
    assert_eq!(refusal(b"m,t=c#!~#f", &integers(&[40, 40]), 0..2), "the times of a block must ascend");
    assert_eq!(refusal(b"m,t=c#!~#f", &column, 1..1), "a block needs at least one point");
    assert_eq!(refusal(b"m,t=c#!~#f", &column, 2..4), "the points of a block pass the end of their column");
    assert_eq!(refusal(b"m,t=c#!~#f", &floats(&[1], f64::NAN), 0..1), "a TSM block cannot hold NaN");
    assert_eq!(refusal(b"m,t=c", &column, 0..3), "a key without a field");
    assert_eq!(refusal(b"", &column, 0..3), "a key without a field");

    writer.column(b"m,t=b#!~#f", &integers(&[31]), Flavor::Stream).unwrap();
    writer.column(b"m,t=b#!~#g", &floats(&[], 1.0), Flavor::Stream).unwrap();
    writer.column(b"m,t=b#!~#h", &floats(&[1], 1.0), Flavor::Stream).unwrap();
    let name = writer.finish().unwrap()[0];
    let file = TsmFile::open(&disk, &Path::new(DIR).join(NAME), name).unwrap();
    file.check().unwrap();
    let keys: Vec<_> =
        file.index().unwrap().keys().map(|key| (key.key.to_vec(), key.entries().count())).collect();
    assert_eq!(keys, [(b"m,t=b#!~#f".to_vec(), 2), (b"m,t=b#!~#h".to_vec(), 1)]);
}

#[test]
fn a_copied_block_must_be_whole_and_in_order() {
    let disk = disk();
    let mut writer = writer(&disk);
    let at = Offset::new(1000);
    let good = encoded(&integers(&[1, 2, 3]));
    for byte in 0..good.len() {
        let mut damaged = good.clone();
        damaged[byte] ^= 0x10;
        let error = writer.copy(b"m#!~#f", &damaged, at).unwrap_err();
        assert_eq!(error.to_string(), "damaged: a block's checksum is wrong at byte 1000");
    }
    for len in 0..good.len() {
        assert!(writer.copy(b"m#!~#f", &good[..len], at).unwrap_err().is_damage());
    }
    let error = writer.copy(b"m#!~#f", &encoded(&integers(&[1, 3, 2])), at).unwrap_err();
    assert_eq!(error.to_string(), "damaged: a block is not in the order of time at byte 1000");
    assert!(writer.is_empty() && disk.files().is_empty());

    writer.copy(b"m#!~#f", &good, at).unwrap();
    let error = writer.copy(b"m#!~#f", &good, at).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("blocks of a key must ascend in time"));
    let error = writer.copy(b"m#!~#f", &encoded(&floats(&[9], 1.0)), at).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("a key has one type"));
    writer.copy(b"m#!~#f", &encoded(&integers(&[4])), at).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_file_without_a_block_is_refused_and_leaves_nothing() {
    let disk = disk();
    let writer = writer(&disk);
    assert!(writer.is_empty());
    let error = writer.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("a TSM file needs a block"));
    assert!(disk.files().is_empty());
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let disk = disk();
    let options = WriterOptions { key_blocks_max: 1, index_memory_max: 0, ..WriterOptions::default() };
    let mut writer = TsmWriter::new(&disk, Path::new(DIR), FileName::parse(NAME).unwrap(), options);
    for key in [&b"a#!~#f"[..], b"b#!~#f", b"c#!~#f"] {
        writer.column(key, &integers(&[1]), Flavor::Batch).unwrap();
    }
    let names: Vec<_> = disk.files().into_keys().collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.extension().is_some_and(|extension| extension == "tmp")));
    drop(writer);
    assert!(disk.files().is_empty());
}

/// Over another file the writer would lose it; beside a tombstone that lost its file the new one would lose points.
#[test]
fn neither_a_file_nor_a_tombstone_of_that_name_may_exist() {
    for other in [NAME, "000000001-000000001.tombstone", "000000001-000000001.tsm.tmp"] {
        let disk = disk();
        let path = Path::new(DIR).join(other);
        disk.put(&path, b"of another".to_vec());
        let mut writer = writer(&disk);
        for _ in 0..2 {
            let error = writer.column(b"a#!~#f", &integers(&[1]), Flavor::Batch).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*path)));
            let source = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        }
        assert!(writer.finish().is_err());
        assert_eq!(disk.files().into_iter().collect::<Vec<_>>(), [(path, b"of another".to_vec())]);
    }
}
