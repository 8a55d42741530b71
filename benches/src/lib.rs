//! Data sets of the benches. The same in every run; what they hold stands in `docs/performance.md`.
//!
//! When the benches only have to show that they work (`cargo test --benches`), the generated sets are small.

pub mod digest;
pub mod download;
pub mod history;
pub mod load;
pub mod servers;
pub mod table;
pub mod usage;

use std::fs;
use std::path::PathBuf;

use icecore_testkit::{fixtures, tsm};
use icecore_tsm::{BlockType, Column, TimeRange};
use tempfile::TempDir;

/// The bucket of the fixture `fleet`.
pub const FLEET_BUCKET: &str = "1b87b4f3c6ec1165";
/// Values in the fixture `fleet`.
pub const FLEET_VALUES: u64 = 2_000_000;
/// The first file name behind those of the fixture `fleet`.
pub const THIRD: &str = "000000003-000000001";

/// Points of a key in [`deep_fleet`], and the time between two.
const DEEP_POINTS: usize = 100_000;
const STEP_NS: usize = 10_000_000_000;
const BLOCK_POINTS: usize = 1000;

/// Whether each bench is to run once only; criterion decides by the same arguments.
pub fn is_smoke() -> bool {
    let has = |wanted| std::env::args().any(|argument| argument == wanted);
    has("--test") || !has("--bench")
}

/// Where the files of the one shard of `fleet` lie in an unpacked directory.
pub fn fleet_shard(dir: &TempDir) -> PathBuf {
    dir.path().join("engine/data").join(FLEET_BUCKET).join("autogen/1")
}

/// A sorted key per host and field, ten fields a host.
pub fn keys(hosts: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..hosts).flat_map(|host| {
        (0..10).map(move |field| {
            let (rack, zone) = (host / 40, host % 3);
            format!("cpu,host=host-{host:05},rack=r{rack:03},zone=z{zone}#!~#usage_{field}").into_bytes()
        })
    })
}

/// A TSM file of many keys: 100,000, ten points of random floats each.
pub fn wide_file() -> Vec<u8> {
    let hosts = if is_smoke() { 100 } else { 10_000 };
    let times: Vec<i64> = (0..).step_by(STEP_NS).take(10).collect();
    tsm::file(keys(hosts).map(|key| (key, tsm::column(BlockType::Float, times.clone(), 1))), BLOCK_POINTS)
}

/// The directory of `fleet` with a third file of 300 keys in its shard: 100,000 random floats each, one every ten
/// seconds, in blocks of 1,000.
pub fn deep_fleet() -> TempDir {
    let dir = fixtures::unpack("fleet");
    let file = tsm::file(deep_keys().map(|(seed, key)| (key, deep_column(seed))), BLOCK_POINTS);
    fs::write(fleet_shard(&dir).join(format!("{THIRD}.tsm")), file)
        .expect("a temporary directory takes files");
    dir
}

/// [`deep_fleet`] with a delete of 1,000 points in each key of the third file: of its 100 blocks two lose a half.
pub fn deep_fleet_with_deletes() -> TempDir {
    let dir = deep_fleet();
    let range = TimeRange::new(deep_time(49_500), deep_time(50_499)).expect("ascending times");
    let deletes: Vec<_> = deep_keys().map(|(_, key)| (key, range)).collect();
    let tombstone = tsm::tombstone_v4(&[&deletes]);
    let path = fleet_shard(&dir).join(format!("{THIRD}.tombstone"));
    fs::write(path, tombstone).expect("a temporary directory takes files");
    dir
}

fn deep_keys() -> impl Iterator<Item = (u64, Vec<u8>)> {
    (0..).zip(keys(if is_smoke() { 1 } else { 30 }))
}

fn deep_column(seed: u64) -> Column {
    tsm::column(BlockType::Float, (0..DEEP_POINTS).map(deep_time).collect(), seed)
}

fn deep_time(point: usize) -> i64 {
    i64::try_from(point * STEP_NS).expect("a time in this century")
}
