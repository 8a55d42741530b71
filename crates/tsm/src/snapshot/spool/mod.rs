//! Files that were rewritten for a backup, kept for the next one (`docs/adr/0012-rewritten-files-are-spooled.md`).
//!
//! Invariant: a name has the bytes of its key or is not in the table, and what is read of it is compared with sums that were made
//! while it was written. All files together, those that are being written with their whole length, take at most `size_max`. Nothing in
//! here has to last: no file is synced, and all are removed when a directory is opened to write.
//!
//! ```text
//! <engine>/icecore.spool/<key, 64 hex digits>.tsm          a rewritten file
//! <engine>/icecore.spool/<key, 64 hex digits>.<n>.tmp      one that is being written
//! ```
//!
//! Lock: `table`, held for look-ups alone; files are made and removed without it.

mod kept;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use icecore_disk::{DirEntry, Disk};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::file::digest::Digest;

pub(super) use kept::{Kept, Reading};
pub(super) use writer::Writer;

const DIR: &str = "icecore.spool";
const KEPT: &str = "tsm";
const UNFINISHED: &str = "tmp";

/// What names the bytes of a rewritten file: a digest of all that decides over them.
pub(super) type Key = Digest;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOptions {
    /// Bytes of all files together, at most: 4 GiB. With 0 nothing is kept.
    pub size_max: u64,
    /// A file that nobody has downloaded for so long is removed: an hour.
    pub age_max: Duration,
    /// Told of the first of the calls in a row that the disk refused, and of each file that was damaged. No download fails for it.
    pub on_failure: fn(&Error),
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self { size_max: 4 << 30, age_max: Duration::from_secs(3600), on_failure: |_| {} }
    }
}

/// The rewritten files of an engine. Share it in an [`Arc`].
///
/// Dropped, it removes them.
#[derive(Debug)]
pub struct Spool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: SpoolOptions,
    /// The directory is ours.
    is_usable: bool,
    table: Mutex<Table>,
    is_failing: AtomicBool,
    /// Makes names of unfinished files differ.
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Key, Slot>,
    /// Bytes of all slots and of `unremoved`.
    size: u64,
    /// Files that could not be removed when they were given up, with their lengths.
    unremoved: Vec<(PathBuf, u64)>,
}

#[derive(Debug)]
enum Slot {
    Writing,
    Kept { kept: Arc<Kept>, used: Instant },
}

impl Slot {
    /// When it was last used, if nobody uses it now. Who wants to begin needs the table.
    fn unused_since(&self) -> Option<(Instant, &Arc<Kept>)> {
        match self {
            Self::Kept { kept, used } if Arc::strong_count(kept) == 1 => Some((*used, kept)),
            _ => None,
        }
    }
}

impl Spool {
    /// The spool of the engine in `root`, emptied. Only files with names of a spool are removed, and a link is not followed: then
    /// nothing is kept. Whatever fails is told to `on_failure`.
    pub fn open(disk: &Arc<dyn Disk>, root: &Path, options: SpoolOptions) -> Self {
        let dir = root.join(DIR);
        let emptied = empty(&**disk, root, &dir);
        if let Err(error) = &emptied {
            (options.on_failure)(error);
        }
        Self {
            disk: Arc::clone(disk),
            dir,
            options,
            is_usable: emptied.is_ok(),
            table: Mutex::default(),
            is_failing: AtomicBool::new(false),
            next: AtomicU64::new(0),
        }
    }

    /// Bytes that are kept, or set aside for what is being written.
    pub fn size(&self) -> u64 {
        self.table.lock().size
    }

    /// How many whole files are kept.
    pub fn len(&self) -> usize {
        self.table.lock().slots.values().filter(|slot| matches!(slot, Slot::Kept { .. })).count()
    }

    /// Whether no whole file is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the files whose age has come; to be called now and then.
    pub fn free_unused(&self, now: Instant) {
        let mut table = self.table.lock();
        let age_max = self.options.age_max;
        for slot in table.slots.values_mut() {
            if let Slot::Kept { kept, used } = slot
                && Arc::strong_count(kept) > 1
            {
                *used = now; // its age begins when the download ends, a little later than that at most
            }
        }
        let is_old = |used: Instant| now.saturating_duration_since(used) >= age_max;
        let old = table.slots.values().filter_map(Slot::unused_since).filter(|(used, _)| is_old(*used));
        let old: Vec<Arc<Kept>> = old.map(|(_, kept)| Arc::clone(kept)).collect();
        let again = std::mem::take(&mut table.unremoved);
        table.size -= again.iter().map(|(_, size)| size).sum::<u64>();
        let files = take(&mut table, &old).into_iter().chain(again);
        drop(table);
        files.for_each(|(path, size)| self.remove(path, size));
    }

