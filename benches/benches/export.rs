//! All values of a bucket as text, to nowhere.

use std::io;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::history::{self, Scale};
use icecore_benches::{FLEET_BUCKET, FLEET_VALUES, is_smoke};
use icecore_database::{Database, Format, Mode, Options, Paths};
use icecore_testkit::fixtures;

fn export(criterion: &mut Criterion) {
    let fleet = fixtures::unpack("fleet");
    bench(criterion, "export", fleet.path(), FLEET_VALUES);
    let history = history::make(if is_smoke() { Scale::SMALL } else { Scale::BENCH });
    bench(criterion, "export/history", history.dir.path(), history.values);
}

fn bench(criterion: &mut Criterion, name: &str, dir: &Path, expected: u64) {
    let database =
        Database::open(Paths::in_dir(dir), Options::new(Mode::ReadOnly)).expect("a sound directory");
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(expected));
    for (name, format) in [("line protocol", Format::LineProtocol), ("tsv", Format::Tsv)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let values = database.export(FLEET_BUCKET, format, &mut io::sink()).expect("a sound bucket");
                assert_eq!(values, expected);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6)).sample_size(10);
    targets = export
}
criterion_main!(benches);
