//! A body that is produced while it is sent.

use bytes::Bytes;
use icecore_backup::encode;

use crate::range::Part;

/// Blocks on disk; holds no lock, only what it has pinned. Nothing is asked of it after an `Err` or the end. An empty chunk says
/// that the next may be a while in coming, so that nobody holds back what came before it.
pub(crate) type Chunks = Box<dyn Iterator<Item = Result<Bytes, BrokenOff>> + Send>;

/// One backup, ready to be sent.
pub(crate) struct Download {
    pub(crate) chunks: Chunks,
    /// Bytes of the whole, when known.
    pub(crate) size: Option<u64>,
    /// The moment that it shows, ns since 1970: the next `since`.
    pub(crate) cut_ns: Option<i64>,
    /// Names the bytes of the whole, in quotes.
    pub(crate) tag: Option<String>,
    /// What of the whole `chunks` are.
    pub(crate) part: Part,
}

/// Why a body ends early. What was sent before it is not a backup.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BrokenOff(String);

impl From<encode::Failed> for BrokenOff {
    fn from(failed: encode::Failed) -> Self {
        Self::of(failed)
    }
}

impl BrokenOff {
    pub(crate) fn of(cause: impl ToString) -> Self {
        Self(cause.to_string())
    }
}

/// The first bytes of a source, and nothing behind them.
pub(crate) struct First {
    source: Chunks,
    left: u64,
}

impl First {
    pub(crate) fn new(source: Chunks, bytes: u64) -> Self {
        Self { source, left: bytes }
    }
}

impl Iterator for First {
    type Item = Result<Bytes, BrokenOff>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let chunk = self.source.next()?.map(|mut chunk| {
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            chunk
        });
        Some(chunk)
    }
}

/// A source held to the size that was announced for it.
///
/// Invariant: the byte that completes the size leaves only after the source ended without an error. So a client that
/// has as many bytes as announced has a sound body, whatever the source says last.
pub(crate) struct Exact {
    source: Option<Chunks>,
    left: u64,
    last: Option<Bytes>,
}

impl Exact {
    pub(crate) fn new(source: Chunks, size: u64) -> Self {
        Self { source: Some(source), left: size, last: None }
    }

    /// `Ok(None)` after a chunk that is held back.
    fn step(&mut self, chunk: Bytes) -> Result<Option<Bytes>, BrokenOff> {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| BrokenOff::of("the backup is longer than the size announced for it"))?;
        if self.left == 0 && len > 0 {
            self.last = Some(chunk);
            return Ok(None);
        }
        Ok(Some(chunk))
    }
}

impl Iterator for Exact {
    type Item = Result<Bytes, BrokenOff>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(chunk) = self.source.as_mut()?.next() else {
                self.source = None;
                let short = format!("the backup ended {} bytes before the size announced for it", self.left);
                return if self.left > 0 {
                    Some(Err(BrokenOff::of(short)))
                } else {
                    self.last.take().map(Ok)
                };
            };
            match chunk.and_then(|chunk| self.step(chunk)) {
                Ok(None) => {}
                Ok(Some(chunk)) => return Some(Ok(chunk)),
                Err(why) => {
                    self.source = None;
                    return Some(Err(why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(chunks: Vec<Result<&'static str, &'static str>>, size: u64) -> (String, Option<String>) {
        let chunks = chunks.into_iter().map(|chunk| chunk.map(Bytes::from).map_err(BrokenOff::of));
        let (mut text, mut why) = (String::new(), None);
        for chunk in Exact::new(Box::new(chunks), size) {
            assert!(why.is_none(), "nothing follows an error");
            match chunk {
                Ok(chunk) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(broken) => why = Some(broken.to_string()),
            }
        }
        (text, why)
    }

    #[test]
    fn the_first_bytes_of_a_source_are_taken_and_no_more_is_asked_for() {
        let source = || -> Chunks {
            let chunks = ["ab", "", "cde"].map(|chunk| Ok(Bytes::from(chunk)));
            Box::new(chunks.into_iter().chain(std::iter::once_with(|| panic!("asked"))))
        };
        for (bytes, expected) in [(0, ""), (1, "a"), (2, "ab"), (4, "abcd"), (5, "abcde")] {
            let taken: Vec<_> = First::new(source(), bytes).map(|chunk| chunk.unwrap()).collect();
            assert_eq!(taken.concat(), expected.as_bytes());
        }
    }

    #[test]
    fn a_source_of_the_announced_size_passes() {
        assert_eq!(sent(vec![Ok("ab"), Ok(""), Ok("cd"), Ok("")], 4), ("abcd".to_owned(), None));
        assert_eq!(sent(vec![], 0), (String::new(), None));
        assert_eq!(sent(vec![Ok("")], 0), (String::new(), None));
    }

    #[test]
    fn the_last_byte_stays_back_when_the_source_ends_with_an_error() {
        assert_eq!(
            sent(vec![Ok("ab"), Ok("cd"), Err("disk")], 4),
            ("ab".to_owned(), Some("disk".to_owned()))
        );
    }

    #[test]
    fn a_source_of_another_size_ends_with_an_error_short_of_the_size() {
        let (text, why) = sent(vec![Ok("ab"), Ok("c")], 4);
        assert_eq!(text, "abc");
        assert_eq!(why.unwrap(), "the backup ended 1 bytes before the size announced for it");
        let (text, why) = sent(vec![Ok("ab"), Ok("cd"), Ok("e")], 4);
        assert_eq!(text, "ab");
        assert_eq!(why.unwrap(), "the backup is longer than the size announced for it");
    }
}
