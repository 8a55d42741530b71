//! Finding a key in the mapped index.
//!
//! Keys differ in length and nothing in the file says where the next one begins but the key before it, so the first use
//! of an index walks it once, checking all of it, and keeps the place of every sixteenth key. A search halves these
//! and then steps through at most sixteen keys. Opening a file therefore costs the same whatever its index
//! (`docs/adr/0004-an-index-is-walked-at-its-first-use.md`).

use super::{CRC_LEN, ENTRY_LEN, Entry, FOOTER_LEN, HEADER_LEN, Key, MAGIC, VERSION};
use crate::error::{Error, Result};
use crate::format::column::BlockType;
use crate::format::key;
use crate::format::read::Cursor;
use crate::units::{Offset, TimeRange};

/// Keys between two whose places are kept.
const STRIDE: usize = 16;

/// Checks header and footer of a whole file and returns where the index begins. O(1).
///
/// # Errors
/// `Corrupt` or `Version`, with the place.
pub(crate) fn index_start(file: &[u8]) -> Result<Offset> {
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
    let start = u64::from_be_bytes(*footer);
    if start < HEADER_LEN as u64 || start >= body.len() as u64 {
        let footer_at = Offset::START.forward(body.len());
        return Err(Error::corrupt("the footer points outside the file", footer_at));
    }
    Ok(Offset::new(start))
}

/// Where a key begins in an index: what a walk that pauses remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    ordinal: u32,
    /// Behind the start of the index.
    position: u32,
}

/// What the walk over an index found, enough to search it in the mapped file.
#[derive(Debug)]
pub(crate) struct Outline {
    start: Offset,
    /// Of every [`STRIDE`]th key the position behind `start`.
    strides: Vec<u32>,
    len: u32,
    range: TimeRange,
    is_in_file_order: bool,
    is_gapless: bool,
    is_apart: bool,
}

impl Outline {
    /// Walks the index of a whole file once and checks all of it. O(keys + entries); blocks are not touched. `start` is
    /// what [`index_start`] returned.
    ///
    /// # Errors
    /// `Corrupt` with the place of the first contradiction.
    pub(crate) fn walk(file: &[u8], start: Offset) -> Result<Self> {
        let bytes = index_bytes(file, start);
        let mut cursor = Cursor::new(bytes, start);
        let mut walk = Walk::new(start);
        let mut strides = Vec::new();
        let mut len = 0u32;
        while !cursor.is_empty() {
            let at = cursor.at();
            if (len as usize).is_multiple_of(STRIDE) {
                let position = u32::try_from(at.get() - start.get());
                strides.push(position.map_err(|_| Error::corrupt("the index is longer than 4 GiB", at))?);
            }
            walk.key(&Key::read(&mut cursor, len, false)?, at)?;
            len = len.checked_add(1).ok_or_else(|| Error::corrupt("too many keys", at))?;
        }
        let range = TimeRange::new(walk.min, walk.max)
            .map_err(|_| Error::corrupt("an index without keys", cursor.at()))?;
        let is_in_file_order = walk.in_order.is_some();
        let is_gapless = walk.gapless == Some(start.get());
        let outline =
            Self { start, strides, len, range, is_in_file_order, is_gapless, is_apart: walk.is_apart };
        if !is_in_file_order {
            Index { file, outline: &outline }.refuse_shared_bytes()?;
        }
        Ok(outline)
    }
}

/// What a walk has seen so far.
struct Walk<'a> {
    before: &'a [u8],
    blocks_end: u64,
    min: i64,
    max: i64,
    /// The end of the last block, as long as each lies behind the one before.
    in_order: Option<u64>,
    /// The same, as long as each begins where the one before ends.
    gapless: Option<u64>,
    is_apart: bool,
}

impl<'a> Walk<'a> {
    fn new(start: Offset) -> Self {
        let begin = Some(HEADER_LEN as u64);
        let blocks_end = start.get();
        let (min, max) = (i64::MAX, i64::MIN);
        Self { before: &[], blocks_end, min, max, in_order: begin, gapless: begin, is_apart: true }
    }

