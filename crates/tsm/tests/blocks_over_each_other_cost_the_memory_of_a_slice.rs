//! A few bytes can claim many points: blocks of one key that are runs, and lie over each other. They are read in slices of
//! time, each point once and in order, in memory that does not grow with their number.
#![allow(clippy::unwrap_used, clippy::panic_in_result_fn, reason = "helpers of tests fail as tests do")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a small file")]

#[path = "damage/counted.rs"]
mod counted;

use std::num::NonZeroUsize;

use icecore_disk::{Disk, RealDisk};
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{Shard, ShardDir, Trust, Values, block};

const KEY: &[u8] = b"m#!~#f";
const POINTS: usize = block::MAX_POINTS;

/// Times and values of the longest block: what everything is compared with.
const BLOCK_BYTES: usize = POINTS * 16;

fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value % 0x80) as u8 | 0x80);
        value /= 0x80;
    }
    out.push(value as u8);
}

/// Block `nth` of so many: a point at `nth`, another `blocks` later and so on; its values count up by two from its first.
fn block(nth: u64, blocks: u64) -> Vec<u8> {
    let mut times = vec![0x20];
    times.extend_from_slice(&nth.to_be_bytes());
    put_uvarint(blocks, &mut times);
    put_uvarint(POINTS as u64, &mut times);
    let mut block = vec![1, times.len() as u8];
    block.append(&mut times);
    block.push(0x20);
    block.extend_from_slice(&(first_value(nth) * 2).to_be_bytes());
    put_uvarint(4, &mut block);
    put_uvarint(POINTS as u64 - 1, &mut block);
    block
}

fn first_value(nth: u64) -> u64 {
    nth << 32
}

/// A file of one key whose blocks lie between each other.
fn file(blocks: u64) -> Vec<u8> {
    let mut file = vec![0x16, 0xd1, 0x16, 0xd1, 1];
    let mut index = (KEY.len() as u16).to_be_bytes().to_vec();
    index.extend_from_slice(KEY);
    index.push(1);
    index.extend_from_slice(&(blocks as u16).to_be_bytes());
    for nth in 0..blocks {
        let block = block(nth, blocks);
        for number in [nth, nth + blocks * (POINTS as u64 - 1), file.len() as u64] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        index.extend_from_slice(&(block.len() as u32 + 4).to_be_bytes());
        file.extend_from_slice(&crc32fast::hash(&block).to_be_bytes());
        file.extend_from_slice(&block);
    }
    let start = file.len() as u64;
    file.append(&mut index);
    file.extend_from_slice(&start.to_be_bytes());
    file
}

/// Reads the key of such a file, compares every point, and returns the most memory that was held.
fn memory_to_read(blocks: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    std::fs::create_dir(&paths.data).unwrap();
    let path = paths.data.join("000000001-000000001.tsm");
    std::fs::write(&path, file(blocks)).unwrap();

    let options = Options { threads: NonZeroUsize::MIN, ..Options::default() };
    let report = verify::file(&RealDisk.open(&path).unwrap(), &options);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.counts.values, blocks * POINTS as u64);

    let shard = Shard::open_read_only(&RealDisk, &paths, Trust::Manifest).unwrap();
    let snapshot = shard.snapshot().unwrap();
    let mut next = 0;
    let ((), memory) = counted::peak(|| {
        snapshot
            .read(KEY, |column| {
                let Values::Integer(values) = &column.values else { panic!("integers: {column:?}") };
                assert_eq!(column.times.len(), values.len());
                for (time, value) in column.times.iter().zip(values) {
                    assert_eq!(*time, next);
                    let (nth, at) = (next.cast_unsigned() % blocks, next.cast_unsigned() / blocks);
                    assert_eq!(value.cast_unsigned(), first_value(nth) + 2 * at);
                    next += 1;
                }
                Ok(())
            })
            .unwrap();
    });
    assert_eq!(next.cast_unsigned(), blocks * POINTS as u64, "every point once");
    memory
}

#[test]
fn memory_does_not_grow_with_the_number_of_blocks() {
    let few = memory_to_read(4);
    let many = memory_to_read(16);
    println!("{few} bytes for 4 blocks, {many} for 16");
    assert!(many <= 4 * BLOCK_BYTES, "{many} bytes, where all points are {}", 16 * BLOCK_BYTES);
}
