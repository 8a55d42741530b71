//! Whole backups of real data, over a socket. What is in the archives is `icecore-backup`'s to test; here it is that
//! they arrive.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::io::Read as _;
use std::net::SocketAddr;

use client::{Reply, send};
use flate2::bufread::GzDecoder;
use icecore_database::Mode;
use icecore_testkit::fixtures;

const TOKEN: (&str, &str) = ("Authorization", "Token fixture-operator-token-0123456789");

async fn get(server: SocketAddr, path: &str, encoding: &str) -> Reply {
    let reply = send(server, "GET", path, &[TOKEN, ("Accept-Encoding", encoding)]).await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.rest));
    reply
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(bytes);
    let mut unpacked = Vec::new();
    decoder.read_to_end(&mut unpacked).expect("one whole member");
    assert!(decoder.into_inner().is_empty(), "and nothing after it");
    unpacked
}

/// Splits a multipart body strictly: heads and contents.
fn parts(reply: &Reply, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = reply.header("Content-Type").unwrap().strip_prefix("multipart/mixed; boundary=").unwrap();
    split(boundary, body)
}

fn split(boundary: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let find = |within: &[u8], what: &str| {
        within
            .windows(what.len())
            .position(|window| window == what.as_bytes())
            .unwrap_or_else(|| panic!("no {what:?}"))
    };
    let separator = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(format!("--{boundary}\r\n").as_bytes()).expect("no preamble");
    let mut parts = Vec::new();
    loop {
        let head = find(rest, "\r\n\r\n");
        let end = find(rest, &separator);
        parts.push((String::from_utf8(rest[..head].to_vec()).unwrap(), rest[head + 4..end].to_vec()));
        rest = &rest[end + separator.len()..];
        if rest == b"--\r\n" {
            return parts;
        }
        rest = rest.strip_prefix(b"\r\n").expect("a next part");
    }
}

#[tokio::test]
async fn metadata_has_the_captured_structure_and_the_captured_manifest() {
    let dir = fixtures::unpack("kitchen-sink");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let captured = fixtures::read("kitchen-sink/http/metadata.multipart");
    let boundary = std::str::from_utf8(&captured[2..62]).unwrap();
    let expected = split(boundary, &captured);

    let identity = get(server, "/api/v2/backup/metadata", "identity").await;
    let body = identity.body().unwrap();
    assert_eq!(identity.header("Content-Length"), Some(body.len().to_string().as_str()));
    assert_eq!(identity.header("Vary"), Some("Accept-Encoding"));
    let ours = parts(&identity, &body);
    let heads = |parts: &[(String, Vec<u8>)]| parts.iter().map(|(head, _)| head.clone()).collect::<Vec<_>>();
    assert_eq!(heads(&ours), heads(&expected));
    let (_, ours_buckets) = ours.last().unwrap();
    let (_, expected_buckets) = expected.last().unwrap();
    assert_eq!(String::from_utf8_lossy(ours_buckets), String::from_utf8_lossy(expected_buckets));

    let packed = get(server, "/api/v2/backup/metadata", "gzip").await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert_eq!(packed.header("Content-Length"), None);
    let unpacked = gunzip(&packed.body().unwrap());
    let again = parts(&packed, &unpacked);
    assert_eq!(heads(&again), heads(&expected));

    let kv = get(server, "/api/v2/backup/kv", "gzip").await;
    assert_eq!(kv.header("Content-Type"), Some("application/octet-stream"));
    assert_eq!((kv.header("Content-Encoding"), kv.header("Vary")), (None, None));
    assert!(kv.body().unwrap() == ours[0].1, "the file of the multipart");
}

#[tokio::test]
async fn every_shard_arrives_the_same_in_every_encoding() {
    let dir = fixtures::unpack("kitchen-sink");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    for shard in 1..=13 {
        let path = format!("/api/v2/backup/shards/{shard}");
        let identity = get(server, &path, "identity").await;
        let body = identity.body().unwrap();
        assert_eq!(identity.header("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!(identity.header("Content-Type"), Some("application/octet-stream"));
        assert!(body.len().is_multiple_of(512) && body.ends_with(&[0; 1024]), "{shard}");
        for level in ["default", "full", "speedy"] {
            let headers = [TOKEN, ("Accept-Encoding", "gzip"), ("Gzip-Compression-Level", level)];
            let packed = send(server, "GET", &path, &headers).await;
            assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
            assert!(gunzip(&packed.body().unwrap()) == body, "{shard} at {level}");
        }
        let cut = identity.header("Icecore-Cut").unwrap();
        let since = get(server, &format!("{path}?since={cut}"), "gzip").await;
        assert_eq!(since.body().unwrap(), [0; 1024], "nothing changed since the cut of {shard}");
        let listed = get(server, &format!("{path}?since={cut}&files=1"), "identity").await;
        assert!(String::from_utf8_lossy(&listed.body().unwrap()).contains("icecore.files"));
    }
}

#[tokio::test]
async fn a_large_shard_arrives_whole() {
    let dir = fixtures::unpack("fleet");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let body = get(server, "/api/v2/backup/shards/1", "identity").await.body().unwrap();
    assert!(body.len() > 8_000_000);
    assert!(gunzip(&get(server, "/api/v2/backup/shards/1", "gzip").await.body().unwrap()) == body);
}

#[tokio::test]
async fn a_damaged_block_is_a_500_that_names_it_and_the_rest_is_served() {
    let dir = fixtures::unpack("kitchen-sink");
    let data = dir.path().join("engine/data");
    let file =
        walk(&data).into_iter().find(|path| path.components().any(|part| part.as_os_str() == "2")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    for encoding in ["identity", "gzip"] {
        let reply =
            send(server, "GET", "/api/v2/backup/shards/2", &[TOKEN, ("Accept-Encoding", encoding)]).await;
        assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (500, Some("internal error")));
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(reply.text().contains(name) && reply.text().contains("byte"), "{}", reply.text());
    }
    get(server, "/api/v2/backup/shards/1", "gzip").await.body().unwrap();
}

#[tokio::test]
async fn who_has_the_state_is_told_so_without_a_look_into_its_files() {
    let dir = fixtures::unpack("kitchen-sink");
    let path = "/api/v2/backup/shards/2";
    let tag = {
        let server = server::start(dir.path(), Mode::ReadOnly).await;
        get(server, path, "identity").await.header("ETag").unwrap().to_owned()
    };
    let data = dir.path().join("engine/data");
    let file =
        walk(&data).into_iter().find(|path| path.components().any(|part| part.as_os_str() == "2")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let known = send(server, "GET", path, &[TOKEN, ("If-None-Match", &tag)]).await;
    assert_eq!((known.status, known.header("ETag")), (304, Some(&*tag)));
    let other = send(server, "GET", path, &[TOKEN, ("If-Match", "\"0\"")]).await;
    assert_eq!((other.status, other.header("ETag")), (412, None));
    // Whoever does not have it gets to know of the damage, and then everybody does.
    assert_eq!(send(server, "GET", path, &[TOKEN]).await.status, 500);
    assert_eq!(send(server, "GET", path, &[TOKEN, ("If-None-Match", &tag)]).await.status, 500);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false if path.extension().is_some_and(|extension| extension == "tsm") => files.push(path),
            false => {}
        }
    }
    files
}
