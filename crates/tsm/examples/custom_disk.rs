//! A disk of your own under the engine: here one that counts how often something is made durable.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, RealDisk, Stat, WriteAt};
use icecore_tsm::{Batch, Shard, ShardDir, Value, Writing};

/// The real disk, counted.
#[derive(Debug, Default)]
struct Counting {
    syncs: Arc<AtomicU64>,
}

/// A log segment on it.
#[derive(Debug)]
struct CountedFile {
    file: Box<dyn WriteAt>,
    syncs: Arc<AtomicU64>,
}

impl WriteAt for CountedFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }
    fn reserve(&mut self, size: u64) -> io::Result<()> {
        self.file.reserve(size)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
}

impl Disk for Counting {
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        Ok(Box::new(CountedFile { file: RealDisk.open_write(path)?, syncs: Arc::clone(&self.syncs) }))
    }
    // Everything else is as it was.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealDisk.open(path)
    }
    fn map(&self, path: &Path) -> io::Result<Map> {
        RealDisk.map(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        RealDisk.create(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }
    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        RealDisk.set_modified(path, modified_ns)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path, mode)
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let counting = Counting::default();
    let syncs = Arc::clone(&counting.syncs);
    let disk: Arc<dyn Disk> = Arc::new(counting);
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    disk.create_dir(&paths.data)?;
    disk.create_dir(&paths.wal)?;
    let shard = Shard::open(&disk, &paths, &Writing::new(|| 1_700_000_000_000_000_000))?;

    let mut batch = Batch::new();
    batch.point(b"ice,core=3", 3, 100, [(&b"age"[..], Value::Integer(1200))])?;
    shard.write(&mut batch)?;
    let after_one = syncs.load(Ordering::Relaxed);
    assert!(after_one > 0, "no write is acknowledged before it is synced");
    for _ in 0..10 {
        shard.write(&mut batch)?;
    }
    assert_eq!(
        syncs.load(Ordering::Relaxed) - after_one,
        10,
        "one sync for each write, as nobody wrote beside it"
    );
    println!("{} syncs", syncs.load(Ordering::Relaxed));
    Ok(())
}
