//! Writes a TSM file: blocks as they come, the index at the end.
//!
//! Nothing is durable before [`Writer::finish`] returned; the name is not before the directory is synced.

use icecore_disk::Append;

use crate::error::{Error, Result};
use crate::format::block::{self, Flavor};
use crate::format::column::{BlockType, Column};
use crate::format::index::{self, CRC_LEN, ENTRIES_MAX, Entry, HEADER, HEADER_LEN};
use crate::units::{Offset, TimeRange};

/// Points in a block, at most; influxd's default.
pub(crate) const POINTS_MAX: usize = 1000;

/// No block is begun behind this many bytes: influxd holds a file's size in 32 bits, and rolls over here.
const ROLL_OVER: u64 = 2 << 30;

/// A file being written. Keys must ascend, and blocks of one key must ascend in time.
pub(crate) struct Writer<'a> {
    to: &'a mut dyn Append,
    at: Offset,
    index: Vec<u8>,
    key: Vec<u8>,
    kind: BlockType,
    entries: Vec<Entry>,
    buffer: Vec<u8>,
}

/// Whether a file takes another block of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    Full,
}

impl<'a> Writer<'a> {
    /// Begins with the header.
    pub(crate) fn new(to: &'a mut dyn Append) -> std::io::Result<Self> {
        to.append(&HEADER)?;
        Ok(Self {
            to,
            at: Offset::START.forward(HEADER_LEN),
            index: Vec::new(),
            key: Vec::new(),
            kind: BlockType::Float,
            entries: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Encodes the points `range` of a column as one block of `key`.
    ///
    /// # Errors
    /// `Unfit` when the range is empty or passes the column, when keys or times do not ascend, or when the encoding
    /// refuses a value; `Io` when the write fails (the caller names the file).
    pub(crate) fn block(
        &mut self,
        key: &[u8],
        column: &Column,
        range: std::ops::Range<usize>,
        flavor: Flavor,
    ) -> Result<Room> {
        let times = column.times.get(range.clone()).unwrap_or_default();
        let (Some(min), Some(max)) = (times.first(), times.last()) else {
            return Err(Error::unfit("a block needs points"));
        };
        let times = TimeRange::new(*min, *max)?;
        let size = put_block(column, range, flavor, &mut self.buffer)?;
        self.put(key, column.kind(), times, size)
    }

    fn put(&mut self, key: &[u8], kind: BlockType, range: TimeRange, size: u32) -> Result<Room> {
        self.enter(key, kind)?;
        if self.entries.last().is_some_and(|before| before.range.max() >= range.min()) {
            return Err(Error::unfit("blocks of a key must ascend in time"));
        }
        self.to.append(&self.buffer).map_err(io)?;
        self.entries.push(Entry { range, offset: self.at, size });
        self.at = self.at.forward(self.buffer.len());
        let full = self.entries.len() >= ENTRIES_MAX || self.at.get() + self.index.len() as u64 > ROLL_OVER;
        Ok(if full { Room::Full } else { Room::Left })
    }

    /// Makes `key` the current key, and puts the one before it into the index.
    fn enter(&mut self, key: &[u8], kind: BlockType) -> Result<()> {
        if !self.entries.is_empty() && self.key == key {
            let same = self.kind == kind;
            return if same { Ok(()) } else { Err(Error::unfit("a key has one type in a file")) };
        }
        if key <= self.key.as_slice() {
            return Err(Error::unfit("keys must ascend"));
        }
        self.leave()?;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.kind = kind;
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        if !self.entries.is_empty() {
            index::put_key(&mut self.index, &self.key, self.kind, &self.entries)?;
            self.entries.clear();
        }
        Ok(())
    }

    /// Writes index and footer and syncs. Returns the length of the file.
    ///
    /// # Errors
    /// `Unfit` when there was no block (such a file is not valid); `Io`.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.leave()?;
        if self.index.is_empty() {
            return Err(Error::unfit("a TSM file needs a block"));
        }
        self.index.extend_from_slice(&index::footer(self.at));
        self.to.append(&self.index).map_err(io)?;
        self.to.sync().map_err(io)?;
        Ok(self.at.get() + self.index.len() as u64)
    }
}

/// Replaces `out` by a block of the points `range`, its checksum in front. Returns its length.
///
/// # Errors
/// `Unfit` when the encoding refuses a value or the block is longer than 4 GiB.
pub(crate) fn put_block(
    column: &Column,
    range: std::ops::Range<usize>,
    flavor: Flavor,
    out: &mut Vec<u8>,
) -> Result<u32> {
    out.clear();
    out.extend_from_slice(&[0; CRC_LEN]);
    block::encode(column, range, flavor, out)?;
    if let Some((crc, body)) = out.split_first_chunk_mut::<CRC_LEN>() {
        *crc = crc32fast::hash(body).to_be_bytes();
    }
    u32::try_from(out.len()).map_err(|_| Error::unfit("a block is longer than 4 GiB"))
}

/// An error whose file the caller names.
fn io(error: std::io::Error) -> Error {
    Error::io_unnamed(error)
}
