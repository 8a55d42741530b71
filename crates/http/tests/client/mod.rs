//! A client that shows what arrived, byte for byte, and how it ended.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer as it came over the socket.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In the spelling and order of the wire.
    pub(crate) headers: Vec<(String, String)>,
    /// After the head, not decoded.
    pub(crate) rest: Vec<u8>,
    /// How the connection ended: closed or reset.
    pub(crate) end: io::Result<()>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    /// The body if it arrived whole: up to its announced length, or to its last chunk.
    pub(crate) fn body(&self) -> Result<Vec<u8>, String> {
        if self.header("Transfer-Encoding") == Some("chunked") {
            return dechunk(&self.rest);
        }
        let len: usize = self.header("Content-Length").map_or(0, |len| len.parse().unwrap());
        match self.rest.len() {
            arrived if arrived == len => Ok(self.rest.clone()),
            arrived => Err(format!("{arrived} of {len} bytes")),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body().unwrap()).unwrap()
    }
}

fn dechunk(mut rest: &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or("no chunk size")?;
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if len == 0 {
            return if rest == b"\r\n" { Ok(body) } else { Err(format!("{rest:?} at the end")) };
        }
        body.extend(rest.get(..len).ok_or("a chunk is cut short")?);
        rest = rest.get(len + 2..).ok_or("a chunk has no end")?;
    }
}

/// Sends `request` and reads until the connection ends. The request asks for that: `Connection: close`, or HTTP/1.0.
pub(crate) async fn exchange(to: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    read(&mut stream).await
}

/// Reads one answer and whatever follows it.
pub(crate) async fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let end = loop {
        let mut some = [0; 65536];
        match stream.read(&mut some).await {
            Ok(0) => break Ok(()),
            Ok(len) => bytes.extend(&some[..len]),
            Err(error) => break Err(error),
        }
    };
    let head =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let (status, headers) = parse_head(text);
    Reply { status, headers, rest: bytes[head + 4..].to_vec(), end }
}

/// Status line and header lines, as in the captures.
pub(crate) fn parse_head(text: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter(|line| !line.is_empty()).map(|line| line.split_once(": ").unwrap());
    (status, headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// `GET path` and the like, with header lines.
pub(crate) async fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
    exchange(to, request.as_bytes()).await
}
