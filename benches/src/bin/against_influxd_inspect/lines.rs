//! The lines of a text without regard to their order: their number, their bytes, and the sum of a 128-bit hash of each.
//!
//! Two texts with the same three have the same lines, each as often, but by a chance that is no concern.

use std::fmt;
use std::io::{self, Read};

use twox_hash::XxHash3_128;

const BUFFER: usize = 1 << 20;

/// A text whose lines have no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    sum: u128,
}

impl Lines {
    /// Reads to the end. A last line may lack its newline; lines that are comments or empty do not count.
    pub(crate) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut lines = Self::default();
        let mut buffer = vec![0; BUFFER];
        let mut held = 0;
        loop {
            if held == buffer.len() {
                buffer.resize(held * 2, 0); // a line is longer
            }
            let read = from.read(buffer.get_mut(held..).unwrap_or_default())?;
            if read == 0 {
                lines.add(buffer.get(..held).unwrap_or_default());
                return Ok(lines);
            }
            let filled = held + read;
            let mut rest = buffer.get(..filled).unwrap_or_default();
            while let Some(end) = memchr::memchr(b'\n', rest)
                && let Some((line, behind)) = rest.split_at_checked(end)
            {
                lines.add(line);
                rest = behind.get(1..).unwrap_or_default();
            }
            held = rest.len();
            buffer.copy_within(filled - held..filled, 0);
        }
    }

    fn add(&mut self, line: &[u8]) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        self.count += 1;
        self.bytes += line.len() as u64 + 1;
        self.sum = self.sum.wrapping_add(XxHash3_128::oneshot(line));
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines, {} bytes, sum of hashes {:032x}", self.count, self.bytes, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives little at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(997);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn order_does_not_count_and_each_line_does() {
        let lines = |text: &str| Lines::read(text.as_bytes()).unwrap();
        assert_eq!(lines("a\nbb\n"), lines("bb\na"));
        assert_eq!(lines("a\n# comment\n\n"), lines("a"));
        assert_ne!(lines("a\na\n"), lines("a\n"));
        assert_ne!(lines("a\nb\n"), lines("a\nc\n"));
        assert_eq!((lines("a\nbb\n").count, lines("a\nbb\n").bytes), (2, 5));
    }

    #[test]
    fn how_the_bytes_arrive_does_not_count() {
        let long = "x".repeat(BUFFER + 5);
        let text = format!("first\n{long}\nlast");
        let whole = Lines::read(text.as_bytes()).unwrap();
        assert_eq!(whole, Lines::read(Slow(text.as_bytes())).unwrap());
        assert_eq!(whole.count, 3);
    }
}
