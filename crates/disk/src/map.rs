#![expect(unsafe_code, reason = "the one place where a file is mapped")]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

/// The bytes of a whole file: mapped by the real disk, held in memory by a double.
///
/// Clones share the bytes. A mapped file stays readable after it was unlinked. A bad sector, or another process that
/// truncates the file, raises SIGBUS when the bytes are touched: check with [`ReadAt`](crate::ReadAt) first.
#[derive(Clone)]
pub struct Map(Inner);

#[derive(Clone)]
enum Inner {
    Mapped(Arc<memmap2::Mmap>),
    Owned(Bytes),
}

impl Map {
    /// Maps `file` as long as it is now.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::from(Vec::new())); // an empty file cannot be mapped everywhere
        }
        // SAFETY: mapped bytes must neither change nor shrink. `tsm` maps TSM files and tombstones, which are written
        // under a temporary name, renamed and never written again, and logs, which nobody writes while the directory is
        // locked; `kvstore` maps a Bolt file only while it holds its lock; `database` maps a copy that it made itself. Another process that truncates a file can still raise SIGBUS, as the type's text says.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self(Inner::Mapped(Arc::new(map))))
    }

    /// A part of the bytes that keeps the whole map alive, without a copy.
    ///
    /// # Panics
    /// When the range does not lie inside the map.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Bytes {
        match &self.0 {
            Inner::Mapped(map) => Bytes::from_owner(Shared(Arc::clone(map))).slice(range),
            Inner::Owned(bytes) => bytes.slice(range),
        }
    }
}

/// What [`Bytes::from_owner`] holds on to.
struct Shared(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.len())
    }
}
