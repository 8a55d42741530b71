#![expect(unsafe_code, reason = "the one place where a file is mapped")]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

/// The bytes of a whole file: mapped by the real disk, held in memory by a double.
///
/// Clones share the bytes. A mapped file stays readable after it was unlinked. A bad sector, or another process that
/// truncates the file, raises SIGBUS when the bytes are touched: check with [`ReadAt`](crate::ReadAt) first, or
/// [`populate`](Self::populate) what is read next.
///
/// # Bytes that change
/// The map of a file that is changed in place ([`WriteAt`](crate::WriteAt)) shows the change, if it [is
/// live](Map::is_live). Rust takes a byte behind a reference for constant, so whoever changes a mapped file in place
/// reads it by [`Map::get`] alone, and changes no byte while a part that [`Map::get`] returned has it. `kvstore` is the
/// one that does: it changes pages that no living state of the file refers to, and meta pages under a lock.
#[derive(Clone)]
pub struct Map(Inner);

#[derive(Clone)]
enum Inner {
    Mapped(Arc<memmap2::MmapRaw>),
    Owned(Bytes),
}

impl Map {
    /// Maps `file` as long as it is now.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::from(Vec::new())); // an empty file cannot be mapped everywhere
        }
        let map = memmap2::MmapOptions::new().map_raw_read_only(file)?;
        Ok(Self(Inner::Mapped(Arc::new(map))))
    }

    /// The bytes in `range`, if the map has them, without a claim on any other byte of it.
    pub fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        match &self.0 {
            Inner::Mapped(map) => part(map, range),
            Inner::Owned(bytes) => bytes.get(range),
        }
    }

    /// Brings the bytes in `range` into memory, so that reading them next waits for no disk. Whether they may be read now:
    /// `false` where one of them cannot be read, and where the system has no such call (Linux has it since 5.14). Whoever
    /// wants to know why reads them with [`ReadAt`](crate::ReadAt).
    ///
    /// What was read in can be pushed out again by other work, so read it soon.
    pub fn populate(&self, range: Range<usize>) -> bool {
        match &self.0 {
            Inner::Mapped(map) => range.start <= range.end && range.end <= map.len() && populate(map, range),
            Inner::Owned(bytes) => bytes.get(range).is_some(),
        }
    }

    /// Length in bytes: that of the file when it was mapped.
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Mapped(map) => map.len(),
            Inner::Owned(bytes) => bytes.len(),
        }
    }

    /// Whether the file was empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether later writes to the file appear in the map. A copy that a double made stays what it was.
    pub fn is_live(&self) -> bool {
        matches!(self.0, Inner::Mapped(_))
    }

    /// A part of the bytes that keeps the whole map alive, without a copy.
    ///
    /// # Panics
    /// When the range does not lie inside the map.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        match &self.0 {
            Inner::Mapped(map) => Bytes::from_owner(Shared(Arc::clone(map))).slice(range),
            Inner::Owned(bytes) => bytes.slice(range),
        }
    }
}

/// Bytes of a mapped file.
fn part(map: &memmap2::MmapRaw, range: Range<usize>) -> Option<&[u8]> {
    if range.start > range.end || range.end > map.len() {
        return None;
    }
    let first = map.as_ptr().wrapping_add(range.start);
    // SAFETY: the range lies inside the map, by the lines above, and the map lives as long as the result. Its bytes must
    // neither change nor vanish: `tsm` maps TSM files and tombstones, which are written under a temporary name, renamed
    // and never written again, and logs, which nobody writes while the directory is locked; its verification maps any TSM
    // file, without a lock, and says that nobody may change it meanwhile; `database` maps a copy that it made itself;
    // `kvstore` maps a Bolt file only while it holds its lock, writes to no page that a living state refers to, and to the
    // meta pages only while none of their bytes is borrowed (`state.rs`, `file.rs` there).
    // Another process that truncates a file can still raise SIGBUS, as the type's text says.
    Some(unsafe { std::slice::from_raw_parts(first, range.len()) })
}

/// A page that cannot be read is an error of this call, where touching it would be a signal.
#[cfg(target_os = "linux")]
fn populate(map: &memmap2::MmapRaw, range: Range<usize>) -> bool {
    map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn populate(_: &memmap2::MmapRaw, _: Range<usize>) -> bool {
    false
}

/// What [`Bytes::from_owner`] holds on to.
struct Shared(Arc<memmap2::MmapRaw>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        part(&self.0, 0..self.0.len()).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Map {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(Bytes::from(bytes)))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.get(0..self.len()).unwrap_or_default()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.len())
    }
}
