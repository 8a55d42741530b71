//! The index of a TSM file, read front to back with `pread`, in bounded memory and as far as it can be followed.
//!
//! Where a file that is opened is refused at its first contradiction, a scan goes on: for checks that name everything that
//! is wrong, and to look into files that are damaged. It decides nothing: an entry may lie about its block.
//!
//! Invariant: `window[used..]` are the bytes of the file from `at()` on, and none at or behind `end`.
//!
//! ```text
//! per key    | key len 2 | key n | type 1 | count 2 | entries 28 * count |     big-endian; see `format::index`
//! per entry  | min time i64 | max time i64 | offset u64 | size u32 |
//! ```

use icecore_disk::ReadAt;

use crate::error::{Error, Result};
use crate::format::column::BlockType;
use crate::format::index::{CRC_LEN, ENTRY_LEN, Entry, FOOTER_LEN, HEADER, HEADER_LEN};
use crate::units::{Offset, TimeRange};

const KEY_LEN_LEN: usize = size_of::<u16>();
const TYPE_AND_COUNT_LEN: usize = size_of::<u8>() + size_of::<u16>();

/// Bytes of the index read at a time.
const WINDOW_LEN: usize = 1 << 16;
const _: () = assert!(WINDOW_LEN >= u16::MAX as usize, "a key fits");

/// Where the parts of a TSM file lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the file.
    pub size: u64,
    /// Where the blocks end and the index begins.
    pub index_start: Offset,
    /// Where the index ends and the footer begins.
    pub index_end: Offset,
}

impl Layout {
    /// Reads the footer.
    ///
    /// # Errors
    /// `Corrupt` when it points outside the file, `Io`; neither names the file.
    pub fn read(file: &dyn ReadAt) -> Result<Self> {
        let size = file.size().map_err(Error::io_unnamed)?;
        let Some(index_end) = size.checked_sub(FOOTER_LEN as u64).filter(|end| *end >= HEADER_LEN as u64)
        else {
            return Err(Error::corrupt("shorter than header and footer of a TSM file", Offset::START));
        };
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(&mut footer, index_end).map_err(Error::io_unnamed)?;
        let index_start = u64::from_be_bytes(footer);
        if index_start < HEADER_LEN as u64 || index_start >= index_end {
            return Err(Error::corrupt("the footer points outside the file", Offset::new(index_end)));
        }
        Ok(Self { size, index_start: Offset::new(index_start), index_end: Offset::new(index_end) })
    }

    /// Compares magic and version with those of every TSM file.
    ///
    /// # Errors
    /// `Corrupt` or `Version`, and `Io`; they do not name the file.
    pub fn check_header(file: &dyn ReadAt) -> Result<()> {
        let mut header = [0; HEADER_LEN];
        let size = file.size().map_err(Error::io_unnamed)?;
        if size < HEADER_LEN as u64 {
            return Err(Error::corrupt("shorter than a TSM header", Offset::START));
        }
        file.read_exact_at(&mut header, 0).map_err(Error::io_unnamed)?;
        let ([magic @ .., version], [expected @ .., known]) = (header, HEADER);
        match () {
            () if magic != expected => Err(Error::corrupt("not a TSM file", Offset::START)),
            () if version != known => Err(Error::version(version, Offset::START.forward(expected.len()))),
            () => Ok(()),
        }
    }

    /// Whether an entry's block lies between header and index, and is long enough for a block.
    pub fn holds(&self, entry: &ScannedEntry) -> bool {
        let end = entry.offset.checked_add(u64::from(entry.size));
        entry.offset.get() >= HEADER_LEN as u64
            && entry.size as usize > CRC_LEN
            && end.is_some_and(|end| end <= self.index_start)
    }
}

/// What stands in front of a key's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedKey {
    /// Where the key's part of the index begins.
    pub at: Offset,
    /// The type of its blocks; `None` for a number that TSM does not know.
    pub kind: Option<BlockType>,
    /// How many entries follow.
    pub count: u16,
}

/// An entry as it stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedEntry {
    /// Where the entry lies.
    pub at: Offset,
    /// The first time that it claims.
    pub min: i64,
    /// The last time that it claims.
    pub max: i64,
    /// Where it says that its block lies.
    pub offset: Offset,
    /// Bytes of checksum and block.
    pub size: u32,
}

impl ScannedEntry {
    /// The entry as the rest of the crate knows it; `None` when it ends before it starts.
    pub fn entry(&self) -> Option<Entry> {
        let range = TimeRange::new(self.min, self.max).ok()?;
        Some(Entry { range, offset: self.offset, size: self.size })
    }
}

/// A walk over keys and entries. See the [module](self) for what it is and is not.
#[derive(Debug)]
pub struct Scan<'f> {
    file: &'f dyn ReadAt,
    end: u64,
    /// Where in the file the window ends.
    window_end: u64,
    window: Vec<u8>,
    used: usize,
    key: Vec<u8>,
    /// Entries of the current key that were not taken yet.
    entries_left: u16,
}

