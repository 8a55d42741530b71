//! From a shard's directory to a snapshot, and all values out of it.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::{FLEET_BUCKET, FLEET_VALUES};
use icecore_disk::RealDisk;
use icecore_testkit::fixtures;
use icecore_tsm::{Shard, ShardDir, Snapshot, Trust};
use tempfile::TempDir;

fn shard_dir(dir: &TempDir, bucket: &str) -> ShardDir {
    let part = |name: &str| dir.path().join("engine").join(name).join(bucket).join("autogen/1");
    ShardDir { data: part("data"), wal: part("wal") }
}

fn open(dir: &ShardDir) -> Shard {
    Shard::open_read_only(&RealDisk, dir, Trust::Manifest).expect("a shard of a real influxd")
}

/// Reads every value; returns how many there are.
fn scan(snapshot: &Snapshot) -> u64 {
    let mut count = 0;
    snapshot
        .keys(|key, _| {
            snapshot.read(key, |column| {
                count += column.len() as u64;
                Ok(())
            })
        })
        .expect("a sound shard");
    count
}

fn snapshot(criterion: &mut Criterion) {
    let (fleet, layers) = (fixtures::unpack("fleet"), fixtures::unpack("layers"));
    let fleet = shard_dir(&fleet, FLEET_BUCKET);
    let layers = shard_dir(&layers, "a5de34553b154f33");
    let shard = open(&fleet);

    let mut group = criterion.benchmark_group("snapshot");
    group.throughput(Throughput::Elements(1));
    group.bench_function("open fleet", |bencher| bencher.iter(|| open(&fleet)));
    group.bench_function("open layers, with log and deletes", |bencher| bencher.iter(|| open(&layers)));
    group.bench_function("snapshot", |bencher| bencher.iter(|| shard.snapshot().expect("a sound shard")));
    group.throughput(Throughput::Elements(FLEET_VALUES));
    let snapshot = shard.snapshot().expect("a sound shard");
    assert_eq!(scan(&snapshot), FLEET_VALUES);
    group.bench_function("read fleet, by value", |bencher| bencher.iter(|| scan(&snapshot)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).sample_size(20);
    targets = snapshot
}
criterion_main!(benches);
