//! A disk in memory.
//!
//! Names lead to files as directory entries lead to inodes: who has a file open, mapped or locked keeps it whatever
//! happens to its name. A file's time of modification is 0 until it is set. There is nothing to sync.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat};
use parking_lot::Mutex;

/// A [`Disk`] on a map of files. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Inode>,
    dirs: BTreeSet<PathBuf>,
}

type Inode = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    modified_ns: i64,
    /// Readers that hold the lock.
    shared: usize,
    exclusive: bool,
}

impl MemDisk {
    /// Puts a file in place of what has that name, and makes the directories above it.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut names = self.0.lock();
        names.make_dirs(path.parent());
        names.files.insert(path.to_owned(), Arc::new(Mutex::new(Content { bytes, ..Content::default() })));
    }

    /// All files with their bytes.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let names = self.0.lock();
        names.files.iter().map(|(path, inode)| (path.clone(), inode.lock().bytes.clone())).collect()
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        Ok(Arc::clone(self.0.lock().files.get(path).ok_or(io::ErrorKind::NotFound)?))
    }
}

impl Names {
    fn make_dirs(&mut self, dir: Option<&Path>) {
        self.dirs.extend(dir.into_iter().flat_map(Path::ancestors).map(Path::to_owned));
    }

    /// That the directory a new name belongs to is there.
    fn has_dir_of(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if self.dirs.contains(dir) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn entries(&self, dir: &Path) -> Vec<DirEntry> {
        let entry = |is_dir| move |path: &PathBuf| DirEntry { path: path.clone(), is_dir };
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let files = self.files.keys().filter(inside).map(entry(false));
        let mut entries: Vec<_> = files.chain(self.dirs.iter().filter(inside).map(entry(true))).collect();
        entries.sort();
        entries
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(Opened(self.inode(path)?)))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        Ok(Map::from(self.inode(path)?.lock().bytes.clone()))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let mut names = self.0.lock();
        names.has_dir_of(path)?;
        if names.files.contains_key(path) || names.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Inode::default();
        names.files.insert(path.to_owned(), Arc::clone(&inode));
        Ok(Box::new(Opened(inode)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().make_dirs(Some(path));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        names.has_dir_of(to)?;
        let inode = names.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.files.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().files.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let names = self.0.lock();
        if names.dirs.contains(dir) { Ok(names.entries(dir)) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let inode = self.inode(path)?;
        let Content { bytes, modified_ns, .. } = &*inode.lock();
        Ok(Stat { size: bytes.len() as u64, modified_ns: *modified_ns, mode: 0o600, uid: 0, gid: 0 })
    }

    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        self.inode(path)?.lock().modified_ns = modified_ns;
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        if !names.entries(path).is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if names.dirs.remove(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.0.lock().dirs.contains(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        let inode = self.inode(path)?;
        let mut content = inode.lock();
        match mode {
            _ if content.exclusive => return Err(io::ErrorKind::WouldBlock.into()),
            LockMode::Exclusive if content.shared > 0 => return Err(io::ErrorKind::WouldBlock.into()),
            LockMode::Exclusive => content.exclusive = true,
            LockMode::Shared => content.shared += 1,
        }
        drop(content);
        Ok(Box::new(Held { inode, mode }))
    }
}

#[derive(Debug)]
struct Opened(Inode);

impl ReadAt for Opened {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.0.lock();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = content.bytes.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }
}

impl Append for Opened {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Held {
    inode: Inode,
    mode: LockMode,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut content = self.inode.lock();
        match self.mode {
            LockMode::Shared => content.shared -= 1,
            LockMode::Exclusive => content.exclusive = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use icecore_disk::RealDisk;

    use super::*;

    /// What both disks must do alike; the path is of a directory that exists.
    fn behaves(disk: &dyn Disk, dir: &Path) {
        let kind = |error: io::Error| error.kind();
        let (inner, a, b) = (dir.join("inner"), dir.join("inner/a"), dir.join("inner/b"));
        assert_eq!(disk.create(&a).map_err(kind).unwrap_err(), io::ErrorKind::NotFound);
        assert_eq!(disk.list(&inner).map_err(kind).unwrap_err(), io::ErrorKind::NotFound);
        disk.create_dir(&inner).unwrap();
        disk.create(&a).unwrap().append(b"ice").unwrap();
        assert_eq!(disk.create(&a).map_err(kind).unwrap_err(), io::ErrorKind::AlreadyExists);
        disk.set_modified(&a, -5).unwrap();
        let stat = disk.stat(&a).unwrap();
        assert_eq!((stat.size, stat.modified_ns, stat.mode), (3, -5, 0o600));

        let (opened, map) = (disk.open(&a).unwrap(), disk.map(&a).unwrap());
        let lock = disk.lock(&a, LockMode::Exclusive).unwrap();
        assert_eq!(disk.lock(&a, LockMode::Shared).map_err(kind).unwrap_err(), io::ErrorKind::WouldBlock);
        disk.rename(&a, &b).unwrap();
        assert_eq!(disk.lock(&b, LockMode::Shared).map_err(kind).unwrap_err(), io::ErrorKind::WouldBlock);
        drop(lock);
        let shared = [disk.lock(&b, LockMode::Shared).unwrap(), disk.lock(&b, LockMode::Shared).unwrap()];
        assert_eq!(disk.lock(&b, LockMode::Exclusive).map_err(kind).unwrap_err(), io::ErrorKind::WouldBlock);
        drop(shared);
        assert_eq!(disk.list(dir).unwrap(), [DirEntry { path: inner.clone(), is_dir: true }]);
        assert_eq!(disk.list(&inner).unwrap(), [DirEntry { path: b.clone(), is_dir: false }]);

        assert_eq!(disk.remove_dir(&inner).map_err(kind).unwrap_err(), io::ErrorKind::DirectoryNotEmpty);
        disk.remove(&b).unwrap();
        assert_eq!(disk.stat(&b).map_err(kind).unwrap_err(), io::ErrorKind::NotFound);
        assert_eq!((&map[..], opened.size().unwrap()), (&b"ice"[..], 3));
        let mut buf = [0; 2];
        opened.read_exact_at(&mut buf, 1).unwrap();
        assert_eq!(&buf, b"ce");
        assert_eq!(
            opened.read_exact_at(&mut buf, 2).map_err(kind).unwrap_err(),
            io::ErrorKind::UnexpectedEof
        );
        disk.remove_dir(&inner).unwrap();
        disk.sync_dir(dir).unwrap();
    }

    #[test]
    fn it_behaves_like_the_real_one() {
        let dir = tempfile::tempdir().unwrap();
        behaves(&RealDisk, dir.path());
        let disk = MemDisk::default();
        disk.create_dir(dir.path()).unwrap();
        behaves(&disk, dir.path());
    }
}
