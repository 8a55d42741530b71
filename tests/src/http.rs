//! A client that hides nothing: it sends exactly the headers it is given and shows the answer as it came, undecoded.
//!
//! A body that ends before its framing says so is an error, as it is for every real client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flate2::read::GzDecoder;

/// Longer than any answer in these tests takes, so that a server that hangs fails its test.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where a server is and how to greet it.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    authorization: Option<String>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// Of the first line.
    pub status: u16,
    /// In their order, with their letter case.
    pub headers: Vec<(String, String)>,
    /// Without the chunks, but still compressed.
    pub body: Vec<u8>,
}

impl Client {
    /// A client without credentials for the server at `address`, which is `HOST:PORT`.
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), authorization: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Authorization: Token {token}\r\n")), ..self.clone() }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request on a connection of its own and reads the answer to its end.
    ///
    /// # Errors
    /// When there is no connection, or the answer breaks off.
    pub fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        head.push_str(self.authorization.as_deref().unwrap_or_default());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Answer::parse(&bytes)
    }

    /// [`Self::try_send`] that must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.try_send(method, target, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// What `GET target` answers.
    ///
    /// # Panics
    /// When there is no whole answer.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], &[])
    }

    /// A connection of its own, for one request after the other.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let authorization = self.authorization.as_deref().unwrap_or_default();
        let head = format!("Host: {}\r\n{authorization}", self.address);
        Ok(Connection { stream: BufReader::new(stream), head })
    }

    /// Writes line protocol into a bucket, named or by its id, and sees it acknowledged.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn write(&self, org: &str, bucket: &str, lines: &str) {
        let target = format!("/api/v2/write?org={org}&bucket={bucket}");
        let answer = self.send("POST", &target, &[], lines.as_bytes());
        assert_eq!(answer.status, 204, "POST {target}: {}", answer.text());
    }

    /// The body of `GET target`.
    ///
    /// # Panics
    /// When the answer is not 200.
    #[track_caller]
    pub fn body_of(&self, target: &str) -> Vec<u8> {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "GET {target}: {}", answer.text());
        answer.body
    }
}

/// A connection that stays open for one request after the other.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    /// Sends a request with a body and reads the answer, whose length must be stated.
    ///
    /// # Errors
    /// When the connection breaks before the answer is there as a whole.
    pub fn post(&mut self, target: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!("POST {target} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", self.head, body.len());
        let stream = self.stream.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut bytes)? == 0 {
                return Err(broken("no end of the header"));
            }
        }
        let mut answer = Answer { body: Vec::new(), ..Answer::parse_head(&bytes)? };
        let length = answer.header("content-length").map_or(Ok(0), str::parse);
        answer.body.resize(length.map_err(|_| broken("no length"))?, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let head_len = find(bytes, b"\r\n\r\n").ok_or_else(|| broken("no end of the header"))?;
        let mut answer = Self::parse_head(&bytes[..head_len])?;
        answer.body = answer.unframe(&bytes[head_len + 4..])?;
        Ok(answer)
    }

    /// Without its body.
    fn parse_head(bytes: &[u8]) -> io::Result<Self> {
        let head = String::from_utf8_lossy(bytes);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Self {
            status: status.ok_or_else(|| broken("no status"))?,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: Vec::new(),
        })
    }

    fn unframe(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        if self.header("transfer-encoding") == Some("chunked") {
            return unchunk(bytes);
        }
        match self.header("content-length") {
            Some(length) if length.parse() != Ok(bytes.len()) => {
                Err(broken(&format!("{} bytes of a body of {length}", bytes.len())))
            }
            _ => Ok(bytes.to_vec()),
        }
    }

    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body without the gzip or zstd that `Content-Encoding` names.
    ///
    /// # Panics
    /// When it is not what the header says, or not whole.
    pub fn decoded(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            None => self.body.clone(),
            Some("gzip") => {
                let mut bytes = Vec::new();
                GzDecoder::new(&self.body[..]).read_to_end(&mut bytes).unwrap();
                bytes
            }
            Some("zstd") => zstd::decode_all(&self.body[..]).unwrap(),
            Some(other) => panic!("{other}"),
        }
    }
}

fn unchunk(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(bytes, b"\r\n").ok_or_else(|| broken("the last chunk is missing"))?;
        let size =
            std::str::from_utf8(&bytes[..line]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let size = size.ok_or_else(|| broken("a chunk has no size"))?;
        bytes = &bytes[line + 2..];
        let chunk = bytes.get(..size).ok_or_else(|| broken("a chunk is cut"))?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(chunk);
        bytes = bytes.get(size + 2..).ok_or_else(|| broken("a chunk does not end"))?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_a_missing_last_one_is_an_error() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let whole = format!("{head}3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(Answer::parse(whole.as_bytes()).unwrap().text(), "abc0123456789");
        for len in head.len()..whole.len() - 4 {
            assert!(Answer::parse(&whole.as_bytes()[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_body_shorter_than_its_length_is_an_error() {
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc").is_err());
        let answer =
            Answer::parse(b"HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!((answer.status, answer.header("x-a"), answer.text().as_str()), (404, Some("b"), "abc"));
    }
}
