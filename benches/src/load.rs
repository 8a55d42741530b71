//! Points that are written over HTTP: what is sent, the sending, and whether it is all there afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2;
use icecore_tests::process::run;

use crate::digest::Digest;

/// Longer than any request takes.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Requests, and what they say.
#[derive(Debug)]
pub struct Load {
    /// Bodies.
    pub requests: Vec<Vec<u8>>,
    /// Of all of them.
    pub digest: Digest,
    /// Behind the last point.
    pub end_s: u64,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// Path and query.
    pub path: String,
    /// More of the head: lines with their ends.
    pub headers: String,
}

const START_S: u64 = 1_700_000_000;
const STEP_S: u64 = 10;

impl Load {
    /// The lines of `icecore gen`, so many a request.
    ///
    /// # Panics
    /// When it fails.
    pub fn generate(series: u64, points: u64, fields: u64, lines: usize) -> Self {
        let mut command = Command::new(icecore::binary());
        command.arg("gen");
        for (flag, number) in [
            ("--series", series),
            ("--points", points),
            ("--fields", fields),
            ("--start", START_S * 1_000_000_000),
            ("--step", STEP_S * 1_000_000_000),
        ] {
            command.args([flag, &number.to_string()]);
        }
        let text = run(&mut command);
        let mut digest = Digest::default();
        digest.add(&text);
        assert_eq!(digest.values, series * points * fields, "what icecore gen was asked for");
        let all: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let requests = all.chunks(lines).map(|lines| lines.concat()).collect();
        Self { requests, digest, end_s: START_S + points * STEP_S }
    }

    /// Of all bodies.
    pub fn bytes(&self) -> usize {
        self.requests.iter().map(Vec::len).sum()
    }

    /// Sends all requests, each once, on so many connections; returns the seconds until the last was answered.
    ///
    /// # Panics
    /// When one is not answered with 204.
    pub fn send(&self, target: &Target, connections: usize) -> f64 {
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    let mut connection = Connection::open(target);
                    while let Some(request) = self.requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        connection.send(target, request);
                    }
                });
            }
        });
        start.elapsed().as_secs_f64()
    }
}

/// A connection that stays.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn open(target: &Target) -> Self {
        let stream = TcpStream::connect(&target.address).expect("a server that is up");
        stream.set_nodelay(true).expect("an option that every socket has");
        stream.set_read_timeout(Some(TIMEOUT)).expect("an option that every socket has");
        Self(BufReader::new(stream))
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Panics
    /// When that is not 204.
    pub fn send(&mut self, target: &Target, body: &[u8]) {
        let Target { address, path, headers } = target;
        let len = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {len}\r\n\r\n");
        let stream = self.0.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("a server that reads");
        let (status, len) = self.head();
        let mut answer = vec![0; len];
        self.0.read_exact(&mut answer).expect("a whole answer");
        assert!(status.contains(" 204 "), "{status}: {}", String::from_utf8_lossy(&answer));
    }

    /// The first line of an answer, and the length of its body.
    fn head(&mut self) -> (String, usize) {
        let mut line = |what| {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect(what) > 0, "{what}");
            line
        };
        let (status, mut len) = (line("an answer"), 0);
        loop {
            let header = line("the end of a head").to_ascii_lowercase();
            match header.trim_end().split_once(": ") {
                None => return (status, len),
                Some(("content-length", text)) => len = text.parse().expect("a length"),
                Some(_) => {}
            }
        }
    }
}

/// What `icecore export` finds of a bucket in a directory that no server holds.
///
/// # Panics
/// When it fails.
pub fn exported(dir: &Path, token: &str, bucket: &str) -> Digest {
    let server = Server::start_with(dir, &["--read-only"]);
    let id = influxd2::bucket_ids(&server.client().with_token(token)).remove(bucket).expect("the bucket");
    server.stop();
    let mut export = Command::new(icecore::binary());
    export.args(["export", "--bucket-id", &id, "--format", "lp", "--output", "-", "--data-dir"]).arg(dir);
    let mut child = export.stdout(Stdio::piped()).spawn().expect("a program that was built");
    let lines = BufReader::with_capacity(1 << 20, child.stdout.take().expect("a pipe"));
    let found = Digest::read(lines).expect("a pipe can be read");
    assert!(child.wait().is_ok_and(|status| status.success()), "icecore export fails");
    found
}
