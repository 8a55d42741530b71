//! A disk over another one: a function decides what becomes of each call.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat, WriteAt};

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// What it does.
    pub action: Action,
    /// The file or directory; for a rename the new name.
    pub path: &'c Path,
    /// Where in the file, for those that have a place.
    pub offset: u64,
    /// How many bytes are read or written.
    pub len: u64,
}

/// The calls of the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the calls")]
pub enum Action {
    Open,
    Map,
    Create,
    OpenWrite,
    CreateDir,
    Rename,
    Remove,
    List,
    Stat,
    SetModified,
    RemoveDir,
    SyncDir,
    Lock,
    Read,
    Append,
    WriteAt,
    SetSize,
    Reserve,
    Sync,
}

impl Action {
    /// Whether the call changes what is on the disk, or makes a change durable.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Map | Self::OpenWrite | Self::List | Self::Stat | Self::Lock | Self::Read
        )
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Go,
    /// It is not made, and says that it was; a call that answers with more than success is made all the same.
    Skip,
    /// It fails without having done anything.
    Fail(Failure),
    /// A write stops after so many bytes and fails; any other call fails.
    Short(u64, Failure),
}

/// Why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::from_raw_os_error(5),
            Self::NoSpace => io::Error::from_raw_os_error(28),
        }
    }
}

/// A hook that fails the calls numbered from `first` on, up to `last`; counted are those that `counts` picks, from 0.
/// A failing write writes `short` of its bytes first, in per cent.
pub fn fail_calls(
    counts: impl Fn(&Call<'_>) -> bool,
    numbers: std::ops::RangeInclusive<u64>,
    failure: Failure,
    short: u64,
) -> impl Fn(&Call<'_>) -> Verdict {
    let made = AtomicU64::new(0);
    move |call| {
        if !counts(call) || !numbers.contains(&made.fetch_add(1, Ordering::Relaxed)) {
            return Verdict::Go;
        }
        if short == 0 { Verdict::Fail(failure) } else { Verdict::Short(call.len * short / 100, failure) }
    }
}

/// A hook that makes the disk full after `room` written bytes: the write that passes it stops there, and whatever needs
/// room from then on fails.
pub fn fill_up(room: u64) -> impl Fn(&Call<'_>) -> Verdict {
    let left = AtomicU64::new(room);
    move |call| match call.action {
        Action::Append | Action::WriteAt => {
            let had = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(call.len))
            });
            let had = had.unwrap_or_default();
            if had >= call.len { Verdict::Go } else { Verdict::Short(had, Failure::NoSpace) }
        }
        Action::Create | Action::CreateDir | Action::SetSize | Action::Reserve
            if left.load(Ordering::Relaxed) == 0 =>
        {
            Verdict::Fail(Failure::NoSpace)
        }
        _ => Verdict::Go,
    }
}

/// A hook that syncs nothing: for tests of behaviour on a real disk, where durability is not asked for and time is.
pub fn without_sync(call: &Call<'_>) -> Verdict {
    if matches!(call.action, Action::Sync | Action::SyncDir) { Verdict::Skip } else { Verdict::Go }
}

type Hook = Arc<dyn Fn(&Call<'_>) -> Verdict + Send + Sync>;

/// A [`Disk`] that asks a hook before each call to the one below it, the calls to its files included.
pub struct Hooked<D> {
    below: D,
    hook: Hook,
}

impl<D: Disk> Hooked<D> {
    /// Lets `hook` decide over the calls to `below`.
    pub fn new(below: D, hook: impl Fn(&Call<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        Self { below, hook: Arc::new(hook) }
    }

    fn ask(&self, action: Action, path: &Path) -> io::Result<Verdict> {
        ask(&self.hook, &Call { action, path, offset: 0, len: 0 })
    }

    fn answer<T>(&self, action: Action, path: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.ask(action, path)?;
        call()
    }

    fn act(&self, action: Action, path: &Path, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.ask(action, path)? == Verdict::Skip { Ok(()) } else { call() }
    }

    fn file<F>(&self, path: &Path, file: F) -> File<F> {
        File { file, path: path.to_owned(), hook: Arc::clone(&self.hook) }
    }
}

/// A verdict that is not a failure; a short write is left to the caller, if the call is one.
fn ask(hook: &Hook, call: &Call<'_>) -> io::Result<Verdict> {
    match hook(call) {
        Verdict::Fail(failure) => Err(failure.error()),
        Verdict::Short(_, failure) if !matches!(call.action, Action::Append | Action::WriteAt) => {
            Err(failure.error())
        }
        verdict => Ok(verdict),
    }
}

impl<D: fmt::Debug> fmt::Debug for Hooked<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.below).finish()
    }
}

