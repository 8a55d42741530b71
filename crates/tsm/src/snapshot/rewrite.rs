//! A file with its deletes applied: first a plan that knows every length, then the bytes.
//!
//! A block that no delete touches is copied as it is, checksum included; one that is touched is decoded, cut and
//! encoded again, once to learn its length and once more when it is sent. The plan reads the index and the blocks to be cut, and
//! no others: those are checked when they are copied, each before it leaves. Memory is that of the new index. Keys,
//! types and order stay; a key of which nothing remains is left out.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::blocks::{Walk, Window};
use super::cut::{self, Block};
use super::member::Reads;
use crate::error::{Error, Result};
use crate::file::deletes;
use crate::file::reader::TsmFile;
use crate::format::column::BlockType;
use crate::format::index::{self, Entry, HEADER, HEADER_LEN};
use crate::units::{Offset, TimeRange};

/// Bytes of blocks that are cut between two looks at the clock: a twentieth of a second from a slow disk.
const STEP_LEN: u64 = 4 << 20;
/// The most blocks between them.
const STEP_BLOCKS: usize = 1 << 16;

/// What a rewritten file consists of, in order.
#[derive(Debug)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
    size: u64,
}

#[derive(Debug)]
enum Piece {
    /// Bytes made by the plan: header, index and footer.
    Made(Bytes),
    /// Blocks that lie side by side in the old file, and where the walk over its index meets the first of them.
    Copy { start: u64, end: u64, first: Walk },
    /// A block to cut again; its length with checksum.
    Cut { block: Block, size: u32 },
}

impl Plan {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, and where to go on; `None` at the end. `sink` gets them too, as they were checked.
    ///
    /// # Errors
    /// `Corrupt` or `Io` name the file and the block.
    pub(super) fn chunk(
        &self,
        file: &TsmFile,
        position: &mut Position,
        reads: Reads,
        sink: &mut impl FnMut(&[u8]),
    ) -> Option<Result<Bytes>> {
        if let Some(bytes) = position.cut.pop_front() {
            sink(&bytes);
            return Some(Ok(bytes));
        }
        let chunk = match self.pieces.get(position.piece)? {
            Piece::Made(bytes) => {
                position.next_piece();
                sink(bytes);
                return Some(Ok(bytes.clone()));
            }
            Piece::Copy { start, end, first } => {
                let from = start + position.at;
                position.copied(file, from, *end, *first, reads.len_max()).and_then(|to| {
                    sink(position.window.bytes());
                    let chunk = reads.checked(file, position.window.bytes(), from, to);
                    position.at += to - from;
                    if to == *end {
                        position.next_piece();
                    }
                    chunk
                })
            }
            Piece::Cut { .. } => self.cut(file, position, reads.len_max()).inspect(|bytes| sink(bytes)),
        };
        Some(chunk.map_err(|error| error.in_file(file.path())))
    }

    /// Cuts the blocks from the current piece on that lie side by side in the new file; the first bytes of them.
    fn cut(&self, file: &TsmFile, position: &mut Position, len_max: u64) -> Result<Bytes> {
        let (mut blocks, mut sizes, mut size_all) = (Vec::new(), Vec::new(), 0);
        for piece in self.pieces.get(position.piece..).unwrap_or_default() {
            let Piece::Cut { block, size } = piece else { break };
            if size_all + u64::from(*size) > len_max && !blocks.is_empty() {
                break;
            }
            size_all += u64::from(*size);
            blocks.push(*block);
            sizes.push(*size);
        }
        let parts = cut::cut(file, &blocks, true)?;
        let again = parts.iter().flat_map(|part| &part.blocks).map(|left| left.map(|(_, size)| size));
        let mut compared = blocks.iter().zip(&sizes).zip(again);
        if let Some(((block, _), _)) = compared.find(|((_, size), again)| *again != Some(**size)) {
            return Err(cut::changed(&block.entry));
        }
        position.piece += blocks.len();
        position.cut = parts.into_iter().map(|part| Bytes::from(part.bytes)).collect();
        Ok(position.cut.pop_front().unwrap_or_default())
    }

