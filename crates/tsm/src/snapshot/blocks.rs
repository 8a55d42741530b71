//! Blocks of a file, read with `pread` and checked before anyone uses them.

use crate::error::{Error, Result};
use crate::file::check;
use crate::file::reader::TsmFile;
use crate::format::column::BlockType;
use crate::format::index::{Entry, Place};

/// Read at a time, unless a block is longer: blocks that lie side by side come by one call.
pub(super) const WINDOW_LEN: u64 = 1 << 18;

/// A place in the walk over all blocks of a file, in the order of its index.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    /// The key.
    pub(super) place: Place,
    /// The block of it, by time.
    pub(super) entry: usize,
}

/// A part of a file in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// Reads the bytes from `start` to `end`, which the index has found to lie in the file.
    ///
    /// # Errors
    /// `Io` names the file.
    pub(super) fn read(&mut self, file: &TsmFile, start: u64, end: u64) -> Result<()> {
        let end = end.min(file.size());
        self.bytes.resize(usize::try_from(end.saturating_sub(start)).unwrap_or(0), 0);
        self.start = start;
        file.file().read_exact_at(&mut self.bytes, start).map_err(|error| Error::io(error, file.path()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let (start, end) = (entry.offset.get(), entry.offset.get().saturating_add(u64::from(entry.size)));
        self.start <= start && end <= self.start + self.bytes.len() as u64
    }

    /// The bytes of a block, with its checksum.
    fn block(&self, entry: &Entry) -> Result<&[u8]> {
        let start = entry.offset.get().checked_sub(self.start).and_then(|start| usize::try_from(start).ok());
        let block = start.and_then(|start| self.bytes.get(start..)?.get(..entry.size as usize));
        block.ok_or_else(|| Error::corrupt("a block is cut off", entry.offset))
    }

    /// What lies behind the checksum of a block.
    ///
    /// # Errors
    /// `Corrupt` with the offset when the checksum is wrong; the file is not named.
    pub(super) fn body(&self, entry: &Entry) -> Result<&[u8]> {
        entry.checked_body(self.block(entry)?)
    }

    /// Compares a block with its checksum and with what the index says of it.
    ///
    /// # Errors
    /// `Corrupt` with the offset; the file is not named.
    pub(super) fn check(&self, kind: BlockType, entry: &Entry) -> Result<()> {
        check::compare(kind, entry, self.block(entry)?)
    }
}
