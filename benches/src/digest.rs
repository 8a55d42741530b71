//! What lines of line protocol say, without regard to their order and to how values are put into lines.

use std::io::{self, BufRead};

use icecore_lineprotocol::{Line, Parser, Precision, Value};
use twox_hash::XxHash3_128;

/// Values in number, and the sum of a 128-bit hash of each with its key and time. Two texts with the same digest say the same
/// values, each as often, but by a chance that is no concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many values.
    pub values: u64,
    sum: u128,
}

impl Digest {
    /// Adds all lines of a text.
    ///
    /// # Panics
    /// When one is no point with a time.
    pub fn add(&mut self, lines: &[u8]) {
        let (mut parser, mut composite) = (Parser::new(), Vec::new());
        let mut lines = parser.lines(lines, Precision::Nanoseconds, 0);
        while let Some(line) = lines.next_line() {
            self.add_line(&line.unwrap_or_else(|error| panic!("{error}")), &mut composite);
        }
    }

    fn add_line(&mut self, line: &Line<'_>, buffer: &mut Vec<u8>) {
        for field in line.fields() {
            line.composite(field.key, buffer);
            buffer.extend_from_slice(&line.time_ns().to_be_bytes());
            let bits = match field.value {
                Value::Float(value) => value.to_bits().to_be_bytes(),
                Value::Integer(value) => value.to_be_bytes(),
                Value::Unsigned(value) => value.to_be_bytes(),
                Value::Boolean(value) => u64::from(value).to_be_bytes(),
                Value::String(text) => {
                    buffer.extend_from_slice(text);
                    (text.len() as u64).to_be_bytes()
                }
            };
            buffer.extend_from_slice(&bits);
            self.values += 1;
            self.sum = self.sum.wrapping_add(XxHash3_128::oneshot(buffer));
        }
    }

    /// Reads lines to the end; none of them has a newline inside.
    ///
    /// # Errors
    /// Those of the reader.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn read(mut from: impl BufRead) -> io::Result<Self> {
        let (mut digest, mut line) = (Self::default(), Vec::new());
        while from.read_until(b'\n', &mut line)? > 0 {
            digest.add(&line);
            line.clear();
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn order_and_form_do_not_count_and_each_value_does() {
        assert_eq!(digest("m,t=a f=1.50,g=2i 7\nm f=1 7\n"), digest("m f=1 7\nm,t=a g=2i 7\nm,t=a f=1.5 7"));
        for other in ["m f=1 8", "m f=2 7", "m g=1 7", "m,t=a f=1 7", "m f=1 7\nm f=1 7"] {
            assert_ne!(digest("m f=1 7"), digest(other), "{other}");
        }
    }
}
