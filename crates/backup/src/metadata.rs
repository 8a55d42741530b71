//! The metadata: a multipart of Bolt file, SQLite file and bucket manifest, of one moment.
//!
//! ```text
//! --B CRLF header CRLF CRLF content                     kv, sql
//! CRLF --B CRLF … JSON LF                               buckets
//! CRLF --B-- CRLF
//! ```

use std::fmt;

use bytes::Bytes;
use icecore_database::{Database, Error, MetadataCut};
use icecore_kvstore::HotCopy;

/// Longest chunk of the SQLite file.
const CHUNK_LEN: usize = 1 << 18;

/// What separates the parts: 60 lower-case hex digits, different in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// Spells 30 bytes, which should be random so that no content contains the result.
    pub fn new(bytes: &[u8; 30]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A body of known length, as chunks of bytes. The first `Err` ends it.
pub struct Stream {
    parts: std::vec::IntoIter<Part>,
    size: u64,
}

enum Part {
    Made(Bytes),
    Kv(HotCopy),
}

impl Stream {
    fn new(parts: Vec<Part>) -> Self {
        let size = parts.iter().map(Part::size).sum();
        Self { parts: parts.into_iter(), size }
    }

    /// Bytes of the whole body, whatever was taken already.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Self::Made(bytes) => bytes.len() as u64,
            Self::Kv(copy) => copy.len_bytes(),
        }
    }
}

impl Iterator for Stream {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.parts.as_mut_slice().first_mut()? {
                Part::Kv(copy) => {
                    if let Some(chunk) = copy.next() {
                        return Some(chunk.map_err(Error::Store));
                    }
                    self.parts.next();
                }
                Part::Made(bytes) if bytes.len() > CHUNK_LEN => return Some(Ok(bytes.split_to(CHUNK_LEN))),
                Part::Made(bytes) => {
                    let last = std::mem::take(bytes);
                    self.parts.next();
                    return Some(Ok(last));
                }
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("size", &self.size).finish_non_exhaustive()
    }
}

/// The Bolt file of one moment.
///
/// # Errors
/// `Store` names the page that is damaged.
pub fn kv(database: &Database) -> Result<Stream, Error> {
    Ok(Stream::new(vec![Part::Kv(database.kv()?)]))
}

/// Bolt file, SQLite file and bucket manifest of one moment as `multipart/mixed`.
///
/// # Errors
/// As [`Database::metadata`].
pub fn metadata(database: &Database, boundary: &Boundary) -> Result<Stream, Error> {
    Ok(metadata_of(database.metadata()?, boundary))
}

/// The same of a moment that was cut before.
pub fn metadata_of(cut: MetadataCut, boundary: &Boundary) -> Stream {
    let MetadataCut { kv, sql, buckets } = cut;
    let mut manifest = icecore_catalog::to_json(&buckets);
    manifest.push(b'\n');
    let head = |before: &str, name: &str, content_type: &str| {
        let text = format!(
            "{before}--{boundary}\r\nContent-Disposition: attachment; name=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
        );
        Part::Made(Bytes::from(text))
    };
    Stream::new(vec![
        head("", "kv", "application/octet-stream"),
        Part::Kv(kv),
        head("\r\n", "sql", "application/octet-stream"),
        Part::Made(sql.slice(0..sql.len())),
        head("\r\n", "buckets", "application/json; charset=utf-8"),
        Part::Made(Bytes::from(manifest)),
        Part::Made(Bytes::from(format!("\r\n--{boundary}--\r\n"))),
    ])
}
