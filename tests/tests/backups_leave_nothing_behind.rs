//! After many backups, a third of them left by the client on the way, the server has no more open files, maps and threads than
//! before, and the directory no more names; of files with deletes those in the spool are known, bounded and whole.
//!
//! `ICECORE_BACKUPS` is how many.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use icecore_tests::fixture::{FLEET, Fixture, LAYERS};
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
fn leave_early(client: &Client, token: &str, path: &str, encoding: &str) {
    let mut stream = TcpStream::connect(client.address()).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {token}\r\nAccept-Encoding: {encoding}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
}

/// Backs a fixture up again and again. `names_may_be` is told the names that were there before and those that are.
fn back_up(fixture: &Fixture, flags: &[&str], names_may_be: impl Fn(&Path, &[String], &[String])) {
    let count = std::env::var("ICECORE_BACKUPS").map_or(36, |count| count.parse().unwrap());
    println!("ICECORE_BACKUPS={count}");
    let dir = fixture.unpack();
    let server = Server::start_with(dir.path(), flags);
    let client = server.client().with_token(fixture.token);
    let download = |nth: usize| {
        let (path, encoding) = (PATHS[nth / 3 % PATHS.len()], ENCODINGS[nth % ENCODINGS.len()]);
        if nth / 12 % 3 == 2 {
            leave_early(&client, fixture.token, path, encoding);
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
    names_may_be(dir.path(), &named, &names(dir.path()));
    server.stop();
    let left: Vec<_> = names(dir.path()).into_iter().filter(|name| name.contains(SPOOL)).collect();
    assert!(left.iter().all(|name| name.ends_with(SPOOL)), "{left:?}");
}

const SPOOL: &str = "engine/icecore.spool";

#[test]
fn many_backups_leave_no_file_map_thread_or_name() {
    back_up(&FLEET, &[], |_, before, after| assert_eq!(before, after));
}

#[test]
fn many_backups_of_files_with_deletes_leave_what_is_known() {
    back_up(&LAYERS, &[], |dir, before, after| {
        assert_eq!(before, after);
        let spooled: Vec<_> = after.iter().filter(|name| name.contains(SPOOL)).collect();
        assert_eq!(spooled.len(), 1 + WITH_DELETES, "the directory and each file once: {spooled:?}");
        assert!(spooled.iter().all(|name| !name.ends_with(".tmp")));
        assert!(dir.join(SPOOL).is_dir());
    });
}

/// Files of `layers` that have deletes.
const WITH_DELETES: usize = 5;

#[test]
fn many_backups_of_files_with_deletes_leave_no_more_than_there_is_room_for() {
    // For two or three of its five files, so that each backup has to give some up.
    let room = 45_000;
    back_up(&LAYERS, &["--backup-spool-max", &room.to_string()], |dir, _, after| {
        let is_spooled = |name: &&String| name.contains("icecore.spool/");
        let sizes = after.iter().filter(is_spooled).map(|name| fs::metadata(name).unwrap().len());
        let sizes: Vec<u64> = sizes.collect();
        assert!(!sizes.is_empty() && sizes.len() < WITH_DELETES, "{sizes:?}");
        assert!(sizes.iter().sum::<u64>() <= room, "{sizes:?}");
        assert!(after.iter().all(|name| !name.ends_with(".tmp")), "{}", dir.display());
    });
}
