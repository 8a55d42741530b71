//! A download that fails after its first byte is a broken transfer to every client, whatever the encoding: damage that is found
//! on the way, a file that somebody cuts short, and a server that is killed. Nothing is appended that could pass for data. (Disks
//! that fail are tested in `crates/http`.)
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use icecore_tests::fixture::FLEET;
use icecore_tests::icecore::Server;
use icecore_tests::peers;
use icecore_tests::process::Signal;
use tempfile::TempDir;

const ENCODINGS: [&str; 3] = ["identity", "gzip", "zstd"];
/// Files that are more together than the buffers of a socket on the loopback take.
const MANY: u32 = 15;

/// How a client ended: whether it took the body for whole, and what it said.
type Ended = (bool, String);

/// Starts a download, calls `meanwhile` when it has begun, and reads it to its end.
type Client = fn(&str, &str, &mut dyn FnMut()) -> Option<Ended>;

const CLIENTS: [(&str, Client); 5] = [
    ("curl", curl),
    ("Python", python),
    ("Node", node),
    ("Go", go),
    ("Go that unpacks by itself", go_by_itself),
];

/// A directory whose one shard has the first file of `fleet` again and again, so many files; the last one's path.
fn of_files(count: u32) -> (TempDir, PathBuf) {
    let dir = FLEET.unpack();
    let shard = dir.path().join("engine/data").join(FLEET.buckets[0]).join("autogen/1");
    let of = |generation: u32| shard.join(format!("{generation:09}-000000001.tsm"));
    for copy in 3..=count {
        fs::copy(of(1), of(copy)).unwrap();
    }
    (dir, of(count))
}

fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

fn url(server: &Server) -> String {
    format!("{}/api/v2/backup/shards/1", server.client().url())
}

fn curl(url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Option<Ended> {
    let mut command = Command::new(peers::curl()?);
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
    command.args(["--header", &format!("Accept-Encoding: {encoding}")]);
    command.args(["--header", &format!("Authorization: Token {}", FLEET.token), url]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // curl waits for whoever reads its output.
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 1000]).unwrap();
    meanwhile();
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        ended.status.success() || matches!(ended.status.code(), Some(18 | 56)),
        "{}: {said}",
        ended.status
    );
    Some((ended.status.success(), said))
}

fn python(url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Option<Ended> {
    Some(script(&peers::python3()?, "python/broken.py", url, encoding, meanwhile))
}

fn node(url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Option<Ended> {
    Some(script(&peers::node_alone()?, "node/broken.js", url, encoding, meanwhile))
}

fn go(url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Option<Ended> {
    Some(held(Command::new(peers::go()?).args([url, FLEET.token, encoding]), meanwhile))
}

/// The transport of Go asks for gzip and hides it.
fn go_by_itself(url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Option<Ended> {
    if encoding == "gzip" { go(url, "auto", meanwhile) } else { None }
}

fn script(program: &Path, script: &str, url: &str, encoding: &str, meanwhile: &mut dyn FnMut()) -> Ended {
    let mut command = Command::new(program);
    held(command.arg(peers::own(script)).args([url, FLEET.token, encoding]), meanwhile)
}

/// A program that says when it has begun, and goes on when it is told.
fn held(command: &mut Command, meanwhile: &mut dyn FnMut()) -> Ended {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "begun\n");
    meanwhile();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    output.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}: {said}");
    (status.success(), said)
}

#[test]
fn damage_that_is_found_on_the_way_breaks_the_transfer() {
    let (dir, last) = of_files(3);
    // The head leaves at once: nothing is checked before.
    let at_once = ["--backup-check-max", "0"];
    let server = Server::start_with(dir.path(), &at_once);
    for (name, client) in CLIENTS {
        for encoding in ENCODINGS {
            let Some((is_whole, said)) = client(&url(&server), encoding, &mut || {}) else { continue };
            assert!(is_whole, "a sound download by {name} as {encoding}: {said}");
        }
    }
    server.stop();
    damage(&last);
    for (name, client) in CLIENTS {
        for encoding in ENCODINGS {
            // A process knows damage that it has found, and refuses.
            let server = Server::start_with(dir.path(), &at_once);
            let Some((is_whole, said)) = client(&url(&server), encoding, &mut || {}) else { continue };
            assert!(!is_whole, "{name} takes a damaged download as {encoding} for whole: {said}");
            let again = server.client().with_token(FLEET.token).get("/api/v2/backup/shards/1");
            if again.status != 200 {
                assert_eq!(again.status, 500);
                assert!(again.text().contains("000000003-000000001.tsm"), "{}", again.text());
            }
            server.stop();
        }
    }
}

/// The map of a file that was cut short has pages that cannot be read. The system finds that when it copies them to the
/// socket, which is an error there; who touched them would be ended by a signal. Compressors read without a map.
#[test]
fn a_file_that_is_cut_short_breaks_the_transfer_and_ends_no_server() {
    let (dir, last) = of_files(MANY);
    let content = fs::read(&last).unwrap();
    for (name, client) in CLIENTS {
        for encoding in ENCODINGS {
            let server = Server::start(dir.path());
            // What was checked once is sent without another look.
            server.client().with_token(FLEET.token).body_of("/api/v2/backup/shards/1");
            let ended = client(&url(&server), encoding, &mut || cut_short(&last, content.len()));
            if let Some((is_whole, said)) = ended {
                assert!(!is_whole, "{name} takes a part of a download as {encoding} for whole: {said}");
            }
            assert_eq!(server.client().get("/health").status, 200);
            server.stop();
            fs::write(&last, &content).unwrap();
        }
    }
}

fn cut_short(file: &Path, len: usize) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len as u64 / 2).unwrap();
}

/// Whoever asks for a digest makes the server look at each byte.
#[test]
fn a_file_that_is_cut_short_is_reset_under_a_digest_and_to_old_clients() {
    let (dir, last) = of_files(MANY);
    let len = usize::try_from(fs::metadata(&last).unwrap().len()).unwrap();
    let server = Server::start(dir.path());
    let client = server.client().with_token(FLEET.token);
    client.body_of("/api/v2/backup/shards/1");
    for (version, te) in [("1.1", "TE: trailers\r\n"), ("1.0", "TE: trailers\r\n"), ("1.0", "")] {
        let mut stream = TcpStream::connect(client.address()).unwrap();
        let head =
            format!("GET /api/v2/backup/shards/1 HTTP/{version}\r\nHost: x\r\nConnection: close\r\n{te}");
        write!(stream, "{head}Authorization: Token {}\r\n\r\n", FLEET.token).unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        cut_short(&last, len);
        let ended = std::io::copy(&mut stream, &mut std::io::sink());
        assert_eq!(client.get("/health").status, 200);
        assert!(ended.is_err(), "HTTP/{version} {te}: reset, not closed");
    }
    server.stop();
}

#[test]
fn a_server_that_is_killed_breaks_the_transfer() {
    let (dir, _) = of_files(MANY);
    for (name, client) in CLIENTS {
        for encoding in ENCODINGS {
            let mut server = Some(Server::start(dir.path()));
            let url = url(server.as_ref().unwrap());
            let ended = client(&url, encoding, &mut || {
                server.take().unwrap().end_by(Signal::KILL);
            });
            let Some((is_whole, said)) = ended else { continue };
            assert!(!is_whole, "{name} takes half a download as {encoding} for whole: {said}");
        }
    }
}
