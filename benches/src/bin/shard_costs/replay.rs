//! Opening a shard that has a log.

use icecore_benches::table::{Table, spread};
use icecore_benches::usage::anonymous;
use icecore_tsm::Batch;
use icecore_tsm::internal::replay;

use crate::points::{BATCH_POINTS, FIELDS, Series, open, seconds, unsynced};

/// Writes a log of about so many bytes, and opens it some times.
pub(crate) fn table(bytes: u64, count: usize, rounds: usize) -> Table {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = unsynced();
    let shard = open(&disk, dir.path());
    let (series, mut batch, mut points) = (Series::new(count), Batch::new(), 0);
    while shard.cached_size() < bytes {
        series.fill(&mut batch, points);
        shard.write(&mut batch).expect("a write");
        points += BATCH_POINTS;
    }
    drop(shard);
    let log = replay(&*disk, &dir.path().join("wal"), |_, _| Ok(())).expect("a log");
    let mut taken = Vec::new();
    let mut memory = 0;
    for _ in 0..rounds {
        let (seconds, shard) = seconds(|| open(&disk, dir.path()));
        taken.push(seconds);
        memory = anonymous(std::process::id()).expect("a running process");
        drop(shard);
    }
    let mut table = Table::new(["log, MB", "segments", "values", "open, s", "MB/s", "anonymous memory, MB"]);
    let rates: Vec<f64> = taken.iter().map(|seconds| log.bytes as f64 / 1e6 / seconds).collect();
    table.push(vec![
        format!("{:.0}", log.bytes as f64 / 1e6),
        log.segments.len().to_string(),
        (points * FIELDS.len()).to_string(),
        spread(&taken, |seconds| format!("{seconds:.2}")),
        spread(&rates, |rate| format!("{rate:.0}")),
        format!("{:.0}", memory as f64 / 1e6),
    ]);
    table
}
