use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::client;

fn slow(chunks: usize, pause: Duration) -> Double {
    Double::new(move |_, _| {
        let chunks = (0..chunks).map(move |_| {
            std::thread::sleep(pause);
            Ok(Bytes::from(vec![1; 2 << 20]))
        });
        Ok(super::download(Box::new(chunks), None))
    })
}

async fn begin_download(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /api/v2/backup/shards/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Token operator\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // The status line has come: the answer has begun.
    stream.peek(&mut [0; 16]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_stop_lets_answers_finish_and_closes_the_rest() {
    let server = Server::of(slow(5, Duration::from_millis(60))).await;
    let address = server.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 20]).await.unwrap();
    let mut stream = begin_download(&server).await;
    let reading = tokio::spawn(async move { client::read(&mut stream).await });
    assert_eq!(server.stop().await, Stopped { cut_off_connections: 0 });
    assert_eq!(reading.await.unwrap().body().unwrap().len(), 5 * (2 << 20));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    TcpStream::connect(address).await.expect_err("nobody listens any more");
}

#[tokio::test]
async fn a_stop_resets_what_is_not_finished_in_time() {
    let options = Options { drain_max: Duration::from_millis(100), ..Options::default() };
    let server = Server::with(slow(50, Duration::from_millis(100)), options).await;
    let mut stream = begin_download(&server).await;
    let reading = tokio::spawn(async move { client::read(&mut stream).await });
    assert_eq!(server.stop().await, Stopped { cut_off_connections: 1 });
    let reply = reading.await.unwrap();
    reply.body().expect_err("must not look whole");
    assert!(reply.end.is_err(), "reset, not closed");
}

async fn ended_after(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    ended.expect("the server ends the connection").ok();
    started.elapsed()
}

fn impatient() -> Options {
    let (head_max, idle_max) = (Duration::from_millis(300), Duration::from_millis(1200));
    Options { head_max, idle_max, ..Options::default() }
}

#[tokio::test]
async fn a_connection_without_a_request_ends_soon() {
    let server = Server::with(Double::empty(), impatient()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let took = ended_after(&mut stream).await;
    assert!((250..1000).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_dribbled_head() {
    let server = Server::with(Double::empty(), impatient()).await;
    let ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(ping).await.unwrap();
        let mut answer = [0; 1000];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let (mut reader, mut writer) = stream.into_split();
    let started = Instant::now();
    let dribble = tokio::spawn(async move {
        for byte in ping {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.ok();
    let took = started.elapsed();
    assert!((250..1000).contains(&took.as_millis()), "{took:?}");
    dribble.abort();

    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(ping).await.unwrap();
    idle.read_exact(&mut [0; 20]).await.unwrap();
    let took = ended_after(&mut idle).await;
    assert!((1000..2500).contains(&took.as_millis()), "{took:?}");
}

/// The threads that made the chunks of each download, by name.
fn names(double: impl Fn(Chunks) -> Download + Send + Sync + 'static) -> (Double, Arc<Mutex<Vec<String>>>) {
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&names);
    let double = Double::new(move |_, _| {
        let names = Arc::clone(&kept);
        let chunks = (0..40).map(move |_| {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            names.lock().unwrap().push(name);
            Ok(Bytes::from(vec![7; 100_000]))
        });
        Ok(double(Box::new(chunks)))
    });
    (double, names)
}

/// Threads that live as long as the test: they may not be stopped by those of a runtime.
fn in_background() -> Options {
    let background = Box::leak(Box::new(crate::Background::new(10).unwrap()));
    Options { background: Some(background.handle()), ..Options::default() }
}

#[tokio::test]
async fn a_download_is_carried_by_threads_of_a_low_priority_and_nothing_else_is() {
    for size in [Some(4_000_000), None] {
        let (double, names) = names(move |chunks| super::download(chunks, size));
        let server = Server::with(double, in_background()).await;
        let mut stream = begin_download(&server).await;
        let mut body = vec![0; 4_000_000];
        stream.read_exact(&mut body).await.unwrap();
        let whole = || names.lock().unwrap().len() == 40;
        super::streams::until("all chunks are made", whole).await;
        {
            let names = names.lock().unwrap();
            assert_eq!(names.len(), 40);
            assert!(names.iter().all(|name| name == "icecore-backup"), "{names:?}");
        }
        // The connection comes back, and goes on.
        let request =
            b"GET /api/v2/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Token operator\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(String::from_utf8_lossy(&rest).contains("HTTP/1.1 404"), "{size:?}");
        assert_eq!(server.stop().await, Stopped { cut_off_connections: 0 });
    }
}

#[tokio::test]
async fn a_download_in_the_background_is_drained_and_cut_off_like_any_other() {
    let (double, options) = (slow(5, Duration::from_millis(60)), in_background());
    let server = Server::with(double, options).await;
    let mut stream = begin_download(&server).await;
    let reading = tokio::spawn(async move { client::read(&mut stream).await });
    assert_eq!(server.stop().await, Stopped { cut_off_connections: 0 });
    assert_eq!(reading.await.unwrap().body().unwrap().len(), 5 * (2 << 20));

    let options = Options { drain_max: Duration::from_millis(100), ..in_background() };
    let server = Server::with(slow(50, Duration::from_millis(100)), options).await;
    let mut stream = begin_download(&server).await;
    let reading = tokio::spawn(async move { client::read(&mut stream).await });
    assert_eq!(server.stop().await, Stopped { cut_off_connections: 1 });
    assert!(reading.await.unwrap().end.is_err(), "reset, not closed");
}
