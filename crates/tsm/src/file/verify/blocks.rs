//! Second step of a verification: the blocks of a chunk, brought into memory ahead and compared with the index.
//!
//! Invariant: no byte of a map is touched that was not populated just before (`adr/0006`).

use std::ops::Range;
use std::sync::Arc;

use icecore_disk::{Map, ReadAt};

use super::Depth;
use super::plan::{Chunk, Plan};
use super::report::{Finding, FindingKind, Report};
use crate::error::{Error, Result};
use crate::file::scan::{Scan, ScannedEntry, ScannedKey};
use crate::format::block::{self, Bounds};
use crate::format::index::{CRC_LEN, Entry};
use crate::units::TimeRange;

/// Bytes of blocks read at a time, unless one is longer: what stays in the cache of one core.
const WINDOW_LEN: u64 = 1 << 18;

/// Bytes of blocks populated at a time, unless one is longer.
const POPULATED_LEN: u64 = 1 << 21;

/// Where the bytes of a file come from: its map where that can be populated, else reads.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: Arc<dyn ReadAt>,
    map: Option<Map>,
}

impl Source {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Self {
        let map = file.map();
        Self { file, map }
    }
}

/// Buffers of a thread, used again for every chunk.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    window: Window,
    plain: Vec<u8>,
}

/// Checks the blocks of a chunk.
pub(super) fn check(
    source: &Source,
    plan: &Plan,
    chunk: &Chunk,
    depth: Depth,
    scratch: &mut Scratch,
) -> Report {
    let mut report = Report::default();
    scratch.window.forget();
    let mut scan = Scan::from_key(&*source.file, &plan.layout, chunk.key_at);
    let outcome = each_entry(&mut scan, chunk, |number, key, bytes, entry| {
        if !plan.layout.holds(entry) || plan.shared.contains(&number) {
            return;
        }
        let mut one = One { key, bytes, entry, report: &mut report };
        match scratch.window.block(source, chunk, entry) {
            Ok(block) => one.check(block, depth, &mut scratch.plain),
            Err(error) => one.found(FindingKind::Unreadable, &error),
        }
    });
    if let Err(error) = outcome {
        // The plan has walked this part of the index before: only a file that changes meanwhile gets here.
        report.add_error(FindingKind::Index, &error, None);
    }
    report
}

/// Calls `each` with the number of every entry of a chunk, its key and the entry.
fn each_entry(
    scan: &mut Scan<'_>,
    chunk: &Chunk,
    mut each: impl FnMut(u64, &ScannedKey, &[u8], &ScannedEntry),
) -> Result<()> {
    let mut skip = chunk.skip;
    let mut number = chunk.first_block;
    let end = chunk.first_block + u64::from(chunk.blocks);
    while number < end {
        let Some(key) = scan.next_key()? else { return Ok(()) };
        scan.skip_entries(std::mem::take(&mut skip))?;
        while number < end {
            let Some(entry) = scan.next_entry()? else { break };
            each(number, &key, scan.key(), &entry);
            number += 1;
        }
    }
    Ok(())
}

/// One block to check.
struct One<'a> {
    key: &'a ScannedKey,
    bytes: &'a [u8],
    entry: &'a ScannedEntry,
    report: &'a mut Report,
}

