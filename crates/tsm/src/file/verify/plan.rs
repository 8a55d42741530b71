//! First step of a verification: the index is walked once, checked against itself, and cut into chunks of blocks.
//!
//! Invariant: the chunks together name every entry once, in the order of the index.

use std::collections::BTreeSet;

use icecore_disk::ReadAt;

use super::report::{Finding, FindingKind, Report};
use crate::error::Error;
use crate::file::scan::{Layout, Scan, ScannedEntry, ScannedKey};
use crate::format::index::{CRC_LEN, HEADER_LEN};
use crate::format::key;
use crate::units::Offset;

/// A chunk ends behind so many bytes of blocks.
const CHUNK_BYTES: u64 = 4 << 20;

/// A chunk ends behind so many blocks, however short they are.
const CHUNK_BLOCKS: u32 = 1 << 14;

/// After so many keys in a row that make no sense the index is not followed further: it lost its step.
const ASTRAY_MAX: u32 = 2;

/// What there is to do for a file.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) chunks: Vec<Chunk>,
    /// The blocks, by their number in the index, that lie over one before them; they are not read again.
    pub(super) shared: BTreeSet<u64>,
}

/// Blocks that follow each other in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Where in the index the first one's key begins.
    pub(super) key_at: Offset,
    /// The entries of that key to leave out.
    pub(super) skip: u16,
    /// The number of the first block, counted through the file.
    pub(super) first_block: u64,
    /// How many blocks.
    pub(super) blocks: u32,
    /// Whether they lie one behind the other, so that reading ahead pays.
    pub(super) is_in_order: bool,
    /// Where the last one ends.
    pub(super) end: Offset,
}

/// Walks the index, and adds to `report` what is wrong with it. `None` when there is nothing to follow.
pub(super) fn plan(file: &dyn ReadAt, report: &mut Report) -> Option<Plan> {
    report.size = file.size().unwrap_or(0); // `Layout::read` asks again, and reports
    if let Err(error) = Layout::check_header(file) {
        report.add_error(FindingKind::Header, &error, None);
        if matches!(error.kind(), crate::ErrorKind::Version(_)) {
            return None; // another version may have another layout
        }
    }
    let layout =
        Layout::read(file).map_err(|error| report.add_error(FindingKind::Footer, &error, None)).ok()?;
    let mut walk = Walk::new(layout, report);
    walk.keys(&mut Scan::new(file, &layout));
    let Walk { chunks, extents, mut gaps, .. } = walk;
    let shared = match extents {
        Extents::Ascending(end) => {
            gap(end, layout.index_start.get(), &mut gaps);
            BTreeSet::new()
        }
        Extents::Mixed => {
            gaps = Report::default();
            shared(file, &layout, report, &mut gaps)
        }
    };
    // Where the index is damaged otherwise, the block of a bad entry is missing here too.
    if report.damage.is_empty() {
        report.merge(gaps);
    }
    Some(Plan { layout, chunks, shared })
}

/// Whether blocks lie in the order of the index, as every writer puts them.
#[derive(Clone, Copy, Debug)]
enum Extents {
    /// So far, up to here.
    Ascending(u64),
    Mixed,
}

struct Walk<'r> {
    layout: Layout,
    report: &'r mut Report,
    chunks: Vec<Chunk>,
    bytes: u64,
    extents: Extents,
    /// Bytes between blocks, as long as these are in order.
    gaps: Report,
    /// The key before the current one.
    before: Vec<u8>,
    astray: u32,
}

impl<'r> Walk<'r> {
    fn new(layout: Layout, report: &'r mut Report) -> Self {
        let extents = Extents::Ascending(HEADER_LEN as u64);
        let (chunks, gaps, before) = (Vec::new(), Report::default(), Vec::new());
        Self { layout, report, chunks, bytes: 0, extents, gaps, before, astray: 0 }
    }

