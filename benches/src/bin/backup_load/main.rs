//! `icecore serve` under load: eight clients at once, a thousand slow ones, and writers at full speed while backups loop.
//!
//! ```sh
//! cargo run --release -p icecore-benches --bin backup_load -- eight
//! cargo run --release -p icecore-benches --bin backup_load -- slow --coding identity
//! cargo run --release -p icecore-benches --bin backup_load -- writers
//! ```
//!
//! The directory is that of `backup_peers` (`icecore_benches::history`), all in the page cache. Clients, writers and server share the
//! machine. What was written is exported after the server was stopped, and every value is compared with what was acknowledged.

mod coding;
mod eight;
mod slow;
mod writers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use icecore_benches::history::{self, History, Scale};

/// Measure a server of backups under load
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// A directory of a few MB and short runs, to see that all works
    #[arg(long, global = true)]
    small: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Eight clients at once, beside one
    Eight(eight::Arguments),
    /// A thousand clients that read slowly or not at all, and a writer beside them
    Slow(slow::Arguments),
    /// Writers at full speed, with and without clients that back up again and again
    Writers(writers::Arguments),
}

/// What is served.
struct Scene {
    history: History,
    shards: Vec<u64>,
    is_small: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scale = if arguments.small { Scale::SMALL } else { Scale::BACKUP };
    let history = history::make(scale);
    let shards = history::register(&history, scale);
    let scene = Scene { history, shards, is_small: arguments.small };
    match &arguments.what {
        What::Eight(arguments) => eight::run(&scene, arguments),
        What::Slow(arguments) => slow::run(&scene, arguments),
        What::Writers(arguments) => writers::run(&scene, arguments),
    }
    ExitCode::SUCCESS
}