impl<'f> Scan<'f> {
    /// From the first key.
    pub fn new(file: &'f dyn ReadAt, layout: &Layout) -> Self {
        Self::from_key(file, layout, layout.index_start)
    }

    /// From a place where a key's part of the index begins.
    pub(crate) fn from_key(file: &'f dyn ReadAt, layout: &Layout, at: Offset) -> Self {
        let (window, key) = (Vec::new(), Vec::new());
        let (end, window_end) = (layout.index_end.get(), at.get());
        Self { file, end, window_end, window, used: 0, key, entries_left: 0 }
    }

    /// Where the scan stands.
    pub fn at(&self) -> Offset {
        Offset::new(self.window_end.saturating_sub((self.window.len() - self.used) as u64))
    }

    /// Goes on to the next key, past the entries of this one; `None` at the end.
    ///
    /// # Errors
    /// `Corrupt` when the index ends within the key, after which nothing can be read; `Io`. Neither names the file.
    pub fn next_key(&mut self) -> Result<Option<ScannedKey>> {
        self.skip_entries(self.entries_left)?;
        let at = self.at();
        if at.get() >= self.end {
            return Ok(None);
        }
        let key_len = self.take(KEY_LEN_LEN, "a key length is cut off")?;
        let key_len = key_len.try_into().map(u16::from_be_bytes).unwrap_or_default();
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend_from_slice(self.take(usize::from(key_len), "a key is cut off")?);
        self.key = key;
        let (kind, count) = match self.take(TYPE_AND_COUNT_LEN, "block type and entry count are cut off")? {
            [code, high, low] => (BlockType::from_code(*code), u16::from_be_bytes([*high, *low])),
            _ => (None, 0), // `take` gives what was asked for
        };
        self.entries_left = count;
        Ok(Some(ScannedKey { at, kind, count }))
    }

    /// The bytes of the current key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next entry of the current key; `None` behind its last.
    ///
    /// # Errors
    /// As [`next_key`](Self::next_key).
    pub fn next_entry(&mut self) -> Result<Option<ScannedEntry>> {
        let Some(left) = self.entries_left.checked_sub(1) else { return Ok(None) };
        let at = self.at();
        let mut rest = self.take(ENTRY_LEN, "index entries are cut off")?;
        let entry = ScannedEntry {
            at,
            min: i64::from_be_bytes(chunk(&mut rest)),
            max: i64::from_be_bytes(chunk(&mut rest)),
            offset: Offset::new(u64::from_be_bytes(chunk(&mut rest))),
            size: u32::from_be_bytes(chunk(&mut rest)),
        };
        self.entries_left = left;
        Ok(Some(entry))
    }

    /// Goes on by so many entries of the current key without reading them.
    ///
    /// # Errors
    /// `Corrupt` when the index ends before.
    pub(crate) fn skip_entries(&mut self, count: u16) -> Result<()> {
        let len = ENTRY_LEN * usize::from(count);
        let to = self.at().forward(len).get();
        if to > self.end {
            return Err(Error::corrupt("index entries are cut off", self.at()));
        }
        match self.used.checked_add(len).filter(|used| *used <= self.window.len()) {
            Some(used) => self.used = used,
            None => {
                self.window.clear();
                (self.used, self.window_end) = (0, to);
            }
        }
        self.entries_left = self.entries_left.saturating_sub(count);
        Ok(())
    }

    /// The next `len` bytes, at most [`WINDOW_LEN`].
    fn take(&mut self, len: usize, what: &'static str) -> Result<&[u8]> {
        if self.window.len() - self.used < len {
            self.fill(len, what)?;
        }
        let start = self.used;
        self.used += len;
        self.window.get(start..self.used).ok_or_else(|| Error::corrupt(what, Offset::new(self.window_end)))
    }

    /// Brings the next `len` bytes into the window, and what fits behind them.
    fn fill(&mut self, len: usize, what: &'static str) -> Result<()> {
        let at = self.at();
        let left = self.end.saturating_sub(at.get());
        if left < len as u64 {
            return Err(Error::corrupt(what, at));
        }
        let read = usize::try_from(left).map_or(WINDOW_LEN, |left| left.min(WINDOW_LEN));
        self.window.resize(read, 0);
        (self.used, self.window_end) = (0, at.forward(read).get());
        self.file.read_exact_at(&mut self.window, at.get()).map_err(Error::io_unnamed)
    }
}

/// The next `N` bytes; zeros where there are not so many, which the callers exclude.
fn chunk<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((head, tail)) = rest.split_first_chunk::<N>() else { return [0; N] };
    *rest = tail;
    *head
}
