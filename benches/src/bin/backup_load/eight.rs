//! Eight clients at once, each with 250 MB of archives, beside one client with the same.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use clap::Args;
use icecore_benches::download;
use icecore_benches::servers::{self, Server};
use icecore_benches::table::{Table, median, spread};
use icecore_benches::usage::{self, Usage};

use crate::Scene;
use crate::coding::Coding;

const CLIENTS: usize = 8;
const BYTES_OF_A_CLIENT: u64 = 250_000_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often those are that take half a minute
    #[arg(long, default_value_t = 1)]
    slow_rounds: usize,
    /// The influxd to compare with
    #[arg(long, env = "INFLUXD_BIN", value_name = "FILE")]
    influxd: Option<PathBuf>,
}

/// What one run took.
struct Run {
    bytes: u64,
    seconds: f64,
    usage: Usage,
}

/// One client and eight, in turns.
struct Row {
    name: &'static str,
    one: Vec<Run>,
    eight: Vec<Run>,
}

pub(crate) fn run(scene: &Scene, arguments: &Arguments) {
    let dir = scene.history.dir.path();
    let shares = shares(scene);
    println!("eight clients, {:?} shards each; median (least, most)\n", shares.first().map_or(0, Vec::len));
    let fresh = |shares: &[Vec<u64>]| {
        let server = Server::icecore(dir);
        let run = once(&server, shares, Coding::Identity);
        server.stop();
        run
    };
    let mut rows = vec![in_turns("icecore serve, identity, first send", arguments.rounds, &shares, fresh)];
    let checked = |name, rounds, coding| {
        let server = Server::icecore(dir);
        // So that all is checked.
        download_all(&server, std::slice::from_ref(&scene.shards), Coding::Identity);
        let row = in_turns(name, rounds, &shares, |shares| once(&server, shares, coding));
        server.stop();
        row
    };
    rows.push(checked("icecore serve, identity, checked", arguments.rounds, Coding::Identity));
    rows.push(checked("icecore serve, zstd", arguments.rounds, Coding::Zstd));
    rows.push(checked("icecore serve, gzip", arguments.slow_rounds, Coding::Gzip));
    if let Some(influxd) = &arguments.influxd {
        let copy = servers::copy(&scene.history);
        let server = Server::influxd(influxd, copy.path());
        let run = |shares: &[Vec<u64>]| once(&server, shares, Coding::Identity);
        rows.push(in_turns("influxd 2.9, identity", arguments.rounds, &shares, run));
        server.stop();
    } else {
        eprintln!("INFLUXD_BIN is not set: there is no influxd");
    }
    print(&rows);
}

/// The shards of each client, another one first for each.
fn shares(scene: &Scene) -> Vec<Vec<u64>> {
    let server = Server::icecore(scene.history.dir.path());
    let size = |shard: &u64| (*shard, download::get(&server.request(*shard, ""), "identity", |_| {}).bytes);
    let sizes: Vec<(u64, u64)> = scene.shards.iter().map(size).collect();
    server.stop();
    let wanted = if scene.is_small { 1 } else { BYTES_OF_A_CLIENT };
    let share = |client: usize| {
        let mut left = wanted;
        let mut shards = Vec::new();
        for (shard, bytes) in sizes.iter().cycle().skip(client) {
            if left == 0 {
                break;
            }
            shards.push(*shard);
            left = left.saturating_sub(*bytes);
        }
        shards
    };
    (0..CLIENTS).map(share).collect()
}

/// Each client asks for its shards, one after the other; all clients at once. Returns the bytes on the wire.
fn download_all(server: &Server, shares: &[Vec<u64>], coding: Coding) -> u64 {
    let download = |shards: &Vec<u64>| -> u64 {
        let get = |shard: &u64| {
            download::get(&server.request(*shard, coding.headers()), coding.name(), |_| {}).bytes
        };
        shards.iter().map(get).sum()
    };
    thread::scope(|scope| {
        let clients: Vec<_> = shares.iter().map(|share| scope.spawn(move || download(share))).collect();
        clients.into_iter().map(|client| client.join().expect("a client that ends")).sum()
    })
}

fn once(server: &Server, shares: &[Vec<u64>], coding: Coding) -> Run {
    let ((bytes, seconds), usage) = usage::during(server.id(), || {
        let start = Instant::now();
        let bytes = download_all(server, shares, coding);
        (bytes, start.elapsed().as_secs_f64())
    });
    Run { bytes, seconds, usage }
}

/// One client, and eight, in turns.
fn in_turns(name: &'static str, rounds: usize, shares: &[Vec<u64>], run: impl Fn(&[Vec<u64>]) -> Run) -> Row {
    let mut row = Row { name, one: Vec::new(), eight: Vec::new() };
    for share in shares.iter().cycle().take(rounds) {
        row.one.push(run(std::slice::from_ref(share)));
        row.eight.push(run(shares));
    }
    row
}

fn print(rows: &[Row]) {
    let mut table = Table::new([
        "server",
        "one client, MB/s on the wire",
        "eight, MB/s on the wire",
        "eight, of one (bar: 0.9)",
        "CPU seconds a GB on the wire, one; eight",
        "anonymous memory, most, MB (bar: 64)",
    ]);
    for row in rows {
        let rates = |runs: &[Run]| -> Vec<f64> {
            runs.iter().map(|run| run.bytes as f64 / 1e6 / run.seconds).collect()
        };
        let (one, eight) = (rates(&row.one), rates(&row.eight));
        let cpu =
            |runs: &[Run]| median(runs.iter().map(|run| run.usage.cpu_seconds / run.bytes as f64 * 1e9));
        let memory = row.eight.iter().map(|run| run.usage.anonymous_max).max().unwrap_or(0);
        table.push(vec![
            row.name.to_owned(),
            spread(&one, |rate| format!("{rate:.0}")),
            spread(&eight, |rate| format!("{rate:.0}")),
            format!("{:.2}", median(eight.iter().copied()) / median(one.iter().copied())),
            format!("{:.2}; {:.2}", cpu(&row.one), cpu(&row.eight)),
            format!("{:.0}", memory as f64 / 1e6),
        ]);
    }
    print!("{table}");
}
