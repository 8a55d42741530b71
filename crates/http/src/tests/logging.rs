use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::subscriber::set_default;

use super::*;
use crate::client::send;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_one_line_without_secrets_and_a_failure_says_why() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = set_default(subscriber);
    let double = Double::new(|id, _| match id {
        1 => Ok(known(vec![vec![0; 5000]])),
        2 => Ok(super::download(then_fails(of(vec![vec![0; 100_000]; 30])), None)),
        _ => Err(Problem::hidden("not readable", "influxd.bolt: page 7".to_owned())),
    });
    let server = Server::of(double).await.address;
    let token = [("Authorization", "Token operator"), ("Cookie", "s3cret")];
    for (method, path) in [
        ("GET", "/health?s3cret"),
        ("POST", "/write?u=me&p=s3cret"),
        ("GET", "/api/v2/backup/shards/1"),
        ("GET", "/api/v2/backup/shards/2"),
        ("GET", "/api/v2/backup/shards/3"),
    ] {
        send(server, method, path, &token).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("request request_id=")).collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (line, facts) in lines.iter().zip([
        ["method=GET path=/health status=200", "end=whole"],
        ["method=POST path=/write status=401", "end=whole"],
        ["path=/api/v2/backup/shards/1 status=200 bytes=5000", "end=whole"],
        ["path=/api/v2/backup/shards/2 status=200 bytes=3000000", "end=broken off"],
        ["path=/api/v2/backup/shards/3 status=500", "end=whole"],
    ]) {
        assert!(facts.iter().all(|fact| line.contains(fact)), "{line}");
    }
    assert!(text.contains("answer broken off") && text.contains("block at byte 5 is damaged"), "{text}");
    assert!(text.contains("request failed") && text.contains("influxd.bolt: page 7"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("operator"), "{text}");
}
