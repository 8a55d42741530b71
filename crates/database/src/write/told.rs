//! What is told of lines that are not taken.

use icecore_lineprotocol::{Errors, LineError};

/// What is said about lines that are not taken, at most: each is quoted, and a batch can hold nothing else.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The lines that are not taken, as influxd tells them, up to a limit that influxd does not have.
#[derive(Debug, Default)]
pub(super) struct Told {
    told: Errors,
    untold: u64,
}

impl Told {
    pub(super) fn push(&mut self, error: &LineError<'_>) {
        if self.untold == 0 && self.told.as_str().len() + error.line.len() <= TEXT_BYTES_MAX {
            self.told.push(error);
        } else {
            self.untold += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.untold == 0 && self.told.is_empty()
    }

    /// `None` when there is none.
    pub(super) fn into_text(self) -> Option<String> {
        let untold = match self.untold {
            0 if self.told.is_empty() => return None,
            0 => return Some(self.told.to_string()),
            1 => "unable to parse one more line".to_owned(),
            more => format!("unable to parse {more} more lines"),
        };
        let separator = if self.told.is_empty() { "" } else { "\n" };
        Some(format!("{}{separator}{untold}", self.told))
    }
}

#[cfg(test)]
mod tests {
    use icecore_lineprotocol::{Parser, Precision};

    use super::*;

    fn text(batch: &str) -> String {
        let (mut parser, mut told) = (Parser::new(), Told::default());
        let mut lines = parser.lines(batch.as_bytes(), Precision::Nanoseconds, 0);
        while let Some(line) = lines.next_line() {
            if let Err(error) = line {
                told.push(&error);
            }
        }
        assert!(!told.is_empty());
        told.into_text().unwrap()
    }

    #[test]
    fn what_is_told_is_bounded_whatever_the_batch() {
        assert_eq!(
            text("m\ngood f=1\nn f="),
            "unable to parse 'm': missing fields\nunable to parse 'n f=': missing field value"
        );
        let many = text(&format!("{}\n", "x".repeat(1000)).repeat(3000));
        assert!(many.len() < TEXT_BYTES_MAX + 100_000, "{}", many.len());
        assert!(
            many.ends_with("missing fields\nunable to parse 1987 more lines"),
            "{}",
            &many[many.len() - 100..]
        );
        assert_eq!(text(&"y".repeat(2 << 20)), "unable to parse one more line");
    }
}
