//! The servers, each over bytes that are the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use icecore_benches::history::History;
use icecore_testkit::fixtures::OPERATOR_TOKEN;
use icecore_tests::icecore;
use icecore_tests::influxd2::{Cli, Influxd};
use icecore_tests::process::{Process, Signal, free_address};
use icecore_tests::tree;
use tempfile::TempDir;

use crate::download::Request;

/// A server that waits for requests.
pub(crate) enum Server {
    Icecore(icecore::Server),
    Influxd(Influxd),
    /// nginx, or our bare loop: they serve `SHARD.tar` out of a directory.
    Files(Process, String, #[expect(dead_code, reason = "removed when it is dropped")] Option<TempDir>),
}

impl Server {
    /// `icecore serve`, which has sent nothing yet.
    pub(crate) fn icecore(dir: &Path) -> Self {
        Self::Icecore(icecore::Server::start(dir))
    }

    /// influxd over a copy of the directory.
    pub(crate) fn influxd(influxd: &Path, copy: &Path) -> Self {
        Self::Influxd(Influxd::start(influxd, copy))
    }

    /// nginx with `sendfile`, in one process.
    ///
    /// # Panics
    /// When it does not come up.
    pub(crate) fn nginx(nginx: &Path, files: &Path) -> Self {
        let address = free_address();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = files.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", dir.path().join(name).display()))
            .concat();
        let text = format!(
            "daemon off; master_process off; error_log stderr; pid {};\nevents {{}}\nhttp {{ access_log off; \
             sendfile on; tcp_nopush on; {temporary} server {{ listen {address}; root {root}; }} }}\n",
            dir.path().join("pid").display()
        );
        let config = dir.path().join("nginx.conf");
        fs::write(&config, text).expect("a temporary directory takes files");
        let mut command = Command::new(nginx);
        command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&config);
        let mut process = Process::spawn(&mut command);
        let is_up = |_: &str| std::net::TcpStream::connect(&address).is_ok().then_some(());
        assert!(process.wait_until(is_up).is_some(), "nginx does not start:\n{}", process.log());
        Self::Files(process, address, Some(dir))
    }

    /// This program again, as the loop of [`crate::bare`].
    ///
    /// # Panics
    /// When it does not come up.
    pub(crate) fn bare(files: &Path) -> Self {
        let own = std::env::current_exe().expect("a program that runs");
        let mut process = Process::spawn(Command::new(own).arg("--bare-loop").arg(files));
        let address = process.wait_until(|log| log.split_once('\n').map(|(line, _)| line.to_owned()));
        let address = address.unwrap_or_else(|| panic!("the bare loop ended:\n{}", process.log()));
        Self::Files(process, address, None)
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Icecore(server) => server.id(),
            Self::Influxd(server) => server.id(),
            Self::Files(process, ..) => process.id(),
        }
    }

    /// How it is asked for a shard.
    pub(crate) fn request(&self, shard: u64, headers: &str) -> Request {
        let client = match self {
            Self::Icecore(server) => server.client(),
            Self::Influxd(server) => server.client(),
            Self::Files(_, address, _) => {
                return Request {
                    address: address.clone(),
                    target: format!("/{shard}.tar"),
                    headers: headers.to_owned(),
                };
            }
        };
        Request {
            address: client.address().to_owned(),
            target: format!("/api/v2/backup/shards/{shard}"),
            headers: format!("Authorization: Token {OPERATOR_TOKEN}\r\n{headers}"),
        }
    }

    /// A CLI that talks to it.
    pub(crate) fn cli(&self, influx: &Path) -> Option<Cli> {
        match self {
            Self::Icecore(server) => Some(Cli::new(influx, server.client(), OPERATOR_TOKEN)),
            Self::Influxd(server) => Some(Cli::new(influx, server.client(), OPERATOR_TOKEN)),
            Self::Files(..) => None,
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        match self {
            Self::Icecore(server) => server.stop(),
            Self::Influxd(server) => server.stop(),
            Self::Files(process, ..) => drop(process.end_by(Signal::KILL)),
        }
    }
}

/// The directory once more, for a server that writes to it.
///
/// # Panics
/// When there is no room.
pub(crate) fn copy(history: &History) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    tree::copy(history.dir.path(), copy.path());
    copy
}
