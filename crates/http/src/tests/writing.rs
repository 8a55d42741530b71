use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use flate2::{Compression, GzBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::client::{self, Reply, exchange};

const TARGET: &str = "/api/v2/write?org=o&bucket=b";

type Batches = Vec<(Precision, Vec<u8>)>;

/// Keeps what was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Batches>>);

impl Written {
    fn double(&self) -> Double {
        let written = self.0.clone();
        Double::writing(move |bucket, precision, batch| {
            assert_eq!(bucket, ID);
            written.lock().unwrap().push((precision, batch.to_vec()));
            Ok(())
        })
    }

    fn take(&self) -> Batches {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn head(target: &str, headers: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Token operator\r\n{headers}"
    )
}

async fn post(to: SocketAddr, target: &str, headers: &str, body: &[u8]) -> Reply {
    let head = head(target, headers);
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    exchange(to, &[head.as_bytes(), body].concat()).await
}

async fn post_chunked(to: SocketAddr, headers: &str, chunks: &[&[u8]]) -> Reply {
    let mut request = head(TARGET, headers).into_bytes();
    request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
    for chunk in chunks {
        request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend(*chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    exchange(to, &request).await
}

fn small() -> Options {
    Options {
        write_max_bytes: 1 << 20,
        write_memory_bytes: 0,
        write_wait_max: Duration::from_millis(300),
        body_stall_max: Duration::from_millis(300),
        ..Options::default()
    }
}

fn said(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

fn problem(code: &str, message: &str) -> String {
    format!("{{\"code\":\"{code}\",\"message\":\"{message}\"}}")
}

#[tokio::test]
async fn a_body_arrives_as_it_was_meant_however_it_is_sent() {
    let written = Written::default();
    let server = Server::of(written.double()).await.address;
    let batch = b"m f=1 7\n".repeat(50_000);
    let packed = gzip(&batch);
    let halves = packed.split_at(7);
    for reply in [
        post(server, TARGET, "", &batch).await,
        post(server, TARGET, "Content-Encoding: gzip\r\n", &packed).await,
        post(server, TARGET, "Content-Encoding: x-gzip\r\n", &packed).await,
        post_chunked(server, "", &batch.chunks(10_000).collect::<Vec<_>>()).await,
        post_chunked(server, "Content-Encoding: gzip\r\n", &[halves.0, halves.1]).await,
    ] {
        assert_eq!((reply.status, reply.rest.len()), (204, 0), "{}", String::from_utf8_lossy(&reply.rest));
        assert_eq!(reply.header("Content-Type"), None);
        assert_eq!(reply.header("X-Influxdb-Version"), Some("v2.9.1"));
    }
    let all = written.take();
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|(precision, found)| *precision == Precision::Nanoseconds && *found == batch));
    // Another word is no coding, in any letter case.
    for coding in ["GZIP", "deflate", "identity"] {
        let headers = format!("Content-Encoding: {coding}\r\n");
        assert_eq!(post(server, TARGET, &headers, &packed).await.status, 204);
        assert_eq!(written.take(), [(Precision::Nanoseconds, packed.clone())]);
    }
    for (text, precision) in [
        ("s", Precision::Seconds),
        ("ms", Precision::Milliseconds),
        ("us", Precision::Microseconds),
        ("", Precision::Nanoseconds),
    ] {
        let target = format!("{TARGET}&precision={text}&consistency=all");
        assert_eq!(post(server, &target, "", b"").await.status, 204);
        assert_eq!(written.take(), [(precision, Vec::new())]);
    }
}

#[tokio::test]
async fn checks_come_in_the_order_of_the_contract() {
    let written = Written::default();
    let server = Server::with(written.double(), small()).await.address;
    let gzip_of = "Content-Encoding: gzip\r\n";
    let precision = "invalid precision; valid precision units are ns, us, ms, and s";
    let header = "gzipped HTTP body contains an invalid header";
    let large = vec![b' '; (1 << 20) + 1];
    for (target, headers, body, status, code, message) in [
        ("/api/v2/write?precision=h", gzip_of, &b"x"[..], 400, "invalid", precision),
        ("/api/v2/write", gzip_of, b"x", 404, "not found", "bucket not found"),
        ("/api/v2/write?bucket=b", gzip_of, b"no header of gzip", 400, "invalid", header),
        ("/api/v2/write?bucket=b", gzip_of, b"", 400, "invalid", header),
        ("/api/v2/write?bucket=b", "", &large, 400, "invalid", "Please provide either orgID or org"),
        ("/api/v2/write?bucket=x&org=o", "", &large, 404, "not found", "None \\\"o\\\" \\\"x\\\""),
        (
            "/api/v2/write?bucket=b&org=o&orgID=zz",
            "",
            b"",
            400,
            "invalid",
            "id must have a length of 16 bytes",
        ),
        (TARGET, "", &large, 413, "request too large", "unable to read data: points batch is too large"),
    ] {
        let reply = post(server, target, headers, body).await;
        assert_eq!(said(&reply), (status, problem(code, message)), "{target}");
        assert_eq!(reply.header("X-Platform-Error-Code"), Some(code));
        assert!(reply.end.is_ok(), "{target}: {:?}", reply.end);
    }
    assert_eq!(written.take(), []);
    let id = "/api/v2/write?bucket=b&org=0000000000000001";
    assert_eq!(post(server, id, "", b"").await.status, 204, "16 digits are an id");
}

#[tokio::test]
async fn a_token_without_permission_is_refused_before_the_body_is_read() {
    let written = Written::default();
    let server = Server::of(written.double()).await.address;
    for (token, status, code, message) in [
        ("nobody", 401, "unauthorized", "unauthorized access"),
        ("orphan", 403, "forbidden", "User is inactive"),
        ("reader", 403, "forbidden", "insufficient permissions for write"),
        ("inactive", 403, "forbidden", "insufficient permissions for write: token is inactive"),
    ] {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Authorization: Token {token}\r\nContent-Length: 1000000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        // hyper asks for a body that nobody took before it answers.
        let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(body, problem(code, message));
    }
    assert_eq!(written.take(), []);
}

/// docs/http.md, 19 no. 35.
#[tokio::test]
async fn the_bucket_decides_whose_permission_is_asked_and_not_the_query() {
    let written = Written::default();
    let server = Server::of(written.double()).await.address;
    let target = "/api/v2/write?org=0000000000000002&bucket=0000000000000001";
    let request = head(target, "Content-Length: 5\r\n\r\nm f=1");
    let reply = exchange(server, request.replace("Token operator", "Token elsewhere").as_bytes()).await;
    assert_eq!(said(&reply), (403, problem("forbidden", "insufficient permissions for write")));
    assert_eq!(written.take(), []);
    assert_eq!(exchange(server, request.as_bytes()).await.status, 204, "who may write it may call it so");
}

/// A client that sends first and reads then must not lose the answer to a connection that was closed before.
#[tokio::test]
async fn a_client_in_the_middle_of_a_large_body_still_gets_the_refusal() {
    let server = Server::with(Written::default().double(), small()).await.address;
    let body = vec![b' '; 8 << 20];
    for target in [TARGET, "/api/v2/write?org=o", "/api/v2/write?org=o&bucket=unknown"] {
        let reply = post(server, target, "", &body).await;
        assert!([404, 413].contains(&reply.status) && reply.end.is_ok(), "{target} {}", reply.status);
    }
    let packed = gzip(&vec![b' '; 8 << 20]);
    let reply = post(server, TARGET, "Content-Encoding: gzip\r\n", &packed).await;
    let message = "unable to read data: points batch is too large";
    assert_eq!(said(&reply), (413, problem("request too large", message)), "a bomb");
    assert_eq!(post_chunked(server, "", &[&body]).await.status, 413, "a body without a length");
}

#[tokio::test]
async fn what_is_broken_in_a_body_is_told() {
    let written = Written::default();
    let server = Server::with(written.double(), small()).await.address;
    let packed = gzip(&b"m f=1\n".repeat(1000));
    let mut flipped = packed.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (body, message) in [
        (&flipped[..], "unable to read data: gzip: invalid checksum"),
        (&packed[..packed.len() - 1], "unable to read data: unexpected EOF"),
        (&[&packed[..], b"0123456789"].concat(), "unable to read data: gzip: invalid header"),
    ] {
        let reply = post(server, TARGET, "Content-Encoding: gzip\r\n", body).await;
        assert_eq!(said(&reply), (400, problem("invalid", message)));
    }
    assert_eq!(written.take(), []);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_and_writes_nothing() {
    let written = Written::default();
    let server = Server::with(written.double(), small()).await.address;
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("{}Content-Length: 100\r\n\r\nm f=1", head(TARGET, ""));
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = client::read(&mut stream).await;
    let message = "unable to read data: nothing arrived for 300ms";
    assert_eq!(said(&reply), (400, problem("invalid", message)));

    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(written.take(), [], "a body that breaks off is not written either");
}

#[tokio::test]
async fn problems_of_the_storage_are_answers_and_a_panic_is_one_too() {
    let double = Double::writing(|_, _, batch| match batch {
        b"lines" => Err(Problem::new(Code::Invalid, "unable to parse 'x': missing fields")),
        b"busy" => Err(Problem::new(Code::Unavailable, "no room")),
        _ => panic!("planted"),
    });
    let server = Server::of(double).await.address;
    for (body, status, code, message) in [
        ("lines", 400, "invalid", "unable to parse 'x': missing fields"),
        ("busy", 503, "unavailable", "no room"),
        ("panic", 500, "internal error", "a panic has occurred: /api/v2/write?org=o\\u0026bucket=b: planted"),
    ] {
        let reply = post(server, TARGET, "", body.as_bytes()).await;
        assert_eq!(said(&reply), (status, problem(code, message)));
    }
}

/// Writes that block until they are let go, and how many are at it.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    at_once: Arc<AtomicUsize>,
    at_once_max: Arc<AtomicUsize>,
}

impl Gate {
    fn double(&self) -> Double {
        let gate = self.clone();
        Double::writing(move |_, _, _| {
            let now = gate.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            gate.at_once_max.fetch_max(now, Ordering::SeqCst);
            let (open, changed) = &*gate.open;
            drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            gate.at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// A test that fails lets the writes go, too; they would keep it from ending.
impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.open();
        }
    }
}

#[tokio::test]
async fn so_many_writes_block_at_once_and_all_others_wait_without_a_thread() {
    let gate = Gate::default();
    let options = Options { writes_max: 3, ..Options::default() };
    let server = Server::with(gate.double(), options).await.address;
    let writes: Vec<_> = (0..20)
        .map(|_| tokio::spawn(async move { post(server, TARGET, "", b"m f=1").await.status }))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(gate.at_once.load(Ordering::SeqCst), 3);
    let other = client::send(server, "GET", "/api/v2/setup", &[]).await;
    assert_eq!(other.status, 200, "others are served meanwhile");
    gate.open();
    for write in writes {
        assert_eq!(write.await.unwrap(), 204);
    }
    assert_eq!(gate.at_once_max.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn bodies_beyond_the_memory_wait_and_are_refused_in_the_end() {
    let gate = Gate::default();
    let server = Server::with(gate.double(), small()).await.address;
    let body = vec![b' '; 1 << 20];
    let first: Vec<_> = (0..2)
        .map(|_| {
            let body = body.clone();
            tokio::spawn(async move { post(server, TARGET, "", &body).await.status })
        })
        .collect();
    while gate.at_once.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reply = post(server, TARGET, "", &body).await;
    let message = "the server holds as much unwritten data as it may; try again later";
    assert_eq!(said(&reply), (503, problem("unavailable", message)));
    assert_eq!(reply.header("X-Platform-Error-Code"), Some("unavailable"));
    gate.open();
    for write in first {
        assert_eq!(write.await.unwrap(), 204);
    }
    assert_eq!(post(server, TARGET, "", &body).await.status, 204, "there is room again");
}

#[tokio::test]
async fn another_spelling_or_method_is_not_a_write() {
    let server = Server::of(Written::default().double()).await.address;
    let operator = [("Authorization", "Token operator")];
    let reply = client::send(server, "GET", "/api/v2/write?org=o&bucket=b", &operator).await;
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("OPTIONS, POST")));
    let reply = client::send(server, "POST", "/api/v2/write/?x=1", &operator).await;
    assert_eq!((reply.status, reply.header("Location")), (308, Some("/api/v2/write?x=1")));
    let origin = [("Origin", "https://a.example")];
    assert_eq!(client::send(server, "OPTIONS", TARGET, &origin).await.status, 204);
    let mut both = operator.to_vec();
    both.extend(origin);
    let reply = client::send(server, "POST", TARGET, &both).await;
    assert_eq!((reply.status, reply.header("Access-Control-Allow-Origin")), (204, Some("https://a.example")));
}

/// One connection, many writes: what is left of one does not disturb the next.
#[tokio::test]
async fn writes_follow_each_other_on_one_connection() {
    let written = Written::default();
    let server = Server::of(written.double()).await.address;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for n in 0..10 {
        let body = format!("m f={n}");
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nHost: x\r\nAuthorization: Token operator\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = [0; 1000];
        let len = stream.read(&mut answer).await.unwrap();
        assert!(answer[..len].starts_with(b"HTTP/1.1 204 No Content\r\n"));
    }
    let all = written.take();
    assert!(all.len() == 10 && all[9].1 == b"m f=9");
}
