//! Downloads of shards over HTTP: `icecore serve` beside nginx that sends the same bytes as files, bare loops that write
//! mapped bytes or call `sendfile`, and influxd; and `influx backup` against both servers.
//!
//! ```sh
//! INFLUXD_BIN=/path/to/influxd INFLUX_BIN=/path/to/influx cargo run --release -p icecore-benches --bin backup_peers
//! ```
//!
//! The directory is made first (`icecore_benches::history`); after that all its files are in the page cache. A run asks for all shards,
//! one after the other, each on a connection of its own; those of identity take turns; `own shards` are the same with a point more, flushed, so that manifests list their files; the client reads and drops what comes, on the same
//! cores. What ours sends as identity is what nginx and the loops serve; the body that gzip unpacks to is compared with it before anything is
//! measured. nginx is found through `NGINX_BIN` or on `PATH` and must be there unless it is left out; influxd 2.9 and the CLI take part
//! when `INFLUXD_BIN` and `INFLUX_BIN` are set.

mod bare;
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use icecore_benches::download;
use icecore_benches::history::{self, Scale};
use icecore_benches::servers::{self, Server};
use icecore_benches::table::Table;
use tempfile::TempDir;

use bare::Way;
use runs::{Contestant, Row, Runs};

/// Compare downloads of shards with nginx and influxd
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each takes part
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often those take part that need a minute
    #[arg(long, default_value_t = 1)]
    slow_rounds: usize,
    /// A directory of a few MB, to see that all works
    #[arg(long)]
    small: bool,
    /// The nginx to compare with
    #[arg(long, env = "NGINX_BIN", value_name = "FILE", default_value = "nginx")]
    nginx: PathBuf,
    /// Without nginx
    #[arg(long)]
    no_nginx: bool,
    /// The influxd to compare with
    #[arg(long, env = "INFLUXD_BIN", value_name = "FILE")]
    influxd: Option<PathBuf>,
    /// The influx CLI to back up with
    #[arg(long, env = "INFLUX_BIN", value_name = "FILE")]
    influx: Option<PathBuf>,
    /// Without compressed downloads and without the CLI
    #[arg(long)]
    identity: bool,
    /// Serve the files of a directory, as a bare loop
    #[arg(long, hide = true, value_name = "DIR")]
    bare_loop: Option<PathBuf>,
    /// How the bare loop does it
    #[arg(long, hide = true, value_enum, default_value_t = Way::Maps)]
    way: Way,
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";
const GZIP_SPEED: &str = "Accept-Encoding: gzip\r\nGzip-Compression-Level: speedy\r\n";
const ZSTD: &str = "Accept-Encoding: zstd\r\n";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(dir) = &arguments.bare_loop {
        bare::serve(dir, arguments.way);
    }
    if arguments.influxd.is_none() {
        eprintln!("INFLUXD_BIN is not set: there is no influxd");
    }
    let scale = if arguments.small { Scale::SMALL } else { Scale::BACKUP };
    let history = history::make(scale);
    let shards = history::register(&history, scale);
    let dir = history.dir.path();
    let (files, total) = files(dir, &shards);
    println!(
        "{} shards, {:.1} MB of archives; median of {} runs (fastest, slowest)\n",
        shards.len(),
        total as f64 / 1e6,
        arguments.rounds
    );
    let runs = Runs { shards: &shards, rounds: arguments.rounds, slow_rounds: arguments.slow_rounds };
    let copy = arguments.influxd.as_ref().map(|_| servers::copy(&history));
    let influxd = || Some(Server::influxd(arguments.influxd.as_deref()?, copy.as_ref()?.path()));

    let mut identity = Vec::new();
    if !arguments.no_nginx {
        let nginx = Server::nginx(&arguments.nginx, files.path());
        identity.push(Contestant::Waiting("nginx, sendfile", nginx));
    }
    for (name, way) in [
        ("a bare loop over maps", Way::Maps),
        ("a bare loop, vectored", Way::Vectored),
        ("a bare loop, sendfile", Way::Sendfile),
    ] {
        identity.push(Contestant::Waiting(name, Server::bare(files.path(), way.name())));
    }
    let start = || Server::icecore(dir);
    let names = ["icecore serve, first send", "icecore serve, checked"];
    identity.push(Contestant::Starting(names, &start));
    let own = servers::copy(&history);
    history::write_into(own.path(), scale);
    let start_own = || Server::icecore(own.path());
    let names = ["icecore serve, first send of its own shards", "icecore serve, its own shards, checked"];
    identity.push(Contestant::Starting(names, &start_own));
    identity.extend(influxd().map(|server| Contestant::Waiting("influxd 2.9", server)));
    let identity = runs.in_turns(identity);
    print("identity", &identity, total);
    if arguments.identity {
        return ExitCode::SUCCESS;
    }

    let mut coded = Vec::new();
    coded.extend(influxd().map(|server| runs.slow_downloads("influxd 2.9, gzip", server, GZIP, "gzip")));
    for (name, headers, coding) in [
        ("icecore serve, gzip", GZIP, "gzip"),
        ("icecore serve, gzip, level speedy", GZIP_SPEED, "gzip"),
        ("icecore serve, zstd", ZSTD, "zstd"),
    ] {
        coded.push(runs.downloads(name, Server::icecore(dir), headers, coding));
    }
    print("compressed", &coded, total);

    if let Some(influx) = &arguments.influx {
        let mut cli = Vec::new();
        cli.extend(influxd().map(|server| runs.backups("influx backup of influxd 2.9", server, influx)));
        cli.push(runs.backups("influx backup of icecore serve", Server::icecore(dir), influx));
        print("influx backup", &cli, total);
    }
    ExitCode::SUCCESS
}

/// The archives of all shards, as ours sends them, and their length together.
///
/// # Panics
/// When gzip unpacks to other bytes.
fn files(dir: &Path, shards: &[u64]) -> (TempDir, u64) {
    let (files, server) = (tempfile::tempdir().expect("a temporary directory"), Server::icecore(dir));
    let mut total = 0;
    for shard in shards {
        let mut plain = Vec::new();
        download::get(&server.request(*shard, ""), "identity", |piece| plain.extend_from_slice(piece));
        assert!(runs::unpacked(&server, *shard, GZIP) == plain, "shard {shard} through gzip");
        total += plain.len() as u64;
        fs::write(files.path().join(format!("{shard}.tar")), plain).expect("room for the archives");
    }
    server.stop();
    (files, total)
}

/// Each row is compared with those that are no `icecore serve`.
fn print(what: &str, rows: &[Row], total: u64) {
    let peers: Vec<&Row> = rows.iter().filter(|row| !row.name.contains("icecore")).collect();
    let mut header = vec![what.to_owned(), "seconds".to_owned(), "MB/s of the archives".to_owned()];
    header.extend(peers.iter().map(|peer| format!("times as fast as {}", peer.name)));
    header.extend(
        [
            "on the wire, of the archives",
            "CPU seconds a GB",
            "anonymous memory, most, MB",
            "first byte, slowest, ms",
        ]
        .map(str::to_owned),
    );
    let mut table = Table::with_header(header);
    for row in rows {
        let ratios = peers.iter().map(|peer| format!("{:.2}", peer.median() / row.median()));
        table.push(row.cells(total, ratios));
    }
    println!("{table}");
}
