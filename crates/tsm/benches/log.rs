//! Durable appends to a log on the real disk: how many a second, by size, by writers at once, and by whether space is set
//! aside. The directory is `target/tmp`, so the disk is the one that holds the repository.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icecore_disk::RealDisk;
use icecore_tsm::Ticket;
use icecore_tsm::internal::{Log, LogOptions, Replayed, replay};

/// At most so many bytes lie in the log, before it is emptied: as a flush would.
const BYTES_MAX: u64 = 256 << 20;

/// How long `appends` take, in so many threads.
fn append(log: &Log, body: &[u8], appends: u64, threads: u64) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for nth in 0..threads {
            scope.spawn(move || {
                let mine = appends / threads + u64::from(nth < appends % threads);
                (0..mine)
                    .for_each(|ticket| log.append(Ticket::new(ticket), &[body]).expect("a disk with room"));
            });
        }
    });
    let took = start.elapsed();
    if log.stats().bytes > BYTES_MAX {
        log.release(Ticket::new(u64::MAX)).expect("a disk that works");
    }
    took
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    for (name, len) in [("4 KiB", 4 << 10), ("500 KiB", 500 << 10)] {
        let body: Vec<u8> = (0..len).map(|n: u32| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[0]).collect();
        group.throughput(Throughput::Bytes(body.len() as u64));
        for threads in [1, 4] {
            for (reserve, how) in [(true, "reserved"), (false, "growing")] {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
                let options = LogOptions { reserve, ..LogOptions::default() };
                let next = Replayed { next_record: 1, next_segment: 1, ..Replayed::default() };
                let log = Log::open(Arc::new(RealDisk), dir.path(), next, options).expect("an empty log");
                let id = BenchmarkId::new(format!("{name}, {threads} at once"), how);
                group.bench_function(id, |b| b.iter_custom(|iters| append(&log, &body, iters, threads)));
                let stats = log.stats();
                println!(
                    "{name}, {threads} at once, {how}: {} records in {} syncs",
                    stats.records, stats.syncs
                );
            }
        }
    }
    group.finish();
}

/// Reading a log of 256 MiB, bodies checked and dropped.
fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let next = Replayed { next_record: 1, next_segment: 1, ..Replayed::default() };
    let log = Log::open(Arc::new(RealDisk), dir.path(), next, LogOptions::default()).expect("an empty log");
    let body = vec![7; 500 << 10];
    append(&log, &body, BYTES_MAX / body.len() as u64, 1);
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Bytes(log.stats().bytes));
    group.bench_function("replay", |b| b.iter(|| read(dir.path())));
    group.finish();
}

fn read(dir: &Path) -> Replayed {
    replay(&RealDisk, dir, |_, _| Ok(())).expect("an intact log")
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