    fn key(&mut self, key: &Key<'a>, at: Offset) -> Result<()> {
        if key.key <= self.before {
            return Err(Error::corrupt("keys are not in ascending order", at));
        }
        self.before = key.key;
        if key::split(key.key).is_none() {
            return Err(Error::corrupt("a key without a field", at));
        }
        if key.entries.is_empty() {
            return Err(Error::corrupt("a key without blocks", key.at));
        }
        let mut before: Option<TimeRange> = None;
        for (nth, bytes) in key.entries.iter().enumerate() {
            let at = key.at.forward(nth * ENTRY_LEN);
            let entry = Entry::parse(bytes)
                .ok_or_else(|| Error::corrupt("an index entry ends before it starts", at))?;
            self.entry(&entry, at)?;
            if before.is_some_and(|before| entry.range.min() < before.min()) {
                return Err(Error::corrupt("index entries are not in the order of time", at));
            }
            self.is_apart &= before.is_none_or(|before| before.max() < entry.range.min());
            before = Some(entry.range);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, at: Offset) -> Result<()> {
        let end = entry.offset.checked_add(u64::from(entry.size)).map(Offset::get);
        if entry.offset.get() < HEADER_LEN as u64 || end.is_none_or(|end| end > self.blocks_end) {
            return Err(Error::corrupt("an index entry points outside the blocks", at));
        }
        if entry.size as usize <= CRC_LEN {
            return Err(Error::corrupt("an index entry is too short for a block", at));
        }
        self.in_order = self.in_order.filter(|before| entry.offset.get() >= *before).and(end);
        self.gapless = self.gapless.filter(|before| entry.offset.get() == *before).and(end);
        (self.min, self.max) = (self.min.min(entry.range.min()), self.max.max(entry.range.max()));
        Ok(())
    }
}

/// The index of a TSM file, checked, as a view of the mapped bytes.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    file: &'a [u8],
    outline: &'a Outline,
}

impl<'a> Index<'a> {
    /// `file` must be the bytes that were walked.
    pub(crate) fn new(file: &'a [u8], outline: &'a Outline) -> Self {
        Self { file, outline }
    }

    /// The number of keys.
    #[expect(clippy::len_without_is_empty, reason = "an index has at least one key")]
    pub fn len(&self) -> usize {
        self.outline.len as usize
    }

    /// From the first to the last time of any key.
    pub fn range(&self) -> TimeRange {
        self.outline.range
    }

    /// Whether the blocks lie in the file in the order of the index, as every known writer puts them.
    pub fn is_in_file_order(&self) -> bool {
        self.outline.is_in_file_order
    }

    /// Whether every byte between header and index belongs to a block, in this order.
    pub(crate) fn is_gapless(&self) -> bool {
        self.outline.is_gapless
    }

    /// Where the index begins in the file.
    pub(crate) fn start(&self) -> Offset {
        self.outline.start
    }

    /// The first key, and keys behind it each at least so many bytes of blocks from the one before, with the place of their first
    /// blocks. The first alone where the blocks lie in no order. O(keys / 16).
    pub(crate) fn places_apart(&self, bytes: u64) -> Vec<(Place, Offset)> {
        let mut places = vec![(Place::default(), Offset::START.forward(HEADER_LEN))];
        let mut next_at = (HEADER_LEN as u64).saturating_add(bytes);
        let strides = if self.is_in_file_order() { self.outline.strides.len() } else { 0 };
        for place in (1..strides).filter_map(|nth| self.stride(nth)) {
            let first = self.at(place).and_then(|(key, _)| key.entry(0));
            if let Some(entry) = first.filter(|entry| entry.offset.get() >= next_at) {
                places.push((place, entry.offset));
                next_at = entry.offset.get().saturating_add(bytes);
            }
        }
        places
    }

    /// All keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        self.keys_at(Place::default())
    }

    /// The key at `ordinal`, from 0; `None` behind the last.
    pub fn key(&self, ordinal: u32) -> Option<Key<'a>> {
        let behind = ordinal as usize % STRIDE;
        self.keys_at(self.stride(ordinal as usize / STRIDE)?).nth(behind)
    }

    /// Finds a composite key. O(log keys).
    pub fn find(&self, composite: &[u8]) -> Option<Key<'a>> {
        self.keys_from(composite).next().filter(|key| key.key == composite)
    }

    /// The keys that are `composite` or follow it, ascending. O(log keys) to the first.
    pub fn keys_from(&self, composite: &[u8]) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let begins_behind = |nth: usize| {
            let first = self.stride(nth).and_then(|place| self.keys_at(place).next());
            first.is_none_or(|key| key.key > composite)
        };
        let (mut low, mut high) = (0, self.outline.strides.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match begins_behind(middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        let mut place = self.stride(low.saturating_sub(1)).unwrap_or_default();
        while let Some((_, next)) = self.at(place).filter(|(key, _)| key.key < composite) {
            place = next;
        }
        self.keys_at(place)
    }

    /// The key at `place` and the place of the next; `None` behind the last.
    pub(crate) fn at(&self, place: Place) -> Option<(Key<'a>, Place)> {
        let bytes = index_bytes(self.file, self.outline.start).get(place.position as usize..)?;
        let at = self.outline.start.forward(place.position as usize);
        let mut cursor = Cursor::new(bytes, at);
        let key = Key::read(&mut cursor, place.ordinal, self.outline.is_apart).ok()?;
        let position = u32::try_from(cursor.at().get() - self.outline.start.get()).ok()?;
        Some((key, Place { ordinal: place.ordinal + 1, position }))
    }

    fn keys_at(&self, mut place: Place) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let index = *self;
        std::iter::from_fn(move || {
            let (key, next) = index.at(place)?;
            place = next;
            Some(key)
        })
    }

    fn stride(&self, nth: usize) -> Option<Place> {
        let position = *self.outline.strides.get(nth)?;
        Some(Place { ordinal: u32::try_from(nth * STRIDE).ok()?, position })
    }

    /// For blocks in no order. Shared, a block of a few bytes could be claimed by thousands of entries.
    fn refuse_shared_bytes(&self) -> Result<()> {
        let mut blocks: Vec<Entry> = self.keys().flat_map(|key| key.entries()).collect();
        blocks.sort_unstable_by_key(|entry| entry.offset);
        let shared = blocks.array_windows().find(|[first, second]| {
            second.offset.get() < first.offset.get().saturating_add(u64::from(first.size))
        });
        match shared {
            Some([_, second]) => Err(Error::corrupt("two index entries claim the same bytes", second.offset)),
            None => Ok(()),
        }
    }
}