    /// The file of a key.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Arc<Kept>> {
        match self.table.lock().slots.get_mut(key)? {
            Slot::Writing => None,
            Slot::Kept { kept, used } => {
                *used = now;
                Some(Arc::clone(kept))
            }
        }
    }

    /// Opens a file to read it; it stays readable after it was removed.
    pub(super) fn read(&self, kept: &Arc<Kept>) -> Result<Reading> {
        Reading::open(&*self.disk, Arc::clone(kept))
    }

    /// Gives up a file that is damaged or cannot be read.
    pub(super) fn give_up(&self, kept: &Arc<Kept>, error: &Error) {
        let mut table = self.table.lock();
        let is_held = matches!(table.slots.get(&kept.key), Some(Slot::Kept { kept: held, .. }) if Arc::ptr_eq(held, kept));
        let files = if is_held { take(&mut table, std::slice::from_ref(kept)) } else { Vec::new() };
        drop(table);
        if is_held {
            (self.options.on_failure)(error);
        }
        files.into_iter().for_each(|(path, size)| self.remove(path, size));
    }

    /// A file to write the bytes of a key into, which will be `size`. `None` where somebody else writes them or has, where there
    /// is no room, and where the disk refuses.
    pub(super) fn begin(self: &Arc<Self>, key: Key, size: u64) -> Option<Writer> {
        let mut table = self.table.lock();
        if !self.is_usable || table.slots.contains_key(&key) {
            return None;
        }
        let freed = self.make_room(&mut table, size)?;
        table.slots.insert(key, Slot::Writing);
        table.size += size;
        drop(table);
        freed.into_iter().for_each(|(path, size)| self.remove(path, size));
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        Writer::create(self, key, size, self.dir.join(format!("{}.{nth}.{UNFINISHED}", key.to_hex())))
    }

    /// Takes the files out of the table that have to go for `size` bytes, the one unused for the longest time first; none if
    /// that is not enough.
    fn make_room(&self, table: &mut Table, size: u64) -> Option<Vec<(PathBuf, u64)>> {
        let over = table.size.saturating_add(size).saturating_sub(self.options.size_max);
        let mut unused: Vec<_> = table.slots.values().filter_map(Slot::unused_since).collect();
        unused.sort_by_key(|(used, _)| *used);
        let (mut freed, mut old) = (0, Vec::new());
        for (_, kept) in unused {
            if freed >= over {
                break;
            }
            freed += kept.size();
            old.push(Arc::clone(kept));
        }
        (freed >= over).then(|| take(table, &old))
    }

    /// What was written under a temporary name is whole.
    fn keep(&self, kept: Kept, temporary: &Path) -> Result<()> {
        self.disk.rename(temporary, &kept.path).map_err(|error| Error::io(error, &kept.path))?;
        let slot = Slot::Kept { used: Instant::now(), kept: Arc::new(kept) };
        if let Slot::Kept { kept, .. } = &slot {
            let key = kept.key;
            self.table.lock().slots.insert(key, slot);
        }
        self.is_failing.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// What was written is not wanted.
    fn abandon(&self, key: &Key, size: u64, temporary: PathBuf) {
        let mut table = self.table.lock();
        table.slots.remove(key);
        table.size -= size;
        drop(table);
        self.remove(temporary, size);
    }

    /// Removes a file that is in no slot any more; where that fails it counts until it succeeds.
    fn remove(&self, path: PathBuf, size: u64) {
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                self.report(&Error::io(error, &path));
                let mut table = self.table.lock();
                table.size += size;
                table.unremoved.push((path, size));
            }
        }
    }

    /// Tells of the first failure in a row.
    fn report(&self, error: &Error) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            (self.options.on_failure)(error);
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.{KEPT}", key.to_hex()))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        let kept = table.slots.drain().filter_map(|(_, slot)| match slot {
            Slot::Kept { kept, .. } => Some(kept.path.clone()),
            Slot::Writing => None, // its writer holds this spool
        });
        // What cannot be removed is when the directory is opened next.
        kept.for_each(|path| drop(self.disk.remove(&path)));
    }
}

/// Takes files out of the table; their names and lengths.
fn take(table: &mut Table, files: &[Arc<Kept>]) -> Vec<(PathBuf, u64)> {
    let mut taken = Vec::new();
    for kept in files {
        if table.slots.remove(&kept.key).is_some() {
            table.size -= kept.size();
            taken.push((kept.path.clone(), kept.size()));
        }
    }
    taken
}

/// Removes what a spool before this one left.
fn empty(disk: &dyn Disk, root: &Path, dir: &Path) -> Result<()> {
    let of_root = disk.list(root).map_err(|error| Error::io(error, root))?;
    let Some(entry) = of_root.into_iter().find(|entry| entry.path == dir) else { return Ok(()) };
    if entry.is_link || !entry.is_dir {
        return Err(
            Error::unfit("not a directory, which the spool of backups needs; nothing is kept").in_file(dir)
        );
    }
    let left = disk.list(dir).map_err(|error| Error::io(error, dir))?;
    for entry in left.into_iter().filter(is_of_spool) {
        disk.remove(&entry.path).map_err(|error| Error::io(error, &entry.path))?;
    }
    Ok(())
}

/// Whether a file has a name that a spool gives.
fn is_of_spool(entry: &DirEntry) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = entry.name().unwrap_or_default().split('.');
    let is_key = parts.next().is_some_and(|hex| Key::from_hex(hex).is_ok());
    let rest: Vec<&str> = parts.collect();
    let is_ours = match *rest {
        [KEPT] => true,
        [nth, UNFINISHED] => is_number(nth),
        _ => false,
    };
    is_key && is_ours && !entry.is_dir
}
