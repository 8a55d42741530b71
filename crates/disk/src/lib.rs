//! The only seam between Icecore and the file system.
//!
//! `tsm` and `kvstore` reach files through the trait [`Disk`] alone, so that a test can put a disk of its own in
//! place: one that fails at call k, forgets what was not synced, or records the order of calls.
//!
//! What the engine assumes of a real disk, and nothing else: a rename is atomic, what was synced is durable (a file
//! by [`Append::sync`] or [`WriteAt::sync`], a name by [`Disk::sync_dir`]), and a write touches no byte outside its
//! range. What was not synced may be lost, in part and in any order.
//!
//! ```
//! use icecore_disk::{Disk, RealDisk};
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("note");
//! let mut file = RealDisk.create(&path)?;
//! file.append(b"old ice")?;
//! file.sync()?;
//! RealDisk.sync_dir(dir.path())?;
//! assert_eq!(&RealDisk.map(&path)?[..], b"old ice");
//! # Ok::<(), std::io::Error>(())
//! ```

mod map;
mod real;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use map::Map;
pub use real::RealDisk;

/// All that the engine asks of a disk.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file to read it at any offset, as one reads that is read through: where the system can tell (Linux since 6.3), what is
    /// read here or through [`ReadAt::map`] does not count as used, and pushes no page out that others use. A [map](Self::map) counts.
    ///
    /// # Errors
    /// What the system says, `NotFound` among it; the same holds for every call below.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>>;

    /// Maps a whole file read-only, as long as it is now. In doubles this may be a copy: [`Map::is_live`].
    fn map(&self, path: &Path) -> io::Result<Map>;

    /// Creates a file that must not exist yet, with mode 0600 under any umask.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>>;

    /// Opens an existing file to change it in place.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>>;

    /// Creates a directory and its missing parents with mode 0700. One that exists is left as it is.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Moves a file over `to`, atomically. Durable after [`Disk::sync_dir`] of the directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Unlinks a file; who has it open or mapped keeps it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, ordered by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Length, time of modification and owner of a file.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// Sets a file's time of modification, nanoseconds since 1970 UTC.
    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks an existing file against other processes until the result is dropped; never waits.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>>;
}

/// A file opened for reading.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before `buf` is full; a bad sector is an `Err` here, where reading a map
    /// would end the process.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Length in bytes, now.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// The whole file as a map, to be read where [`Map::populate`] allows it, without a copy. `None` where there is none:
    /// every byte can be had from [`read_exact_at`](Self::read_exact_at).
    fn map(&self) -> Option<Map> {
        None
    }
}

/// A new file that only grows.
pub trait Append: fmt::Debug + Send {
    /// Writes all of `bytes` at the end.
    ///
    /// # Errors
    /// What the system says. The length of the file is then unknown: drop it.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything appended so far is durable, and the time of modification if it was set. The *name* needs
    /// [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says. After a failed sync the file must not be trusted: drop it.
    fn sync(&mut self) -> io::Result<()>;
}

/// An existing file that is changed in place.
///
/// After a failed call nothing is known of the bytes in its range, nor, when it was `sync`, of anything written since
/// the last successful one: the system may have dropped it and still show it. Drop the file.
pub trait WriteAt: fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`; behind the end of the file this makes it longer, with zeros in between.
    ///
    /// # Errors
    /// What the system says; a part of the bytes may be written then.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to `size` bytes, or lengthens it with zeros. No space is set aside for these.
    ///
    /// # Errors
    /// What the system says.
    fn set_size(&mut self, size: u64) -> io::Result<()>;

    /// Sets space aside for a file of `size` bytes, where the system can; the new bytes are zeros, and `size` becomes the
    /// length. A file that is as long already stays as it is. After that a write inside `size` is less likely to find
    /// no room: a system that never writes in place, or sets nothing aside, can still refuse it.
    ///
    /// # Errors
    /// What the system says, "no space" among it. The length may have changed then.
    fn reserve(&mut self, size: u64) -> io::Result<()>;

    /// Returns when everything written so far is durable, the file's length included, its time of modification not.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// A held lock; it ends when this is dropped.
pub trait Lock: fmt::Debug + Send + Sync {}

/// How a file is locked: many may share, or one excludes all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Held by readers; keeps writers out.
    Shared,
    /// Held by one writer; keeps everyone out.
    Exclusive,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The directory's path with the name behind it.
    pub path: PathBuf,
    /// Whether the name is a directory (symbolic links are followed).
    pub is_dir: bool,
    /// Whether the name is a symbolic link.
    pub is_link: bool,
}

impl DirEntry {
    /// The last component, if it is UTF-8: every name that Icecore or influxd gives is.
    pub fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }
}

/// What a disk knows about a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub size: u64,
    /// Time of modification, nanoseconds since 1970 UTC; clipped to what 64 bits hold.
    pub modified_ns: i64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
}
