//! Servers as child processes: their log is collected, and none outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    /// Starts a program and collects what it prints.
    ///
    /// # Panics
    /// When it does not start.
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let readers =
            vec![collect(child.stdout.take().unwrap(), &log), collect(child.stderr.take().unwrap(), &log)];
        Self { child, log, readers }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until `ready` finds in the log what it looks for; `None` when the program ended before.
    ///
    /// # Panics
    /// When neither happens within a minute.
    pub fn wait_until<T>(&mut self, ready: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap().is_some();
            if ended {
                self.join_readers();
            }
            let found = ready(&self.log());
            if found.is_some() || ended {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "not ready; log:\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal and waits for the end. Gives how it ended and all that it printed.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn end_by(mut self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.wait()
    }

    /// Waits for the end. Gives how it ended and all that it printed.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn end(mut self) -> (ExitStatus, String) {
        self.wait()
    }

    fn wait(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join_readers();
                return (status, self.log());
            }
            assert!(start.elapsed() < PATIENCE, "it does not end; log:\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if std::thread::panicking() && !self.log().is_empty() {
            eprintln!("log of process {}:\n{}", self.child.id(), self.log());
        }
    }
}

fn collect(from: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap() > 0 {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// `127.0.0.1` with a port that was free a moment ago, for servers that cannot choose one and say so. Another process
/// may take it first: whoever starts a server on it tries again.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Runs a program to its end and gives what it wrote to standard output.
///
/// # Panics
/// When it fails; says what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    output.stdout
}
