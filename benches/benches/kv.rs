//! The hot copy of a Bolt file: it is checked, then handed out in slices of the map, which the sink drops.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::is_smoke;
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::{Builder, Store};
use icecore_testkit::fixtures;

/// Pairs of the generated store, 500 bytes each.
const PAIRS: u32 = 100_000;
const PAGE_SIZE: u32 = 4096;

fn generate(path: &Path) -> icecore_kvstore::Result<Store> {
    let mut builder = Builder::new(PAGE_SIZE)?;
    builder.open_bucket(b"pairs")?;
    for number in 0..if is_smoke() { 1000 } else { PAIRS } {
        builder.put(&number.to_be_bytes(), &[b'v'; 500])?;
    }
    builder.close_bucket()?;
    Store::create(Arc::new(RealDisk), path, builder)
}

fn copy(store: &Store) -> u64 {
    let copy = store.view().copy().expect("a sound file");
    copy.map(|chunk| chunk.expect("nobody writes").len() as u64).sum()
}

fn kv(criterion: &mut Criterion) {
    let (layers, dir) = (fixtures::unpack("layers"), tempfile::tempdir().expect("a temporary directory"));
    let layers = Store::open(Arc::new(RealDisk), &layers.path().join("influxd.bolt"), LockMode::Shared);
    let generated = generate(&dir.path().join("generated.bolt"));
    let mut group = criterion.benchmark_group("kv");
    for (name, store) in [("copy of layers", layers), ("copy of 100,000 pairs", generated)] {
        let store = store.expect("a sound file");
        group.throughput(Throughput::Bytes(copy(&store)));
        group.bench_function(name, |bencher| bencher.iter(|| copy(&store)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).sample_size(20);
    targets = kv
}
criterion_main!(benches);
