//! Durable ingest over HTTP: `icecore serve` beside VictoriaMetrics and influxd, the same requests to each, in turns.
//!
//! ```sh
//! INFLUXD_BIN=/path/to/influxd cargo run --release -p icecore-benches --bin ingest_peers
//! INFLUXD_BIN=/path/to/influxd cargo run --release -p icecore-benches --bin ingest_peers -- \
//!     --series 1000000 --points 1 --rounds 1 --restart --without victoria-metrics
//! ```
//!
//! The lines are those of `icecore gen`, cut into requests before anything is measured: no compression, connections that
//! stay. Each run has a new directory and a new process, and ends when the last request was answered. Then it is
//! asked how many values it has; ours are exported after a clean stop and all compared. icecore and influxd acknowledge what is
//! synced, VictoriaMetrics what is in memory. VictoriaMetrics is found through `VICTORIA_METRICS_BIN` or on `PATH`, and must
//! be there unless it is left out; influxd 2.9 runs when `INFLUXD_BIN` is set.

mod contestant;
mod restart;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use icecore_benches::load::Load;
use icecore_benches::table::{Table, median, spread};
use icecore_benches::usage::{self, Usage};

use contestant::Kind;
use restart::Restart;

/// Compare ingest over HTTP with VictoriaMetrics and influxd
#[derive(Debug, Parser)]
struct Arguments {
    /// Series, ten fields each by default
    #[arg(long, default_value_t = 4_000)]
    series: u64,
    /// Points of each series
    #[arg(long, default_value_t = 250)]
    points: u64,
    /// Fields of each point
    #[arg(long, default_value_t = 10)]
    fields: u64,
    /// Lines of a request
    #[arg(long, default_value_t = 5_000)]
    lines: usize,
    /// Requests at a time, each on a connection of its own
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each takes part
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Kill icecore and influxd after the last round, start them, stop and start them once more
    #[arg(long)]
    restart: bool,
    /// Do not ask the peers how many values they have
    #[arg(long)]
    no_counts: bool,
    /// Who does not take part
    #[arg(long, value_enum)]
    without: Vec<Kind>,
    /// The VictoriaMetrics to compare with
    #[arg(long, env = "VICTORIA_METRICS_BIN", value_name = "FILE", default_value = "victoria-metrics")]
    victoria_metrics: PathBuf,
    /// The influxd to compare with
    #[arg(long, env = "INFLUXD_BIN", value_name = "FILE")]
    influxd: Option<PathBuf>,
}

/// One run of one contestant.
struct Run {
    values_per_second: f64,
    usage: Usage,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |kind: &Kind| match kind {
        Kind::Influxd => arguments.influxd.is_some(),
        _ => true,
    };
    let kinds: Vec<Kind> = Kind::value_variants().iter().copied().filter(wanted).collect();
    let kinds: Vec<Kind> = kinds.into_iter().filter(|kind| !arguments.without.contains(kind)).collect();
    if arguments.influxd.is_none() {
        eprintln!("INFLUXD_BIN is not set: there is no influxd");
    }
    let load = Load::generate(arguments.series, arguments.points, arguments.fields, arguments.lines);
    println!(
        "{} values of {} series, {} fields a point: {} requests of {} lines, {:.0} MB, {} connections; median of {} rounds (least, most)\n",
        load.digest.values,
        arguments.series,
        arguments.fields,
        load.requests.len(),
        arguments.lines,
        load.bytes() as f64 / 1e6,
        arguments.connections,
        arguments.rounds,
    );
    let mut runs: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
    let mut restarts = Vec::new();
    for round in 0..arguments.rounds {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let running = kind.start(&arguments, dir.path());
            let (seconds, usage) =
                usage::during(running.id(), || load.send(&running.target(), arguments.connections));
            runs.push(Run { values_per_second: load.digest.values as f64 / seconds, usage });
            if !arguments.no_counts {
                running.count(&load);
            }
            let is_last = round + 1 == arguments.rounds;
            if arguments.restart && is_last && *kind != Kind::VictoriaMetrics {
                restarts.push((*kind, Restart::of(*kind, running, &arguments, dir.path())));
            } else {
                running.stop();
            }
            kind.compare(&load, dir.path());
        }
    }
    print(&kinds, &runs);
    restart::print(&restarts);
    ExitCode::SUCCESS
}

fn print(kinds: &[Kind], runs: &[Vec<Run>]) {
    let rate = |runs: &[Run]| median(runs.iter().map(|run| run.values_per_second));
    let ours: f64 =
        kinds.iter().zip(runs).filter(|(kind, _)| **kind == Kind::Icecore).map(|(_, runs)| rate(runs)).sum();
    let mut table = Table::new([
        "server",
        "million values/s",
        "ours, times as fast",
        "CPU seconds",
        "anonymous memory, most, MB",
        "resident, most, MB",
    ]);
    for (kind, runs) in kinds.iter().zip(runs) {
        let all = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<_>>();
        table.push(vec![
            kind.name().to_owned(),
            spread(&all(|run| run.values_per_second / 1e6), |rate| format!("{rate:.3}")),
            format!("{:.2}", ours / rate(runs)),
            spread(&all(|run| run.usage.cpu_seconds), |seconds| format!("{seconds:.2}")),
            spread(&all(|run| run.usage.anonymous_max as f64 / 1e6), |bytes| format!("{bytes:.0}")),
            spread(&all(|run| run.usage.resident_max as f64 / 1e6), |bytes| format!("{bytes:.0}")),
        ]);
    }
    print!("{table}");
}
