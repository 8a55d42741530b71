//! A download that broke off anywhere goes on where it stopped, or says that it cannot; two states are never mixed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use icecore_testkit::Random;
use icecore_tests::fixture::{self, FLEET};
use icecore_tests::http::{Answer, Client};
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::{bucket_ids, set_up};
use icecore_tests::manifest::Bucket;
use icecore_tests::workload::{MONDAY_NS, Workload};
use icecore_tests::{archive, multipart, peers};

const TOKEN: &str = "an-operator-token-of-tests";
const SHARD: &str = "/api/v2/backup/shards/1";
/// What curl ends with when a server sends the whole and not the rest.
const CURL_CANNOT_RESUME: i32 = 33;

/// Of `ICECORE_SEED`, or of the time; printed, so that a failure can be made again.
fn random() -> Random {
    let given = std::env::var("ICECORE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    println!("seed {seed}");
    Random::new(seed)
}

fn fleet() -> (tempfile::TempDir, Server, Client) {
    let dir = FLEET.unpack();
    let server = Server::start(dir.path());
    let client = server.client().with_token(FLEET.token);
    (dir, server, client)
}

/// A server with points of one shard, more of which are written all the time until this is dropped.
struct Written {
    _dir: tempfile::TempDir,
    server: Server,
    client: Client,
    shard: u64,
}

impl Written {
    fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), flags);
        set_up(server.client(), TOKEN);
        let client = server.client().with_token(TOKEN);
        client.write("main", "first", &Workload::new(1).lines(MONDAY_NS, 20_000));
        let shard = shards(&client)[0];
        Self { _dir: dir, server, client, shard }
    }

    /// Does something while points are written and the shard changes with them.
    fn while_written<T>(&self, work: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut workload = Workload::new(2);
                while !over.load(Ordering::Relaxed) {
                    self.client.write("main", "first", &workload.lines(MONDAY_NS, 500));
                    // Each download of the state of now makes a file of what was written.
                    self.client.get(&self.path());
                }
            });
            let end = End(&over);
            let done = work();
            drop(end);
            done
        })
    }

    fn path(&self) -> String {
        format!("/api/v2/backup/shards/{}", self.shard)
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn shards(client: &Client) -> Vec<u64> {
    let bucket_id = bucket_ids(client)["first"].clone();
    let buckets = fixture::manifest(client);
    buckets
        .iter()
        .filter(|bucket| bucket.id == bucket_id)
        .flat_map(Bucket::shards)
        .map(|shard| shard.id)
        .collect()
}

fn part(client: &Client, target: &str, from: usize, if_range: Option<&str>) -> Answer {
    let range = format!("bytes={from}-");
    let headers = [("Range", &*range)].into_iter().chain(if_range.map(|tag| ("If-Range", tag)));
    client.send("GET", target, &headers.collect::<Vec<_>>(), &[])
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", answer.headers))
}

fn assert_is_rest(answer: &Answer, whole: &[u8], from: usize) {
    assert_eq!(answer.status, 206, "{}", answer.text());
    assert_eq!(header(answer, "Content-Range"), format!("bytes {from}-{}/{}", whole.len() - 1, whole.len()));
    assert!(answer.body == whole[from..], "the rest from {from} on");
}

#[test]
fn with_if_range_the_rest_of_the_same_bytes_comes() {
    let mut random = random();
    for fixture in [FLEET, fixture::LAYERS, fixture::KITCHEN_SINK] {
        let dir = fixture.unpack();
        let mut server = Server::start(dir.path());
        let mut client = server.client().with_token(fixture.token);
        let whole = client.get(SHARD);
        let tag = header(&whole, "ETag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
        assert_eq!(header(&whole, "Accept-Ranges"), "bytes");
        let len = whole.body.len();
        let edges = [0, 1, 511, 512, 513, len - 1025, len - 1024, len - 1];
        for from in edges.into_iter().chain((0..20).map(|_| random.below(len))) {
            assert_is_rest(&part(&client, SHARD, from, Some(&tag)), &whole.body, from);
        }
        // Also by a server that was started since.
        server.stop();
        server = Server::start(dir.path());
        client = server.client().with_token(fixture.token);
        let from = random.below(len);
        assert_is_rest(&part(&client, SHARD, from, Some(&tag)), &whole.body, from);
        server.stop();
    }
}

#[test]
fn a_range_in_the_middle_is_sent_and_one_behind_the_end_is_refused() {
    let (_dir, server, client) = fleet();
    let whole = client.get(SHARD);
    let (tag, len) = (header(&whole, "ETag"), whole.body.len());
    let range = |range: &str| client.send("GET", SHARD, &[("Range", range), ("If-Range", tag)], &[]);
    let middle = range("bytes=1000-4999999");
    assert_eq!((middle.status, header(&middle, "ETag")), (206, tag));
    assert_eq!(header(&middle, "Content-Range"), format!("bytes 1000-4999999/{len}"));
    assert!(middle.body == whole.body[1000..5_000_000]);
    let last = range("bytes=-1500");
    assert!(last.body == whole.body[len - 1500..]);
    let behind = range(&format!("bytes={len}-"));
    assert_eq!((behind.status, header(&behind, "Content-Range")), (416, &*format!("bytes */{len}")));
    for of_the_whole in ["bytes=0-1,4-5", "bytes=5-4", "bits=0-1"] {
        let answer = range(of_the_whole);
        assert_eq!((answer.status, answer.header("Content-Range")), (200, None), "{of_the_whole}");
        assert!(answer.body == whole.body);
    }
    server.stop();
}

#[test]
fn compressed_answers_have_no_tag_and_no_parts() {
    let (_dir, server, client) = fleet();
    let tag = header(&client.get(SHARD), "ETag").to_owned();
    let headers = [
        ("Accept-Encoding", "gzip"),
        ("Gzip-Compression-Level", "speedy"),
        ("Range", "bytes=5-"),
        ("If-Range", &*tag),
    ];
    let answer = client.send("GET", SHARD, &headers, &[]);
    assert_eq!((answer.status, answer.header("ETag"), answer.header("Accept-Ranges")), (200, None, None));
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    server.stop();
}

#[test]
fn who_has_the_state_gets_304_and_who_has_another_gets_it_or_a_refusal() {
    let written = Written::start(&[]);
    let (client, path) = (&written.client, written.path());
    let whole = client.get(&path);
    let (tag, cut) = (header(&whole, "ETag"), header(&whole, "Icecore-Cut"));
    let ask = |headers: &[(&str, &str)]| client.send("GET", &path, headers, &[]);
    let (weak, list) = (format!("W/{tag}"), format!("\"0\", {tag}"));
    for known in [tag, &weak, &list, "*"] {
        let answer = ask(&[("If-None-Match", known), ("Range", "bytes=5-"), ("If-Range", tag)]);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!((header(&answer, "ETag"), header(&answer, "Icecore-Cut")), (tag, cut));
        assert_eq!(header(&answer, "Vary"), "Accept-Encoding");
        // Nothing that would be taken for the length of the body that the client has.
        assert_eq!((answer.header("Content-Length"), answer.header("Content-Type")), (None, None));
    }
    assert!(ask(&[("If-None-Match", "\"0\"")]).body == whole.body);
    for mine in [tag, &list, "*"] {
        assert!(ask(&[("If-Match", mine)]).body == whole.body, "{mine}");
    }
    assert_is_rest(&ask(&[("If-Match", tag), ("Range", "bytes=700-")]), &whole.body, 700);
    assert_eq!(ask(&[("If-Match", "*"), ("Range", "bytes=700-")]).status, 200, "any version is none");
    for other in ["\"0\"", &weak] {
        let answer = ask(&[("If-Match", other), ("If-None-Match", tag), ("Range", "bytes=700-")]);
        assert_eq!((answer.status, header(&answer, "X-Platform-Error-Code")), (412, "invalid"), "{other}");
        assert!(answer.text().contains(&tag[1..33]), "{}", answer.text());
    }
    // What is compressed has no tag: it is never known by one, and nobody goes on with it.
    let gzip = ("Accept-Encoding", "gzip");
    assert_eq!(ask(&[gzip, ("If-None-Match", tag)]).decoded(), whole.body);
    assert_eq!(ask(&[gzip, ("If-Match", tag)]).status, 412);
    assert_eq!(ask(&[gzip, ("If-None-Match", "*")]).header("ETag"), None);
    // Other answers than 200 come first.
    let conditions = [("If-None-Match", "*"), ("If-Match", "\"0\"")];
    for (target, status) in [("/api/v2/backup/shards/99", 404), ("/api/v2/backup/shards/x", 400)] {
        assert_eq!(client.send("GET", target, &conditions, &[]).status, status);
    }
    assert_eq!(written.server.client().send("GET", &path, &conditions, &[]).status, 401);

    client.write("main", "first", &format!("late v=1 {MONDAY_NS}"));
    assert_eq!(ask(&[("If-Match", tag)]).status, 412);
    let after = ask(&[("If-None-Match", tag)]);
    assert!(after.status == 200 && header(&after, "ETag") != tag && after.body == client.body_of(&path));
    written.server.stop();
}

#[test]
fn curl_downloads_a_state_once() {
    let (_dir, server, client) = fleet();
    let dir = tempfile::tempdir().unwrap();
    let (file, tag) = (dir.path().join("shard.tar"), dir.path().join("tag"));
    let (url, tag) = (format!("{}{SHARD}", client.url()), tag.to_str().unwrap());
    let arguments =
        ["--etag-save", tag, "--etag-compare", tag, "--write-out", "%{http_code} %{size_download}"];
    let whole = client.get(SHARD).body;
    for expected in [format!("200 {}", whole.len()), "304 0".to_owned(), "304 0".to_owned()] {
        let Some(output) = curl(&url, FLEET.token, &file, &arguments) else { return };
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert!(fs::read(&file).unwrap() == whole);
    }
    server.stop();
}

#[test]
fn after_a_change_if_range_gets_the_whole_of_the_new_state() {
    let written = Written::start(&[]);
    let path = written.path();
    let before = written.client.get(&path);
    let tag = header(&before, "ETag");
    assert_is_rest(&part(&written.client, &path, 5000, Some(tag)), &before.body, 5000);
    written.client.write("main", "first", &format!("late v=1 {MONDAY_NS}"));
    let after = part(&written.client, &path, 5000, Some(tag));
    assert_eq!((after.status, after.header("Content-Range")), (200, None));
    assert_ne!(header(&after, "ETag"), tag);
    assert!(after.body.len() > before.body.len() && after.body == written.client.body_of(&path));
    written.server.stop();
}

fn curl(url: &str, token: &str, to: &Path, arguments: &[&str]) -> Option<Output> {
    let curl = peers::curl()?;
    let mut command = Command::new(curl);
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--header"]);
    command.arg(format!("Authorization: Token {token}")).args(arguments).arg("--output").arg(to).arg(url);
    Some(command.output().unwrap())
}

#[test]
fn curl_goes_on_with_a_cut_under_constant_writes() {
    let mut random = random();
    let written = Written::start(&[]);
    let (client, dir) = (&written.client, tempfile::tempdir().unwrap());
    let file = dir.path().join("shard.tar");
    written.while_written(|| {
        for round in 0..8 {
            let first = client.get(&format!("{}?cut=new", written.path()));
            let url = format!("{}{}?cut={}", client.url(), written.path(), header(&first, "Icecore-Cut"));
            fs::write(&file, &first.body[..random.below(first.body.len())]).unwrap();
            let Some(output) = curl(&url, TOKEN, &file, &["--continue-at", "-"]) else { return };
            assert!(output.status.success(), "round {round}: {output:?}");
            assert!(fs::read(&file).unwrap() == first.body, "round {round}");
            archive::files(&first.body, &bucket_ids(client)["first"], written.shard);
        }
    });
    written.server.stop();
}

/// Between a client and a server: each connection of `lens` is cut off after so many bytes of the answer, later ones are not.
fn cutting_proxy(server: &str, lens: Vec<usize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.to_owned());
    thread::spawn(move || {
        for len in lens.into_iter().chain(std::iter::repeat(usize::MAX)) {
            let (mut client, _) = listener.accept().unwrap();
            let mut answering = TcpStream::connect(&server).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            answering.write_all(&request).unwrap();
            // A client that has all, or that we cut off.
            let _ = std::io::copy(&mut answering.take(len as u64), &mut client);
        }
    });
    address
}

#[test]
fn curl_that_was_cut_off_goes_on_with_a_cut() {
    let mut random = random();
    let (_dir, server, client) = fleet();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shard.tar");
    let whole = client.get(&format!("{SHARD}?cut=new"));
    let lens: Vec<usize> = (0..6).map(|_| 1000 + random.below(whole.body.len() / 5)).collect();
    let proxy = cutting_proxy(client.address(), lens.clone());
    let url = format!("http://{proxy}{SHARD}?cut={}", header(&whole, "Icecore-Cut"));
    for len in lens {
        let Some(output) = curl(&url, FLEET.token, &file, &["--continue-at", "-"]) else { return };
        assert!(!output.status.success(), "cut off after {len} bytes: {output:?}");
    }
    let arrived = fs::metadata(&file).unwrap().len();
    assert!(arrived > 0 && arrived < whole.body.len() as u64, "{arrived}");
    let output = curl(&url, FLEET.token, &file, &["--continue-at", "-"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(&file).unwrap() == whole.body);
    server.stop();
}

#[test]
fn curl_without_a_cut_does_not_go_on_and_changes_nothing() {
    let (_dir, server, client) = fleet();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shard.tar");
    let whole = client.body_of(SHARD);
    fs::write(&file, &whole[..5000]).unwrap();
    if let Some(output) =
        curl(&format!("{}{SHARD}", client.url()), FLEET.token, &file, &["--continue-at", "-"])
    {
        assert_eq!(output.status.code(), Some(CURL_CANNOT_RESUME), "{output:?}");
        assert!(fs::read(&file).unwrap() == whole[..5000]);
    }
    server.stop();
}

#[test]
fn a_cut_of_the_metadata_has_all_shards_of_its_moment() {
    let written = Written::start(&[]);
    let client = &written.client;
    // A second shard.
    client.write("main", "first", &format!("m v=1 {}", MONDAY_NS - 1));
    let metadata = client.get("/api/v2/backup/metadata?cut=new");
    assert!(!multipart::content(&multipart::parts(&metadata), "buckets").is_empty());
    let cut = header(&metadata, "Icecore-Cut").to_owned();
    assert_eq!(header(&metadata, "Icecore-Lease"), "900");
    let path = |shard: u64| format!("/api/v2/backup/shards/{shard}?cut={cut}");
    let ids = shards(client);
    assert_eq!(ids.len(), 2);
    let then: Vec<_> = ids.iter().map(|id| client.get(&path(*id))).collect();
    client.write("main", "first", &format!("late v=1 {MONDAY_NS}\nlate v=1 {}", MONDAY_NS - 1));
    written.while_written(|| {
        for (id, then) in ids.iter().zip(&then) {
            let again = client.get(&path(*id));
            assert!(again.body == then.body, "shard {id} as it was");
            assert_eq!(header(&again, "ETag"), header(then, "ETag"));
            let from = then.body.len() / 2;
            assert_is_rest(&part(client, &path(*id), from, None), &then.body, from);
        }
    });
    for (id, then) in ids.iter().zip(&then) {
        assert!(client.body_of(&format!("/api/v2/backup/shards/{id}")) != then.body, "shard {id} goes on");
    }
    // A shard that was made later is not in it.
    client.write("main", "first", &format!("m v=1 {}", MONDAY_NS + 30 * 86_400_000_000_000));
    let new = shards(client).into_iter().find(|id| !ids.contains(id)).unwrap();
    assert_eq!(client.get(&path(new)).status, 404);
    written.server.stop();
}

#[test]
fn a_cut_that_is_gone_is_an_error_that_says_so() {
    let written = Written::start(&["--backup-cut-lease", "1"]);
    let (client, path) = (&written.client, written.path());
    let cut = header(&client.get(&format!("{path}?cut=new")), "Icecore-Cut").to_owned();
    let kept = format!("{path}?cut={cut}");
    let whole = client.body_of(&kept);
    assert_is_rest(&part(client, &kept, 7, None), &whole, 7);
    thread::sleep(Duration::from_millis(2500));
    for answer in [client.get(&kept), part(client, &kept, 7, None)] {
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("its lease has ended"), "{}", answer.text());
    }
    let never = "0123456789abcdef0123456789abcdef";
    assert_eq!(client.get(&format!("{path}?cut={never}")).status, 400);
    assert_eq!(client.get(&format!("{path}?cut=later")).status, 400);
    assert_eq!(client.get(&format!("/api/v2/backup/metadata?cut={never}")).status, 400);
    written.server.stop();
}
