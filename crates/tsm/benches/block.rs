//! Blocks of 1,000 points in memory: values per second, decoded, validated and encoded.
//!
//! `benches/peers/tsm1_codecs_test.go` has the same points, made by the same arithmetic, for influxd's batch codecs:
//! change both or none. Each block's checksum stands here and there, so that either side refuses to measure other bytes
//! than the other. Both decode whole blocks into buffers that are used again, and encode into one.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{BlockType, Column, Offset, Values};

const POINTS: usize = 1000;

/// Numbers without a pattern, the same in every run (splitmix64).
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |index| {
        let mut bits = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    })
}

/// Between 0 and 1.
fn fractions(seed: u64) -> impl Iterator<Item = f64> {
    noise(seed).map(|bits| (bits >> 11) as f64 / (1u64 << 53) as f64)
}

fn regular() -> Vec<i64> {
    (0..).step_by(10_000_000_000).take(POINTS).collect()
}

/// Every ten seconds and up to a second later, in milliseconds.
fn irregular() -> Vec<i64> {
    let jitter = noise(1).map(|bits| (bits % 1000).cast_signed() * 1_000_000);
    regular().into_iter().zip(jitter).map(|(time, jitter)| time + jitter).collect()
}

fn walk(seed: u64) -> impl Iterator<Item = i64> {
    noise(seed).scan(1_000_000, |value, bits| {
        *value += (bits % 2001).cast_signed() - 1000;
        Some(*value)
    })
}

#[expect(clippy::indexing_slicing, reason = "the index is below the length")]
fn word(index: u64) -> &'static str {
    ["ok", "degraded", "connection reset by peer", "timeout while waiting for the disk"][(index % 4) as usize]
}

fn integers(values: impl Iterator<Item = i64>) -> Values {
    Values::Integer(values.take(POINTS).collect())
}

fn floats(values: impl Iterator<Item = f64>) -> Values {
    Values::Float(values.take(POINTS).collect())
}

/// What is measured: a name, the CRC-32 of its block, and points whose other half (times or values) is a run.
fn columns() -> Vec<(&'static str, u32, Column)> {
    let small = noise(3).map(|bits| (bits % 4).cast_signed());
    let steps = noise(8).map(|bits| (bits % 100) as f64);
    let booleans = noise(9).map(|bits| bits & 1 == 1).take(POINTS);
    let messages = noise(7).map(|bits| format!("{} on host-{}", word(bits), bits >> 40)).take(POINTS);
    let words = (0..).map(|index| word(index % 2)).take(POINTS);
    let lists = [
        ("times/run", 0xe56d_302c, integers(std::iter::repeat(7))),
        ("times/packed", 0xf872_81a4, integers(std::iter::repeat(7))),
        ("integers/run", 0x013f_3bad, integers((0..).step_by(3))),
        ("integers/packed", 0x17c9_006d, integers(walk(2))),
        ("integers/small", 0x88b7_ed0a, integers(small)),
        ("integers/raw", 0x8d76_dcd4, integers(noise(4).map(u64::cast_signed))),
        ("floats/constant", 0x1760_1b15, floats(std::iter::repeat(21.5))),
        ("floats/random", 0x9aaf_a17a, floats(fractions(5))),
        ("floats/walk", 0x740f_af05, floats(walk(6).map(|value| value as f64 / 100.0))),
        ("floats/steps", 0xa962_90c0, floats(steps)),
        ("booleans", 0xd916_72de, Values::Boolean(booleans.collect())),
        ("strings/messages", 0x0847_ad15, Values::String(messages.collect())),
        ("strings/short", 0xace6_8670, Values::String(words.collect())),
    ];
    let times = |name| if name == "times/packed" { irregular() } else { regular() };
    lists.map(|(name, sum, values)| (name, sum, Column { times: times(name), values })).into()
}

/// The block of a column, if it is the one that the other side measures.
fn encoded(name: &str, sum: u32, column: &Column) -> Vec<u8> {
    let mut bytes = Vec::new();
    block::encode(column, 0..POINTS, Flavor::Batch, &mut bytes).expect("a block of these points");
    assert_eq!(crc32fast::hash(&bytes), sum, "{name}: not the points of tsm1_codecs_test.go");
    bytes
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, sum, column) in columns() {
        let bytes = encoded(name, sum, &column);
        let mut out = Column::new(BlockType::Float);
        group.bench_function(name, |bencher| {
            bencher.iter(|| block::decode(black_box(&bytes), Offset::START, black_box(&mut out)));
        });
    }
    group.finish();
}

fn validate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, sum, column) in columns() {
        let bytes = encoded(name, sum, &column);
        let mut plain = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| block::validate(black_box(&bytes), Offset::START, black_box(&mut plain)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, sum, column) in columns() {
        let mut out = encoded(name, sum, &column);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                block::encode(black_box(&column), 0..POINTS, Flavor::Batch, black_box(&mut out))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, validate, encode);
criterion_main!(benches);
