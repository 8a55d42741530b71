//! A client that reads as fast as it can, and looks at the clock whenever something comes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// What a client saw; seconds and bytes.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Until the head was there.
    pub(crate) head: f64,
    /// Until the first byte behind it was.
    pub(crate) body: f64,
    /// The longest time without a byte, from the request on.
    pub(crate) silence: f64,
    /// Bytes that had come before it.
    pub(crate) silence_after: u64,
    pub(crate) total: f64,
    pub(crate) bytes: u64,
    /// What the head says.
    pub(crate) size: Option<u64>,
}

/// Reads shard 1.
///
/// # Panics
/// When the answer is not one of 200 that ends as it has to.
pub(crate) fn read(address: &str, token: &str) -> Seen {
    let mut stream = TcpStream::connect(address).expect("a server that listens");
    let request = format!(
        "GET /api/v2/backup/shards/1 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Token {token}\r\nConnection: close\r\n\r\n"
    );
    let started = Instant::now();
    stream.write_all(request.as_bytes()).expect("a server that reads");
    let mut seen =
        Seen { head: 0.0, body: 0.0, silence: 0.0, silence_after: 0, total: 0.0, bytes: 0, size: None };
    let (mut head, mut tail, mut last) = (Vec::new(), Vec::new(), 0.0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = stream.read(&mut buffer).expect("a whole answer");
        let now = started.elapsed().as_secs_f64();
        if now - last > seen.silence {
            (seen.silence, seen.silence_after) = (now - last, seen.bytes);
        }
        last = now;
        if count == 0 {
            break;
        }
        let mut came = buffer.get(..count).expect("so many were read");
        if seen.head == 0.0 {
            head.extend_from_slice(came);
            let Some(end) = head.windows(HEAD_END.len()).position(|four| four == HEAD_END) else { continue };
            seen.head = now;
            let behind = head.split_off(end + HEAD_END.len());
            came = came.get(came.len() - behind.len()..).unwrap_or_default();
        }
        if seen.body == 0.0 && !came.is_empty() {
            seen.body = now;
        }
        seen.bytes += came.len() as u64;
        tail.extend_from_slice(came.get(came.len().saturating_sub(8)..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(8));
    }
    seen.total = last;
    let head = String::from_utf8(head).expect("a head of letters");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let size = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    seen.size = size.map(|size| size.parse().expect("a number"));
    match seen.size {
        Some(size) => assert_eq!(seen.bytes, size, "the whole came"),
        None => assert!(tail.ends_with(b"0\r\n\r\n"), "the last chunk came"),
    }
    seen
}
