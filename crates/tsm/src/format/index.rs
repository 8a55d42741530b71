//! Header, index and footer of a TSM file: which keys it has, where their blocks lie and which times they cover.
//!
//! Invariant of a parsed [`Index`]: keys ascend strictly and are not empty; each has at least one entry; entries
//! ascend by their first time; every block lies between the header and the index.
//!
//! ```text
//! file       | magic 4 | version 1 | blocks | index | index start 8 |               all integers big-endian
//! per block  | crc 4 | block n |                                                    (see `block`)
//! per key    | key len 2 | key n | type 1 | count 2 | entries 28 * count |
//! per entry  | 0 min time i64 | 8 max time i64 | 16 offset u64 | 24 size u32 |      size counts the crc
//! ```
//!
//! The index has no checksum of its own, so everything in it that can be checked is checked when it is parsed.

use super::column::BlockType;
use super::key;
use super::read::Cursor;
use crate::error::{Error, Result};
use crate::units::{Offset, TimeRange};

/// The first four bytes of every TSM file.
pub(crate) const MAGIC: [u8; 4] = [0x16, 0xD1, 0x16, 0xD1];
const VERSION: u8 = 1;
/// Magic and version: the first block begins here.
pub(crate) const HEADER_LEN: usize = MAGIC.len() + size_of::<u8>();
const FOOTER_LEN: usize = size_of::<u64>();
/// Length of a block's checksum, which its entry's size includes.
pub(crate) const CRC_LEN: usize = size_of::<u32>();

const MIN_TIME: usize = 0;
const MAX_TIME: usize = MIN_TIME + size_of::<i64>();
const OFFSET: usize = MAX_TIME + size_of::<i64>();
const SIZE: usize = OFFSET + size_of::<u64>();
const ENTRY_LEN: usize = SIZE + size_of::<u32>();
const _: () = assert!(ENTRY_LEN == 28 && HEADER_LEN == 5, "TSM version 1");

/// The most entries a key can have in one file.
pub(crate) const ENTRIES_MAX: usize = u16::MAX as usize;

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

    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let at = cursor.at();
        let min = cursor.i64("an index entry is cut off")?;
        let max = cursor.i64("an index entry is cut off")?;
        let offset = Offset::new(cursor.u64("an index entry is cut off")?);
        let size = cursor.u32("an index entry is cut off")?;
        let range = TimeRange::new(min, max)
            .map_err(|_| Error::corrupt("an index entry ends before it starts", at))?;
        Ok(Self { range, offset, size })
    }
}

/// A key in the index, as a view of the mapped file.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Series key, separator and field (see [`key::split`]).
    pub key: &'a [u8],
    /// The type of all its blocks.
    pub kind: BlockType,
    /// Position of the key among those of the file, from 0.
    pub ordinal: u32,
    entries: &'a [u8],
    at: Offset,
}

impl<'a> Key<'a> {
    /// The block at `at`, counted by time from 0; `None` behind the last.
    pub fn entry(&self, at: usize) -> Option<Entry> {
        let start = at.checked_mul(ENTRY_LEN)?;
        Entry::read(&mut Cursor::new(self.entries.get(start..)?, self.at.forward(start))).ok()
    }

