//! Bytes of a file that are in memory for whoever works through them: of its map where that can be populated, else read.
//!
//! Invariant: no byte of a map is touched that was not populated just before (`docs/adr/0006`), so a bad sector is an error.

use std::ops::Range;

use icecore_disk::{Map, ReadAt};

use crate::error::{Error, Result};

/// Bytes read at a time, unless more are asked for: what stays in the cache of one core.
const READ_LEN: u64 = 1 << 18;

/// Bytes populated at a time, unless more are asked for.
const POPULATED_LEN: u64 = 1 << 22;

/// Where the bytes of a file come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a dyn ReadAt,
    /// Of the same file, where it has one that [can be populated](Map::populate).
    pub(crate) map: Option<&'a Map>,
}

/// A part of one file. Another file needs another window, or [`forget`](Self::forget).
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// What was read, from `start` on.
    bytes: Vec<u8>,
    start: u64,
    /// What was populated.
    populated: Range<u64>,
}

impl Window {
    /// What it holds may be of another file.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.populated = 0..0;
    }

    /// The bytes in `range`. Looks ahead for what is asked for next, to `ahead` at most; takes `range` alone where something behind
    /// it cannot be read.
    ///
    /// # Errors
    /// `Io` without the name of the file; `Unfit` for a range that is longer than memory or ends before it begins.
    pub(crate) fn get<'a>(
        &'a mut self,
        source: Source<'a>,
        range: Range<u64>,
        ahead: u64,
    ) -> Result<&'a [u8]> {
        let until = |most: u64| range.end.max(ahead.min(range.start.saturating_add(most)));
        let is_read = range.start >= self.start && range.end <= self.start + self.bytes.len() as u64;
        if !is_read {
            if let Some(map) = source.map
                && self.populate(map, &range, until(POPULATED_LEN))
                && let Some(bytes) = memory_range(range.clone()).and_then(|range| map.get(range))
            {
                return Ok(bytes);
            }
            match self.read(source.file, range.start..until(READ_LEN)) {
                Err(_) if until(READ_LEN) > range.end => self.read(source.file, range.clone())?,
                outcome => outcome?,
            }
        }
        let part = range.start - self.start..range.end.saturating_sub(self.start);
        memory_range(part).and_then(|part| self.bytes.get(part)).ok_or_else(outside)
    }

    /// Whether `range` may be read from the map: it was populated before, or is now with what follows it.
    fn populate(&mut self, map: &Map, range: &Range<u64>, until: u64) -> bool {
        if self.populated.start <= range.start && range.end <= self.populated.end {
            return true;
        }
        let populated = range.start..until;
        let is_there = memory_range(populated.clone()).is_some_and(|range| map.populate(range));
        self.populated = if is_there { populated } else { 0..0 };
        is_there
    }

    fn read(&mut self, file: &dyn ReadAt, range: Range<u64>) -> Result<()> {
        let len = range.end.checked_sub(range.start).and_then(|len| usize::try_from(len).ok());
        self.bytes.resize(len.ok_or_else(outside)?, 0);
        self.start = range.start;
        let outcome = file.read_exact_at(&mut self.bytes, range.start).map_err(Error::io_unnamed);
        if outcome.is_err() {
            self.bytes.clear();
        }
        outcome
    }
}

fn outside() -> Error {
    Error::unfit("a part of a file that is none")
}

/// A part of a file as memory counts.
fn memory_range(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}