impl One<'_> {
    fn found(&mut self, kind: FindingKind, error: &Error) {
        let finding = Finding::of(kind, error, Some(self.bytes));
        let offset = error.offset().unwrap_or(self.entry.offset);
        self.report.add(Finding { offset, ..finding });
    }

    fn check(&mut self, block: &[u8], depth: Depth, plain: &mut Vec<u8>) {
        self.report.counts.blocks += 1;
        let ScannedEntry { offset, size, .. } = *self.entry;
        let body = match (Entry { range: TimeRange::ALL, offset, size }).checked_body(block) {
            Ok(body) => body,
            // What it holds is not worth a word then.
            Err(error) => return self.found(FindingKind::Checksum, &error),
        };
        if depth == Depth::Checksum {
            return;
        }
        match block::validate(body, offset.forward(CRC_LEN), plain) {
            Ok(found) => self.compare(&found),
            Err(error) => self.found(FindingKind::Encoding, &error),
        }
    }

    /// What a block holds against what the index says of it.
    fn compare(&mut self, found: &Bounds) {
        self.report.counts.values += found.count as u64;
        let (min, max) = (self.entry.min, self.entry.max);
        let is_other_kind = self.key.kind.is_some_and(|kind| kind != found.kind);
        let late = "the index says that a block ends later than it does";
        self.faults(&[
            (is_other_kind, FindingKind::Mismatch, "a block has another type than the index says"),
            (found.first != min, FindingKind::Mismatch, "a block does not begin when the index says"),
            (found.last > max, FindingKind::Mismatch, "a block ends later than the index says"),
            (found.last < max, FindingKind::LateEnd, late),
            (!found.ascending, FindingKind::Mismatch, "the times of a block go back"),
            (found.ascending && found.repeats, FindingKind::RepeatedTime, "a block has a time twice"),
        ]);
    }

    fn faults(&mut self, faults: &[(bool, FindingKind, &'static str)]) {
        for (_, kind, what) in faults.iter().filter(|(is_found, ..)| *is_found) {
            self.report.add(Finding::new(*kind, what, self.entry.offset).about(self.bytes));
        }
    }
}

/// Bytes of the file that are in memory.
#[derive(Debug, Default)]
struct Window {
    /// What was read, from `start` on.
    bytes: Vec<u8>,
    start: u64,
    /// What was populated.
    populated: Range<u64>,
}

impl Window {
    /// What it holds may be of another file.
    fn forget(&mut self) {
        self.bytes.clear();
        self.populated = 0..0;
    }

    /// The bytes of a block, with its checksum. Looks ahead, to the end of the chunk at most, where its blocks lie one
    /// behind the other; takes it alone, when something behind it cannot be read.
    fn block<'a>(&'a mut self, source: &'a Source, chunk: &Chunk, entry: &ScannedEntry) -> Result<&'a [u8]> {
        let (start, size) = (entry.offset.get(), u64::from(entry.size));
        let end = start + size;
        let ahead = |most| {
            if chunk.is_in_order { end.max(chunk.end.get().min(start.saturating_add(most))) } else { end }
        };
        let is_read = start >= self.start && end <= self.start + self.bytes.len() as u64;
        if !is_read {
            if let Some(map) = &source.map
                && self.populate(map, start..end, ahead(POPULATED_LEN))
                && let Some(block) = memory_range(start..end).and_then(|range| map.get(range))
            {
                return Ok(block);
            }
            let len = ahead(WINDOW_LEN) - start;
            match self.read(&*source.file, start, len) {
                Err(_) if len > size => self.read(&*source.file, start, size)?,
                outcome => outcome?,
            }
        }
        let from = usize::try_from(start - self.start).unwrap_or(usize::MAX);
        let block = self.bytes.get(from..).and_then(|rest| rest.get(..entry.size as usize));
        block.ok_or_else(|| Error::corrupt("a block is cut off", entry.offset))
    }

    /// Whether `block` may be read from the map: it was populated before, or is now with what follows it up to `ahead`.
    fn populate(&mut self, map: &Map, block: Range<u64>, ahead: u64) -> bool {
        if self.populated.start <= block.start && block.end <= self.populated.end {
            return true;
        }
        let populated = block.start..ahead;
        let is_there = memory_range(populated.clone()).is_some_and(|range| map.populate(range));
        self.populated = if is_there { populated } else { 0..0 };
        is_there
    }

    fn read(&mut self, file: &dyn ReadAt, start: u64, len: u64) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| Error::unfit("a block is longer than memory"))?;
        self.bytes.resize(len, 0);
        self.start = start;
        let outcome = file.read_exact_at(&mut self.bytes, start).map_err(Error::io_unnamed);
        if outcome.is_err() {
            self.bytes.clear();
        }
        outcome
    }
}

/// A part of a file as memory counts.
fn memory_range(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}
