use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::bufread::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::client::{Reply, exchange, send};

pub(super) const SHARD: &str = "/api/v2/backup/shards/1";

async fn download(double: Double, headers: &[(&str, &str)]) -> Reply {
    let server = Server::of(double).await.address;
    let headers: Vec<_> = [("Authorization", "Token operator")].iter().chain(headers).copied().collect();
    send(server, "GET", SHARD, &headers).await
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 3 % 251).to_le_bytes()[0]).collect()
}

pub(super) fn pieces(len: usize) -> Vec<Vec<u8>> {
    pattern(len).chunks(60_000).map(<[u8]>::to_vec).collect()
}

#[tokio::test]
async fn a_known_size_is_announced_and_an_unknown_one_is_chunked() {
    for len in [1024, 70_000, 5_000_000] {
        let reply = download(Double::new(move |_, _| Ok(known(pieces(len)))), &[]).await;
        assert_eq!(reply.header("Content-Length"), Some(len.to_string().as_str()));
        assert!(reply.body().unwrap() == pattern(len));
        let reply = download(Double::new(move |_, _| Ok(unknown(pieces(len)))), &[]).await;
        assert_eq!(reply.header("Transfer-Encoding"), Some("chunked"));
        assert!(reply.body().unwrap() == pattern(len));
        assert!(reply.end.is_ok());
    }
}

#[tokio::test]
async fn a_shard_states_its_type_and_its_cut() {
    for encoding in ["gzip", "zstd", "identity"] {
        let reply =
            download(Double::new(|_, _| Ok(known(pieces(5000)))), &[("Accept-Encoding", encoding)]).await;
        assert_eq!(reply.header("Content-Type"), Some("application/octet-stream"));
        assert_eq!(reply.header("Icecore-Cut"), Some("1970-01-01T00:00:01.500000000Z"));
        assert_eq!(reply.header("Vary"), Some("Accept-Encoding"));
    }
}

#[tokio::test]
async fn gzip_is_used_when_asked_for_and_worth_it() {
    let gzip = ("Accept-Encoding", "deflate, gzip;q=0.5");
    for (len, level, xfl) in [
        (1400, "", Some(0)),
        (300_000, "default", Some(0)),
        (300_000, "full", Some(2)),
        (300_000, "speedy", Some(4)),
        (300_000, "none", None),
        (1399, "full", None),
    ] {
        let double = Double::new(move |_, _| Ok(known(pieces(len))));
        let reply = download(double, &[gzip, ("Gzip-Compression-Level", level)]).await;
        let body = reply.body().unwrap();
        assert_eq!(reply.header("Vary").is_some(), level != "none");
        let Some(xfl) = xfl else {
            assert_eq!(reply.header("Content-Encoding"), None);
            assert!(body == pattern(len));
            continue;
        };
        assert_eq!(reply.header("Content-Encoding"), Some("gzip"));
        assert_eq!(body[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 0xff]);
        let mut unpacked = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == pattern(len), "{len} at {level}");
    }
    let reply =
        download(Double::new(|_, _| Ok(known(pieces(9000)))), &[("Accept-Encoding", "*, gzip;q=0")]).await;
    assert_eq!(reply.header("Content-Encoding"), None);
}

#[tokio::test]
async fn zstd_is_used_when_it_is_preferred() {
    for (len, accept) in [(3_000_000, "gzip;q=0.9, zstd"), (1400, "zstd"), (10, "identity;q=0, *, gzip;q=0")]
    {
        let double = Double::new(move |_, _| Ok(known(pieces(len))));
        let reply = download(double, &[("Accept-Encoding", accept)]).await;
        assert_eq!(reply.header("Content-Encoding"), Some("zstd"), "{accept}");
        assert_eq!(reply.header("Vary"), Some("Accept-Encoding"));
        assert!(zstd::decode_all(&reply.body().unwrap()[..]).unwrap() == pattern(len));
    }
}

