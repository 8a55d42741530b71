//! What downloads and cuts hold of a real directory, as `/metrics` tells it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod server;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use client::send;
use icecore_database::{Database, Mode, Options, Paths, ShardId};
use icecore_testkit::fixtures;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TOKEN: (&str, &str) = ("Authorization", "Token fixture-operator-token-0123456789");

/// Of a gauge.
async fn value(server: SocketAddr, name: &str) -> u64 {
    let text = send(server, "GET", "/metrics", &[]).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
}

async fn pinned(server: SocketAddr) -> u64 {
    value(server, "icecore_backup_pinned_bytes").await
}

/// The length of the files of a shard together, or of all shards.
fn size(dir: &Path, shard: Option<u64>) -> u64 {
    let database = Database::open(Paths::in_dir(dir), Options::new(Mode::ReadOnly)).unwrap();
    let shards = database.shards();
    let wanted = shards.iter().filter(|open| shard.is_none_or(|id| id == open.id));
    let snapshots = wanted.map(|open| database.snapshot(ShardId(open.id)).unwrap());
    snapshots.flat_map(|snapshot| snapshot.files().to_vec()).map(|file| file.size()).sum()
}

async fn get(server: SocketAddr, path: &str) {
    let reply = send(server, "GET", path, &[TOKEN]).await;
    assert_eq!(reply.status, 200, "{path}");
    reply.body().unwrap();
}

#[tokio::test]
async fn kept_cuts_hold_each_file_once() {
    let dir = fixtures::unpack("kitchen-sink");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let (first, second, all) = (size(dir.path(), Some(1)), size(dir.path(), Some(2)), size(dir.path(), None));
    assert!(0 < first && 0 < second && first + second < all);
    get(server, "/api/v2/backup/shards/1").await;
    assert_eq!(value(server, "icecore_backup_cuts").await, 0);
    for (path, cuts, bytes) in [
        ("/api/v2/backup/shards/1?cut=new", 1, first),
        ("/api/v2/backup/shards/1?cut=new", 1, first), // the same cut
        ("/api/v2/backup/shards/2?cut=new", 2, first + second),
        ("/api/v2/backup/metadata?cut=new", 3, all),
    ] {
        get(server, path).await;
        assert_eq!(
            (value(server, "icecore_backup_cuts").await, pinned(server).await),
            (cuts, bytes),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_download_holds_its_files_until_it_ends() {
    let dir = fixtures::unpack("fleet");
    let server = server::start(dir.path(), Mode::ReadOnly).await;
    let size = size(dir.path(), Some(1));
    for encoding in ["identity", "gzip"] {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = format!(
            "GET /api/v2/backup/shards/1 HTTP/1.1\r\nHost: x\r\n{}: {}\r\nAccept-Encoding: {encoding}\r\n\r\n",
            TOKEN.0, TOKEN.1
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
        assert_eq!(
            (pinned(server).await, value(server, "icecore_backup_downloads").await),
            (size, 1),
            "{encoding}"
        );
        drop(stream);
        for _ in 0..500 {
            if pinned(server).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            (pinned(server).await, value(server, "icecore_backup_downloads").await),
            (0, 0),
            "{encoding}"
        );
    }
}
