//! The archive of a shard, in bytes of the archive.
//!
//! Where nothing was deleted its chunks are slices of the mapped files: once they are checked, a sink that only drops
//! them measures what an archive costs beside the bytes. The sink that copies touches every byte once.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use icecore_backup::{Selection, ShardArchive};
use icecore_benches::{deep_fleet, deep_fleet_with_deletes};
use icecore_database::{Database, Mode, Options, Paths, ShardId};
use tempfile::TempDir;

fn open(dir: &TempDir) -> Database {
    Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).expect("a sound directory")
}

/// Gives every chunk to `sink`; returns the length of the archive.
fn send(database: &Database, mut sink: impl FnMut(&[u8])) -> u64 {
    let archive = ShardArchive::new(database, ShardId(1), &Selection::default()).expect("a sound shard");
    archive
        .map(|chunk| {
            let chunk = chunk.expect("a sound shard");
            sink(&chunk);
            chunk.len() as u64
        })
        .sum()
}

fn drops(chunk: &[u8]) {
    black_box(chunk.len());
}

fn archive(criterion: &mut Criterion) {
    let (plain, with_deletes) = (deep_fleet(), deep_fleet_with_deletes());
    let mut group = criterion.benchmark_group("archive");
    for (name, dir) in [("plain", &plain), ("with deletes", &with_deletes)] {
        let database = open(dir);
        group.throughput(Throughput::Bytes(send(&database, drops)));
        group.bench_function(format!("{name}, first send"), |bencher| {
            bencher.iter_batched_ref(|| open(dir), |database| send(database, drops), BatchSize::PerIteration);
        });
        group.bench_function(format!("{name}, checked, dropped"), |bencher| {
            bencher.iter(|| send(&database, drops));
        });
        let mut buffer = Vec::new();
        group.bench_function(format!("{name}, checked, copied"), |bencher| {
            bencher.iter(|| {
                send(&database, |chunk| {
                    buffer.clear();
                    buffer.extend_from_slice(black_box(chunk));
                    black_box(&buffer);
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4)).sample_size(10);
    targets = archive
}
criterion_main!(benches);
