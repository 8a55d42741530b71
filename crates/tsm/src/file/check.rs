//! Checks the blocks of a file, in order and in steps: the checksum of each, its type and times against the index.
//!
//! The index has no checksum of its own. What is compared here is what would move or hide points: a block that is not
//! where the index says fails its checksum, and a type or time in the index that was changed contradicts the block.
//! What remains unseen is a key that was changed into another one that fits the order; of a file that a manifest lists
//! nothing does: its index is compared with its sums before it is used, and where bytes lie that belong to no block, the
//! digest of the whole must be the listed one.
//!
//! ```text
//! header | block block block ...                      | index, footer
//!         parts: whole keys, about PART_LEN of blocks   compared with the sums, if there are any
//! ```

use std::ops::Range;

use blake3::hazmat::ChainingValue;

use super::reader::TsmFile;
use super::window::Window;
use crate::error::{Error, Result};
use crate::format::block::{self, Bounds};
use crate::format::column::{BlockType, Column};
use crate::format::index::{CRC_LEN, Entry, Index, Place};
use crate::format::sums::{PAGE_LEN, page_sum};
use crate::units::Offset;

/// Bytes of blocks in a part that a thread takes at a time: what stays in the cache that the cores share.
const PART_LEN: u64 = 2 << 20;

/// A check of one file that goes on where it stopped.
///
/// Invariant: the blocks before (`place`, `entry`) are checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    place: Place,
    entry: usize,
    window: Window,
}

impl Checker {
    /// Checks on until everything before byte `to` is known to be sound. Returns up to where that holds: the whole
    /// length when every block is checked.
    ///
    /// # Errors
    /// `Corrupt` at the first block that is not what it should be, `Io` where the disk refuses; both name the file.
    pub(crate) fn advance(&mut self, file: &TsmFile, to: u64) -> Result<u64> {
        let index = file.index()?;
        while let Some((key, next)) = index.at(self.place) {
            let Some(entry) = key.entry(self.entry) else {
                (self.place, self.entry) = (next, 0);
                continue;
            };
            if index.is_in_file_order() && entry.offset.get() >= to {
                return Ok(entry.offset.get());
            }
            check_block(file, &index, &mut self.window, key.kind, &entry, index.start().get())?;
            self.entry += 1;
        }
        Ok(file.size())
    }

    /// Checks what is left, and tells the file that it is sound.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) fn finish(&mut self, file: &TsmFile) -> Result<()> {
        self.advance(file, u64::MAX)?;
        if file.expected().is_some() && !file.index()?.is_gapless() {
            file.digest()?;
        }
        file.set_sound();
        Ok(())
    }

    /// Whether nothing is checked yet.
    pub(crate) fn is_new(&self) -> bool {
        (self.place, self.entry) == (Place::default(), 0)
    }

    /// The parts of a file of which nothing is checked yet; one where its blocks lie in no order.
    ///
    /// # Errors
    /// `Corrupt`: the index.
    pub(crate) fn parts(file: &TsmFile) -> Result<Vec<Part>> {
        let starts = file.index()?.places_apart(PART_LEN);
        let ends = starts.iter().skip(1).map(|(place, at)| (Some(*place), at.get()));
        let ends = ends.chain([(None, file.size())]);
        let mut from = 0;
        let part = |((start, _), (end, to)): (&(Place, Offset), (Option<Place>, u64))| Part {
            start: *start,
            end,
            bytes: std::mem::replace(&mut from, to)..to,
        };
        Ok(starts.iter().zip(ends).map(part).collect())
    }

    /// Goes on behind a part: it and all before it are checked.
    pub(crate) fn pass(&mut self, part: &Part) {
        if let Some(end) = part.end {
            (self.place, self.entry) = (end, 0);
        }
    }
}

/// Keys that follow each other, to be checked by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    start: Place,
    /// `None`: to the last key.
    end: Option<Place>,
    /// Its blocks, and what lies before the first of the file and behind the last.
    bytes: Range<u64>,
}

impl Part {
    /// Checks all blocks of these keys. The window must hold nothing of another file.
    ///
    /// # Errors
    /// As [`Checker::advance`].
    pub(crate) fn check(&self, file: &TsmFile, window: &mut Window) -> Result<()> {
        let index = file.index()?;
        let (mut place, ahead) = (self.start, self.last_page_end(file));
        while self.end.is_none_or(|end| place != end)
            && let Some((key, next)) = index.at(place)
        {
            key.entries().try_for_each(|entry| check_block(file, &index, window, key.kind, &entry, ahead))?;
            place = next;
        }
        Ok(())
    }

    /// The sums of the pages that begin in this part. Those of all parts, in their order, are the sums of the file.
    ///
    /// # Errors
    /// `Io` names the file.
    pub(crate) fn page_sums(&self, file: &TsmFile, window: &mut Window) -> Result<Vec<ChainingValue>> {
        let page_len = PAGE_LEN as u64;
        let pages = self.bytes.start.div_ceil(page_len)..self.bytes.end.div_ceil(page_len);
        let ahead = self.last_page_end(file);
        let sum = |nth: u64| {
            let range = nth * page_len..file.size().min((nth + 1) * page_len);
            let start = range.start;
            let page = window.get(file.source(), range, ahead).map_err(|error| error.in_file(file.path()))?;
            Ok(page_sum(file.size(), start, page))
        };
        pages.map(sum).collect()
    }

    /// Where the last page ends that begins in this part: what is brought into memory for its blocks is there for its pages.
    fn last_page_end(&self, file: &TsmFile) -> u64 {
        self.bytes.end.next_multiple_of(PAGE_LEN as u64).min(file.size())
    }

    /// Whether no part comes behind it.
    pub(crate) fn is_last(&self) -> bool {
        self.end.is_none()
    }
}

/// `ahead`: up to where bytes are asked for next, if the blocks lie in order.
fn check_block(
    file: &TsmFile,
    index: &Index<'_>,
    window: &mut Window,
    kind: BlockType,
    entry: &Entry,
    ahead: u64,
) -> Result<()> {
    let (start, end) = (entry.offset.get(), entry.offset.get() + u64::from(entry.size));
    let ahead = if index.is_in_file_order() { ahead } else { end };
    let checked = window.get(file.source(), start..end, ahead).and_then(|bytes| compare(kind, entry, bytes));
    checked.map_err(|error| error.in_file(file.path()))
}

/// Compares the bytes of a block with its checksum, and with what the index says of it.
///
/// # Errors
/// `Corrupt` with the offset; the file is not named.
pub(crate) fn compare(kind: BlockType, entry: &Entry, bytes: &[u8]) -> Result<()> {
    let found = block::bounds(entry.checked_body(bytes)?, entry.offset.forward(CRC_LEN))?;
    if bounds_fit(&found, kind, entry) { Ok(()) } else { Err(contradicts_index(entry.offset)) }
}

/// Whether a block is what the index says of it.
pub(super) fn bounds_fit(found: &Bounds, kind: BlockType, entry: &Entry) -> bool {
    found.kind == kind
        && found.first == entry.range.min()
        && found.last <= entry.range.max()
        && found.ascending
}

/// The same of a decoded block.
pub(crate) fn column_fits(column: &Column, kind: BlockType, entry: &Entry) -> bool {
    column.kind() == kind
        && column.times.first() == Some(&entry.range.min())
        && column.times.last().is_some_and(|last| *last <= entry.range.max())
        && column.times.is_sorted()
}

pub(crate) fn contradicts_index(at: Offset) -> Error {
    Error::corrupt("a block is not what the index says of it", at)
}
