//! A file with its deletes applied, without writing it anywhere: first a plan that knows every length, then the bytes.
//!
//! A block that no delete touches is copied as it is, checksum included; one that is touched is decoded, cut and
//! encoded again, once to learn its length and once more when it is sent: the encoding is deterministic. Memory is
//! that of the new index. Keys, types and order stay; a key of which nothing remains is left out.

use std::sync::OnceLock;

use bytes::Bytes;

use super::member::Reads;
use crate::error::{Error, Result};
use crate::file::check::Digest;
use crate::file::deletes;
use crate::file::reader::TsmFile;
use crate::file::writer;
use crate::format::block::Flavor;
use crate::format::column::Column;
use crate::format::index::{self, Entry, HEADER, HEADER_LEN, Key};
use crate::units::{Offset, TimeRange};

/// What a rewritten file consists of, in order.
#[derive(Debug)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
    size: u64,
    pub(super) digest: OnceLock<Digest>,
}

#[derive(Debug)]
enum Piece {
    /// Bytes made by the plan: header, index and footer.
    Made(Bytes),
    /// Blocks that lie side by side in the old file.
    Copy { start: u64, end: u64 },
    /// A block to cut again; its length with checksum.
    Cut { ordinal: u32, entry: Entry, size: u32 },
}

impl Plan {
    /// Plans the rewriting of `file`; `None` if nothing remains of it.
    ///
    /// # Errors
    /// `Corrupt` names a block that a delete touches and that cannot be decoded.
    pub(super) fn new(file: &TsmFile) -> Result<Option<Self>> {
        let mut planner = Planner::new(file);
        for key in file.index()?.keys() {
            planner.key(&key)?;
        }
        planner.finish()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `at` on of the piece `piece`; moves both on.
    pub(super) fn chunk(
        &self,
        file: &TsmFile,
        piece: &mut usize,
        at: &mut u64,
        reads: Reads,
    ) -> Option<Result<Bytes>> {
        let current = self.pieces.get(*piece)?;
        let (chunk, done) = match current {
            Piece::Made(bytes) => (Ok(bytes.clone()), true),
            Piece::Cut { ordinal, entry, size } => (cut_again(file, *ordinal, entry, *size), true),
            Piece::Copy { start, end } => {
                let from = start + *at;
                let to = (*end).min(from + reads.len_max());
                *at += to - from;
                (reads.read(file, from, to), to == *end)
            }
        };
        if done {
            (*piece, *at) = (*piece + 1, 0);
        }
        Some(chunk)
    }
}

struct Planner<'a> {
    file: &'a TsmFile,
    pieces: Vec<Piece>,
    at: Offset,
    index: Vec<u8>,
    entries: Vec<Entry>,
    cutter: Cutter,
}

impl<'a> Planner<'a> {
    fn new(file: &'a TsmFile) -> Self {
        Self {
            file,
            pieces: vec![Piece::Made(Bytes::from_static(&HEADER))],
            at: Offset::START.forward(HEADER_LEN),
            index: Vec::new(),
            entries: Vec::new(),
            cutter: Cutter::default(),
        }
    }

    fn key(&mut self, key: &Key<'_>) -> Result<()> {
        let deleted = self.file.deleted(key.ordinal);
        for entry in self.file.live_entries(key) {
            if !deletes::touch(deleted, entry.range) {
                self.copy(&entry);
            } else if let Some((range, size)) = self.cutter.cut(self.file, key, &entry)? {
                self.pieces.push(Piece::Cut { ordinal: key.ordinal, entry, size });
                self.enter(range, size);
            }
        }
        if !self.entries.is_sorted_by_key(|entry| entry.range.min()) {
            // Only files of very old versions have such blocks. Sorting would change which point wins.
            let error = Error::unfit(
                "deletes cannot be applied to overlapping blocks of one file; keep its tombstone",
            );
            return Err(error.in_file(self.file.path()));
        }
        if !self.entries.is_empty() {
            index::put_key(&mut self.index, key.key, key.kind, &self.entries)?;
            self.entries.clear();
        }
        Ok(())
    }

    fn copy(&mut self, entry: &Entry) {
        let (from, to) = (entry.offset.get(), entry.offset.get() + u64::from(entry.size));
        match self.pieces.last_mut() {
            Some(Piece::Copy { end, .. }) if *end == from => *end = to,
            _ => self.pieces.push(Piece::Copy { start: from, end: to }),
        }
        self.enter(entry.range, entry.size);
    }

    fn enter(&mut self, range: TimeRange, size: u32) {
        self.entries.push(Entry { range, offset: self.at, size });
        self.at = self.at.forward(size as usize);
    }

    fn finish(mut self) -> Result<Option<Plan>> {
        if self.index.is_empty() {
            return Ok(None);
        }
        self.index.extend_from_slice(&index::footer(self.at));
        let size = self.at.get() + self.index.len() as u64;
        self.pieces.push(Piece::Made(Bytes::from(self.index)));
        Ok(Some(Plan { pieces: self.pieces, size, digest: OnceLock::new() }))
    }
}

/// Buffers for cutting blocks.
struct Cutter {
    block: Column,
    kept: Column,
    out: Vec<u8>,
}

impl Default for Cutter {
    fn default() -> Self {
        let column = || Column::new(crate::BlockType::Float);
        Self { block: column(), kept: column(), out: Vec::new() }
    }
}

impl Cutter {
    /// Puts what is left of a block into `out`, its checksum in front; its times and length. `None` if nothing is.
    fn cut(&mut self, file: &TsmFile, key: &Key<'_>, entry: &Entry) -> Result<Option<(TimeRange, u32)>> {
        file.read_block(key, entry, &mut self.block)?;
        self.kept.reset(key.kind);
        deletes::copy_undeleted(&self.block, file.deleted(key.ordinal), &mut self.kept);
        let (Some(min), Some(max)) = (self.kept.times.first(), self.kept.times.last()) else {
            return Ok(None);
        };
        let range = TimeRange::new(*min, *max)?;
        let size = writer::put_block(&self.kept, 0..self.kept.len(), Flavor::Batch, &mut self.out)?;
        Ok(Some((range, size)))
    }
}

fn cut_again(file: &TsmFile, ordinal: u32, entry: &Entry, size: u32) -> Result<Bytes> {
    let changed = || Error::corrupt("a block changed while it was sent", entry.offset).in_file(file.path());
    let key = file.index()?.key(ordinal).ok_or_else(changed)?;
    let mut cutter = Cutter::default();
    match cutter.cut(file, &key, entry)? {
        Some((_, again)) if again == size => Ok(Bytes::from(cutter.out)),
        _ => Err(changed()),
    }
}
