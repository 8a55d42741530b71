//! Runs, and what they took.

use std::path::Path;
use std::time::{Duration, Instant};

use icecore_benches::download::{self, Received};
use icecore_benches::servers::Server;
use icecore_benches::table::{median, spread};
use icecore_benches::usage::{self, Usage};

/// How much each does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs<'a> {
    pub(crate) shards: &'a [u64],
    pub(crate) rounds: usize,
    pub(crate) slow_rounds: usize,
}

/// Who takes part.
pub(crate) enum Contestant<'a> {
    /// A server that goes on.
    Waiting(&'static str, Server),
    /// One that is started for each round: what it sends first, and what it sends again.
    Starting([&'static str; 2], &'a dyn Fn() -> Server),
}

/// One run over all shards.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    bytes: u64,
    usage: Usage,
    first_byte: Duration,
}

/// All runs of one contestant.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    runs: Vec<Run>,
}

impl Runs<'_> {
    /// Downloads from one server, after a first time that does not count.
    pub(crate) fn downloads(self, name: &'static str, server: Server, headers: &str, coding: &str) -> Row {
        self.run(&server, headers, coding);
        self.from(name, self.rounds, server, headers, coding)
    }

    /// The same, fewer times, and the first counts.
    pub(crate) fn slow_downloads(
        self,
        name: &'static str,
        server: Server,
        headers: &str,
        coding: &str,
    ) -> Row {
        self.from(name, self.slow_rounds, server, headers, coding)
    }

    fn from(self, name: &'static str, rounds: usize, server: Server, headers: &str, coding: &str) -> Row {
        let runs = (0..rounds).map(|_| self.run(&server, headers, coding)).collect();
        server.stop();
        Row { name, runs }
    }

    /// Downloads of identity from all, in turns: what the machine does meanwhile hits all alike. Those that wait for requests have
    /// a first time that does not count.
    pub(crate) fn in_turns(self, contestants: Vec<Contestant<'_>>) -> Vec<Row> {
        let download = |server: &Server| self.run(server, "", "identity");
        let mut rows: Vec<Row> = Vec::new();
        for contestant in &contestants {
            match contestant {
                Contestant::Waiting(name, server) => {
                    download(server);
                    rows.push(Row { name, runs: Vec::new() });
                }
                Contestant::Starting(names, _) => {
                    rows.extend(names.map(|name| Row { name, runs: Vec::new() }))
                }
            }
        }
        for _ in 0..self.rounds {
            let runs = contestants.iter().flat_map(|contestant| match contestant {
                Contestant::Waiting(_, server) => vec![download(server)],
                Contestant::Starting(names, start) => {
                    let server = start();
                    let runs = names.iter().map(|_| download(&server)).collect();
                    server.stop();
                    runs
                }
            });
            rows.iter_mut().zip(runs).for_each(|(row, run)| row.runs.push(run));
        }
        for contestant in contestants {
            if let Contestant::Waiting(_, server) = contestant {
                server.stop();
            }
        }
        rows
    }

    fn run(self, server: &Server, headers: &str, coding: &str) -> Run {
        let get = |shard: &u64| download::get(&server.request(*shard, headers), coding, |_| {});
        let all = || {
            let start = Instant::now();
            let received: Vec<Received> = self.shards.iter().map(get).collect();
            (start.elapsed().as_secs_f64(), received)
        };
        let ((seconds, received), usage) = usage::during(server.id(), all);
        Run {
            seconds,
            bytes: received.iter().map(|received| received.bytes).sum(),
            usage,
            first_byte: received.iter().map(|received| received.first_byte).max().unwrap_or_default(),
        }
    }

    /// `influx backup` of everything.
    ///
    /// # Panics
    /// When the server is none that the CLI can talk to; when the backup fails.
    pub(crate) fn backups(self, name: &'static str, server: Server, influx: &Path) -> Row {
        let cli = server.cli(influx).expect("a server of the API");
        let run = |_| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let backup = || {
                let start = Instant::now();
                cli.run(&["backup"], Some(&dir.path().join("backup")));
                start.elapsed().as_secs_f64()
            };
            let (seconds, usage) = usage::during(server.id(), backup);
            Run { seconds, bytes: size_of(dir.path()), usage, first_byte: Duration::ZERO }
        };
        let runs = (0..self.slow_rounds).map(run).collect();
        server.stop();
        Row { name, runs }
    }
}

impl Row {
    /// Seconds.
    pub(crate) fn median(&self) -> f64 {
        median(self.runs.iter().map(|run| run.seconds))
    }

    /// What a table says of it.
    pub(crate) fn cells(&self, total: u64, ratios: impl Iterator<Item = String>) -> Vec<String> {
        let all = |of: &dyn Fn(&Run) -> f64| self.runs.iter().map(of).collect::<Vec<_>>();
        let most = |of: &dyn Fn(&Run) -> f64| all(of).into_iter().fold(0.0, f64::max);
        let total = total as f64;
        let mut cells = vec![
            self.name.to_owned(),
            spread(&all(&|run| run.seconds), |seconds| format!("{seconds:.3}")),
            format!("{:.0}", total / self.median() / 1e6),
        ];
        cells.extend(ratios);
        cells.extend([
            format!("{:.4}", median(self.runs.iter().map(|run| run.bytes as f64)) / total),
            format!("{:.2}", median(self.runs.iter().map(|run| run.usage.cpu_seconds)) / total * 1e9),
            format!("{:.0}", most(&|run| run.usage.anonymous_max as f64 / 1e6)),
            format!("{:.0}", most(&|run| run.first_byte.as_secs_f64() * 1e3)),
        ]);
        cells
    }
}

/// The archive of a shard, unpacked from gzip.
pub(crate) fn unpacked(server: &Server, shard: u64, headers: &str) -> Vec<u8> {
    let request = server.request(shard, headers);
    let client = icecore_tests::http::Client::new(&request.address);
    let headers: Vec<(&str, &str)> =
        request.headers.lines().filter_map(|header| header.split_once(": ")).collect();
    let answer = client.send("GET", &request.target, &headers, &[]);
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
    answer.decoded()
}

fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let stat = entry.metadata().expect("a file");
        if stat.is_dir() { size_of(&entry.path()) } else { stat.len() }
    });
    sizes.sum()
}
