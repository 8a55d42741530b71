//! Reads a whole file, in order and in steps: the checksum of every block, its type and times against the index, and the
//! digest of all bytes.
//!
//! The index has no checksum of its own. What is compared here is what would move or hide points: a block that is not
//! where the index says fails its checksum, and a type or time in the index that was changed contradicts the block.
//! What remains unseen is a key that was changed into another one that fits the order; of a file that a manifest lists
//! nothing does, since the digest must be the listed one.

use super::reader::TsmFile;
use crate::error::{Error, Result};
use crate::format::block;
use crate::format::column::BlockType;
use crate::format::index::{CRC_LEN, Entry, Place};

/// BLAKE3 of a file's bytes.
pub type Digest = blake3::Hash;

/// Read at a time, unless a block is longer.
const WINDOW_LEN: u64 = 1 << 18;

/// A check of one file that goes on where it stopped.
///
/// Invariant: the blocks before (`place`, `entry`) are checked; the bytes before `hashed` are in the hasher, and no
/// others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    place: Place,
    entry: usize,
    window: Vec<u8>,
    window_start: u64,
    hashed: u64,
    hasher: blake3::Hasher,
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
            self.block(file, key.kind, &entry).map_err(|error| error.in_file(file.path()))?;
            self.entry += 1;
        }
        Ok(file.size())
    }

    /// Bytes read so far.
    pub(crate) fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Checks what is left, and tells the file its digest.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) fn finish(&mut self, file: &TsmFile) -> Result<Digest> {
        self.advance(file, u64::MAX)?;
        while self.hashed < file.size() {
            self.read(file, self.hashed, WINDOW_LEN)?;
        }
        let digest = self.hasher.finalize();
        file.check_digest(digest)?;
        Ok(file.set_checked(digest))
    }

    fn block(&mut self, file: &TsmFile, kind: BlockType, entry: &Entry) -> Result<()> {
        let corrupt = |what| Error::corrupt(what, entry.offset);
        self.bring(file, entry)?;
        let Self { window, window_start, .. } = self;
        let start = usize::try_from(entry.offset.get() - *window_start).unwrap_or(usize::MAX);
        let bytes = window.get(start..).and_then(|rest| rest.get(..entry.size as usize));
        let body = entry.checked_body(bytes.ok_or_else(|| corrupt("a block is cut off"))?)?;
        let found = block::bounds(body, entry.offset.forward(CRC_LEN))?;
        let fits = found.kind == kind
            && found.first == entry.range.min()
            && found.ascending
            && found.last <= entry.range.max();
        if fits { Ok(()) } else { Err(corrupt("a block is not what the index says of it")) }
    }

    /// Makes the window hold the whole block. Blocks usually lie in the order of the index, but need not.
    fn bring(&mut self, file: &TsmFile, entry: &Entry) -> Result<()> {
        let (start, size) = (entry.offset.get(), u64::from(entry.size));
        while self.hashed < start {
            self.read(file, self.hashed, (start - self.hashed).min(WINDOW_LEN))?;
        }
        let window_end = self.window_start + self.window.len() as u64;
        let is_here = self.window_start <= start && start + size <= window_end;
        let goes_on = start + size > self.hashed;
        match is_here {
            true => Ok(()),
            false => self.read(file, start, if goes_on { size.max(WINDOW_LEN) } else { size }),
        }
    }

    /// Fills the window from `start` on, at most to the end of the file, and hashes what is new of it.
    fn read(&mut self, file: &TsmFile, start: u64, len: u64) -> Result<()> {
        let end = file.size().min(start.saturating_add(len));
        self.window.resize(usize::try_from(end.saturating_sub(start)).unwrap_or(0), 0);
        self.window_start = start;
        file.file().read_exact_at(&mut self.window, start).map_err(|error| Error::io(error, file.path()))?;
        if let Some(new) =
            self.hashed.checked_sub(start).and_then(|known| self.window.get(usize::try_from(known).ok()?..))
        {
            self.hasher.update(new);
            self.hashed = self.hashed.max(end);
        }
        Ok(())
    }
}