impl<'a> Key<'a> {
    fn read(cursor: &mut Cursor<'a>, ordinal: u32, is_apart: bool) -> Result<Self> {
        let key_len = cursor.u16("a key length is cut off")?;
        let key = cursor.take(usize::from(key_len), "a key is cut off")?;
        let code = cursor.u8("a block type is cut off")?;
        let kind =
            BlockType::from_code(code).ok_or_else(|| cursor.corrupt("unknown block type in the index"))?;
        let count = cursor.u16("an entry count is cut off")?;
        let at = cursor.at();
        let entries = cursor.take(usize::from(count) * ENTRY_LEN, "index entries are cut off")?;
        Ok(Self { key, kind, ordinal, entries: entries.as_chunks().0, at, is_apart })
    }
}

/// The bytes between blocks and footer.
fn index_bytes(file: &[u8], start: Offset) -> &[u8] {
    let end = file.len().saturating_sub(FOOTER_LEN);
    usize::try_from(start.get()).ok().and_then(|start| file.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{footer, put_key};
    use super::*;

    /// The worked example of docs/formats/tsm.md: measurement `old`, field `v`, 1.0 at −5 s.
    const EXAMPLE: &str = "16d116d101f347999e00091cfffffffed5fa0e00103ff0000000000000c3fc008000000000001000\
        086f6c6423217e23760000 01fffffffed5fa0e00fffffffed5fa0e000000000000000005000000220000000000000027";

    fn example() -> Vec<u8> {
        let digits: String = EXAMPLE.chars().filter(|c| !c.is_whitespace()).collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn walk(file: &[u8]) -> Result<Outline> {
        Outline::walk(file, index_start(file)?)
    }

    /// A file of the form, whose blocks are not blocks: keys with the times and places of their blocks.
    fn file(keys: &[(String, Vec<Entry>)], blocks_end: u64) -> Vec<u8> {
        let mut out = super::super::HEADER.to_vec();
        out.resize(usize::try_from(blocks_end).unwrap(), 0);
        for (key, entries) in keys {
            put_key(&mut out, key.as_bytes(), BlockType::Integer, entries).unwrap();
        }
        out.extend_from_slice(&footer(Offset::new(blocks_end)));
        out
    }

    fn entry(min: i64, max: i64, offset: u64) -> Entry {
        Entry { range: TimeRange::new(min, max).unwrap(), offset: Offset::new(offset), size: 10 }
    }

    #[test]
    fn the_worked_example_parses() {
        let file = example();
        assert_eq!(file.len(), 88);
        let outline = walk(&file).unwrap();
        let index = Index::new(&file, &outline);
        assert_eq!((index.len(), outline.start), (1, Offset::new(39)));
        let key = index.find(b"old#!~#v").unwrap();
        assert_eq!((key.kind, key.ordinal), (BlockType::Float, 0));
        let entries: Vec<_> = key.entries().collect();
        let range = TimeRange::new(-5_000_000_000, -5_000_000_000).unwrap();
        assert_eq!(entries, [Entry { range, offset: Offset::new(5), size: 0x22 }]);
        assert!(index.find(b"old#!~#w").is_none() && index.find(b"").is_none());
    }

    #[test]
    fn a_written_index_is_the_one_that_was_read() {
        let file = example();
        let outline = walk(&file).unwrap();
        let key = Index::new(&file, &outline).key(0).unwrap();
        let mut out = Vec::new();
        put_key(&mut out, key.key, key.kind, &key.entries().collect::<Vec<_>>()).unwrap();
        out.extend_from_slice(&footer(outline.start));
        assert_eq!(out, file[39..]);
    }

    #[test]
    fn every_key_is_found_by_name_and_by_number_and_no_other() {
        for count in [1u32, 15, 16, 17, 31, 32, 33, 500] {
            let name = |nth: u32| format!("m,t={nth:04}#!~#f");
            let blocks = |nth: u32| vec![entry(i64::from(nth), i64::from(nth) + 5, 5 + u64::from(nth) * 10)];
            let keys: Vec<_> = (0..count).map(|nth| (name(nth), blocks(nth))).collect();
            let file = file(&keys, 5 + u64::from(count) * 10);
            let outline = walk(&file).unwrap();
            let index = Index::new(&file, &outline);
            assert_eq!((index.len(), index.keys().count()), (count as usize, count as usize));
            assert_eq!(index.range(), TimeRange::new(0, i64::from(count) + 4).unwrap());
            for nth in 0..count {
                let (found, by_name) = (index.key(nth).unwrap(), index.find(name(nth).as_bytes()).unwrap());
                assert_eq!((found.key, found.ordinal), (name(nth).as_bytes(), nth));
                assert_eq!((by_name.ordinal, by_name.entry(0)), (nth, found.entry(0)));
                let absent = format!("{}x", name(nth));
                assert!(index.find(absent.as_bytes()).is_none());
                let behind: Vec<_> = index.keys_from(absent.as_bytes()).map(|key| key.ordinal).collect();
                assert_eq!(behind, (nth + 1..count).collect::<Vec<_>>());
            }
            assert!(index.key(count).is_none() && index.find(b"a").is_none() && index.find(b"z").is_none());
        }
    }

    #[test]
    fn blocks_of_a_range_are_those_that_overlap_it() {
        let apart: Vec<_> =
            (0..50).map(|nth| entry(nth * 10, nth * 10 + 6, 5 + nth.unsigned_abs() * 10)).collect();
        // The first reaches over all others, as in files of old versions.
        let mut overlapping = apart.clone();
        overlapping[0] = entry(0, 1000, 5);
        for entries in [apart, overlapping] {
            let file = file(&[("m#!~#f".to_owned(), entries.clone())], 505);
            let outline = walk(&file).unwrap();
            let key = Index::new(&file, &outline).key(0).unwrap();
            let last = entries.iter().map(|entry| entry.range.max()).max().unwrap();
            assert_eq!(key.range(), TimeRange::new(0, last).unwrap());
            for (min, max) in (-5..30).flat_map(|min| [0, 1, 3, 4, 9, 55, 2000].map(|len| (min, min + len))) {
                let range = TimeRange::new(min, max).unwrap();
                let expected: Vec<_> =
                    entries.iter().copied().filter(|entry| entry.range.overlaps(range)).collect();
                assert_eq!(key.entries_within(range).collect::<Vec<_>>(), expected, "{min} to {max}");
            }
        }
    }

    #[test]
    fn blocks_may_lie_in_any_order_but_not_share_a_byte() {
        let keys = |second: u64| {
            [("a#!~#f".to_owned(), vec![entry(0, 1, 25)]), ("b#!~#f".to_owned(), vec![entry(0, 1, second)])]
        };
        let outline = walk(&file(&keys(15), 35)).unwrap();
        assert!(!outline.is_in_file_order);
        for second in [16, 20, 25] {
            let error = walk(&file(&keys(second), 35)).unwrap_err().to_string();
            assert_eq!(error, "damaged: two index entries claim the same bytes at byte 25");
        }
    }

    #[test]
    fn every_cut_and_every_flip_outside_the_block_is_an_error_or_another_valid_index() {
        let file = example();
        for len in 0..file.len() {
            assert!(walk(&file[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(outline) = walk(&damaged) {
                let key = Index::new(&damaged, &outline).key(0).unwrap();
                let end = outline.start.get();
                assert!(key.entries().all(|entry| entry.offset.get() + u64::from(entry.size) <= end));
            }
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let mut file = example();
        file[4] = 2;
        assert_eq!(walk(&file).unwrap_err().to_string(), "unknown version 2 at byte 4");
        let mut file = example();
        file[39 + 2 + 8] = 9;
        let error = walk(&file).unwrap_err();
        assert_eq!(error.to_string(), "damaged: unknown block type in the index at byte 50");
    }
}
