//! One file after the other, wherever they go: what may follow what, and where a file is full.
//!
//! Invariant: `entries` are the blocks of the key `last` in the file being written, which lie before `file.at`; the
//! sink has the index of all keys before it.

use std::fmt;
use std::ops::Range;

use super::{WriterOptions, block_len, put_block};
use crate::error::{Error, ErrorKind, Result};
use crate::file::name::FileName;
use crate::format::block::{self, Flavor};
use crate::format::column::{BlockType, Column};
use crate::format::index::{self, CRC_LEN, ENTRY_LEN, Entry, FOOTER_LEN, HEADER, HEADER_LEN, KEY_EXTRA_LEN};
use crate::format::key;
use crate::units::{Offset, TimeRange};

/// influxd holds the length of a file in 32 bits, unsigned.
const FILE_LEN_MAX: u64 = u32::MAX as u64;
/// influxd walks an index with positions of 32 bits, signed.
const INDEX_LEN_MAX: u64 = i32::MAX as u64;

/// Where the bytes of files go. Its errors name the file.
pub(crate) trait Sink {
    /// Begins a file. The one before it was ended.
    fn begin(&mut self, name: FileName) -> Result<()>;
    /// Appends to the part before the index.
    fn blocks(&mut self, bytes: &[u8]) -> Result<()>;
    /// Appends to the index, which comes behind all blocks.
    fn index(&mut self, bytes: &[u8]) -> Result<()>;
    /// Puts the index behind the blocks, and `footer` behind the index: the file is whole.
    fn end(&mut self, footer: &[u8]) -> Result<()>;
}

/// Splits a sequence of blocks into files.
pub(crate) struct Rolling<S> {
    sink: S,
    file_size_max: u64,
    key_blocks_max: usize,
    /// `None` when the numbers are used up.
    next_name: Option<FileName>,
    file: Option<File>,
    last: Option<Last>,
    entries: Vec<Entry>,
    /// What the system refused.
    failed: Option<Error>,
    /// A block being encoded.
    block: Vec<u8>,
    /// The index of a key being encoded.
    section: Vec<u8>,
}

/// The file being written.
#[derive(Clone, Copy, Debug)]
struct File {
    /// Where the next block will lie.
    at: Offset,
    /// Length of the index if the file ended here.
    index_len: u64,
    is_full: bool,
}

/// The block before the next one, in this file or the one before.
#[derive(Debug)]
struct Last {
    key: Vec<u8>,
    kind: BlockType,
    max: i64,
}

impl Last {
    /// Whether a block may follow; whether it is one of the same key.
    fn admits(&self, key: &[u8], kind: BlockType, range: TimeRange) -> Result<bool> {
        match key.cmp(&self.key) {
            std::cmp::Ordering::Less => Err(Error::unfit("keys must ascend")),
            std::cmp::Ordering::Greater => Ok(false),
            _ if kind != self.kind => Err(Error::unfit("a key has one type")),
            _ if range.min() <= self.max => Err(Error::unfit("blocks of a key must ascend in time")),
            _ => Ok(true),
        }
    }
}

impl File {
    const EMPTY: Self = Self { at: Offset::new(HEADER_LEN as u64), index_len: 0, is_full: false };

    /// The file with one more block; `None` if the format cannot hold it.
    fn with(&self, key_len: Option<usize>, size: u32) -> Option<Self> {
        let key_len = key_len.map_or(0, |len| len + KEY_EXTRA_LEN);
        let index_len = self.index_len + (key_len + ENTRY_LEN) as u64;
        let at = self.at.forward(size as usize);
        let fits = index_len <= INDEX_LEN_MAX && at.get() + index_len + FOOTER_LEN as u64 <= FILE_LEN_MAX;
        fits.then_some(Self { at, index_len, is_full: false })
    }
}

impl<S: Sink> Rolling<S> {
    pub(crate) fn new(sink: S, first: FileName, options: &WriterOptions) -> Self {
        Self {
            sink,
            file_size_max: options.file_size_max,
            key_blocks_max: usize::from(options.key_blocks_max),
            next_name: Some(first),
            file: None,
            last: None,
            entries: Vec::new(),
            failed: None,
            block: Vec::new(),
            section: Vec::new(),
        }
    }

    pub(crate) fn column(
        &mut self,
        key: &[u8],
        column: &Column,
        points_max: usize,
        flavor: Flavor,
    ) -> Result<()> {
        let points_max = points_max.clamp(1, block::MAX_POINTS);
        (0..column.len()).step_by(points_max).try_for_each(|start| {
            let end = column.len().min(start + points_max);
            self.block(key, column, start..end, flavor)
        })
    }