impl<D: Disk> Disk for Hooked<D> {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let file = self.answer(Action::Open, path, || self.below.open(path))?;
        Ok(Arc::new(self.file(path, file)))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        self.answer(Action::Map, path, || self.below.map(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let file = self.answer(Action::Create, path, || self.below.create(path))?;
        Ok(Box::new(self.file(path, file)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        let file = self.answer(Action::OpenWrite, path, || self.below.open_write(path))?;
        Ok(Box::new(self.file(path, file)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.act(Action::CreateDir, path, || self.below.create_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(Action::Rename, to, || self.below.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act(Action::Remove, path, || self.below.remove(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.answer(Action::List, dir, || self.below.list(dir))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.answer(Action::Stat, path, || self.below.stat(path))
    }

    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        self.act(Action::SetModified, path, || self.below.set_modified(path, modified_ns))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.act(Action::RemoveDir, path, || self.below.remove_dir(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.act(Action::SyncDir, dir, || self.below.sync_dir(dir))
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        self.answer(Action::Lock, path, || self.below.lock(path, mode))
    }
}

/// An open file of a [`Hooked`] disk.
struct File<F> {
    file: F,
    path: PathBuf,
    hook: Hook,
}

impl<F> File<F> {
    fn ask(&self, action: Action, offset: u64, len: u64) -> io::Result<Verdict> {
        ask(&self.hook, &Call { action, path: &self.path, offset, len })
    }

    /// Writes what the hook allows of `bytes`.
    fn write(
        &mut self,
        action: Action,
        bytes: &[u8],
        offset: u64,
        write: impl FnOnce(&mut F, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.ask(action, offset, bytes.len() as u64)? {
            Verdict::Skip => Ok(()),
            Verdict::Short(len, failure) => {
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
                write(&mut self.file, bytes.get(..len).unwrap_or_default())?;
                Err(failure.error())
            }
            _ => write(&mut self.file, bytes),
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for File<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.file).finish()
    }
}

impl ReadAt for File<Arc<dyn ReadAt>> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.ask(Action::Read, offset, buf.len() as u64)?;
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.ask(Action::Stat, 0, 0)?;
        self.file.size()
    }
}

impl Append for File<Box<dyn Append>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(Action::Append, bytes, 0, |file, bytes| file.append(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.ask(Action::Sync, 0, 0)? == Verdict::Skip { Ok(()) } else { self.file.sync() }
    }
}

impl WriteAt for File<Box<dyn WriteAt>> {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(Action::WriteAt, bytes, offset, |file, bytes| file.write_all_at(bytes, offset))
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        if self.ask(Action::SetSize, size, 0)? == Verdict::Skip { Ok(()) } else { self.file.set_size(size) }
    }

    fn reserve(&mut self, size: u64) -> io::Result<()> {
        if self.ask(Action::Reserve, size, 0)? == Verdict::Skip { Ok(()) } else { self.file.reserve(size) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.ask(Action::Sync, 0, 0)? == Verdict::Skip { Ok(()) } else { self.file.sync() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemDisk;

    fn bytes(disk: &MemDisk) -> Vec<u8> {
        disk.files().into_values().next().unwrap()
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_nothing_more() {
        let (below, path) = (MemDisk::default(), Path::new("/file"));
        below.put(path, Vec::new());
        let disk = Hooked::new(below.clone(), fill_up(10));
        let mut file = disk.open_write(path).unwrap();
        file.write_all_at(b"12345678", 0).unwrap();
        let error = file.write_all_at(b"abcd", 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(bytes(&below), b"12345678ab");
        assert!(file.set_size(4096).is_err() && file.reserve(4096).is_err());
        assert!(disk.create(Path::new("/other")).is_err());
        assert!(file.write_all_at(b"e", 3).is_err() && file.sync().is_ok());
        assert_eq!(bytes(&below), b"12345678ab");
    }

    #[test]
    fn the_chosen_calls_fail_and_no_others() {
        let (below, path) = (MemDisk::default(), Path::new("/file"));
        below.put(path, Vec::new());
        let hook = fail_calls(|call| call.action.changes(), 1..=2, Failure::Io, 50);
        let disk = Hooked::new(below.clone(), hook);
        let mut file = disk.open_write(path).unwrap();
        file.write_all_at(b"1234", 0).unwrap();
        assert_eq!(file.write_all_at(b"abcd", 2).unwrap_err().raw_os_error(), Some(5));
        assert!(disk.stat(path).is_ok() && file.sync().is_err() && file.sync().is_ok());
        assert_eq!(bytes(&below), b"12ab");
    }
}
