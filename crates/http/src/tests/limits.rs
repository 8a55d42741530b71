use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::streams::{SHARD, endless, open_download, pieces, until};
use super::*;
use crate::client::send;

const OPERATOR: (&str, &str) = ("Authorization", "Token operator");

#[tokio::test]
async fn a_download_too_many_waits_for_its_turn_and_is_refused_then() {
    let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let options =
        Options { downloads_max: 2, download_wait_max: Duration::from_millis(300), ..Options::default() };
    let server = Server::with(endless(&given, &alive), options).await.address;
    let first = open_download(server, "identity").await;
    let _second = open_download(server, "gzip").await;
    let started = Instant::now();
    let reply = send(server, "GET", SHARD, &[OPERATOR]).await;
    assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (503, Some("unavailable")));
    assert!(started.elapsed() >= Duration::from_millis(300));
    // What is no download has a place always, and a refusal takes none.
    assert_eq!(send(server, "GET", "/api/v2/nothing", &[OPERATOR]).await.status, 404);
    let waiting = tokio::spawn(async move { open_download(server, "zstd").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(first);
    let third = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    third.expect("its turn comes when another leaves").unwrap();
}

#[tokio::test]
async fn errors_give_their_places_back() {
    let options =
        Options { downloads_max: 1, download_wait_max: Duration::from_millis(50), ..Options::default() };
    let server = Server::with(Double::empty(), options).await.address;
    for _ in 0..3 {
        assert_eq!(send(server, "GET", SHARD, &[OPERATOR]).await.status, 404);
        assert_eq!(send(server, "GET", SHARD, &[]).await.status, 401);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_frees_what_it_pinned() {
    for encoding in ["identity", "gzip", "zstd"] {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let options = Options { client_stall_max: Duration::from_millis(300), ..Options::default() };
        let server = Server::with(endless(&given, &alive), options).await.address;
        let mut stream = open_download(server, encoding).await;
        until("the source is pinned", || Arc::strong_count(&alive) == 2).await;
        until("the source is freed", || Arc::strong_count(&alive) == 1).await;
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).await;
        assert!(read.is_err(), "{encoding}: reset, not closed");
    }
}

#[tokio::test]
async fn downloads_keep_to_the_rate() {
    let options = Options { download_rate_max: 400_000, ..Options::default() };
    let server = Server::with(Double::new(|_, _| Ok(known(pieces(300_000)))), options).await.address;
    let started = Instant::now();
    let reply = send(server, "GET", SHARD, &[OPERATOR]).await;
    assert_eq!(reply.body().unwrap().len(), 300_000);
    assert!(started.elapsed() > Duration::from_millis(500), "{:?}", started.elapsed());
}
