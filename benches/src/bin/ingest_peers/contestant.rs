//! The servers.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use icecore_benches::load::{self, Load, Target};
use icecore_tests::http::Client;
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::influxql;
use icecore_tests::process::{Process, Signal, free_address};

use crate::Arguments;

const TOKEN: &str = "the-token-of-a-bench";
const BUCKET: &str = "first";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Icecore,
    VictoriaMetrics,
    Influxd,
}

/// A server that waits for requests.
pub(crate) enum Running {
    Icecore(Server),
    VictoriaMetrics(Process, Client),
    Influxd(Influxd),
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Icecore => "icecore serve, synced",
            Self::VictoriaMetrics => "VictoriaMetrics, not synced",
            Self::Influxd => "influxd 2.9, synced",
        }
    }

    /// Starts it over an empty directory, with a bucket.
    ///
    /// # Panics
    /// When it does not come up.
    pub(crate) fn start(self, arguments: &Arguments, dir: &Path) -> Running {
        let running = self.start_again(arguments, dir);
        match &running {
            Running::Icecore(server) => influxd2::set_up(server.client(), TOKEN),
            Running::Influxd(server) => influxd2::set_up(server.client(), TOKEN),
            Running::VictoriaMetrics(..) => {}
        }
        running
    }

    /// Starts it over what it left.
    ///
    /// # Panics
    /// When it does not come up.
    pub(crate) fn start_again(self, arguments: &Arguments, dir: &Path) -> Running {
        match self {
            Self::Icecore => Running::Icecore(Server::start(dir)),
            Self::VictoriaMetrics => victoria_metrics(&arguments.victoria_metrics, dir),
            Self::Influxd => {
                let influxd = arguments.influxd.as_deref().expect("it takes part only if it is there");
                Running::Influxd(Influxd::start(influxd, dir))
            }
        }
    }

    /// Compares all values of ours, which is stopped, with what was sent.
    ///
    /// # Panics
    /// When they differ.
    pub(crate) fn compare(self, load: &Load, dir: &Path) {
        if self != Self::Icecore {
            return;
        }
        assert_eq!(load::exported(dir, TOKEN, BUCKET), load.digest, "what icecore has, and what was sent");
    }
}

fn victoria_metrics(program: &Path, dir: &Path) -> Running {
    let client = Client::new(&free_address());
    let mut process = Process::spawn(
        Command::new(program)
            .args(["-retentionPeriod=100y", "-loggerLevel=ERROR", "-search.maxUniqueTimeseries=100000000"])
            .arg(format!("-httpListenAddr={}", client.address()))
            .arg(format!("-storageDataPath={}", dir.display())),
    );
    let is_up = |_: &str| {
        client.try_send("GET", "/health", &[], &[]).is_ok_and(|answer| answer.status == 200).then_some(())
    };
    match process.wait_until(is_up) {
        Some(()) => Running::VictoriaMetrics(process, client),
        None => panic!("VictoriaMetrics does not start:\n{}", process.log()),
    }
}

impl Running {
    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Icecore(server) => server.id(),
            Self::VictoriaMetrics(process, _) => process.id(),
            Self::Influxd(server) => server.id(),
        }
    }

    fn client(&self) -> &Client {
        match self {
            Self::Icecore(server) => server.client(),
            Self::VictoriaMetrics(_, client) => client,
            Self::Influxd(server) => server.client(),
        }
    }

    /// Where lines are written.
    pub(crate) fn target(&self) -> Target {
        let address = self.client().address().to_owned();
        match self {
            Self::VictoriaMetrics(..) => {
                Target { address, path: "/write".to_owned(), headers: String::new() }
            }
            Self::Icecore(_) | Self::Influxd(_) => Target {
                address,
                path: format!("/api/v2/write?org=main&bucket={BUCKET}"),
                headers: format!("Authorization: Token {TOKEN}\r\n"),
            },
        }
    }

    /// Asks a peer how many values it has.
    ///
    /// # Panics
    /// When they are not as many as were sent.
    pub(crate) fn count(&self, load: &Load) {
        let values: u64 = match self {
            Self::Icecore(_) => return, // which are compared
            Self::VictoriaMetrics(_, client) => {
                client.get("/internal/force_flush");
                let query = "sum(count_over_time({__name__=~%22cpu_.*%22}[1000d]))";
                let answer =
                    client.body_of(&format!("/api/v1/query?query={query}&time={}", load.end_s + 1000));
                let answer = String::from_utf8(answer).expect("JSON");
                // …"value":[1700000000,"20000000"]…
                let value = answer.rsplit_once(",\"").and_then(|(_, text)| text.split_once('"'));
                value.and_then(|(number, _)| number.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
            }
            Self::Influxd(server) => {
                let client = server.client().with_token(TOKEN);
                let rows = influxql::rows(&client, BUCKET, "SELECT COUNT(*) FROM cpu");
                let counts = rows.iter().flat_map(|row| row.iter().skip(1));
                counts.map(|count| count.parse::<u64>().expect("a count")).sum()
            }
        };
        assert_eq!(values, load.digest.values, "what a peer has, and what was sent");
    }

    /// Stops it gracefully.
    ///
    /// # Panics
    /// When it does not end with success.
    pub(crate) fn stop(self) {
        match self {
            Self::Icecore(server) => server.stop(),
            Self::Influxd(server) => server.stop(),
            Self::VictoriaMetrics(process, _) => drop(process.end_by(Signal::INT)),
        }
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(self) {
        match self {
            Self::Icecore(server) => drop(server.end_by(Signal::KILL)),
            Self::Influxd(server) => drop(server.end_by(Signal::KILL)),
            Self::VictoriaMetrics(process, _) => drop(process.end_by(Signal::KILL)),
        }
    }
}
