//! What writing to a shard costs, without HTTP and line protocol.
//!
//! ```sh
//! cargo run --release -p icecore-benches --bin shard_costs -- curve
//! cargo run --release -p icecore-benches --bin shard_costs -- replay
//! INFLUXDB_SRC=/path/to/influxdb cargo run --release -p icecore-benches --bin shard_costs -- beside-go
//! ```
//!
//! `curve`: ten million values of ten fields a point, of 10³ to 10⁶ series, in batches of 5,000 points. Each row is a process of its own,
//! so that its memory is that of its series. `replay`: a log of 1 GB is opened. `beside-go`: batches of 5,000 points beside
//! `BenchmarkEngine_WritePoints` of tsdb/engine/tsm1 in a checkout of influxdb v2.9.1, both on a disk and on a file system in memory,
//! where a sync costs nothing.

mod beside_go;
mod curve;
mod points;
mod replay;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measure what writing to a shard costs
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time and memory by the number of series
    Curve {
        /// Measure this number of series alone, in this process
        #[arg(long)]
        series: Option<usize>,
        /// Points of all series together, ten values each
        #[arg(long, default_value_t = 1_000_000)]
        points: usize,
    },
    /// Opening a shard that has a log
    Replay {
        /// Size of the log
        #[arg(long, default_value_t = 1_000_000_000)]
        bytes: u64,
        /// Series
        #[arg(long, default_value_t = 4_000)]
        series: usize,
        /// How often it is opened
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Batches of 5,000 points of one field beside the Go engine
    BesideGo {
        /// A checkout of influxdb v2.9.1
        #[arg(long, env = "INFLUXDB_SRC", value_name = "DIR")]
        source: PathBuf,
        /// A directory on a disk
        #[arg(long, value_name = "DIR", default_value = "target")]
        disk: PathBuf,
        /// A directory on a file system in memory
        #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
        memory: PathBuf,
        /// Batches of each run
        #[arg(long, default_value_t = 200)]
        batches: usize,
        /// How often each takes part
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

fn main() {
    match Arguments::parse().command {
        Command::Curve { series: Some(series), points } => {
            println!("{}", curve::row(series, points).join(" "))
        }
        Command::Curve { series: None, points } => print!("{}", curve::table(points)),
        Command::Replay { bytes, series, rounds } => print!("{}", replay::table(bytes, series, rounds)),
        Command::BesideGo { source, disk, memory, batches, rounds } => {
            print!("{}", beside_go::table(&source, [&disk, &memory], batches, rounds));
        }
    }
}
