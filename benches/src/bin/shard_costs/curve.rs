//! Time and memory by the number of series.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use icecore_benches::table::Table;
use icecore_benches::usage::anonymous;
use icecore_disk::Disk;
use icecore_tests::process::run;
use icecore_tsm::Batch;

use crate::points::{BATCH_POINTS, FIELDS, Series, open, real, seconds, unsynced};

const COUNTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A row for each number of series, made by a process of its own.
pub(crate) fn table(points: usize) -> Table {
    let mut table = Table::new([
        "series",
        "points of each",
        "batch, ns/value",
        "write, not synced, ns/value",
        "write, synced, ns/value",
        "memory, bytes/series",
        "memory, bytes/value",
        "flush, ns/value",
        "files, bytes/value",
        "open with the log, s",
        "open after the flush, ms",
    ]);
    for series in COUNTS {
        let own = std::env::current_exe().expect("the path of this program");
        let arguments = ["curve", "--series", &series.to_string(), "--points", &points.to_string()];
        let text = String::from_utf8(run(Command::new(own).args(arguments))).expect("numbers");
        table.push(text.split_whitespace().map(str::to_owned).collect());
    }
    table
}

/// Measures one number of series.
pub(crate) fn row(count: usize, points: usize) -> Vec<String> {
    let series = Series::new(count);
    let values = (points * FIELDS.len()) as f64;
    let not_synced = written(&unsynced(), &series, points).write;
    let Costs { batch, write, memory, flush, bytes, open_log, open_files } =
        written(&real(), &series, points);
    let ns = |seconds: f64| format!("{:.1}", seconds * 1e9 / values);
    vec![
        count.to_string(),
        (points / count).to_string(),
        ns(batch),
        ns(not_synced),
        ns(write),
        format!("{:.0}", memory / count as f64),
        format!("{:.1}", memory / values),
        ns(flush),
        format!("{:.2}", bytes / values),
        format!("{open_log:.2}"),
        format!("{:.1}", open_files * 1e3),
    ]
}

/// Seconds and bytes.
struct Costs {
    batch: f64,
    write: f64,
    memory: f64,
    flush: f64,
    bytes: f64,
    open_log: f64,
    open_files: f64,
}

fn written(disk: &Arc<dyn Disk>, series: &Series, points: usize) -> Costs {
    let dir = tempfile::tempdir().expect("a directory");
    let memory = || anonymous(std::process::id()).expect("a running process") as f64;
    let shard = open(disk, dir.path());
    let mut filled = Batch::new();
    series.fill(&mut filled, 0);
    let before = memory();
    let (mut batch, mut write) = (0.0, 0.0);
    for first in (0..points).step_by(BATCH_POINTS) {
        batch += seconds(|| series.fill(&mut filled, first)).0;
        let (taken, written) = seconds(|| shard.write(&mut filled).expect("a write"));
        assert_eq!(written.points, BATCH_POINTS);
        write += taken;
    }
    let memory = memory() - before;
    drop(shard);
    let (open_log, shard) = seconds(|| open(disk, dir.path()));
    let (flush, ()) = seconds(|| shard.flush().expect("a flush"));
    drop(shard);
    let (open_files, shard) = seconds(|| open(disk, dir.path()));
    drop(shard);
    let files = fs::read_dir(dir.path().join("data")).expect("a directory");
    let bytes: u64 = files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum();
    Costs { batch, write, memory, flush, bytes: bytes as f64, open_log, open_files }
}
