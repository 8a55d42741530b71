//! `icecore serve`: the InfluxDB v2 HTTP API over a data directory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use icecore::{Database, Mode, Options, http};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, doing};
use crate::place::Place;

/// Serve a data directory over the InfluxDB v2 HTTP API
///
/// A missing or empty directory becomes a fresh one that waits for its setup.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "INFLUXD_HTTP_BIND_ADDRESS", default_value = "127.0.0.1:8086", value_parser = bind_address)]
    http_bind_address: SocketAddr,
    /// Write nothing: logs are replayed in memory, setup is refused, other readers are welcome
    #[arg(long)]
    read_only: bool,
    /// Allow an address that other machines reach, although tokens and data then travel in clear
    #[arg(long)]
    allow_plaintext: bool,
    /// The largest body of a write, unpacked; twice as much is the memory of all that are read at once
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 20)]
    http_max_write_bytes: usize,
    /// How long the files of a backup are checked before its answer begins: damage found in this time is an error, later
    /// damage breaks the transfer. Clients give up after ten seconds of silence
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1500)]
    backup_check_max: u64,
    /// How many backups may be downloaded at once; others wait for five seconds, and get 503 then
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    backup_max_downloads: usize,
    /// Bytes a second of all downloads of backups together; 0 is no limit
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    backup_rate_limit: u64,
    /// How far downloads of backups stand behind everything else for the cores, as `nice` counts, 1 to 19: what they need
    /// is taken from idle cores first. 0: they are equal
    #[arg(long, value_name = "STEPS", default_value_t = 15, value_parser = clap::value_parser!(u8).range(0..=19))]
    backup_nice: u8,
    /// Bytes a second that a client has to take of an answer, on an average of 60 seconds in which it keeps the server
    /// waiting, or it is cut off; 0 is no limit
    #[arg(long, value_name = "BYTES", default_value_t = 1000)]
    http_min_client_speed: u64,
    /// How long a cut of the data that a client asked for is kept after its last use
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    backup_cut_lease: u64,
    /// How many cuts are kept at most
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    backup_cuts_max: usize,
    /// Answer 403 on /metrics
    #[arg(long, env = "INFLUXD_METRICS_DISABLED")]
    metrics_disabled: bool,
    /// Bytes of files that were rewritten for backups, because points in them are deleted, and are kept for the next one, in
    /// engine/icecore.spool; 0 keeps none
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    backup_spool_max: u64,
    /// Store new tokens as hashes
    #[arg(long, value_name = "BOOL", env = "INFLUXD_USE_HASHED_TOKENS", default_value_t = true, action = clap::ArgAction::Set)]
    use_hashed_tokens: bool,
}

/// As Go reads it: without a host, all addresses are meant; `localhost` is the loopback.
fn bind_address(text: &str) -> Result<SocketAddr, String> {
    let port = |port: &str| port.parse::<u16>().map_err(|_| format!("no port in {text:?}"));
    if let Some(digits) = text.strip_prefix(':') {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port(digits)?));
    }
    if let Some(digits) = text.strip_prefix("localhost:") {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port(digits)?));
    }
    text.parse().map_err(|_| format!("{text:?} is not ADDRESS:PORT"))
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments.http_bind_address;
    if !address.ip().is_loopback() && !arguments.allow_plaintext {
        return Err(Failure::Refused(format!(
            "{address} can be reached from other machines, and tokens would travel in clear: give --allow-plaintext if that is meant"
        )));
    }
    raise_file_limit();
    let mode = if arguments.read_only { Mode::ReadOnly } else { Mode::ReadWrite };
    let options = Options {
        use_hashed_tokens: arguments.use_hashed_tokens,
        spool_size_max: arguments.backup_spool_max,
        ..Options::new(mode)
    };
    let database = Arc::new(Database::open(arguments.place.paths(), options)?);
    let runtime =
        tokio::runtime::Runtime::new().map_err(doing("the threads of the server cannot be started"))?;
    let examined = Arc::clone(&database);
    thread::spawn(move || examined.check_indexes());
    let background = match arguments.backup_nice {
        0 => None,
        nice => Some(http::Background::new(nice).map_err(doing("the threads of backups cannot be started"))?),
    };
    let limits = http::Options {
        background: background.as_ref().map(http::Background::handle),
        write_max_bytes: arguments.http_max_write_bytes,
        write_memory_bytes: arguments.http_max_write_bytes.saturating_mul(2),
        check_max: Duration::from_millis(arguments.backup_check_max),
        downloads_max: arguments.backup_max_downloads,
        download_rate_max: arguments.backup_rate_limit,
        client_speed_min: arguments.http_min_client_speed,
        cut_lease: Duration::from_secs(arguments.backup_cut_lease),
        cuts_max: arguments.backup_cuts_max,
        metrics: !arguments.metrics_disabled,
        ..http::Options::default()
    };
    runtime.block_on(listen(address, &database, limits))?;
    // So that influxd can have the directory. What fails stays in the logs, which a next start replays.
    Ok(database.flush()?)
}

async fn listen(address: SocketAddr, database: &Arc<Database>, limits: http::Options) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(doing("SIGTERM cannot be watched"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(doing("SIGINT cannot be watched"))?;
    let listener = TcpListener::bind(address).await.map_err(doing(format!("cannot listen on {address}")))?;
    let url = format!("http://{}", listener.local_addr().map_err(doing("the socket has no address"))?);
    eprintln!("listening on {url}");
    print_setup(database, &url);
    let service = http::Service::new(Arc::clone(database), limits);
    let stopped = http::serve(listener, service, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
    .await;
    match stopped.cut_off_connections {
        0 => tracing::info!("stopped"),
        cut_off => tracing::warn!(cut_off, "stopped; answers that did not end in time were cut off"),
    }
    Ok(())
}

/// A fresh directory can do nothing before its setup: says how.
fn print_setup(database: &Database, url: &str) {
    match database.catalog().is_onboarding() {
        Ok(false) => {}
        Ok(true) if database.mode() == Mode::ReadOnly => {
            eprintln!("this directory was never set up, and it is served read-only");
        }
        Ok(true) => eprintln!(
            "this server waits for its setup; the answer holds the operator token:\n  \
             curl {url}/api/v2/setup -d '{{\"username\":\"admin\",\"password\":\"choose-your-own\",\"org\":\"main\",\"bucket\":\"first\"}}'"
        ),
        Err(error) => tracing::error!(%error, "the metadata cannot be read"),
    }
}

/// Every TSM file keeps a descriptor; the usual soft limit of 1,024 is too low for a large directory.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_influxd_reads_them() {
        assert_eq!(bind_address(":8086").unwrap().to_string(), "0.0.0.0:8086");
        assert_eq!(bind_address("localhost:1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(bind_address("[::1]:0").unwrap().to_string(), "[::1]:0");
        for wrong in ["8086", "localhost", ":x", "127.0.0.1:99999"] {
            assert!(bind_address(wrong).is_err(), "{wrong}");
        }
    }
}
