//! After many backups, a third of them left by the client on the way, the server has no more open files, maps and threads than
//! before, and the directory no more names.
//!
//! `ICECORE_BACKUPS` is how many.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use icecore_tests::fixture::FLEET;
use icecore_tests::http::Client;
use icecore_tests::icecore::Server;

const ENCODINGS: [&str; 3] = ["identity", "gzip", "zstd"];
const PATHS: [&str; 4] = [
    "/api/v2/backup/shards/1",
    "/api/v2/backup/shards/1?cut=new",
    "/api/v2/backup/metadata",
    "/api/v2/backup/metadata?cut=new",
];
/// Threads that nothing was given to for ten seconds end.
const SETTLES_WITHIN: Duration = Duration::from_secs(40);

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    files: usize,
    /// Of files of the data directory.
    maps: usize,
    threads: usize,
}

impl Held {
    fn by(server: &Server, dir: &Path) -> Self {
        let process = format!("/proc/{}", server.id());
        let count = |name: &str| fs::read_dir(format!("{process}/{name}")).unwrap().count();
        let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
        let dir = dir.to_str().unwrap();
        Self {
            files: count("fd"),
            maps: maps.lines().filter(|line| line.contains(dir)).count(),
            threads: count("task"),
        }
    }

    fn is_at_most(self, other: Self) -> bool {
        self.files <= other.files && self.maps <= other.maps && self.threads <= other.threads
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(self::names(&path));
        }
    }
    names.sort();
    names
}

/// Asks for a download, reads its begin and goes.
fn leave_early(client: &Client, path: &str, encoding: &str) {
    let mut stream = TcpStream::connect(client.address()).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {}\r\nAccept-Encoding: {encoding}\r\n\r\n",
        FLEET.token
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
}

#[test]
fn many_backups_leave_no_file_map_thread_or_name() {
    let count = std::env::var("ICECORE_BACKUPS").map_or(36, |count| count.parse().unwrap());
    println!("ICECORE_BACKUPS={count}");
    let dir = FLEET.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(FLEET.token);
    let download = |nth: usize| {
        let (path, encoding) = (PATHS[nth / 3 % PATHS.len()], ENCODINGS[nth % ENCODINGS.len()]);
        if nth / 12 % 3 == 2 {
            leave_early(&client, path, encoding);
        } else {
            let level = ("Gzip-Compression-Level", "speedy");
            let answer = client.send("GET", path, &[("Accept-Encoding", encoding), level], &[]);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    };
    (0..12).for_each(download);
    thread::sleep(Duration::from_secs(1));
    let (held, named) = (Held::by(&server, dir.path()), names(dir.path()));
    (0..count).for_each(download);
    let mut now = Held::by(&server, dir.path());
    for _ in 0..SETTLES_WITHIN.as_secs() {
        if now.is_at_most(held) {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        now = Held::by(&server, dir.path());
    }
    assert!(now.is_at_most(held), "{now:?}, and before {held:?}");
    assert_eq!(names(dir.path()), named);
    server.stop();
}
