use crate::careful;
use crate::error::{LineError, Reason};
use crate::fields::Slots;
use crate::key::{LEN_MAX, Scanner};
use crate::line::{Fields, Line};
use crate::split;
use crate::time::{self, Precision};

/// Buffers for one line, used again for the next one and for the next batch.
///
/// They grow with the longest line of a batch, to 48 bytes a field, 24 a tag and twice the line; the next batch starts
/// with what usual lines need.
#[derive(Debug, Default)]
pub struct Parser {
    series: Scanner,
    fields: Slots,
}

/// The lines of one batch.
#[derive(Debug)]
pub struct Lines<'p, 'b> {
    parser: &'p mut Parser,
    batch: &'b [u8],
    at: usize,
    precision: Precision,
    now_ns: i64,
}

impl Parser {
    /// A parser without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts at the front of a batch. Timestamps are in units of `precision`; a point without one gets `now_ns`, cut to
    /// whole units.
    pub fn lines<'p, 'b>(&'p mut self, batch: &'b [u8], precision: Precision, now_ns: i64) -> Lines<'p, 'b> {
        self.series.shrink();
        self.fields.shrink();
        Lines { parser: self, batch, at: 0, precision, now_ns: precision.truncate(now_ns) }
    }
}

impl<'b> Lines<'_, 'b> {
    /// The next point, or the next line that is none; blank lines and comments are passed over. `None` at the end.
    ///
    /// # Errors
    /// A line that is not taken. It says nothing about the lines behind it.
    pub fn next_line(&mut self) -> Option<Result<Line<'_>, LineError<'b>>> {
        let (offset, line) = loop {
            let start = self.at;
            let rest = self.batch.get(start..).filter(|rest| !rest.is_empty())?;
            let len = split::line_end(self.batch, start) - start;
            self.at = start + len + 1;
            let block = rest.get(..len).unwrap_or(rest);
            let blank = white_space(block);
            match block.get(blank..) {
                None | Some([] | [b'#', ..]) => {}
                Some(line) => break (start + blank, line.strip_suffix(b"\n").unwrap_or(line)),
            }
        };
        Some(self.parse(line, offset).map_err(|reason| LineError { line, offset, reason }))
    }

    fn parse(&mut self, line: &'b [u8], offset: usize) -> Result<Line<'_>, Reason<'b>> {
        let Parser { series, fields } = &mut *self.parser;
        let scanned = series.scan(line)?;
        if scanned.len > LEN_MAX {
            return Err(Reason::KeyTooLong(scanned.len));
        }
        let start = scanned.len + line.get(scanned.len..).map_or(0, white_space);
        fields.clear();
        let (end, unreadable) = match fields.plain(line, start, scanned.len) {
            Some(end) => (end, None),
            None => {
                fields.clear();
                let end = careful::check(line, start)?;
                (end, fields.read(line, start, end, scanned.len)?)
            }
        };
        let behind = line.get(end..).unwrap_or_default();
        let time = time::parse(behind.get(white_space(behind)..).unwrap_or_default(), self.precision)?;
        if let Some(key) = unreadable {
            return Err(Reason::Unreadable(key));
        }
        Ok(Line {
            key: series.key(line, scanned),
            measurement_len: scanned.measurement_len,
            time_ns: time.unwrap_or(self.now_ns),
            offset,
            fields: Fields { slots: fields.slots.iter(), line, unescaped: &fields.unescaped },
        })
    }
}

/// The number of bytes at the front that count as white space there.
fn white_space(text: &[u8]) -> usize {
    text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | 0)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_large_as_the_longest_line_and_shrink_with_the_next_batch() {
        let mut parser = Parser::new();
        let many = "m,b=1,a=2 f=\"\\\"\",g=1\n".repeat(1000);
        let mut lines = parser.lines(many.as_bytes(), Precision::Nanoseconds, 0);
        while let Some(line) = lines.next_line() {
            assert!(line.is_ok());
        }
        assert_eq!((parser.fields.slots.len(), parser.fields.unescaped.len()), (2, 1));

        let long =
            format!("m{} f=\"{}\"{}", ",t=1".repeat(10_000), "\\\"".repeat(1 << 18), ",f=1".repeat(10_000));
        assert!(
            parser
                .lines(long.as_bytes(), Precision::Nanoseconds, 0)
                .next_line()
                .is_some_and(|line| line.is_err())
        );
        let long = long.replace(",t=1", "");
        assert!(
            parser
                .lines(long.as_bytes(), Precision::Nanoseconds, 0)
                .next_line()
                .is_some_and(|line| line.is_ok())
        );
        assert!(parser.fields.slots.capacity() > 10_000 && parser.fields.unescaped.capacity() >= 1 << 18);
        parser.lines(b"", Precision::Nanoseconds, 0);
        assert!(parser.fields.slots.capacity() < 2000 && parser.fields.unescaped.capacity() <= 1 << 16);
    }
}