    /// The blocks of the key, by time.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let mut cursor = Cursor::new(self.entries, self.at);
        // The index was parsed when the file was opened: an entry cannot be short or reversed here.
        std::iter::from_fn(move || if cursor.is_empty() { None } else { Entry::read(&mut cursor).ok() })
    }

    /// From the first time of the first block to the last of any.
    pub fn range(&self) -> TimeRange {
        let mut entries = self.entries().map(|entry| entry.range);
        let first = entries.next().unwrap_or(TimeRange::ALL);
        let max = entries.map(|range| range.max()).fold(first.max(), i64::max);
        TimeRange::new(first.min(), max).unwrap_or(first)
    }

    fn read(cursor: &mut Cursor<'a>, ordinal: u32) -> Result<Self> {
        let key_len = cursor.u16("a key length is cut off")?;
        let key = cursor.take(usize::from(key_len), "a key is cut off")?;
        let code = cursor.u8("a block type is cut off")?;
        let kind =
            BlockType::from_code(code).ok_or_else(|| cursor.corrupt("unknown block type in the index"))?;
        let count = cursor.u16("an entry count is cut off")?;
        let at = cursor.at();
        let entries = cursor.take(usize::from(count) * ENTRY_LEN, "index entries are cut off")?;
        Ok(Self { key, kind, ordinal, entries, at })
    }

    /// Checks the entries against each other and against the room for blocks, which ends at `blocks_end`. Moves
    /// `in_order` to the end of the last block, or to `None` at the first that lies before the one before it ends.
    fn check(&self, blocks_end: u64, in_order: &mut Option<u64>) -> Result<()> {
        let mut cursor = Cursor::new(self.entries, self.at);
        if cursor.is_empty() {
            return Err(cursor.corrupt("a key without blocks"));
        }
        let mut before = i64::MIN;
        while !cursor.is_empty() {
            let at = cursor.at();
            let entry = Entry::read(&mut cursor)?;
            let end = entry.offset.checked_add(u64::from(entry.size)).map(Offset::get);
            if entry.offset.get() < HEADER_LEN as u64 || end.is_none_or(|end| end > blocks_end) {
                return Err(Error::corrupt("an index entry points outside the blocks", at));
            }
            if entry.size as usize <= CRC_LEN {
                return Err(Error::corrupt("an index entry is too short for a block", at));
            }
            if entry.range.min() < before {
                return Err(Error::corrupt("index entries are not in the order of time", at));
            }
            before = entry.range.min();
            *in_order = in_order.filter(|before| entry.offset.get() >= *before).and(end);
        }
        Ok(())
    }
}

/// Where the keys of an index lie: enough to search it in the mapped file.
#[derive(Debug)]
pub(crate) struct Index {
    start: u64,
    /// For each key, its position behind `start`.
    keys: Vec<u32>,
    range: TimeRange,
    /// Whether blocks lie in the file in the order of the index, as every writer puts them.
    pub(crate) is_in_file_order: bool,
}

impl Index {
    /// Walks the index of a whole file once and checks all of it. O(keys + entries); blocks are not touched.
    ///
    /// # Errors
    /// `Corrupt` or `Version`, with the place of the first contradiction.
    pub(crate) fn parse(file: &[u8]) -> Result<Self> {
        let mut header = Cursor::new(file, Offset::START);
        if header.array("shorter than a TSM header")? != MAGIC {
            return Err(Error::corrupt("not a TSM file", Offset::START));
        }
        let version_at = header.at();
        match header.u8("shorter than a TSM header")? {
            VERSION => {}
            found => return Err(Error::version(found, version_at)),
        }
        let Some((body, footer)) = file.split_last_chunk::<FOOTER_LEN>() else {
            return Err(Error::corrupt("shorter than a TSM footer", Offset::START));
        };
        let footer_at = Offset::START.forward(body.len());
        let start = u64::from_be_bytes(*footer);
        let bytes = usize::try_from(start)
            .ok()
            .filter(|start| *start >= HEADER_LEN && *start < body.len())
            .and_then(|start| body.get(start..))
            .ok_or_else(|| Error::corrupt("the footer points outside the file", footer_at))?;
        Self::walk(bytes, start)
    }

