//! The servers, each over bytes that are the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use icecore_testkit::fixtures::OPERATOR_TOKEN;
use icecore_tests::http::Client;
use icecore_tests::icecore;
use icecore_tests::influxd2::{Cli, Influxd};
use icecore_tests::process::{Process, Signal, free_address};
use icecore_tests::tree;
use tempfile::TempDir;

use crate::download::Request;
use crate::history::History;

/// A server that waits for requests.
#[derive(Debug)]
pub enum Server {
    /// `icecore serve`.
    Icecore(icecore::Server),
    /// influxd 2.9.
    Influxd(Influxd),
    /// nginx, or our bare loop, which serve `SHARD.tar` out of a directory; where they listen; what is removed with them.
    Files(Process, String, Option<TempDir>),
}

impl Server {
    /// `icecore serve`, which has sent nothing yet.
    pub fn icecore(dir: &Path) -> Self {
        Self::icecore_with(dir, &[])
    }

    /// The same with more flags.
    pub fn icecore_with(dir: &Path, flags: &[&str]) -> Self {
        Self::Icecore(icecore::Server::start_with(dir, flags))
    }

    /// influxd over a copy of the directory.
    pub fn influxd(influxd: &Path, copy: &Path) -> Self {
        Self::Influxd(Influxd::start(influxd, copy))
    }

    /// nginx with `sendfile`, in one process.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn nginx(nginx: &Path, files: &Path) -> Self {
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

    /// This program again, if it is `backup_peers`, as the bare loop of it.
    ///
    /// `way`: how it sends them.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn bare(files: &Path, way: &str) -> Self {
        let own = std::env::current_exe().expect("a program that runs");
        let mut process =
            Process::spawn(Command::new(own).arg("--bare-loop").arg(files).args(["--way", way]));
        let address = process.wait_until(|log| log.split_once('\n').map(|(line, _)| line.to_owned()));
        let address = address.unwrap_or_else(|| panic!("the bare loop ended:\n{}", process.log()));
        Self::Files(process, address, None)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        match self {
            Self::Icecore(server) => server.id(),
            Self::Influxd(server) => server.id(),
            Self::Files(process, ..) => process.id(),
        }
    }

    /// A client of its API, without credentials.
    ///
    /// # Panics
    /// When it has none.
    pub fn client(&self) -> &Client {
        match self {
            Self::Icecore(server) => server.client(),
            Self::Influxd(server) => server.client(),
            Self::Files(..) => panic!("a server of files has no API"),
        }
    }

    /// How it is asked for a shard.
    pub fn request(&self, shard: u64, headers: &str) -> Request {
        if let Self::Files(_, address, _) = self {
            let (address, target) = (address.clone(), format!("/{shard}.tar"));
            return Request { address, target, headers: headers.to_owned() };
        }
        Request {
            address: self.client().address().to_owned(),
            target: format!("/api/v2/backup/shards/{shard}"),
            headers: format!("Authorization: Token {OPERATOR_TOKEN}\r\n{headers}"),
        }
    }

    /// A CLI that talks to it.
    pub fn cli(&self, influx: &Path) -> Option<Cli> {
        let is_files = matches!(self, Self::Files(..));
        (!is_files).then(|| Cli::new(influx, self.client(), OPERATOR_TOKEN))
    }

    /// Ends it.
    pub fn stop(self) {
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
pub fn copy(history: &History) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    tree::copy(history.dir.path(), copy.path());
    copy
}