    fn keys(&mut self, scan: &mut Scan<'_>) {
        let outcome = loop {
            match scan.next_key() {
                Ok(Some(key)) => {
                    if let Err(error) = self.key(&key, scan) {
                        break Err(error);
                    }
                    if self.astray >= ASTRAY_MAX {
                        let what = "the index cannot be followed from here; the rest of it is not checked";
                        return self.report.add(Finding::new(FindingKind::Index, what, scan.at()));
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = outcome {
            self.report.add_error(FindingKind::Index, &error, None);
        }
    }

    fn key(&mut self, key: &ScannedKey, scan: &mut Scan<'_>) -> Result<(), Error> {
        self.report.counts.keys += 1;
        self.head(key, scan.key());
        let mut before: Option<ScannedEntry> = None;
        for nth in 0..key.count {
            let Some(entry) = scan.next_entry()? else { break };
            self.entry(&entry, before.as_ref(), scan.key());
            self.chunk(key, nth, &entry);
            before = Some(entry);
        }
        self.before.clear();
        self.before.extend_from_slice(scan.key());
        Ok(())
    }

    /// What stands in front of the entries.
    fn head(&mut self, key: &ScannedKey, bytes: &[u8]) {
        let mut faults = [None; 4];
        faults[0] = (bytes <= self.before.as_slice()).then_some("keys are not in ascending order");
        faults[1] = key::split(bytes).is_none().then_some("a key without a field");
        faults[2] = key.kind.is_none().then_some("unknown block type in the index");
        faults[3] = (key.count == 0).then_some("a key without blocks");
        let is_astray = faults.iter().skip(1).any(Option::is_some);
        self.astray = if is_astray { self.astray + 1 } else { 0 };
        for what in faults.into_iter().flatten() {
            self.report.add(Finding::new(FindingKind::Index, what, key.at).about(bytes));
        }
    }

    fn entry(&mut self, entry: &ScannedEntry, before: Option<&ScannedEntry>, key: &[u8]) {
        let mut found = |kind, what| self.report.add(Finding::new(kind, what, entry.at).about(key));
        if entry.min > entry.max {
            found(FindingKind::Index, "an index entry ends before it starts");
        }
        match before {
            Some(before) if entry.min < before.min => {
                found(FindingKind::Index, "index entries are not in the order of time");
            }
            Some(before) if entry.min <= before.max => {
                found(FindingKind::Overlap, "a block begins before the one in front of it ends");
            }
            _ => {}
        }
        if !self.layout.holds(entry) {
            let what = match entry.size as usize > CRC_LEN {
                true => "an index entry points outside the blocks",
                false => "an index entry is too short for a block",
            };
            return found(FindingKind::Outside, what);
        }
        self.extent(entry);
    }

    fn extent(&mut self, entry: &ScannedEntry) {
        let Extents::Ascending(end) = self.extents else { return };
        let start = entry.offset.get();
        if start < end {
            self.extents = Extents::Mixed;
            return;
        }
        gap(end, start, &mut self.gaps);
        self.extents = Extents::Ascending(start + u64::from(entry.size));
    }

    /// Puts the entry into the last chunk, or into a new one.
    fn chunk(&mut self, key: &ScannedKey, nth: u16, entry: &ScannedEntry) {
        let is_held = self.layout.holds(entry);
        let end = if is_held { entry.offset.forward(entry.size as usize) } else { Offset::START };
        let size = if is_held { u64::from(entry.size) } else { 0 };
        let first_block = self.chunks.last().map_or(0, |chunk| chunk.first_block + u64::from(chunk.blocks));
        match self.chunks.last_mut() {
            Some(chunk) if self.bytes < CHUNK_BYTES && chunk.blocks < CHUNK_BLOCKS => {
                chunk.is_in_order &= is_held && entry.offset >= chunk.end;
                chunk.end = chunk.end.max(end);
                chunk.blocks += 1;
                self.bytes += size;
            }
            _ => {
                let (key_at, is_in_order) = (key.at, is_held);
                self.chunks.push(Chunk { key_at, skip: nth, first_block, blocks: 1, is_in_order, end });
                self.bytes = size;
            }
        }
    }
}

/// Bytes between two blocks: there are none in what is written.
fn gap(end: u64, start: u64, gaps: &mut Report) {
    if start > end {
        let what = "bytes between the blocks that belong to no key";
        gaps.add(Finding::new(FindingKind::Unclaimed, what, Offset::new(end)));
    }
}

/// Sorts all blocks of a file that is not in order by their place, and finds those that lie over another.
fn shared(file: &dyn ReadAt, layout: &Layout, report: &mut Report, gaps: &mut Report) -> BTreeSet<u64> {
    let mut extents = Vec::new();
    let mut scan = Scan::new(file, layout);
    let mut number = 0;
    // What cannot be read here could not before, and is reported.
    while let Ok(Some(_)) = scan.next_key() {
        while let Ok(Some(entry)) = scan.next_entry() {
            if layout.holds(&entry) {
                extents.push((entry.offset, number, entry.at, entry.size));
            }
            number += 1;
        }
    }
    extents.sort_unstable();
    let mut shared = BTreeSet::new();
    let mut high = Offset::START.forward(HEADER_LEN);
    for (offset, number, at, size) in extents {
        if offset < high {
            let what = "a block lies over another one";
            report.add(Finding::new(FindingKind::Shared, what, at));
            shared.insert(number);
            continue;
        }
        gap(high.get(), offset.get(), gaps);
        high = offset.forward(size as usize);
    }
    gap(high.get(), layout.index_start.get(), gaps);
    shared
}
