//! Our key-value store, redb and SQLite at the same work on the same pairs; bbolt is at it in `peers/bbolt/kv_test.go`.
//! Change both or none.
//!
//! Files lie in TMPDIR. A commit is durable in all: ours as bbolt's (data synced, then the meta page), redb by its default,
//! SQLite in WAL mode with `synchronous=FULL`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::is_smoke;
use icecore_disk::RealDisk;
use icecore_kvstore::{Builder, Error, Store};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use rusqlite::Connection;

const PAIRS: u32 = 200_000;
const VALUE_LEN: usize = 100;
/// Pairs of one transaction of the benches that write.
const BATCH: u32 = 100;
/// Reads of one round.
const READS: u32 = 1000;

const BUCKET: &[u8] = b"b";
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("b");

fn pairs() -> u32 {
    if is_smoke() { 2000 } else { PAIRS }
}

/// The numbers below 2^32 in an order without a pattern, each once.
const fn scattered(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761)
}

fn key(n: u32) -> [u8; 8] {
    u64::from(n).to_be_bytes()
}

fn value(n: u32) -> Vec<u8> {
    let first = n.to_le_bytes()[0];
    (0..VALUE_LEN).map(|at| first.wrapping_add(at.to_le_bytes()[0])).collect()
}

/// What a scan does with a pair when it reads the value too: its first and last eight bytes.
fn sum(value: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word(value.first_chunk()).wrapping_add(word(value.last_chunk()))
}

/// A store of any kind, empty or with pairs.
trait Peer: Sized {
    const NAME: &'static str;
    fn create(dir: &Path) -> Self;
    /// One durable transaction.
    fn put(&self, keys: impl Iterator<Item = u32>);
    /// Asks for these keys in one transaction; returns the lengths of their values.
    fn get(&self, keys: &[[u8; 8]]) -> usize;
    /// Passes all pairs; returns the lengths of keys and values.
    fn scan(&self) -> usize;
    /// The same, and reads values.
    fn scan_summed(&self) -> u64;
    /// Copies the current state into a new file; false when it cannot.
    fn copy(&self, to: &Path) -> bool;

    fn filled(dir: &Path) -> Self {
        let peer = Self::create(dir);
        (0..pairs()).step_by(10_000).for_each(|first| peer.put(first..pairs().min(first + 10_000)));
        peer
    }
}

impl Peer for Store {
    const NAME: &'static str = "ours";

    fn create(dir: &Path) -> Self {
        let builder = Builder::new(4096).expect("a page size");
        Self::create(Arc::new(RealDisk), &dir.join("bench.bolt"), builder).expect("a new file")
    }

    fn put(&self, mut keys: impl Iterator<Item = u32>) {
        let written = self.write(|tx| {
            let mut bucket = tx.bucket_or_create(BUCKET)?;
            keys.try_for_each(|n| bucket.put(&key(n), &value(n)))
        });
        written.expect("written");
    }

    fn get(&self, keys: &[[u8; 8]]) -> usize {
        let view = self.view();
        let bucket = view.bucket(BUCKET).expect("sound").expect("a bucket");
        keys.iter().map(|key| bucket.get(key).expect("sound").expect("a pair").len()).sum()
    }

    fn scan(&self) -> usize {
        let view = self.view();
        let bucket = view.bucket(BUCKET).expect("sound").expect("a bucket");
        let lens = bucket.iter().expect("sound").map(|pair| pair.map(|(key, value)| key.len() + value.len()));
        lens.sum::<Result<usize, Error>>().expect("sound")
    }

    fn scan_summed(&self) -> u64 {
        let view = self.view();
        let bucket = view.bucket(BUCKET).expect("sound").expect("a bucket");
        bucket.iter().expect("sound").fold(0, |all, pair| all.wrapping_add(sum(pair.expect("sound").1)))
    }

    fn copy(&self, to: &Path) -> bool {
        let mut file = File::create(to).expect("a new file");
        for chunk in self.view().copy().expect("sound") {
            file.write_all(&chunk.expect("nobody else writes")).expect("written");
        }
        true
    }
}

impl Peer for Database {
    const NAME: &'static str = "redb";

    fn create(dir: &Path) -> Self {
        Self::create(dir.join("bench.redb")).expect("a new file")
    }

    fn put(&self, keys: impl Iterator<Item = u32>) {
        let tx = self.begin_write().expect("a transaction");
        {
            let mut table = tx.open_table(TABLE).expect("a table");
            for n in keys {
                table.insert(&key(n)[..], &value(n)[..]).expect("written");
            }
        }
        tx.commit().expect("committed");
    }

    fn get(&self, keys: &[[u8; 8]]) -> usize {
        let tx = self.begin_read().expect("a transaction");
        let table = tx.open_table(TABLE).expect("a table");
        keys.iter().map(|key| table.get(&key[..]).expect("sound").expect("a pair").value().len()).sum()
    }

