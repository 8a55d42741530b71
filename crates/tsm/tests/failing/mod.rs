//! A disk whose calls begin to fail, and that remembers them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat, WriteAt};
use icecore_testkit::MemDisk;

/// How long a disk fails once it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// One call.
    Once,
    /// All that follow.
    ForGood,
}

/// The first `budget` calls pass, to the disk, its files and its readers alike. An append that fails has written half.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    disk: MemDisk,
    /// What was called, with the name of the file.
    calls: Arc<Mutex<Vec<String>>>,
    budget: usize,
    outage: Outage,
}

impl Failing {
    pub(crate) fn new(disk: &MemDisk, budget: usize, outage: Outage) -> Self {
        Self { disk: disk.clone(), calls: Arc::default(), budget, outage }
    }

    /// Whether a call failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.calls().len() > self.budget
    }

    /// Every call so far: what, and the name of the file.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn pass(&self, what: &str, path: &Path) -> io::Result<()> {
        let mut calls = self.calls.lock().unwrap();
        let call = calls.len();
        calls.push(format!("{what} {}", path.file_name().unwrap().display()));
        let fails = match self.outage {
            Outage::Once => call == self.budget,
            Outage::ForGood => call >= self.budget,
        };
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for Failing {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.pass("open", path)?;
        Ok(Arc::new(Opened { disk: self.clone(), path: path.to_owned(), file: self.disk.open(path)? }))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        self.pass("map", path)?;
        self.disk.map(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        self.pass("create", path)?;
        Ok(Box::new(Opened { disk: self.clone(), path: path.to_owned(), file: self.disk.create(path)? }))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        self.pass("open_write", path)?;
        self.disk.open_write(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.pass("create_dir", path)?;
        self.disk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass("rename", from)?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass("remove", path)?;
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.pass("list", dir)?;
        self.disk.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.pass("stat", path)?;
        self.disk.stat(path)
    }

    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        self.pass("set_modified", path)?;
        self.disk.set_modified(path, modified_ns)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.pass("remove_dir", path)?;
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass("sync_dir", dir)?;
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        self.pass("lock", path)?;
        self.disk.lock(path, mode)
    }
}

#[derive(Debug)]
struct Opened<F> {
    disk: Failing,
    path: PathBuf,
    file: F,
}

impl ReadAt for Opened<Arc<dyn ReadAt>> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.pass("read_exact_at", &self.path)?;
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.pass("size", &self.path)?;
        self.file.size()
    }
}

impl Append for Opened<Box<dyn Append>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.disk.pass("append", &self.path) {
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.pass("sync", &self.path)?;
        self.file.sync()
    }
}