#[tokio::test]
async fn a_digest_follows_the_body_for_those_who_take_trailers() {
    use base64::Engine as _;
    use sha2::Digest as _;
    for encoding in ["identity", "gzip", "zstd"] {
        let double = Double::new(|_, _| Ok(known(pieces(300_000))));
        let headers = [("TE", "deflate, trailers"), ("Accept-Encoding", encoding)];
        let reply = download(double, &headers).await;
        assert_eq!(reply.header("Trailer"), Some("Content-Digest"));
        assert_eq!(reply.header("Transfer-Encoding"), Some("chunked"));
        let text = b"\r\n0\r\n";
        let end = reply.rest.windows(text.len()).rposition(|five| five == text).unwrap() + text.len();
        let (chunks, trailer) = reply.rest.split_at(end);
        let whole =
            Reply { rest: [chunks, b"\r\n"].concat(), end: Ok(()), headers: reply.headers.clone(), ..reply };
        let digest = base64::prelude::BASE64_STANDARD.encode(sha2::Sha256::digest(whole.body().unwrap()));
        let expected = format!("content-digest: sha-256=:{digest}:\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(trailer).to_lowercase(), expected.to_lowercase(), "{encoding}");
    }
    // A body that breaks off has none.
    let double = Double::new(|_, _| Ok(super::download(then_fails(of(pieces(300_000))), None)));
    let reply = download(double, &[("TE", "trailers")]).await;
    assert!(reply.end.is_err() && !String::from_utf8_lossy(&reply.rest).contains("sha-256"));
    let sound = download(Double::new(|_, _| Ok(known(pieces(5000)))), &[("TE", "gzip")]).await;
    assert_eq!((sound.header("Trailer"), sound.header("Content-Length")), (None, Some("5000")));
}

#[tokio::test]
async fn who_accepts_nothing_is_refused() {
    let double = Double::new(|_, _| Ok(known(pieces(9000))));
    let reply = download(double, &[("Accept-Encoding", "br, identity;q=0")]).await;
    assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (406, Some("invalid")));
    assert!(reply.text().contains("neither gzip nor zstd"), "{}", reply.text());
}

#[tokio::test]
async fn metadata_is_a_multipart_with_a_boundary_of_sixty_digits() {
    let server = Server::of(Double::empty()).await.address;
    let reply = send(server, "GET", "/api/v2/backup/metadata", &[("Authorization", "Token operator")]).await;
    let boundary = reply.header("Content-Type").unwrap().strip_prefix("multipart/mixed; boundary=").unwrap();
    assert_eq!(boundary.len(), 60);
    assert_eq!(reply.text(), format!("--{boundary}--"));
}

#[tokio::test]
async fn a_failure_on_the_way_breaks_the_transfer_in_every_framing() {
    let fails = |size: Option<u64>| {
        Double::new(move |_, _| Ok(super::download(then_fails(of(pieces(3_000_000))), size)))
    };
    for (size, encoding) in [
        (Some(3_000_000), "identity"),
        (Some(4_000_000), "identity"),
        (None, "identity"),
        (Some(3_000_000), "gzip"),
        (Some(3_000_000), "zstd"),
    ] {
        let reply = download(fails(size), &[("Accept-Encoding", encoding)]).await;
        assert_eq!(reply.status, 200);
        let why = reply.body().expect_err("must not look whole");
        assert!(reply.end.is_err(), "reset, not closed: {why}");
        let arrived = String::from_utf8_lossy(&reply.rest);
        assert!(!arrived.contains("damaged"), "nothing is appended");
    }
}

