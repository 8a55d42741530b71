//! A writer goes on in the next file where one is full, and what it wrote reads back whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::path::Path;

use icecore_disk::Disk;
use icecore_testkit::{MemDisk, tsm};
use icecore_tsm::block::Flavor;
use icecore_tsm::{
    BlockType, Column, ErrorKind, FileName, Offset, TsmFile, TsmWriter, Values, WriterOptions, key,
};
use proptest::collection::vec;
use proptest::prelude::*;

const DIR: &str = "/shard";

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

fn first() -> FileName {
    name("000000007-000000001.tsm")
}

fn disk() -> MemDisk {
    let disk = MemDisk::default();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

fn open(disk: &MemDisk, names: &[FileName]) -> Vec<TsmFile> {
    let files = names.iter().map(|name| {
        let file = TsmFile::open(disk, &Path::new(DIR).join(name.to_string()), *name).unwrap();
        file.check().unwrap();
        file
    });
    files.collect()
}

/// All points of a key, over all files.
fn points(files: &[TsmFile], key: &[u8]) -> Column {
    let mut all: Option<Column> = None;
    let mut block = Column::new(BlockType::Float);
    for file in files {
        let Some(key) = file.index().unwrap().find(key) else { continue };
        for entry in key.entries() {
            file.read_block(&key, &entry, &mut block).unwrap();
            all.get_or_insert_with(|| Column::new(block.kind())).extend_from(&block, 0..block.len());
        }
    }
    all.unwrap()
}

/// How many blocks of a key each file has.
fn blocks(files: &[TsmFile], key: &[u8]) -> Vec<usize> {
    files.iter().map(|file| file.index().unwrap().find(key).map_or(0, |key| key.entries().count())).collect()
}

fn column(kind: BlockType, len: i64) -> Column {
    tsm::column(kind, (0..len).map(|at| at * 10).collect(), 4)
}

const KINDS: [BlockType; 5] =
    [BlockType::Float, BlockType::Integer, BlockType::Boolean, BlockType::String, BlockType::Unsigned];

/// A data set with all types, in keys that ascend.
fn keys() -> Vec<(Vec<u8>, Column)> {
    let keys = (0..40).map(|at| format!("m,host={at:02}#!~#f").into_bytes());
    keys.zip(KINDS.iter().cycle()).map(|(key, kind)| (key, column(*kind, 90))).collect()
}

fn write(disk: &MemDisk, keys: &[(Vec<u8>, Column)], options: WriterOptions) -> Vec<FileName> {
    let mut writer = TsmWriter::new(disk, Path::new(DIR), first(), options);
    for (key, column) in keys {
        writer.column(key, column, Flavor::Batch).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn the_defaults_are_those_of_influxd() {
    let WriterOptions { block_points_max, file_size_max, key_blocks_max, index_memory_max, modified_ns } =
        WriterOptions::default();
    assert_eq!((block_points_max, file_size_max, key_blocks_max), (1000, 2_147_483_648, 65_535));
    assert_eq!((index_memory_max, modified_ns), (64 << 20, None));
}

#[test]
fn a_key_with_more_blocks_than_a_file_can_count_goes_on_in_the_next() {
    let disk = disk();
    let mut keys = vec![(b"a#!~#f".to_vec(), column(BlockType::Integer, 20))];
    keys.push((b"b#!~#f".to_vec(), column(BlockType::String, 4)));
    let options = WriterOptions { key_blocks_max: 3, block_points_max: 2, ..WriterOptions::default() };
    let names = write(&disk, &keys, options);
    let expected = (1..=4).map(|sequence| name(&format!("000000007-{sequence:09}.tsm")));
    assert_eq!(names, expected.collect::<Vec<_>>());
    let files = open(&disk, &names);
    assert_eq!(blocks(&files, &keys[0].0), [3, 3, 3, 1]);
    assert_eq!(blocks(&files, &keys[1].0), [0, 0, 0, 2], "the last file has room");
    keys.iter().for_each(|(key, column)| assert_eq!(points(&files, key), *column));
    assert_eq!(disk.files().len(), 4);
}

#[test]
fn the_format_counts_65_535_blocks_of_a_key_and_no_empty_file_follows() {
    for extra in [0, 2] {
        let disk = disk();
        let key = b"m#!~#f".to_vec();
        let column = column(BlockType::Integer, 65_535 + extra);
        let options = WriterOptions { block_points_max: 1, ..WriterOptions::default() };
        let names = write(&disk, &[(key.clone(), column.clone())], options);
        let files = open(&disk, &names);
        let expected: &[usize] = if extra == 0 { &[65_535] } else { &[65_535, 2] };
        assert_eq!(blocks(&files, &key), expected);
        assert_eq!(points(&files, &key), column);
    }
}

#[test]
fn a_file_ends_behind_the_block_that_passes_its_size() {
    const SIZE_MAX: u64 = 3000;
    let (disk, keys) = (disk(), keys());
    let options = WriterOptions { file_size_max: SIZE_MAX, block_points_max: 20, ..WriterOptions::default() };
    let names = write(&disk, &keys, options);
    let files = open(&disk, &names);
    assert!(files.len() > 5);
    for (at, file) in files.iter().enumerate() {
        // Without the footer, and without the last block and its part of the index.
        let last = file.index().unwrap().keys().last().unwrap();
        let last_block = u64::from(last.entries().last().unwrap().size) + 28;
        let alone = if last.entries().count() == 1 { last.key.len() as u64 + 5 } else { 0 };
        let size = file.size() - 8;
        assert!(size - last_block - alone <= SIZE_MAX, "{at}: {size}");
        assert!(size > SIZE_MAX || at == files.len() - 1, "{at}: {size}");
    }
    keys.iter().for_each(|(key, column)| assert_eq!(points(&files, key), *column));
}

#[test]
fn an_index_beyond_memory_waits_on_disk_and_the_file_is_the_same() {
    let keys = keys();
    let whole = disk();
    write(&whole, &keys, WriterOptions::default());
    for index_memory_max in [0, 100, 1000] {
        let disk = disk();
        let options = WriterOptions { index_memory_max, ..WriterOptions::default() };
        let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), options);
        for (key, column) in &keys {
            writer.column(key, column, Flavor::Batch).unwrap();
        }
        let index = &disk.files()[&Path::new(DIR).join("000000007-000000001.idx.tmp")];
        assert!(index.len() > index_memory_max);
        writer.finish().unwrap();
        assert_eq!(disk.files(), whole.files());
    }
}

#[test]
fn the_longest_key_is_written_and_a_longer_one_leaves_nothing() {
    let disk = disk();
    let suffix = b"#!~#f";
    let longest = [vec![b'k'; key::LEN_MAX - suffix.len()], suffix.to_vec()].concat();
    let too_long = [vec![b'l'; key::LEN_MAX - suffix.len() + 1], suffix.to_vec()].concat();
    let column = column(BlockType::Float, 3);

    let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), WriterOptions::default());
    let error = writer.column(&too_long, &column, Flavor::Batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("a key is longer than 65,535 bytes"));
    assert!(writer.is_empty() && disk.files().is_empty());
    writer.column(&longest, &column, Flavor::Batch).unwrap();
    let files = open(&disk, &writer.finish().unwrap());
    assert_eq!(points(&files, &longest), column);
}

