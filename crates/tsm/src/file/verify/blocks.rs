//! Second step of a verification: the blocks of a chunk, brought into memory ahead and compared with the index.

use std::sync::Arc;

use icecore_disk::{Map, ReadAt};

use super::Depth;
use super::plan::{Chunk, Plan};
use super::report::{Finding, FindingKind, Report};
use crate::error::{Error, Result};
use crate::file::scan::{Scan, ScannedEntry, ScannedKey};
use crate::file::window::{Source, Window};
use crate::format::block::{self, Bounds};
use crate::format::index::{CRC_LEN, Entry};
use crate::units::TimeRange;

/// A file in work, with its map.
#[derive(Debug)]
pub(super) struct Opened {
    file: Arc<dyn ReadAt>,
    map: Option<Map>,
}

impl Opened {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Self {
        let map = file.map();
        Self { file, map }
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source { file: &*self.file, map: self.map.as_ref() }
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
    source: Source<'_>,
    plan: &Plan,
    chunk: &Chunk,
    depth: Depth,
    scratch: &mut Scratch,
) -> Report {
    let mut report = Report::default();
    scratch.window.forget();
    let mut scan = Scan::from_key(source.file, &plan.layout, chunk.key_at);
    let outcome = each_entry(&mut scan, chunk, |number, key, bytes, entry| {
        if !plan.layout.holds(entry) || plan.shared.contains(&number) {
            return;
        }
        let mut one = One { key, bytes, entry, report: &mut report };
        let (start, end) = (entry.offset.get(), entry.offset.get() + u64::from(entry.size));
        // What follows is asked for next where the blocks lie one behind the other.
        let ahead = if chunk.is_in_order { chunk.end.get() } else { end };
        match scratch.window.get(source, start..end, ahead) {
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