/// A bad sector does the same as a file that was cut short: the system finds it when it copies the page to the socket.
#[tokio::test]
async fn a_page_that_cannot_be_read_breaks_the_transfer_in_every_framing() {
    use icecore_disk::{Disk as _, RealDisk};
    for (size, version) in [(Some(3_000_000), "1.1"), (None, "1.1"), (Some(3_000_000), "1.0"), (None, "1.0")]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(3_000_000).unwrap();
        let map = RealDisk.map(file.path()).unwrap();
        file.as_file().set_len(1_000_000).unwrap();
        let double = Double::new(move |_, _| {
            let map = map.clone();
            let chunks = (0..3).map(move |at| Ok(map.slice(at * 1_000_000..(at + 1) * 1_000_000)));
            Ok(super::download(Box::new(chunks), size))
        });
        let server = Server::of(double).await.address;
        let request = format!(
            "GET {SHARD} HTTP/{version}\r\nHost: x\r\nConnection: close\r\nAuthorization: Token operator\r\n\r\n"
        );
        let reply = exchange(server, request.as_bytes()).await;
        assert!(reply.end.is_err(), "{size:?} HTTP/{version}: reset, not closed");
        assert_eq!(send(server, "GET", "/health", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn http_1_0_without_a_length_sees_a_failure_as_a_reset() {
    let request = format!("GET {SHARD} HTTP/1.0\r\nAuthorization: Token operator\r\n\r\n");
    let sound = Server::of(Double::new(|_, _| Ok(unknown(pieces(200_000))))).await.address;
    let reply = exchange(sound, request.as_bytes()).await;
    assert!(reply.end.is_ok() && reply.rest == pattern(200_000));
    let broken = Server::of(Double::new(|_, _| Ok(super::download(then_fails(of(pieces(200_000))), None))));
    let reply = exchange(broken.await.address, request.as_bytes()).await;
    assert!(reply.end.is_err(), "{:?}", reply.end);
}

#[tokio::test]
async fn a_panic_on_the_way_breaks_the_transfer_and_the_server_goes_on() {
    let double = Double::new(|_, _| {
        let chunks = of(pieces(100_000)).chain(std::iter::from_fn(|| panic!("on the way")));
        Ok(super::download(Box::new(chunks), None))
    });
    let server = Server::of(double).await.address;
    let reply = send(server, "GET", SHARD, &[("Authorization", "Token operator")]).await;
    reply.body().expect_err("must not look whole");
    assert_eq!(send(server, "GET", "/health", &[]).await.status, 200);
}

/// Endless, slow to end: counts chunks, and is counted while it lives.
pub(super) fn endless(given: &Arc<AtomicUsize>, alive: &Arc<()>) -> Double {
    let (given, alive) = (Arc::clone(given), Arc::downgrade(alive));
    // Of zeros, compressed, a socket takes for ever.
    let chunk = Bytes::from(icecore_testkit::Random::new(7).bytes(100_000));
    Double::new(move |_, _| {
        let (given, alive, chunk) = (Arc::clone(&given), alive.upgrade(), chunk.clone());
        let chunks = std::iter::from_fn(move || {
            let _pinned = &alive;
            given.fetch_add(1, Ordering::SeqCst);
            Some(Ok(chunk.clone()))
        });
        Ok(super::download(Box::new(chunks), None))
    })
}

pub(super) async fn open_download(server: SocketAddr, encoding: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "GET {SHARD} HTTP/1.1\r\nHost: x\r\nAuthorization: Token operator\r\nAccept-Encoding: {encoding}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 100]).await.unwrap();
    stream
}

pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

#[tokio::test]
async fn clients_that_stall_stop_their_sources_and_block_nobody() {
    let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let options = Options { downloads_max: 1000, ..Options::default() };
    let server = Server::with(endless(&given, &alive), options).await.address;
    let mut stalled = Vec::new();
    for _ in 0..600 {
        stalled.push(open_download(server, "identity").await);
    }
    let settled = || {
        let before = given.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        given.load(Ordering::SeqCst) == before
    };
    until("the sources stand still", settled).await;
    // More streams are open than there are blocking threads: a new request is answered all the same.
    let path = "/api/v2/nothing";
    assert_eq!(send(server, "GET", path, &[("Authorization", "Token operator")]).await.status, 404);
    drop(stalled);
    until("every source is freed", || Arc::strong_count(&alive) == 1).await;
}

/// More than have a turn at once.
const MANY: usize = 70;

#[tokio::test]
async fn beside_many_compressed_bodies_that_stall_another_comes_whole() {
    let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let stalls = endless(&given, &alive);
    let double = Double::new(move |id, selection| match id {
        1 => (stalls.shard)(id, selection),
        _ => Ok(known(pieces(3_000_000))),
    });
    let options = Options { downloads_max: 1000, ..Options::default() };
    let server = Server::with(double, options).await.address;
    let mut stalled = Vec::new();
    for nth in 0..MANY {
        stalled.push(open_download(server, ["gzip", "zstd"][nth % 2]).await);
    }
    for encoding in ["gzip", "zstd", "identity"] {
        let headers =
            [("Authorization", "Token operator"), ("Accept-Encoding", encoding), ("TE", "trailers")];
        // A body with a digest is made in turns, too.
        let headers = if encoding == "identity" { &headers[..] } else { &headers[..2] };
        let path = "/api/v2/backup/shards/2";
        let reply = tokio::time::timeout(Duration::from_secs(30), send(server, "GET", path, headers)).await;
        let reply = reply.unwrap_or_else(|_| panic!("{encoding}: nothing comes"));
        assert_eq!((reply.status, reply.end.is_ok()), (200, true), "{encoding}");
    }
    drop(stalled);
    until("every source is freed", || Arc::strong_count(&alive) == 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_source() {
    for encoding in ["identity", "gzip", "zstd"] {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let server = Server::of(endless(&given, &alive)).await.address;
        let stream = open_download(server, encoding).await;
        until("the source is pinned", || Arc::strong_count(&alive) == 2).await;
        drop(stream);
        until("the source is freed", || Arc::strong_count(&alive) == 1).await;
    }
}

#[tokio::test]
async fn the_head_does_not_wait_for_a_slow_source() {
    let double = Double::new(|_, _| {
        let chunks = std::iter::once_with(|| {
            std::thread::sleep(Duration::from_millis(700));
            Ok(Bytes::from_static(b"late"))
        });
        Ok(super::download(Box::new(chunks), None))
    });
    let server = Server::of(double).await.address;
    for encoding in ["identity", "gzip"] {
        let started = Instant::now();
        let _stream = open_download(server, encoding).await;
        assert!(started.elapsed() < Duration::from_millis(500), "{encoding}: {:?}", started.elapsed());
    }
}
