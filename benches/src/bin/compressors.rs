//! What compressing a backup costs: gzip and zstd as they are sent, on one thread and on all, beside zlib-rs on the same pieces.
//!
//! ```sh
//! cargo run --release -p icecore-benches --bin compressors
//! ```
//!
//! The bytes are the TSM files of the fixture `fleet`, in memory, several times over. Seconds are those of the cores that this
//! process had, which other work on the machine changes less than the time that went by; that is told beside them.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use icecore_backup::encode::{Coding, Crew, Encoded, Failed, Level};
use icecore_benches::table::{Table, median};
use icecore_benches::{fleet_shard, usage};
use icecore_testkit::fixtures;

/// The piece of gzip.
const PIECE_LEN: usize = 256 << 10;
const CHUNK_LEN: usize = 1 << 20;
const COPIES: usize = 4;
const ROUNDS: usize = 5;

/// One run over all bytes.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    packed: usize,
}

fn main() {
    let dir = fixtures::unpack("fleet");
    let names = ["000000001-000000001.tsm", "000000002-000000001.tsm"];
    let files = names.map(|name| fs::read(fleet_shard(&dir).join(name)).expect("a file of the fixture"));
    let bytes = Bytes::from(files.concat().repeat(COPIES));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{:.1} MB; median of {ROUNDS} rounds\n", bytes.len() as f64 / 1e6);
    let mut table =
        Table::new(["compressor", "threads", "MB/s", "MB in a second of a core", "sent of the size"]);
    let mut row = |name: &str, threads: usize, run: &dyn Fn() -> usize| {
        let runs: Vec<Run> = (0..ROUNDS).map(|_| measured(run)).collect();
        let rate = |of: fn(&Run) -> f64| bytes.len() as f64 / 1e6 / median(runs.iter().map(of));
        table.push(vec![
            name.to_owned(),
            threads.to_string(),
            format!("{:.0}", rate(|run| run.seconds)),
            format!("{:.1}", rate(|run| run.cpu_seconds)),
            format!("{:.4}", median(runs.iter().map(|run| run.packed as f64)) / bytes.len() as f64),
        ]);
    };
    for (name, coding) in [
        ("gzip, default", Coding::Gzip(Level::Default)),
        ("gzip, full", Coding::Gzip(Level::Full)),
        ("gzip, speedy", Coding::Gzip(Level::Speedy)),
        ("zstd, default", Coding::Zstd(Level::Default)),
        ("zstd, full", Coding::Zstd(Level::Full)),
        ("zstd, speedy", Coding::Zstd(Level::Speedy)),
    ] {
        for threads in [1, cores] {
            row(name, threads, &|| encoded(&bytes, coding, threads));
        }
    }
    for level in [1, 2, 4, 5, 6] {
        row(&format!("zlib-rs, level {level}"), 1, &|| zlib(&bytes, level));
    }
    print!("{table}");
}

fn measured(run: &dyn Fn() -> usize) -> Run {
    let cpu = || usage::cpu_seconds(std::process::id()).expect("this process runs");
    let (cpu_before, started) = (cpu(), Instant::now());
    let packed = run();
    Run { seconds: started.elapsed().as_secs_f64(), cpu_seconds: cpu() - cpu_before, packed }
}

/// What a body is as it is sent; its length.
fn encoded(bytes: &Bytes, coding: Coding, threads: usize) -> usize {
    let starts = (0..bytes.len()).step_by(CHUNK_LEN);
    let chunks = starts.map(|start| Ok(bytes.slice(start..bytes.len().min(start + CHUNK_LEN))));
    let body = Encoded::new(chunks, coding, Arc::new(Crew::new(threads)));
    body.map(|chunk: Result<Bytes, Failed>| chunk.expect("memory does not fail").len()).sum()
}

/// Pieces that end with a byte, as zlib has them: with a sync flush.
fn zlib(bytes: &Bytes, level: u32) -> usize {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(2 * PIECE_LEN);
    let mut piece = |piece: &[u8]| {
        compress.reset();
        out.clear();
        compress.compress_vec(piece, &mut out, FlushCompress::Sync).expect("memory does not fail");
        out.len()
    };
    bytes.chunks(PIECE_LEN).map(&mut piece).sum()
}