    pub(crate) fn block(
        &mut self,
        key: &[u8],
        column: &Column,
        range: Range<usize>,
        flavor: Flavor,
    ) -> Result<()> {
        let mut block = std::mem::take(&mut self.block);
        let outcome = put_block(column, range.clone(), flavor, &mut block).and_then(|_| {
            let times = column.times.get(range).unwrap_or_default();
            if !times.is_sorted_by(|before, time| before < time) {
                return Err(Error::unfit("the times of a block must ascend"));
            }
            self.put(key, column.kind(), span(times)?, &block)
        });
        self.block = block;
        outcome
    }

    pub(crate) fn copy(&mut self, key: &[u8], block: &[u8], at: Offset) -> Result<()> {
        let claimed = Entry { range: TimeRange::ALL, offset: at, size: block_len(block)? };
        let body = claimed.checked_body(block)?;
        let bounds = block::bounds(body, at.forward(CRC_LEN))?;
        if !bounds.ascending {
            return Err(Error::corrupt("a block is not in the order of time", at));
        }
        self.put(key, bounds.kind, TimeRange::new(bounds.first, bounds.last)?, block)
    }

    /// Takes a block with its checksum.
    fn put(&mut self, key: &[u8], kind: BlockType, range: TimeRange, block: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.again());
        }
        if self.last.as_ref().is_none_or(|last| last.key != key) {
            check_key(key)?;
        }
        let goes_on = self.last.as_ref().map_or(Ok(false), |last| last.admits(key, kind, range))?;
        let outcome = self.append(key, kind, range, block, goes_on);
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Io
        {
            self.failed = Some(error.again());
        }
        outcome
    }

    fn append(
        &mut self,
        key: &[u8],
        kind: BlockType,
        range: TimeRange,
        block: &[u8],
        goes_on: bool,
    ) -> Result<()> {
        let size = block_len(block)?;
        let first = File::EMPTY.with(Some(key.len()), size);
        let first = first.ok_or_else(|| Error::unfit("a block is too long for a file of 4 GiB"))?;
        let new_key = (!goes_on || self.entries.is_empty()).then_some(key.len());
        let room = self.file.filter(|file| !file.is_full);
        let (at, mut file) = match room.and_then(|file| Some((file.at, file.with(new_key, size)?))) {
            Some(room) => room,
            None => {
                self.roll()?;
                (File::EMPTY.at, first)
            }
        };
        if !goes_on {
            self.leave_key()?;
        }
        self.sink.blocks(block)?;
        self.entries.push(Entry { range, offset: at, size });
        file.is_full =
            self.entries.len() >= self.key_blocks_max || file.at.get() + file.index_len > self.file_size_max;
        self.file = Some(file);
        self.remember(key, kind, range.max());
        Ok(())
    }

    fn remember(&mut self, key: &[u8], kind: BlockType, max: i64) {
        let last = self.last.get_or_insert_with(|| Last { key: Vec::new(), kind, max });
        if last.key != key {
            last.key.clear();
            last.key.extend_from_slice(key);
        }
        (last.kind, last.max) = (kind, max);
    }

    /// Begins a file, after the one before it is ended.
    fn roll(&mut self) -> Result<()> {
        let name = self.next_name.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
        self.end()?;
        self.sink.begin(name)?;
        self.sink.blocks(&HEADER)?;
        self.next_name = name.sequence.next().map(|sequence| FileName { sequence, ..name });
        Ok(())
    }

    /// Gives the index of the current key to the sink.
    fn leave_key(&mut self) -> Result<()> {
        if let (Some(last), false) = (&self.last, self.entries.is_empty()) {
            self.section.clear();
            index::put_key(&mut self.section, &last.key, last.kind, &self.entries)?;
            self.sink.index(&self.section)?;
            self.entries.clear();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.leave_key()?;
        match self.file.take() {
            Some(file) => self.sink.end(&index::footer(file.at)),
            None => Ok(()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Ends the last file.
    ///
    /// # Errors
    /// `Unfit` when there was no block; what the system refused, now or before.
    pub(crate) fn close(&mut self) -> Result<()> {
        match &self.failed {
            Some(error) => Err(error.again()),
            None if self.is_empty() => Err(Error::unfit("a TSM file needs a block")),
            None => self.end(),
        }
    }

    pub(crate) fn into_sink(self) -> S {
        self.sink
    }
}

/// That a reader will take the key.
fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > key::LEN_MAX {
        return Err(Error::unfit("a key is longer than 65,535 bytes"));
    }
    match key::split(key) {
        Some(_) => Ok(()),
        None => Err(Error::unfit("a key without a field")),
    }
}

/// From the first to the last of sorted times.
fn span(times: &[i64]) -> Result<TimeRange> {
    match (times.first(), times.last()) {
        (Some(min), Some(max)) => TimeRange::new(*min, *max),
        _ => Err(Error::unfit("a block needs at least one point")),
    }
}

impl<S> fmt::Debug for Rolling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rolling")
            .field("next_name", &self.next_name)
            .field("file", &self.file)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
