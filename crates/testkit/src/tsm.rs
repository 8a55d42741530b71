//! TSM files and tombstones made by the book (`docs/formats/tsm.md`, `tombstone.md`), without the engine's writer:
//! data sets for tests and benches. Only the bytes inside a block are the engine's.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{BlockType, Column, TimeRange};

/// A whole TSM file with these keys, which must ascend, in blocks of at most `block_points` points.
///
/// # Panics
/// When a key or a column does not fit the format.
pub fn file<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = (K, Column)>, block_points: usize) -> Vec<u8> {
    let mut file = vec![0x16, 0xd1, 0x16, 0xd1, 1];
    let mut index = Vec::new();
    for (key, column) in keys {
        put_key(key.as_ref(), &column, block_points, &mut file, &mut index);
    }
    let index_start = file.len() as u64;
    file.append(&mut index);
    file.extend_from_slice(&index_start.to_be_bytes());
    file
}

/// Appends the blocks of a key to `file` and its entries to `index`.
fn put_key(key: &[u8], column: &Column, block_points: usize, file: &mut Vec<u8>, index: &mut Vec<u8>) {
    let blocks = column.len().div_ceil(block_points);
    index.extend_from_slice(&u16::try_from(key.len()).expect("a key of at most 65,535 bytes").to_be_bytes());
    index.extend_from_slice(key);
    index.push(column.kind().code());
    index.extend_from_slice(&u16::try_from(blocks).expect("at most 65,535 blocks").to_be_bytes());
    let mut bytes = Vec::new();
    for (nth, times) in column.times.chunks(block_points).enumerate() {
        let start = nth * block_points;
        bytes.clear();
        block::encode(column, start..start + times.len(), Flavor::Batch, &mut bytes).expect("a block");
        let offset = file.len() as u64;
        file.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        file.extend_from_slice(&bytes);
        let size = u32::try_from(bytes.len() + 4).expect("a block below 4 GiB");
        for time in [times.first(), times.last()] {
            index.extend_from_slice(&time.expect("chunks are not empty").to_be_bytes());
        }
        index.extend_from_slice(&offset.to_be_bytes());
        index.extend_from_slice(&size.to_be_bytes());
    }
}

/// The records of a tombstone of version 2, without the magic in front.
fn records<K: AsRef<[u8]>>(deletes: &[(K, TimeRange)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, range) in deletes {
        let len = u32::try_from(key.as_ref().len()).expect("a key of at most 65,535 bytes");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(key.as_ref());
        out.extend_from_slice(&range.min().to_be_bytes());
        out.extend_from_slice(&range.max().to_be_bytes());
    }
    out
}

/// A tombstone of version 2.
pub fn tombstone_v2<K: AsRef<[u8]>>(deletes: &[(K, TimeRange)]) -> Vec<u8> {
    [&[0, 0, 0x15, 2][..], &records(deletes)].concat()
}

/// A tombstone of version 4, as influxd 2.x writes it: one gzip member for each of `commits`.
///
/// # Panics
/// Never: the gzip is written to memory.
pub fn tombstone_v4<K: AsRef<[u8]>>(commits: &[&[(K, TimeRange)]]) -> Vec<u8> {
    let mut file = vec![0, 0, 0x15, 4];
    for commit in commits {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&records(commit)).expect("memory takes all");
        file.append(&mut gzip.finish().expect("memory takes all"));
    }
    file
}

/// Numbers without a pattern, the same in every run (splitmix64).
pub fn noise(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |index| {
        let mut bits = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    })
}

/// A column of `times` with values that follow from `seed`: floats between 0 and 1, small integers, short texts.
pub fn column(kind: BlockType, times: Vec<i64>, seed: u64) -> Column {
    use icecore_tsm::Values;
    let noise = noise(seed).take(times.len());
    let small = |bits: u64| bits % 1000;
    let values = match kind {
        BlockType::Float => {
            Values::Float(noise.map(|bits| (bits >> 11) as f64 / (1u64 << 53) as f64).collect())
        }
        BlockType::Integer => Values::Integer(noise.map(|bits| small(bits).cast_signed() - 500).collect()),
        BlockType::Unsigned => Values::Unsigned(noise.map(small).collect()),
        BlockType::Boolean => Values::Boolean(noise.map(|bits| bits & 1 == 1).collect()),
        BlockType::String => Values::String(noise.map(|bits| format!("layer {}", small(bits))).collect()),
    };
    Column { times, values }
}
