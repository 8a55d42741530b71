//! The series key at the start of a line: measurement and tags, brought into the order in which they are stored.
//!
//! ```text
//! | measurement | , key = value | , key = value | … space
//! ```
//!
//! A byte is escaped when a backslash stands before it, whatever stands before that. Escapes stay as they are. The
//! first byte of each part is taken as it is, so a value may start with `=`.

use crate::error::Reason;

/// The longest series key, and the longest series key with separator and field, in bytes.
pub const LEN_MAX: usize = u16::MAX as usize;

/// Between series key and field in the key of a TSM file.
pub(crate) const SEPARATOR: &[u8] = b"#!~#";

/// Scans series keys; keeps its buffers from line to line.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    tags: Vec<Tag>,
    sorted: Vec<u8>,
}

/// Places in the line.
#[derive(Clone, Copy, Debug)]
struct Tag {
    start: usize,
    equals: usize,
    end: usize,
}

/// What a scan has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned {
    pub(crate) measurement_len: usize,
    /// The length of the key, and where it ends in the line.
    pub(crate) len: usize,
    /// Whether the key stands in the line as it is stored.
    in_order: bool,
}

impl Tag {
    fn key<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        line.get(self.start..self.equals).unwrap_or_default()
    }
}

impl Scanner {
    pub(crate) fn scan<'l>(&mut self, line: &'l [u8]) -> Result<Scanned, Reason<'l>> {
        self.tags.clear();
        if line.first() == Some(&b',') {
            return Err(Reason::MissingMeasurement);
        }
        let (measurement_len, stop) =
            bare(line, 1, |byte| matches!(byte, b',' | b' ')).ok_or(Reason::MissingFields)?;
        let len = if stop == b',' { self.scan_tags(line, measurement_len)? } else { measurement_len };
        let in_order = self.in_order(line)?;
        if !in_order {
            self.sort(line, measurement_len)?;
        }
        Ok(Scanned { measurement_len, len, in_order })
    }

    /// The key as it is stored, of the line that was scanned last.
    pub(crate) fn key<'a>(&'a self, line: &'a [u8], scanned: Scanned) -> &'a [u8] {
        if scanned.in_order { line.get(..scanned.len).unwrap_or_default() } else { &self.sorted }
    }

    /// Gives memory back above what usual lines need.
    pub(crate) fn shrink(&mut self) {
        self.tags.clear();
        self.sorted.clear();
        self.tags.shrink_to(64);
        self.sorted.shrink_to(LEN_MAX);
    }

    /// Scans tags from the comma before the first; gives the place of the space behind the last.
    fn scan_tags<'l>(&mut self, line: &'l [u8], mut comma: usize) -> Result<usize, Reason<'l>> {
        let is_stop = |byte| matches!(byte, b'=' | b',' | b' ');
        loop {
            let start = comma + 1;
            if matches!(line.get(start), None | Some(b'=' | b',' | b' ')) {
                return Err(Reason::MissingTagKey);
            }
            let Some((equals, b'=')) = bare(line, start + 1, is_stop) else {
                return Err(Reason::MissingTagValue);
            };
            if matches!(line.get(equals + 1), None | Some(b',' | b' ')) {
                return Err(Reason::MissingTagValue);
            }
            let (end, stop) = bare(line, equals + 2, is_stop).ok_or(Reason::MissingFields)?;
            self.tags.push(Tag { start, equals, end });
            match stop {
                b',' => comma = end,
                b' ' => return Ok(end),
                _ => return Err(Reason::InvalidTagFormat),
            }
        }
    }

    fn in_order<'l>(&self, line: &'l [u8]) -> Result<bool, Reason<'l>> {
        if let Some(reserved) = self.tags.iter().map(|tag| tag.key(line)).find(|key| is_reserved(key)) {
            return Err(Reason::ReservedTagKey(reserved));
        }
        let mut before: &[u8] = &[];
        for tag in &self.tags {
            let key = tag.key(line);
            if key <= before {
                return if key == before { Err(Reason::DuplicateTags) } else { Ok(false) };
            }
            before = key;
        }
        Ok(true)
    }

    fn sort<'l>(&mut self, line: &'l [u8], measurement_len: usize) -> Result<(), Reason<'l>> {
        self.tags.sort_unstable_by_key(|tag| tag.key(line));
        self.sorted.clear();
        self.sorted.extend_from_slice(line.get(..measurement_len).unwrap_or_default());
        let mut before: &[u8] = &[];
        for tag in &self.tags {
            let key = tag.key(line);
            if key == before {
                return Err(Reason::DuplicateTags);
            }
            before = key;
            self.sorted.push(b',');
            self.sorted.extend_from_slice(line.get(tag.start..tag.end).unwrap_or_default());
        }
        Ok(())
    }
}

/// The first byte from `from` on that is a stop and not escaped, and its place.
fn bare(line: &[u8], mut from: usize, is_stop: impl Fn(u8) -> bool) -> Option<(usize, u8)> {
    loop {
        let at = from + line.get(from..)?.iter().position(|byte| is_stop(*byte))?;
        match line.get(at.checked_sub(1)?..=at)? {
            [b'\\', _] => from = at + 1,
            [_, stop] => return Some((at, *stop)),
            _ => return None,
        }
    }
}

/// Names of influxd's own: the field and the measurement of a series, and the time.
fn is_reserved(key: &[u8]) -> bool {
    matches!(key, b"\xff" | b"\0" | b"_field" | b"_measurement" | b"time")
}
