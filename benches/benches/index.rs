//! The index of a file with 100,000 keys: opening it, and finding a key.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::{THIRD, wide_file};
use icecore_disk::RealDisk;
use icecore_testkit::tsm::noise;
use icecore_tsm::{FileName, Index, TsmFile};

/// Keys sought in one iteration.
const SOUGHT: usize = 1000;

fn index(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file_name = format!("{THIRD}.tsm");
    let (path, name) = (dir.path().join(&file_name), FileName::parse(&file_name).expect("two numbers"));
    fs::write(&path, wide_file()).expect("a temporary directory takes files");
    let open = || TsmFile::open(&RealDisk, &path, name).expect("a file by the book");
    let walk = || open().index().map(|index| index.len()).expect("an index by the book");
    let file = open();
    let index = file.index().expect("an index by the book");

    let mut group = criterion.benchmark_group("index");
    group.bench_function("open", |bencher| bencher.iter(open));
    group.throughput(Throughput::Elements(index.len() as u64));
    group.bench_function("open and walk, by key", |bencher| bencher.iter(walk));
    let present = sought(&index);
    let absent: Vec<_> = present.iter().map(|key| [&key[..], b"x"].concat()).collect();
    group.throughput(Throughput::Elements(SOUGHT as u64));
    group.bench_function("find a key", |bencher| {
        bencher.iter(|| assert!(present.iter().all(|key| index.find(black_box(key)).is_some())));
    });
    group.bench_function("find no key", |bencher| {
        bencher.iter(|| assert!(absent.iter().all(|key| index.find(black_box(key)).is_none())));
    });
    group.finish();
}

/// Keys of the file in no order.
fn sought(index: &Index<'_>) -> Vec<Vec<u8>> {
    let count = index.len() as u64;
    let ordinals = noise(1).filter_map(|bits| u32::try_from(bits % count).ok());
    ordinals.filter_map(|ordinal| Some(index.key(ordinal)?.key.to_vec())).take(SOUGHT).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).sample_size(20);
    targets = index
}
criterion_main!(benches);
