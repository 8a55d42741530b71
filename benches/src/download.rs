//! A client that reads as fast as it can and keeps nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Read from the socket at a time: a quarter of what the cache of a core holds, so that the client is not what is measured.
const PIECE_LEN: usize = 128 << 10;
/// What a whole chunked body ends with, when it has no trailer.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `HOST:PORT`.
    pub address: String,
    /// Path and query.
    pub target: String,
    /// Each ends with CR LF.
    pub headers: String,
}

/// What came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Of the body, on the wire.
    pub bytes: u64,
    /// Until the first byte of the head.
    pub first_byte: Duration,
}

/// Sends a request on a connection of its own and reads the answer to its end; `take` sees the body as it is on the wire.
///
/// # Panics
/// When the answer is not 200, not in the coding that is expected, or not whole.
pub fn get(request: &Request, coding: &str, take: impl FnMut(&[u8])) -> Received {
    get_if_found(request, coding, take).unwrap_or_else(|| panic!("{}: 404", request.target))
}

/// The same; `None` for a shard that is not there yet.
///
/// # Panics
/// As [`get`].
pub fn get_if_found(request: &Request, coding: &str, mut take: impl FnMut(&[u8])) -> Option<Received> {
    let Request { address, target, headers } = request;
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).expect("a server that is up");
    stream.set_read_timeout(Some(TIMEOUT)).expect("an option that every socket has");
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("a server that reads");
    let mut stream = BufReader::new(stream);
    let (mut line, mut lines) = (String::new(), Vec::new());
    let mut first_byte = None;
    while stream.read_line(&mut line).expect("an answer") > 0 && !line.trim_end().is_empty() {
        first_byte.get_or_insert_with(|| start.elapsed());
        lines.push(std::mem::take(&mut line).trim_end().to_ascii_lowercase());
    }
    let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if lines.first().is_some_and(|status| status.contains(" 404 ")) {
        return None;
    }
    assert!(lines.first().is_some_and(|status| status.contains(" 200 ")), "{target}: {lines:?}");
    assert_eq!(value("content-encoding").unwrap_or("identity"), coding, "{target}: {lines:?}");
    let (mut piece, mut bytes, mut end) = (vec![0; PIECE_LEN], 0, Vec::new());
    loop {
        let read = stream.read(&mut piece).expect("a body that does not stop");
        let got = piece.get(..read).unwrap_or_default();
        if got.is_empty() {
            break;
        }
        bytes += got.len() as u64;
        end.extend_from_slice(got.last_chunk::<{ LAST_CHUNK.len() }>().map_or(got, |last| last));
        end.drain(..end.len().saturating_sub(LAST_CHUNK.len()));
        take(got);
    }
    match value("content-length") {
        Some(length) => assert_eq!(length, bytes.to_string(), "{target}: a body that breaks off"),
        None => assert_eq!(end, LAST_CHUNK, "{target}: a body that breaks off"),
    }
    Some(Received { bytes, first_byte: first_byte.unwrap_or_default() })
}