#[test]
fn blocks_copied_from_a_file_make_the_same_file() {
    let (from, to, keys) = (disk(), disk(), keys());
    let options = WriterOptions { block_points_max: 7, ..WriterOptions::default() };
    let names = write(&from, &keys, options);
    let bytes = from.files().into_values().next().unwrap();
    let mut writer = TsmWriter::new(&to, Path::new(DIR), first(), WriterOptions::default());
    for file in &open(&from, &names) {
        for key in file.index().unwrap().keys() {
            for entry in key.entries() {
                let start = usize::try_from(entry.offset.get()).unwrap();
                let block = &bytes[start..start + entry.size as usize];
                writer.copy(key.key, block, entry.offset).unwrap();
            }
        }
    }
    writer.finish().unwrap();
    assert_eq!(to.files(), from.files());
}

#[test]
fn files_take_the_time_that_the_caller_gives() {
    let disk = disk();
    let options = WriterOptions { modified_ns: Some(-77), key_blocks_max: 1, ..WriterOptions::default() };
    let names = write(&disk, &keys(), WriterOptions { block_points_max: 45, ..options });
    assert_eq!(names.len(), 80);
    for name in names {
        assert_eq!(disk.stat(&Path::new(DIR).join(name.to_string())).unwrap().modified_ns, -77);
    }
}