    /// Checks blocks that will be copied, until all are checked or `until` has come; goes on where `position` stands. Whether all
    /// are.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub(super) fn check_copies(
        &self,
        file: &TsmFile,
        position: &mut Position,
        until: Option<Instant>,
    ) -> Result<bool> {
        while let Some(piece) = self.pieces.get(position.piece) {
            let Piece::Copy { start, end, first } = piece else {
                position.next_piece();
                continue;
            };
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(false);
            }
            let from = start + position.at;
            let to = position.copied(file, from, *end, *first, Reads::Mapped.len_max());
            position.at = to.map_err(|error| error.in_file(file.path()))? - start;
            if start + position.at == *end {
                position.next_piece();
            }
        }
        Ok(true)
    }
}

/// How far a plan was carried out.
#[derive(Debug, Default)]
pub(super) struct Position {
    piece: usize,
    /// Bytes of the current piece that are done.
    at: u64,
    /// Of the next block that is copied, within a piece.
    walk: Walk,
    /// What was checked last.
    window: Window,
    /// What is left of blocks that were cut, and was not handed out yet.
    cut: VecDeque<Bytes>,
}

impl Position {
    fn next_piece(&mut self) {
        (self.piece, self.at) = (self.piece + 1, 0);
    }

    /// Brings blocks of a piece into the window, at least the one at `from` and none behind `end`, and checks each. Returns where
    /// they end.
    fn copied(&mut self, file: &TsmFile, from: u64, end: u64, first: Walk, len_max: u64) -> Result<u64> {
        if self.at == 0 {
            self.walk = first;
        }
        let index = file.index()?;
        let mut blocks: Vec<(BlockType, Entry)> = Vec::new();
        let mut to = from;
        while to < end {
            let Some((key, next)) = index.at(self.walk.place) else { break };
            let Some(entry) = key.entry(self.walk.entry) else {
                self.walk = Walk { place: next, entry: 0 };
                continue;
            };
            // Others are left out, or cut.
            if entry.offset.get() == to {
                let block_end = to + u64::from(entry.size);
                if block_end - from > len_max && !blocks.is_empty() {
                    break;
                }
                blocks.push((key.kind, entry));
                to = block_end;
            }
            self.walk.entry += 1;
        }
        if to == from {
            return Err(Error::corrupt("a block changed while it was sent", Offset::new(from)));
        }
        self.window.read(file, from, to)?;
        blocks.iter().try_for_each(|(kind, entry)| self.window.check(*kind, entry))?;
        Ok(to)
    }
}

/// A plan in the making, which goes on where it stopped.
#[derive(Debug)]
pub(super) struct Planner {
    walk: Walk,
    pieces: Vec<Piece>,
    at: Offset,
    index: Vec<u8>,
    /// Of the current key.
    entries: Vec<Entry>,
}

/// What the planner does with a block, in the order of the index.
enum Step {
    Copy(Entry, Walk),
    Cut(Block),
    EndOfKey(u32),
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            walk: Walk::default(),
            pieces: vec![Piece::Made(Bytes::from_static(&HEADER))],
            at: Offset::START.forward(HEADER_LEN),
            index: Vec::new(),
            entries: Vec::new(),
        }
    }
}

