//! Writing to a shard: 5,000 points of one field each, as the bench of the original has them, and telegraf's shape of ten
//! fields; with the sync of the log and without.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore_disk::{Disk, RealDisk};
use icecore_testkit::disk::{Hooked, without_sync};
use icecore_tsm::{Batch, Shard, ShardDir, Value, Writing};

const POINTS: u32 = 5_000;
const TIME_NS: i64 = 1_700_000_000_000_000_000;

fn now() -> i64 {
    TIME_NS
}

/// One field, 5,000 series: what `BenchmarkEngine_WritePoints` of tsm1 writes.
fn single(batch: &mut Batch, round: i64) {
    for host in 0..POINTS {
        let key = format!("cpu,host={host}");
        let field = [(&b"value"[..], Value::Float(1.2))];
        batch.point(key.as_bytes(), 3, TIME_NS + round, field).expect("a point");
    }
}

/// Ten fields, 500 series.
fn telegraf(batch: &mut Batch, round: i64) {
    const FIELDS: [&str; 10] =
        ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
    for host in 0..POINTS / 10 {
        let key = format!("cpu,cpu=cpu{},host=server-{:03}.example.org", host % 8, host / 8);
        let fields = FIELDS.map(|name| (name.as_bytes(), Value::Float(f64::from(host) * 0.1)));
        batch.point(key.as_bytes(), 3, TIME_NS + round, fields).expect("a point");
    }
}

fn open(disk: &Arc<dyn Disk>, root: &Path) -> Shard {
    let dir = ShardDir { data: root.join("data"), wal: root.join("wal") };
    disk.create_dir(&dir.data).expect("a directory");
    disk.create_dir(&dir.wal).expect("a directory");
    Shard::open(disk, &dir, &Writing::new(now)).expect("a new shard")
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for (name, fill) in [("single", single as fn(&mut Batch, i64)), ("telegraf", telegraf)] {
        let synced: Arc<dyn Disk> = Arc::new(RealDisk);
        let unsynced: Arc<dyn Disk> = Arc::new(Hooked::new(RealDisk, without_sync));
        let mut batch = Batch::new();
        fill(&mut batch, 0);
        group.throughput(Throughput::Elements(batch.values()));
        group.bench_function(format!("{name}/batch"), |bencher| {
            bencher.iter(|| {
                batch.clear();
                fill(black_box(&mut batch), 0);
            });
        });
        for (kind, disk) in [("synced", synced), ("unsynced", unsynced)] {
            group.bench_function(format!("{name}/{kind}"), |bencher| {
                let dir = tempfile::tempdir().expect("a directory");
                let shard = open(&disk, dir.path());
                let mut size = 0;
                bencher.iter(|| {
                    size += 1;
                    if size % 64 == 0 {
                        shard.flush().expect("a flush");
                    }
                    shard.write(&mut batch).expect("a write")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
