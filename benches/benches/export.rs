//! All values of the fixture `fleet` as text, to nowhere.

use std::io;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::{FLEET_BUCKET, FLEET_VALUES};
use icecore_database::{Database, Format, Mode, Options, Paths};
use icecore_testkit::fixtures;

fn export(criterion: &mut Criterion) {
    let dir = fixtures::unpack("fleet");
    let database =
        Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).expect("a sound directory");
    let mut group = criterion.benchmark_group("export");
    group.throughput(Throughput::Elements(FLEET_VALUES));
    for (name, format) in [("line protocol", Format::LineProtocol), ("tsv", Format::Tsv)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let values = database.export(FLEET_BUCKET, format, &mut io::sink()).expect("a sound bucket");
                assert_eq!(values, FLEET_VALUES);
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