    fn scan(&self) -> usize {
        let tx = self.begin_read().expect("a transaction");
        let table = tx.open_table(TABLE).expect("a table");
        let pairs = table.iter().expect("sound").map(|pair| pair.expect("sound"));
        pairs.map(|(key, value)| key.value().len() + value.value().len()).sum()
    }

    fn scan_summed(&self) -> u64 {
        let tx = self.begin_read().expect("a transaction");
        let table = tx.open_table(TABLE).expect("a table");
        let pairs = table.iter().expect("sound").map(|pair| pair.expect("sound"));
        pairs.fold(0, |all, (_, value)| all.wrapping_add(sum(value.value())))
    }

    fn copy(&self, _: &Path) -> bool {
        false
    }
}

impl Peer for Connection {
    const NAME: &'static str = "SQLite";

    fn create(dir: &Path) -> Self {
        let db = Self::open(dir.join("bench.sqlite")).expect("a new file");
        db.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=268435456;
             CREATE TABLE b (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;",
        )
        .expect("a table");
        db
    }

    fn put(&self, keys: impl Iterator<Item = u32>) {
        let tx = self.unchecked_transaction().expect("a transaction");
        {
            let mut put = tx.prepare_cached("INSERT OR REPLACE INTO b VALUES (?, ?)").expect("a statement");
            for n in keys {
                put.execute((key(n), value(n))).expect("written");
            }
        }
        tx.commit().expect("committed");
    }

    fn get(&self, keys: &[[u8; 8]]) -> usize {
        let mut get = self.prepare_cached("SELECT value FROM b WHERE key = ?").expect("a statement");
        let mut len = |key: &[u8; 8]| {
            let len = get.query_row([key], |row| Ok(row.get_ref(0)?.as_blob()?.len()));
            len.expect("a pair")
        };
        keys.iter().map(&mut len).sum()
    }

    fn scan(&self) -> usize {
        let mut all = self.prepare_cached("SELECT key, value FROM b").expect("a statement");
        let mut rows = all.query(()).expect("sound");
        let mut sum = 0;
        while let Some(row) = rows.next().expect("sound") {
            let len = |column| row.get_ref(column).expect("a column").as_blob().expect("bytes").len();
            sum += len(0) + len(1);
        }
        sum
    }

    fn scan_summed(&self) -> u64 {
        let mut all = self.prepare_cached("SELECT key, value FROM b").expect("a statement");
        let mut rows = all.query(()).expect("sound");
        let mut all = 0_u64;
        while let Some(row) = rows.next().expect("sound") {
            all = all.wrapping_add(sum(row.get_ref(1).expect("a column").as_blob().expect("bytes")));
        }
        all
    }

    fn copy(&self, to: &Path) -> bool {
        drop(std::fs::remove_file(to));
        self.backup("main", to, None::<fn(rusqlite::backup::Progress)>).expect("copied");
        true
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn reading<P: Peer>(criterion: &mut Criterion) {
    let dir = temporary();
    let peer = P::filled(dir.path());
    let keys: Vec<_> = (0..READS).map(|n| key(scattered(n) % pairs())).collect();
    let all = usize::try_from(pairs()).expect("fits") * (8 + VALUE_LEN);
    let mut group = criterion.benchmark_group("kv_peers");
    group.throughput(Throughput::Elements(READS.into()));
    bench::<P>(&mut group, "get", || assert_eq!(peer.get(&keys), keys.len() * VALUE_LEN));
    group.throughput(Throughput::Elements(pairs().into()));
    bench::<P>(&mut group, "scan", || assert_eq!(peer.scan(), all));
    bench::<P>(&mut group, "scan, values read", || assert!(peer.scan_summed() > 0));
    let to = dir.path().join("copy");
    if peer.copy(&to) {
        let len = std::fs::metadata(&to).expect("a copy").len();
        group.throughput(Throughput::Bytes(len));
        bench::<P>(&mut group, "copy to a file", || assert!(peer.copy(&to)));
    }
    group.finish();
}

fn writing<P: Peer>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kv_peers");
    group.throughput(Throughput::Elements(BATCH.into()));
    let (dir, mut next) = (temporary(), 0);
    let peer = P::create(dir.path());
    bench::<P>(&mut group, "write 100 ascending", || {
        peer.put(next..next + BATCH);
        next += BATCH;
    });
    drop(peer);
    let (dir, mut next) = (temporary(), 0);
    let peer = P::filled(dir.path());
    bench::<P>(&mut group, "write 100 scattered", || {
        peer.put((next..next + BATCH).map(|n| scattered(n) % pairs()));
        next += BATCH;
    });
    group.finish();
}

fn bench<P: Peer>(group: &mut BenchmarkGroup<'_, WallTime>, work: &str, mut round: impl FnMut()) {
    group.bench_function(format!("{work}/{}", P::NAME), |bencher| bencher.iter(&mut round));
}

fn peers(criterion: &mut Criterion) {
    reading::<Store>(criterion);
    reading::<Database>(criterion);
    reading::<Connection>(criterion);
    writing::<Store>(criterion);
    writing::<Database>(criterion);
    writing::<Connection>(criterion);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    targets = peers
}
criterion_main!(benches);
