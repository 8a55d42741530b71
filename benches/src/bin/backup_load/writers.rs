//! Writers at full speed, alone and beside a client that takes backups in a loop: all shards, those that are being written too.
//!
//! The client runs on the same cores. So each kind is measured with a client of the usual priority, and with one of the lowest, which
//! stands for one on another machine: what it takes away then is what the server spends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use clap::Args;
use icecore_benches::download;
use icecore_benches::load::{self, Load};
use icecore_benches::servers::Server;
use icecore_benches::table::{Table, median, spread};
use icecore_benches::usage;
use icecore_testkit::fixtures::OPERATOR_TOKEN;
use icecore_tests::influxd2;

use crate::Scene;
use crate::coding::Coding;
use crate::slow::target;

/// Connections that write.
const WRITERS: usize = 4;
const LOWEST_PRIORITY: i32 = 19;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Points of each of the 4,000 series of a run, ten fields each
    #[arg(long, default_value_t = 1000)]
    points: u64,
    /// More flags of `icecore serve`
    #[arg(long, allow_hyphen_values = true, value_name = "FLAG")]
    flag: Vec<String>,
}

/// What goes on beside the writers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Nothing,
    Backups { coding: Coding, is_low: bool },
}

const KINDS: [Beside; 5] = [
    Beside::Nothing,
    Beside::Backups { coding: Coding::Identity, is_low: false },
    Beside::Backups { coding: Coding::Identity, is_low: true },
    Beside::Backups { coding: Coding::Gzip, is_low: false },
    Beside::Backups { coding: Coding::Gzip, is_low: true },
];

impl Beside {
    fn name(self) -> String {
        match self {
            Self::Nothing => "alone".to_owned(),
            Self::Backups { coding, is_low } => {
                let client = if is_low { ", client of the lowest priority" } else { "" };
                format!("beside backups, {}{client}", coding.name())
            }
        }
    }
}

struct Run {
    values_per_second: f64,
    backup_bytes_per_second: f64,
    /// Of the server, and of the program that writes and reads.
    cpu_seconds: [f64; 2],
}

pub(crate) fn run(scene: &Scene, arguments: &Arguments) {
    let load = match scene.is_small {
        true => Load::generate(100, 100, 10, 500),
        false => Load::generate(4_000, arguments.points, 10, 5_000),
    };
    let rounds = if scene.is_small { 1 } else { arguments.rounds };
    println!(
        "{} values a run in {} requests, {WRITERS} connections, flags {:?}; median of {rounds} rounds (least, most)\n",
        load.digest.values,
        load.requests.len(),
        arguments.flag,
    );
    let dir = scene.history.dir.path();
    let flags: Vec<&str> = arguments.flag.iter().map(String::as_str).collect();
    let server = Server::icecore_with(dir, &flags);
    let mut shards = scene.shards.clone();
    let mut runs: Vec<Vec<Run>> = KINDS.iter().map(|_| Vec::new()).collect();
    let mut buckets = Vec::new();
    for round in 0..rounds {
        for at in 0..KINDS.len() {
            // Not always in the same order.
            let at = (at + round) % KINDS.len();
            let (Some(kind), Some(runs)) = (KINDS.get(at), runs.get_mut(at)) else { continue };
            let bucket = format!("load-{round}-{at}");
            influxd2::create_bucket(&server.client().with_token(OPERATOR_TOKEN), "org1", &bucket);
            // All points of a run are of one week: its shard is the next one.
            shards.push(shards.len() as u64 + 1);
            let run = once(&server, &load, &bucket, &shards, *kind);
            eprintln!("{bucket}, {}: {:.2} million values/s", kind.name(), run.values_per_second / 1e6);
            runs.push(run);
            buckets.push(bucket);
        }
    }
    server.stop();
    for bucket in buckets {
        assert_eq!(
            load::exported(dir, OPERATOR_TOKEN, &bucket),
            load.digest,
            "what {bucket} has, and what was sent"
        );
    }
    print(&runs);
}

fn once(server: &Server, load: &Load, bucket: &str, shards: &[u64], beside: Beside) -> Run {
    let (is_over, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
    let own = || usage::cpu_seconds(std::process::id()).expect("a running program");
    let before = own();
    let (seconds, usage) = usage::during(server.id(), || {
        thread::scope(|scope| {
            if let Beside::Backups { coding, is_low } = beside {
                let (is_over, bytes) = (&is_over, &bytes);
                scope.spawn(move || {
                    if is_low {
                        rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST_PRIORITY)
                            .expect("a priority that everyone may take");
                    }
                    back_up(server, shards, coding, is_over, bytes);
                });
            }
            let seconds = load.send(&target(server, bucket), WRITERS);
            is_over.store(true, Ordering::Relaxed);
            seconds
        })
    });
    Run {
        values_per_second: load.digest.values as f64 / seconds,
        backup_bytes_per_second: bytes.into_inner() as f64 / seconds,
        cpu_seconds: [usage.cpu_seconds, own() - before],
    }
}

/// Asks for all shards in turns until it is over; counts what comes.
fn back_up(server: &Server, shards: &[u64], coding: Coding, is_over: &AtomicBool, bytes: &AtomicU64) {
    for shard in shards.iter().rev().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        download::get_if_found(&server.request(*shard, coding.headers()), coding.name(), |piece| {
            if !is_over.load(Ordering::Relaxed) {
                bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
    }
}

fn print(runs: &[Vec<Run>]) {
    let rates = |runs: &[Run]| runs.iter().map(|run| run.values_per_second / 1e6).collect::<Vec<_>>();
    let alone = runs.first().map_or(f64::NAN, |runs| median(rates(runs).into_iter()));
    let mut table = Table::new([
        "writers",
        "million values/s",
        "of alone (bar: 0.9)",
        "backups, MB/s on the wire",
        "CPU seconds of the server",
        "of the clients",
    ]);
    for (kind, runs) in KINDS.iter().zip(runs) {
        let rates = rates(runs);
        let of = |of: fn(&Run) -> f64| median(runs.iter().map(of));
        table.push(vec![
            kind.name(),
            spread(&rates, |rate| format!("{rate:.2}")),
            format!("{:.2}", median(rates.iter().copied()) / alone),
            format!("{:.0}", of(|run| run.backup_bytes_per_second / 1e6)),
            format!("{:.1}", of(|run| run.cpu_seconds[0])),
            format!("{:.1}", of(|run| run.cpu_seconds[1])),
        ]);
    }
    print!("{table}");
}
