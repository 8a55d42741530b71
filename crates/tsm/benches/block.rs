//! Blocks of 1,000 points in memory: values per second, decoded and encoded.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
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

/// Every ten seconds, give or take up to a second, in milliseconds.
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

/// What is measured: a name, and points whose other half (times or values) costs next to nothing.
fn columns() -> Vec<(&'static str, Column)> {
    let messages = noise(7).map(|bits| format!("{} on host-{}", word(bits), bits >> 40));
    let equal = || Values::Integer(vec![7; POINTS]);
    let on = |times: Vec<i64>, values| Column { times, values };
    vec![
        ("times/run", on(regular(), equal())),
        ("times/packed", on(irregular(), equal())),
        ("integers/run", on(regular(), Values::Integer((0..).step_by(3).take(POINTS).collect()))),
        ("integers/packed", on(regular(), Values::Integer(walk(2).take(POINTS).collect()))),
        (
            "integers/small",
            on(
                regular(),
                Values::Integer(noise(3).map(|bits| (bits % 4).cast_signed()).take(POINTS).collect()),
            ),
        ),
        (
            "integers/raw",
            on(regular(), Values::Integer(noise(4).map(u64::cast_signed).take(POINTS).collect())),
        ),
        ("floats/constant", on(regular(), Values::Float(vec![21.5; POINTS]))),
        ("floats/random", on(regular(), Values::Float(fractions(5).take(POINTS).collect()))),
        (
            "floats/walk",
            on(regular(), Values::Float(walk(6).map(|value| value as f64 / 100.0).take(POINTS).collect())),
        ),
        (
            "floats/steps",
            on(regular(), Values::Float(noise(8).map(|bits| (bits % 100) as f64).take(POINTS).collect())),
        ),
        (
            "booleans",
            on(regular(), Values::Boolean(noise(9).map(|bits| bits & 1 == 1).take(POINTS).collect())),
        ),
        ("strings/messages", on(regular(), Values::String(messages.take(POINTS).collect()))),
        (
            "strings/short",
            on(regular(), Values::String((0..).map(|index| word(index % 2)).take(POINTS).collect())),
        ),
    ]
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, column) in columns() {
        let mut bytes = Vec::new();
        block::encode(&column, 0..POINTS, Flavor::Batch, &mut bytes).expect("a block of these points");
        let mut out = Column::new(BlockType::Float);
        if name.starts_with("times") {
            let mut times = Vec::new();
            group.bench_function(name, |bencher| {
                bencher.iter(|| block::decode_times(black_box(&bytes), Offset::START, black_box(&mut times)));
            });
            continue;
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| block::decode(black_box(&bytes), Offset::START, black_box(&mut out)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, column) in columns() {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || Vec::with_capacity(1 << 17),
                |out| block::encode(black_box(&column), 0..POINTS, Flavor::Batch, out),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