#[test]
fn where_the_numbers_end_the_writer_refuses_and_what_it_has_can_be_finished() {
    let disk = disk();
    let last = name("000000007-4294967295.tsm");
    let options = WriterOptions { key_blocks_max: 1, ..WriterOptions::default() };
    let mut writer = TsmWriter::new(&disk, Path::new(DIR), last, options);
    let column = Column { times: vec![1], values: Values::Integer(vec![1]) };
    writer.column(b"a#!~#f", &column, Flavor::Stream).unwrap();
    let later = Column { times: vec![2], ..column.clone() };
    for _ in 0..2 {
        let error = writer.column(b"a#!~#f", &later, Flavor::Stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unfit("the file numbers of a shard are used up"));
    }
    let files = open(&disk, &writer.finish().unwrap());
    assert_eq!((files.len(), points(&files, b"a#!~#f")), (1, column));
}

#[test]
fn a_block_with_a_time_behind_its_last_point_in_the_index_is_copied_with_its_true_times() {
    let disk = disk();
    let column = Column { times: vec![1, 5], values: Values::Integer(vec![1, 5]) };
    let mut block = vec![0; 4];
    icecore_tsm::block::encode(&column, 0..2, Flavor::Batch, &mut block).unwrap();
    let crc = crc32fast::hash(&block[4..]).to_be_bytes();
    block[..4].copy_from_slice(&crc);
    let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), WriterOptions::default());
    writer.copy(b"m#!~#f", &block, Offset::new(5)).unwrap();
    let later = Column { times: vec![6], values: Values::Integer(vec![6]) };
    writer.column(b"m#!~#f", &later, Flavor::Batch).unwrap();
    let files = open(&disk, &writer.finish().unwrap());
    let ranges: Vec<_> =
        files[0].index().unwrap().find(b"m#!~#f").unwrap().entries().map(|entry| entry.range).collect();
    assert_eq!(ranges.iter().map(|range| (range.min(), range.max())).collect::<Vec<_>>(), [(1, 5), (6, 6)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the limits are, the files together hold what was written, in their order, and none passes a limit.
    #[test]
    fn files_together_hold_what_was_written(
        lens in vec((0..60i64, 0..5usize), 1..20),
        block_points_max in 0..20usize,
        key_blocks_max in 0..6u16,
        file_size_max in prop_oneof![0..3000u64, Just(u64::MAX)],
        index_memory_max in prop_oneof![0..500usize, Just(usize::MAX)],
        stream in any::<bool>(),
    ) {
        let keys: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(at, (len, kind))| (format!("m{at:02}#!~#f").into_bytes(), column(KINDS[*kind], *len)))
            .collect();
        prop_assume!(keys.iter().any(|(_, column)| !column.is_empty()));
        let disk = disk();
        let options =
            WriterOptions { block_points_max, key_blocks_max, file_size_max, index_memory_max, modified_ns: None };
        let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), options);
        for (key, column) in &keys {
            let flavor = if stream { Flavor::Stream } else { Flavor::Batch };
            writer.column(key, column, flavor).unwrap();
        }
        let names = writer.finish().unwrap();
        prop_assert!(names.is_sorted());
        let files = open(&disk, &names);
        prop_assert_eq!(disk.files().len(), files.len());
        let mut key_count = 0;
        for (key, column) in &keys {
            let counts = blocks(&files, key);
            prop_assert!(counts.iter().all(|count| *count <= usize::from(key_blocks_max.max(1))));
            if column.is_empty() {
                prop_assert_eq!(counts.iter().sum::<usize>(), 0);
            } else {
                prop_assert_eq!(&points(&files, key), column);
                key_count += 1;
            }
        }
        let found: BTreeSet<_> = files.iter().flat_map(|file| file.index().unwrap().keys()).map(|key| key.key).collect();
        prop_assert_eq!(found.len(), key_count);
    }
}
