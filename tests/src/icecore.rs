//! The command under test, as a process.
//!
//! It is built once for each test binary with the cargo that runs the test, in the same profile and target directory;
//! when nothing changed that takes a moment.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use crate::http::Client;
use crate::process::{Process, Signal, run};

/// The program.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

/// A test binary lies in `<target>/<profile>/deps`, a program in `<target>/<profile>`.
fn build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let dir = own.parent().unwrap();
    let profile_dir = if dir.ends_with("deps") { dir.parent().unwrap() } else { dir };
    let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "icecore", "--bin", "icecore", "--profile", profile])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    profile_dir.join("icecore")
}

/// The program with what it takes from the environment removed.
fn command() -> Command {
    let mut command = Command::new(binary());
    for name in ["ENGINE_PATH", "BOLT_PATH", "SQLITE_PATH", "HTTP_BIND_ADDRESS", "USE_HASHED_TOKENS"] {
        command.env_remove(format!("INFLUXD_{name}"));
    }
    command
}

/// `icecore serve` over a directory.
#[derive(Debug)]
pub struct Server {
    process: Process,
    client: Client,
}

impl Server {
    /// Serves `dir`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// Serves `dir` with more flags.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(dir: &Path, flags: &[&str]) -> Self {
        let mut process = spawn(dir, flags);
        let address = process.wait_until(|log| {
            let (_, rest) = log.split_once("listening on http://")?;
            rest.split_once('\n').map(|(address, _)| address.to_owned())
        });
        let address = address.unwrap_or_else(|| panic!("it ended:\n{}", process.log()));
        Self { client: Client::new(&address), process }
    }

    /// A client without credentials.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it by `signal`; gives how it ended and its log.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_by(self, signal: Signal) -> (ExitStatus, String) {
        self.process.end_by(signal)
    }

    /// Stops it gracefully.
    ///
    /// # Panics
    /// When it does not end with success.
    pub fn stop(self) {
        let (status, log) = self.end_by(Signal::TERM);
        assert!(status.success(), "{status}\n{log}");
    }
}

/// How `icecore serve` over a directory that it refuses ends, and what it says.
///
/// # Panics
/// When it starts to serve.
pub fn refusal_to_serve(dir: &Path, flags: &[&str]) -> (ExitStatus, String) {
    let mut process = spawn(dir, flags);
    let started = process.wait_until(|log| log.contains("listening on").then_some(()));
    assert!(started.is_none(), "it serves {}", dir.display());
    process.end()
}

/// `icecore serve` that may not listen yet.
///
/// # Panics
/// When the program cannot be started.
pub fn spawn(dir: &Path, flags: &[&str]) -> Process {
    Process::spawn(
        command().args(["serve", "--http-bind-address", "127.0.0.1:0", "--data-dir"]).arg(dir).args(flags),
    )
}

/// `icecore export` of a bucket to standard output, however it ends.
///
/// # Panics
/// When the program cannot be started.
pub fn try_export(dir: &Path, bucket_id: &str, format: &str) -> Output {
    command()
        .args(["export", "--bucket-id", bucket_id, "--format", format, "--output", "-", "--data-dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `icecore export` prints.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn export(dir: &Path, bucket_id: &str, format: &str) -> String {
    let output = try_export(dir, bucket_id, format);
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `icecore COMMAND --data-dir DIR ARGUMENTS`, however it ends.
///
/// # Panics
/// When the program cannot be started.
pub fn try_run(name: &str, dir: &Path, arguments: &[&str]) -> Output {
    command().args([name, "--data-dir"]).arg(dir).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What `icecore COMMAND` over a directory prints.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn run_on(name: &str, dir: &Path, arguments: &[&str]) -> String {
    let output = try_run(name, dir, arguments);
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `icecore verify` says of a directory or an archive.
///
/// # Panics
/// When it finds damage.
#[track_caller]
pub fn verify(path: &Path) -> String {
    let output = command().arg("verify").arg(path).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