impl Planner {
    /// Plans on until all is planned, or until `is_enough` of the bytes of blocks that this call has read. Whether all is.
    ///
    /// # Errors
    /// `Corrupt` names a block that a delete touches and that cannot be decoded; `Io`.
    pub(super) fn advance(&mut self, file: &TsmFile, is_enough: impl Fn(u64) -> bool) -> Result<bool> {
        let mut read = 0;
        while !is_enough(read) {
            let (step_read, is_end) = self.step(file, STEP_LEN)?;
            read += step_read;
            if is_end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Plans on by blocks of about so many bytes. How many were read, and whether all is planned.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(super) fn step(&mut self, file: &TsmFile, len: u64) -> Result<(u64, bool)> {
        let (steps, is_end) = self.steps(file, len)?;
        let cuts: Vec<Block> = steps
            .iter()
            .filter_map(|step| if let Step::Cut(block) = step { Some(*block) } else { None })
            .collect();
        let read = cuts.iter().map(|block| u64::from(block.entry.size)).sum();
        let mut left = cut::cut(file, &cuts, false)?.into_iter().flat_map(|part| part.blocks);
        for step in steps {
            match step {
                Step::Copy(entry, walk) => self.copy(&entry, walk),
                Step::Cut(block) => {
                    if let Some((range, size)) = left.next().flatten() {
                        self.pieces.push(Piece::Cut { block, size });
                        self.enter(range, size);
                    }
                }
                Step::EndOfKey(ordinal) => self.end_key(file, ordinal)?,
            }
        }
        Ok((read, is_end))
    }

    /// The plan, when all is planned; `None` if nothing remains of the file.
    pub(super) fn finish(mut self) -> Option<Plan> {
        if self.index.is_empty() {
            return None;
        }
        self.index.extend_from_slice(&index::footer(self.at));
        let size = self.at.get() + self.index.len() as u64;
        self.pieces.push(Piece::Made(Bytes::from(self.index)));
        Some(Plan { pieces: self.pieces, size })
    }

    /// What comes next, and whether that is all.
    fn steps(&mut self, file: &TsmFile, len: u64) -> Result<(Vec<Step>, bool)> {
        let index = file.index()?;
        let (mut steps, mut cut_len) = (Vec::new(), 0);
        while cut_len < len && steps.len() < STEP_BLOCKS {
            let Some((key, next)) = index.at(self.walk.place) else { return Ok((steps, true)) };
            let Some(entry) = key.entry(self.walk.entry) else {
                steps.push(Step::EndOfKey(key.ordinal));
                self.walk = Walk { place: next, entry: 0 };
                continue;
            };
            let deleted = file.deleted(key.ordinal);
            if !deletes::touch(deleted, entry.range) {
                steps.push(Step::Copy(entry, self.walk));
            } else if !deletes::cover(deleted, entry.range) {
                steps.push(Step::Cut(Block { ordinal: key.ordinal, entry }));
                cut_len += u64::from(entry.size);
            }
            self.walk.entry += 1;
        }
        Ok((steps, false))
    }

    fn end_key(&mut self, file: &TsmFile, ordinal: u32) -> Result<()> {
        if !self.entries.is_sorted_by_key(|entry| entry.range.min()) {
            // Only files of very old versions have such blocks. Sorting would change which point wins.
            let error = Error::unfit(
                "deletes cannot be applied to overlapping blocks of one file; keep its tombstone",
            );
            return Err(error.in_file(file.path()));
        }
        let key = file.index()?.key(ordinal).filter(|_| !self.entries.is_empty());
        if let Some(key) = key {
            index::put_key(&mut self.index, key.key, key.kind, &self.entries)?;
            self.entries.clear();
        }
        Ok(())
    }

    fn copy(&mut self, entry: &Entry, walk: Walk) {
        let (from, to) = (entry.offset.get(), entry.offset.get() + u64::from(entry.size));
        match self.pieces.last_mut() {
            Some(Piece::Copy { end, .. }) if *end == from => *end = to,
            _ => self.pieces.push(Piece::Copy { start: from, end: to, first: walk }),
        }
        self.enter(entry.range, entry.size);
    }

    fn enter(&mut self, range: TimeRange, size: u32) {
        self.entries.push(Entry { range, offset: self.at, size });
        self.at = self.at.forward(size as usize);
    }
}
