//! `icecore export` and `icecore verify` beside `influxd inspect export-lp` and `verify-tsm`, on one directory, in one run.
//!
//! ```sh
//! INFLUXD_BIN=/path/to/influxd cargo run --release -p icecore-benches --bin against_influxd_inspect
//! ```
//!
//! The directory is made first (`icecore_benches::history`); after that all its files are in the page cache, but for
//! `--cold`. Each program
//! runs as a process of its own, in turns, and the time from its start to its end is taken: opening the directory counts.
//! Without `INFLUXD_BIN` ours runs alone.

mod lines;
mod process;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use icecore_benches::FLEET_BUCKET;
use icecore_benches::history::{self, History, Scale};
use icecore_benches::table::Table;

use process::{Runs, Sink};
use table::{ratio, row};

/// Compare icecore with influxd inspect on a directory of more than 500 MB
#[derive(Debug, Parser)]
struct Arguments {
    /// What is compared; all of it by default
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The influxd to compare with
    #[arg(long, env = "INFLUXD_BIN", value_name = "FILE")]
    influxd: Option<PathBuf>,
    /// The icecore under test; by default the one of this workspace, built now
    #[arg(long, value_name = "FILE")]
    icecore: Option<PathBuf>,
    /// How often each program runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Before each run, make the system forget the files: they are read from the disk
    #[arg(long)]
    cold: bool,
    /// A directory of a few MB, to see that all works
    #[arg(long)]
    small: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All values as line protocol to /dev/null; then once through a pipe, where the lines are compared
    Export,
    /// Checksums of all blocks, and with full decode
    Verify,
}

/// A program with what it is given.
struct Contestant {
    name: &'static str,
    /// The others are compared with it.
    is_peer: bool,
    command: Box<dyn Fn() -> Command>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let icecore = arguments.icecore.clone().unwrap_or_else(process::build_icecore);
    if arguments.influxd.is_none() {
        eprintln!("INFLUXD_BIN is not set: icecore is measured alone");
    }
    let history = history::make(if arguments.small { Scale::SMALL } else { Scale::FULL });
    println!(
        "{} values in {:.1} MB of TSM files, {}; median of {} runs (fastest, slowest)\n",
        history.values,
        history.tsm_bytes as f64 / 1e6,
        if arguments.cold { "on the disk" } else { "in the page cache" },
        arguments.rounds
    );
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let prepare = || {
        if arguments.cold {
            history.drop_from_cache();
        }
    };
    let runs = Runs { rounds: arguments.rounds, prepare: &prepare };
    let mut equal = true;
    if wanted(Part::Export) {
        equal = compare_exports(&exports(&arguments, &icecore, history.dir.path()), &history, &runs);
    }
    if wanted(Part::Verify) {
        compare_checks(&checks(&arguments, &icecore, history.dir.path()), &history, &runs);
    }
    if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn exports(arguments: &Arguments, icecore: &Path, dir: &Path) -> Vec<Contestant> {
    let peer = arguments.influxd.as_deref().map(|influxd| {
        let (influxd, engine) = (influxd.to_owned(), dir.join("engine"));
        Contestant {
            name: "influxd inspect export-lp",
            is_peer: true,
            command: Box::new(move || {
                let mut command = Command::new(&influxd);
                command.args(["inspect", "export-lp", "--bucket-id", FLEET_BUCKET, "--output-path", "-"]);
                command.arg("--engine-path").arg(&engine);
                command
            }),
        }
    });
    let (icecore, dir) = (icecore.to_owned(), dir.to_owned());
    let ours = Contestant {
        name: "icecore export --format lp",
        is_peer: false,
        command: Box::new(move || {
            let mut command = Command::new(&icecore);
            command.args(["export", "--bucket-id", FLEET_BUCKET, "--format", "lp", "--output", "-"]);
            command.arg("--data-dir").arg(&dir);
            command
        }),
    };
    peer.into_iter().chain([ours]).collect()
}

fn checks(arguments: &Arguments, icecore: &Path, dir: &Path) -> Vec<Contestant> {
    let engine = dir.join("engine");
    let peer = arguments.influxd.as_deref().map(|influxd| {
        let (influxd, engine) = (influxd.to_owned(), engine.clone());
        Contestant {
            name: "influxd inspect verify-tsm",
            is_peer: true,
            command: Box::new(move || {
                let mut command = Command::new(&influxd);
                command.args(["inspect", "verify-tsm", "--engine-path"]).arg(&engine);
                command
            }),
        }
    });
    let ours = [("icecore verify --depth checksum", "checksum"), ("icecore verify --depth decode", "decode")];
    let ours = ours.map(|(name, depth)| {
        let (icecore, engine) = (icecore.to_owned(), engine.clone());
        Contestant {
            name,
            is_peer: false,
            command: Box::new(move || {
                let mut command = Command::new(&icecore);
                command.args(["verify", "--depth", depth]).arg(&engine);
                command
            }),
        }
    });
    peer.into_iter().chain(ours).collect()
}

/// Whether all wrote the same lines.
fn compare_exports(contestants: &[Contestant], history: &History, runs: &Runs<'_>) -> bool {
    let all = runs.in_turns(contestants, Sink::Null);
    let compared: Vec<_> = contestants.iter().map(|contestant| runs.run(contestant, Sink::Lines)).collect();
    let values = history.values as f64;
    let mut table =
        Table::new(["export", "seconds", "CPU seconds", "M values/s", "GB/s of text", "times the peer"]);
    for (sink, all) in
        [("to /dev/null", all), ("lines compared", compared.iter().map(|run| vec![*run]).collect())]
    {
        let peer = peer_seconds(contestants, &all);
        for ((contestant, runs), lines) in contestants.iter().zip(&all).zip(&compared) {
            let seconds = process::median(runs);
            table.push(row(
                format!("{}, {sink}", contestant.name),
                runs,
                [
                    format!("{:.2}", values / seconds / 1e6),
                    format!("{:.3}", lines.lines.bytes as f64 / seconds / 1e9),
                    ratio(peer, seconds),
                ],
            ));
        }
    }
    print!("{table}");
    let mut found = compared.iter().map(|run| run.lines);
    let first = found.next();
    let equal =
        found.all(|lines| Some(lines) == first) && first.is_some_and(|lines| lines.count == history.values);
    println!("{}", if equal { "lines equal as a set" } else { "LINES DIFFER" });
    for (contestant, run) in contestants.iter().zip(&compared) {
        println!("  {}: {}", contestant.name, run.lines);
    }
    println!();
    equal
}

fn compare_checks(contestants: &[Contestant], history: &History, runs: &Runs<'_>) {
    let all = runs.in_turns(contestants, Sink::Null);
    let peer = peer_seconds(contestants, &all);
    let mut table = Table::new(["verify", "seconds", "CPU seconds", "GB/s of TSM", "times the peer"]);
    for (contestant, runs) in contestants.iter().zip(&all) {
        let seconds = process::median(runs);
        table.push(row(
            contestant.name.to_owned(),
            runs,
            [format!("{:.3}", history.tsm_bytes as f64 / seconds / 1e9), ratio(peer, seconds)],
        ));
    }
    print!("{table}");
}

/// What the peer took, if it ran.
fn peer_seconds(contestants: &[Contestant], all: &[Vec<process::Run>]) -> Option<f64> {
    contestants
        .iter()
        .zip(all)
        .find(|(contestant, _)| contestant.is_peer)
        .map(|(_, runs)| process::median(runs))
}
