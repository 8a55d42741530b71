use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::streams::{SHARD, endless, open_download, pieces};
use super::*;
use crate::client::{Reply, send};

const OPERATOR: (&str, &str) = ("Authorization", "Token operator");
const ENCODINGS: [&str; 3] = ["identity", "gzip", "zstd"];
const REASONS: [&str; 4] = ["client_left", "too_slow", "broken_source", "stopped"];

/// Every sample by its name and labels.
type Samples = BTreeMap<String, f64>;

fn parsed(text: &str) -> Samples {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

async fn metrics(server: SocketAddr) -> Samples {
    let reply = send(server, "GET", "/metrics", &[]).await;
    assert_eq!(reply.status, 200);
    parsed(&reply.text())
}

fn sent(samples: &Samples, encoding: &str) -> f64 {
    samples[&format!("icecore_backup_sent_bytes_total{{encoding=\"{encoding}\"}}")]
}

fn whole(samples: &Samples, encoding: &str) -> f64 {
    samples[&format!("icecore_backup_download_seconds_count{{encoding=\"{encoding}\"}}")]
}

fn aborted(samples: &Samples, encoding: &str, reason: &str) -> f64 {
    samples[&format!("icecore_backup_aborted_total{{encoding=\"{encoding}\",reason=\"{reason}\"}}")]
}

fn in_progress(samples: &Samples) -> f64 {
    samples["icecore_backup_downloads"]
}

/// So many downloads ended early, for this reason and none for another.
fn aborted_alone(samples: &Samples, encoding: &str, reason: &str) -> f64 {
    for other in ENCODINGS {
        for why in REASONS {
            let count = aborted(samples, other, why);
            assert!(count == 0.0 || (other, why) == (encoding, reason), "{count} of {other}, {why}");
        }
    }
    aborted(samples, encoding, reason)
}

async fn get(server: SocketAddr, encoding: &str) -> Reply {
    send(server, "GET", SHARD, &[OPERATOR, ("Accept-Encoding", encoding)]).await
}

/// Waits until what is counted is as wanted: an end is counted a little after the client sees it.
async fn until(server: SocketAddr, what: &str, condition: impl Fn(&Samples) -> bool) -> Samples {
    for _ in 0..500 {
        let samples = metrics(server).await;
        if condition(&samples) {
            return samples;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}: {:?}", metrics(server).await);
}

#[tokio::test]
async fn what_is_downloaded_is_counted_by_encoding_and_what_is_no_download_is_not() {
    let double = Double::new(|id, _| match id {
        1 => Ok(known(pieces(300_000))),
        2 => Ok(unknown(pieces(70_000))),
        _ => Err(Problem::new(Code::NotFound, "gone")),
    });
    let server = Server::of(double).await.address;
    let mut expected = BTreeMap::from(ENCODINGS.map(|encoding| (encoding, (0.0, 0.0))));
    for (path, encoding) in [(SHARD, "identity"), (SHARD, "gzip"), (SHARD, "gzip"), (SHARD, "zstd")]
        .into_iter()
        .chain(ENCODINGS.map(|encoding| ("/api/v2/backup/shards/2", encoding)))
    {
        let reply = send(server, "GET", path, &[OPERATOR, ("Accept-Encoding", encoding)]).await;
        let (bytes, count) = expected.get_mut(encoding).unwrap();
        *bytes += reply.body().unwrap().len() as f64;
        *count += 1.0;
    }
    let metadata = send(server, "GET", "/api/v2/backup/metadata", &[OPERATOR]).await;
    let (bytes, count) = expected.get_mut("identity").unwrap();
    (*bytes, *count) = (*bytes + metadata.body().unwrap().len() as f64, *count + 1.0);
    for (method, path, status) in [
        ("HEAD", SHARD, 405),
        ("POST", SHARD, 405),
        ("GET", "/api/v2/backup/shards/3", 404),
        ("GET", "/api/v2/backup/shards/x", 400),
        ("GET", "/api/v2/backup/kv", 500),
        ("GET", "/health", 200),
        ("HEAD", "/metrics", 200),
    ] {
        assert_eq!(send(server, method, path, &[OPERATOR]).await.status, status, "{method} {path}");
    }
    assert_eq!(send(server, "GET", SHARD, &[]).await.status, 401);
    for (condition, status) in [(("If-None-Match", "*"), 304), (("If-Match", "\"9\""), 412)] {
        assert_eq!(send(server, "GET", SHARD, &[OPERATOR, condition]).await.status, status);
    }
    let samples = until(server, "all have ended", |samples| in_progress(samples) == 0.0).await;
    for (encoding, (bytes, count)) in expected {
        assert_eq!((sent(&samples, encoding), whole(&samples, encoding)), (bytes, count), "{encoding}");
    }
    assert_eq!(aborted_alone(&samples, "identity", "client_left"), 0.0);
    assert_eq!((samples["icecore_backup_cuts"], samples["icecore_backup_pinned_bytes"]), (0.0, 0.0));
}

#[tokio::test]
async fn a_part_counts_as_long_as_it_is() {
    let double = Double::new(|_, _| {
        let part = Part::Some { start: 100_000, end: 170_000, of: 300_000 };
        Ok(Download { part, ..known(pieces(70_000)) })
    });
    let server = Server::of(double).await.address;
    let reply = get(server, "identity").await;
    assert_eq!((reply.status, reply.body().unwrap().len()), (206, 70_000));
    let samples = until(server, "it has ended", |samples| whole(samples, "identity") == 1.0).await;
    assert_eq!((sent(&samples, "identity"), in_progress(&samples)), (70_000.0, 0.0));
}

#[tokio::test]
async fn a_client_that_leaves_half_way_is_counted_so_with_what_it_was_sent() {
    for encoding in ENCODINGS {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let server = Server::of(endless(&given, &alive)).await.address;
        let (mut first, second) =
            (open_download(server, encoding).await, open_download(server, encoding).await);
        first.read_exact(&mut [0; 101_000]).await.unwrap();
        until(server, "both are in progress", |samples| in_progress(samples) == 2.0).await;
        drop(first);
        until(server, "one has left", |samples| in_progress(samples) == 1.0).await;
        drop(second);
        let samples = until(server, "both have left", |samples| in_progress(samples) == 0.0).await;
        assert_eq!(aborted_alone(&samples, encoding, "client_left"), 2.0);
        assert_eq!(whole(&samples, encoding), 0.0);
        assert!(sent(&samples, encoding) >= 100_000.0, "what was read at least");
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_counted_so_with_what_came_before() {
    for size in [Some(3_000_000), Some(4_000_000), None] {
        let double = Double::new(move |_, _| Ok(super::download(then_fails(of(pieces(2_990_000))), size)));
        let server = Server::of(double).await.address;
        assert!(get(server, "identity").await.body().is_err());
        let samples = until(server, "it has ended", |samples| in_progress(samples) == 0.0).await;
        assert_eq!(aborted_alone(&samples, "identity", "broken_source"), 1.0);
        assert_eq!((whole(&samples, "identity"), sent(&samples, "identity")), (0.0, 2_990_000.0));
    }
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_told_from_one_that_leaves() {
    for encoding in ENCODINGS {
        let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let options = Options { client_stall_max: Duration::from_millis(300), ..Options::default() };
        let server = Server::with(endless(&given, &alive), options).await.address;
        let _stalls = open_download(server, encoding).await;
        let samples = until(server, "it is cut off", |samples| in_progress(samples) == 0.0).await;
        assert_eq!(aborted_alone(&samples, encoding, "too_slow"), 1.0);
    }
}

#[tokio::test]
async fn what_a_stop_cuts_off_is_counted_so() {
    let (given, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let options = Options { drain_max: Duration::from_millis(100), ..Options::default() };
    let service = Service::over(endless(&given, &alive), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let (stop, stopping) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, service.clone(), async { drop(stopping.await) }));
    let _stalls = open_download(server, "identity").await;
    stop.send(()).unwrap();
    assert_eq!(served.await.unwrap().cut_off_connections, 1);
    let samples = parsed(&service.metrics_text());
    assert_eq!((aborted_alone(&samples, "identity", "stopped"), in_progress(&samples)), (1.0, 0.0));
}

#[tokio::test]
async fn the_text_is_that_of_prometheus() {
    let server = Server::of(Double::empty()).await.address;
    for (method, path) in [("GET", "/metrics"), ("POST", "/metrics"), ("GET", "/metrics/x")] {
        let reply = send(server, method, path, &[]).await;
        let content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=values";
        assert_eq!(
            (reply.status, reply.header("Content-Type")),
            (200, Some(content_type)),
            "{method} {path}"
        );
        let text = reply.text();
        let (mut name, mut samples) = ("", 0);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                name = rest.split_once(' ').unwrap().0;
                assert!(rest.len() > name.len() + 20, "says what it is: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (typed, kind) = rest.split_once(' ').unwrap();
                assert!(typed == name && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            } else {
                assert!(line.starts_with(name) && name.starts_with("icecore_backup_"), "{line}");
                samples += 1;
            }
        }
        // Bytes, 12 reasons, three gauges, and of each histogram its buckets, one without a bound, sum and count.
        assert_eq!(samples, 3 + 12 + 3 + 3 * (9 + 1 + 2), "{text}");
        assert!(text.ends_with('\n'));
    }
}

#[tokio::test]
async fn metrics_that_are_switched_off_are_refused_as_the_original_refuses_them() {
    let options = Options { metrics: false, ..Options::default() };
    let server = Server::with(Double::empty(), options).await.address;
    let reply = send(server, "GET", "/metrics", &[]).await;
    assert_eq!((reply.status, reply.header("X-Platform-Error-Code")), (403, Some("forbidden")));
    assert_eq!(reply.text(), r#"{"code":"forbidden","message":"metrics disabled"}"#);
}
