//! Header, index and footer of a TSM file: which keys it has, where their blocks lie and which times they cover.
//!
//! Invariant of an [`Index`]: keys ascend strictly and have a field; each has at least one entry; entries ascend by
//! their first time; every block lies between the header and the index, and no two share a byte.
//!
//! ```text
//! file       | magic 4 | version 1 | blocks | index | index start 8 |               all integers big-endian
//! per block  | crc 4 | block n |                                                    (see `block`)
//! per key    | key len 2 | key n | type 1 | count 2 | entries 28 * count |
//! per entry  | 0 min time i64 | 8 max time i64 | 16 offset u64 | 24 size u32 |      size counts the crc
//! ```
//!
//! The index has no checksum of its own, so everything in it that can be checked is checked before it is used.

mod outline;

use super::column::BlockType;
use crate::error::{Error, Result};
use crate::units::{Offset, TimeRange};
pub use outline::Index;
pub(crate) use outline::{Outline, Place, index_start};

/// The first four bytes of every TSM file.
pub(crate) const MAGIC: [u8; 4] = [0x16, 0xD1, 0x16, 0xD1];
const VERSION: u8 = 1;
/// Magic and version: the first block begins here.
pub(crate) const HEADER_LEN: usize = MAGIC.len() + size_of::<u8>();
/// Position of the index.
pub(crate) const FOOTER_LEN: usize = size_of::<u64>();
/// Length of a block's checksum, which its entry's size includes.
pub(crate) const CRC_LEN: usize = size_of::<u32>();

const MIN_TIME: usize = 0;
const MAX_TIME: usize = MIN_TIME + size_of::<i64>();
const OFFSET: usize = MAX_TIME + size_of::<i64>();
const SIZE: usize = OFFSET + size_of::<u64>();
/// Length of an index entry.
pub(crate) const ENTRY_LEN: usize = SIZE + size_of::<u32>();
const _: () = assert!(ENTRY_LEN == 28 && HEADER_LEN == 5, "TSM version 1");

/// What a key takes in the index beside its bytes and its entries: length, type, count.
pub(crate) const KEY_EXTRA_LEN: usize = size_of::<u16>() + size_of::<u8>() + size_of::<u16>();

/// Header of a new file.
pub(crate) const HEADER: [u8; HEADER_LEN] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION];

/// One block of a key: where it lies and which times it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First and last time in the block. Files of old versions may state a last time that is too late.
    pub range: TimeRange,
    /// Where the checksum lies; the block follows it.
    pub offset: Offset,
    /// Bytes of checksum and block.
    pub size: u32,
}

impl Entry {
    /// What lies behind the checksum of a block, if the checksum is right.
    pub(crate) fn checked_body<'a>(&self, block: &'a [u8]) -> Result<&'a [u8]> {
        match block.split_first_chunk::<CRC_LEN>() {
            Some((stored, body)) if u32::from_be_bytes(*stored) == crc32fast::hash(body) => Ok(body),
            Some(_) => Err(Error::corrupt("a block's checksum is wrong", self.offset)),
            None => Err(Error::corrupt("a block is cut off", self.offset)),
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.range.min().to_be_bytes());
        out.extend_from_slice(&self.range.max().to_be_bytes());
        out.extend_from_slice(&self.offset.get().to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
    }

    /// `None` when it ends before it starts.
    fn parse(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let range = TimeRange::new(time(bytes, MIN_TIME), time(bytes, MAX_TIME)).ok()?;
        let offset = u64::from_be_bytes(*bytes.get(OFFSET..)?.first_chunk()?);
        let size = u32::from_be_bytes(*bytes.get(SIZE..)?.first_chunk()?);
        Some(Self { range, offset: Offset::new(offset), size })
    }
}

/// A key in the index, as a view of the mapped file.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Series key, separator and field (see [`key::split`](crate::key::split)).
    pub key: &'a [u8],
    /// The type of all its blocks.
    pub kind: BlockType,
    /// Position of the key among those of the file, from 0.
    pub ordinal: u32,
    entries: &'a [[u8; ENTRY_LEN]],
    at: Offset,
    /// Whether each of its blocks begins after the one before has ended.
    is_apart: bool,
}

impl<'a> Key<'a> {
    /// The number of its blocks.
    pub fn block_count(&self) -> usize {
        self.entries.len()
    }

    /// The block at `at`, counted by time from 0; `None` behind the last.
    pub fn entry(&self, at: usize) -> Option<Entry> {
        self.entries.get(at).and_then(Entry::parse)
    }

    /// The blocks of the key, by time.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> + use<'a> {
        self.entries.iter().filter_map(Entry::parse)
    }

    /// The blocks that share a time with `range`, by time. O(log blocks) to find the first, but for the files of old
    /// versions whose blocks overlap.
    pub fn entries_within(&self, range: TimeRange) -> impl Iterator<Item = Entry> + use<'a> {
        let ends_before = move |entry: &[u8; ENTRY_LEN]| time(entry, MAX_TIME) < range.min();
        let end = self.entries.partition_point(|entry| time(entry, MIN_TIME) <= range.max());
        let start = if self.is_apart { self.entries.partition_point(ends_before) } else { 0 };
        let found = self.entries.get(start..end).unwrap_or_default();
        found.iter().filter(move |entry| !ends_before(entry)).filter_map(Entry::parse)
    }

    /// From the first time of the first block to the last of any. O(1), but for files whose blocks overlap.
    pub fn range(&self) -> TimeRange {
        let max = match self.is_apart {
            true => self.entries.last().map(|last| time(last, MAX_TIME)),
            false => self.entries.iter().map(|entry| time(entry, MAX_TIME)).max(),
        };
        let min = self.entries.first().map(|first| time(first, MIN_TIME));
        min.zip(max).and_then(|(min, max)| TimeRange::new(min, max).ok()).unwrap_or(TimeRange::ALL)
    }
}

/// A time of an entry.
fn time(entry: &[u8; ENTRY_LEN], at: usize) -> i64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Appends a key with its entries to an index being written.
///
/// # Errors
/// `Unfit` when the key is longer than [`key::LEN_MAX`](crate::key::LEN_MAX) or has no entry or more than 65,535.
pub(crate) fn put_key(out: &mut Vec<u8>, key: &[u8], kind: BlockType, entries: &[Entry]) -> Result<()> {
    let key_len = u16::try_from(key.len()).map_err(|_| Error::unfit("a key is longer than 65,535 bytes"))?;
    let count = u16::try_from(entries.len())
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| Error::unfit("a key needs 1 to 65,535 blocks in one file"))?;
    out.extend_from_slice(&key_len.to_be_bytes());
    out.extend_from_slice(key);
    out.push(kind.code());
    out.extend_from_slice(&count.to_be_bytes());
    entries.iter().for_each(|entry| entry.put(out));
    Ok(())
}

/// The last bytes of a file whose index begins at `start`.
pub(crate) fn footer(start: Offset) -> [u8; FOOTER_LEN] {
    start.get().to_be_bytes()
}
