//! How long a client waits for a large shard with deletes from a slow disk: for the head, for the first byte behind it, and at
//! most between two.
//!
//! ```sh
//! cargo run --release -p icecore-benches --bin first_byte -- --clients
//! ```
//!
//! A shard of more than 4 GB is made in a temporary directory, one file of 2 GiB, one smaller and many small ones, each with a tombstone:
//! first deletes that cut the edges of a time range out of every key, then deletes that cut every block. Before each request the page
//! cache is dropped, and what `icecore serve` reads from the disk is limited by a cgroup (version 1, blkio); both need root. Where that
//! is not allowed, it is said, and the disk is as fast as it is. The first request rewrites the files, the second finds them in the spool.
//! `--clients`: the Python and the Node client of `tests/peers` read the shard, too, each from a server that was just started.

mod shard;
mod stream;
mod throttle;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use icecore_benches::table::Table;
use icecore_tests::icecore::Server;
use icecore_tests::peers;

use shard::Cuts;
use stream::Seen;
use throttle::{Throttle, drop_caches};

/// Measure how long a client waits for a shard with deletes
#[derive(Debug, Parser)]
struct Arguments {
    /// Bytes a second that the server may read from the disk
    #[arg(long, default_value_t = 100 << 20)]
    rate: u64,
    /// Where to make the shard; twice its size has to be free there
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// A shard of a few MB, to see that all works
    #[arg(long)]
    small: bool,
    /// Let the Python and the Node client read it, too
    #[arg(long)]
    clients: bool,
    /// These deletes alone
    #[arg(long, value_enum)]
    cuts: Option<Cuts>,
    /// More flags of `icecore serve`
    #[arg(last = true)]
    flags: Vec<String>,
}

const TOKEN: &str = "an-operator-token-of-benches";

fn main() {
    let arguments = Arguments::parse();
    let made = shard::make(&arguments.dir, TOKEN, arguments.small);
    println!("{} files, {:.2} GB", made.files.len(), made.size() as f64 / 1e9);
    let header = [
        "deletes",
        "request",
        "head, s",
        "first byte behind it, s",
        "longest silence, s",
        "after, GB",
        "total, s",
        "GB",
        "length known",
    ];
    let mut table = Table::new(header);
    for cuts in [Cuts::Edges, Cuts::EveryBlock]
        .into_iter()
        .filter(|cuts| arguments.cuts.is_none_or(|only| only == *cuts))
    {
        made.delete(cuts);
        let served = Served::start(made.dir.path(), &arguments);
        for request in ["first", "second"] {
            drop_caches();
            table.push(row(cuts, request, &served.read()));
        }
        drop(served);
        if arguments.clients {
            for (name, command) in clients() {
                let served = Served::start(made.dir.path(), &arguments);
                drop_caches();
                println!("{cuts:?}, {name}: {}", served.read_with(command));
            }
        }
    }
    println!("{table}");
}

fn row(cuts: Cuts, request: &str, seen: &Seen) -> Vec<String> {
    let seconds = |value: f64| format!("{value:.2}");
    vec![
        cuts.text().to_owned(),
        request.to_owned(),
        seconds(seen.head),
        seconds(seen.body),
        seconds(seen.silence),
        format!("{:.3}", seen.silence_after as f64 / 1e9),
        seconds(seen.total),
        format!("{:.3}", seen.bytes as f64 / 1e9),
        if seen.size.is_some() { "yes" } else { "no" }.to_owned(),
    ]
}

/// Programs that read a shard, and what each is called; those that are missing are told.
fn clients() -> Vec<(&'static str, Command)> {
    let with = |program: PathBuf, script| {
        let mut command = Command::new(program);
        command.arg(peers::own(script));
        command
    };
    let python =
        peers::python().map(|program| ("influxdb-client (Python)", with(program, "python/stream.py")));
    let node =
        peers::node().map(|program| ("@influxdata/influxdb-client (Node)", with(program, "node/stream.js")));
    [python, node].into_iter().flatten().collect()
}

/// A server whose disk is slow.
struct Served {
    server: Option<Server>,
    _throttle: Option<Throttle>,
}

impl Served {
    fn start(dir: &Path, arguments: &Arguments) -> Self {
        let flags: Vec<&str> = arguments.flags.iter().map(String::as_str).collect();
        let server = Server::start_with(dir, &flags);
        let throttle = Throttle::of(server.id(), dir, arguments.rate);
        let throttle = throttle.inspect_err(|error| println!("the disk is as fast as it is: {error}")).ok();
        Self { server: Some(server), _throttle: throttle }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("until it is dropped")
    }

    fn read(&self) -> Seen {
        stream::read(self.server().client().address(), TOKEN)
    }

    fn read_with(&self, mut command: Command) -> String {
        let output =
            command.args([&*self.server().client().url(), TOKEN, "1"]).output().expect("a client runs");
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{} {} ({})", said.trim(), complained.trim(), output.status)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Before its group, which has to be empty to be removed.
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}
