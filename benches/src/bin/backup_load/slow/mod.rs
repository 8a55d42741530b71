//! A thousand clients that read 20 KiB a second, every tenth of them nothing at all, and a writer beside them.
//!
//! The limits of the server are set so that all are served: `--backup-max-downloads` is more than there are clients (64 by default),
//! `--http-min-client-speed 0` waits for those who take nothing (by default they are cut off after 60 s). A writer sends a small
//! request every 20 ms, before the clients come and while they are there.

mod clients;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use icecore_benches::download::{self, Request};
use icecore_benches::load::{self, Connection, Load, Target};
use icecore_benches::servers::Server;
use icecore_benches::table::Table;
use icecore_benches::usage::{self, Usage};
use icecore_testkit::fixtures::OPERATOR_TOKEN;
use icecore_tests::influxd2;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Scene;
use crate::coding::Coding;
use clients::Seen;

const BUCKET: &str = "slow";
const PACE: Duration = Duration::from_millis(20);
const LINES: usize = 100;
/// Of a writer's request.
const FIELDS: u64 = 2;
const DRIBBLERS: usize = 50;
/// Dribblers are to be cut off within 15 s.
const SECONDS_MIN: u64 = 16;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// How long they stay
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How their bodies travel
    #[arg(long, value_enum, default_value = "identity")]
    coding: Coding,
}

pub(crate) fn run(scene: &Scene, arguments: &Arguments) {
    raise_file_limit();
    let dir = scene.history.dir.path();
    let (count, seconds) = if scene.is_small {
        (100, SECONDS_MIN)
    } else {
        (arguments.clients, arguments.seconds.max(SECONDS_MIN))
    };
    let places = (count + 100).to_string();
    let server =
        Server::icecore_with(dir, &["--backup-max-downloads", &places, "--http-min-client-speed", "0"]);
    influxd2::create_bucket(&server.client().with_token(OPERATOR_TOKEN), "org1", BUCKET);
    // So that all is checked, and what every server has in memory after its first requests is there.
    for shard in &scene.shards {
        download::get(&server.request(*shard, ""), "identity", |_| {});
    }
    let coding = arguments.coding;
    download::get(&server.request(1, coding.headers()), coding.name(), |_| {});

    let quiet_seconds = if scene.is_small { 2 } else { 20 };
    let needed = (quiet_seconds + seconds + 10) * 1000 / u64::try_from(PACE.as_millis()).unwrap_or(20);
    let load = Load::generate(LINES as u64, needed, FIELDS, LINES);
    let mut writer = Writer::new(&server, &load);
    let quiet = writer.write_for(Duration::from_secs(quiet_seconds));
    let before = (usage::anonymous(server.id()).expect("a running server"), socket_bytes());
    let of_clients: Vec<Request> = scene
        .shards
        .iter()
        .skip(1)
        .cycle()
        .take(count)
        .map(|shard| server.request(*shard, coding.headers()))
        .collect();
    let is_over = AtomicBool::new(false);
    let ((loaded, seen, sockets), usage) = usage::during(server.id(), || {
        thread::scope(|scope| {
            let (ready, is_ready) = std::sync::mpsc::channel();
            let clients = scope.spawn(|| {
                clients::run(&of_clients, DRIBBLERS.min(count), &is_over, move || {
                    ready.send(()).expect("a bench that waits")
                })
            });
            // While the last of them ask, too.
            let loaded = writer.write_for(Duration::from_secs(seconds));
            is_ready.recv().expect("clients that ask");
            let sockets = socket_bytes();
            is_over.store(true, Ordering::Relaxed);
            (loaded, clients.join().expect("clients that end"), sockets)
        })
    });
    let sent = writer.sent;
    server.stop();
    let mut digest = icecore_benches::digest::Digest::default();
    load.requests.iter().take(sent).for_each(|lines| digest.add(lines));
    assert_eq!(
        load::exported(dir, OPERATOR_TOKEN, BUCKET),
        digest,
        "what icecore has, and what it acknowledged"
    );
    println!(
        "{count} clients for {seconds} s, {}; {} requests of {} values written, every value is there\n",
        coding.name(),
        sent,
        LINES as u64 * FIELDS,
    );
    let of_sockets = sockets.saturating_sub(before.1);
    print(&quiet, &loaded, &seen, before.0, &usage, of_sockets);
}

fn print(quiet: &Latencies, loaded: &Latencies, seen: &Seen, before: u64, usage: &Usage, of_sockets: u64) {
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
    let bar = 2.0 * quiet.at(99) + 0.05;
    let mut table = Table::new(["", "measured", "bar"]);
    let mut row =
        |what: &str, measured: String, bar: String| table.push(vec![what.to_owned(), measured, bar]);
    row(
        "clients served; cut off; at the end",
        format!("{}; {}; {}", seen.admitted, seen.lost, seen.whole),
        String::new(),
    );
    row("read by them", mb(seen.bytes), String::new());
    row("anonymous memory of the server before", mb(before), String::new());
    row("growth of it, most", mb(usage.anonymous_max.saturating_sub(before)), "128 MB".to_owned());
    row("of the system's sockets, both ends, at the end", mb(of_sockets), String::new());
    row("CPU seconds of the server", format!("{:.1}", usage.cpu_seconds), String::new());
    row(
        "writes, quiet: p50; p99; slowest",
        [50, 99, 100].map(|at| ms(quiet.at(at))).join("; "),
        String::new(),
    );
    row(
        "writes beside the clients: p50; p99; slowest",
        [50, 99, 100].map(|at| ms(loaded.at(at))).join("; "),
        format!("p99 {}", ms(bar)),
    );
    let last_cut =
        seen.last_cut.map_or("some are not".to_owned(), |last| format!("{:.1} s", last.as_secs_f64()));
    row(
        &format!("last of {} clients that dribble a head cut off after", seen.dribblers),
        last_cut,
        "15 s".to_owned(),
    );
    print!("{table}");
}

/// How long writes took, in ascending order.
struct Latencies(Vec<f64>);

impl Latencies {
    /// That of the write which so many per cent of all did not exceed, in seconds.
    fn at(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
    }
}

/// Sends one request after the other at a steady pace.
struct Writer<'l> {
    load: &'l Load,
    target: Target,
    connection: Connection,
    sent: usize,
}

impl<'l> Writer<'l> {
    fn new(server: &Server, load: &'l Load) -> Self {
        let target = target(server, BUCKET);
        Self { connection: Connection::open(&target), target, load, sent: 0 }
    }

    fn write_for(&mut self, time: Duration) -> Latencies {
        let start = Instant::now();
        let mut latencies = Vec::new();
        while start.elapsed() < time
            && let Some(lines) = self.load.requests.get(self.sent)
        {
            let begun = Instant::now();
            self.connection.send(&self.target, lines);
            latencies.push(begun.elapsed().as_secs_f64());
            self.sent += 1;
            thread::sleep(PACE.saturating_sub(begun.elapsed()));
        }
        latencies.sort_by(f64::total_cmp);
        Latencies(latencies)
    }
}

/// A bucket of the fixture's organization.
pub(crate) fn target(server: &Server, bucket: &str) -> Target {
    Target {
        address: server.client().address().to_owned(),
        path: format!("/api/v2/write?org=org1&bucket={bucket}"),
        headers: format!("Authorization: Token {OPERATOR_TOKEN}\r\n"),
    }
}

/// What all sockets of the system hold.
fn socket_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.rsplit_once("mem ")?.1.trim().parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("the hard limit");
}