    fn walk(bytes: &[u8], start: u64) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, Offset::new(start));
        let mut keys = Vec::new();
        let mut before: &[u8] = &[];
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        let mut in_order = Some(HEADER_LEN as u64);
        while !cursor.is_empty() {
            let at = cursor.at();
            let position = u32::try_from(at.get() - start)
                .map_err(|_| Error::corrupt("the index is longer than 4 GiB", at))?;
            let ordinal = u32::try_from(keys.len()).map_err(|_| Error::corrupt("too many keys", at))?;
            let key = Key::read(&mut cursor, ordinal)?;
            if key.key <= before {
                return Err(Error::corrupt("keys are not in ascending order", at));
            }
            if key::split(key.key).is_none() {
                return Err(Error::corrupt("a key without a field", at));
            }
            key.check(start, &mut in_order)?;
            let range = key.range();
            (min, max) = (min.min(range.min()), max.max(range.max()));
            before = key.key;
            keys.push(position);
        }
        keys.shrink_to_fit();
        let range =
            TimeRange::new(min, max).map_err(|_| Error::corrupt("an index without keys", cursor.at()))?;
        Ok(Self { start, keys, range, is_in_file_order: in_order.is_some() })
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// From the first to the last time of any key.
    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }

    /// The key at `ordinal`; `None` behind the last. `file` must be the bytes that were parsed.
    pub(crate) fn key<'a>(&self, file: &'a [u8], ordinal: u32) -> Option<Key<'a>> {
        let position = u64::from(*self.keys.get(ordinal as usize)?);
        let at = self.start + position;
        let bytes = file.get(usize::try_from(at).ok()?..)?;
        Key::read(&mut Cursor::new(bytes, Offset::new(at)), ordinal).ok()
    }

    /// Finds a key by binary search in the mapped index. O(log keys).
    pub(crate) fn find<'a>(&self, file: &'a [u8], wanted: &[u8]) -> Option<Key<'a>> {
        let (mut low, mut high) = (0u32, u32::try_from(self.keys.len()).ok()?);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = self.key(file, middle)?;
            match key.key.cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(key),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// Appends a key with its entries to an index being written.
///
/// # Errors
/// `Unfit` when the key is longer than [`key::LEN_MAX`] or has no entry or more than [`ENTRIES_MAX`].
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of docs/formats/tsm.md: measurement `old`, field `v`, 1.0 at −5 s.
    const EXAMPLE: &str = "16d116d101f347999e00091cfffffffed5fa0e00103ff0000000000000c3fc008000000000001000\
        086f6c6423217e23760000 01fffffffed5fa0e00fffffffed5fa0e000000000000000005000000220000000000000027";

    fn example() -> Vec<u8> {
        let digits: String = EXAMPLE.chars().filter(|c| !c.is_whitespace()).collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_worked_example_parses() {
        let file = example();
        assert_eq!(file.len(), 88);
        let index = Index::parse(&file).unwrap();
        assert_eq!((index.len(), index.start), (1, 39));
        let key = index.find(&file, b"old#!~#v").unwrap();
        assert_eq!((key.kind, key.ordinal), (BlockType::Float, 0));
        let entries: Vec<_> = key.entries().collect();
        let range = TimeRange::new(-5_000_000_000, -5_000_000_000).unwrap();
        assert_eq!(entries, [Entry { range, offset: Offset::new(5), size: 0x22 }]);
        assert!(index.find(&file, b"old#!~#w").is_none() && index.find(&file, b"").is_none());
    }

    #[test]
    fn a_written_index_is_the_one_that_was_read() {
        let file = example();
        let index = Index::parse(&file).unwrap();
        let key = index.key(&file, 0).unwrap();
        let mut out = Vec::new();
        put_key(&mut out, key.key, key.kind, &key.entries().collect::<Vec<_>>()).unwrap();
        out.extend_from_slice(&footer(Offset::new(index.start)));
        assert_eq!(out, file[39..]);
    }

    #[test]
    fn every_cut_and_every_flip_outside_the_block_is_an_error_or_another_valid_index() {
        let file = example();
        for len in 0..file.len() {
            assert!(Index::parse(&file[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(index) = Index::parse(&damaged) {
                let key = index.key(&damaged, 0).unwrap();
                assert!(key.entries().all(|entry| entry.offset.get() + u64::from(entry.size) <= index.start));
            }
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let mut file = example();
        file[4] = 2;
        assert_eq!(Index::parse(&file).unwrap_err().to_string(), "unknown version 2 at byte 4");
        let mut file = example();
        file[39 + 2 + 8] = 9;
        let error = Index::parse(&file).unwrap_err();
        assert_eq!(error.to_string(), "damaged: unknown block type in the index at byte 50");
    }
}
