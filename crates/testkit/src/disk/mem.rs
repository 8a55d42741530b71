//! A disk in memory.
//!
//! Names lead to files as directory entries lead to inodes: who has a file open, mapped or locked keeps it whatever
//! happens to its name. A file's time of modification is 0 until it is set, and durable when the file was synced by
//! [`Append::sync`]. Directories themselves are durable at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat, WriteAt};
use parking_lot::Mutex;

use super::journal::{self, Journal, Loss};
use crate::random::Random;

/// A [`Disk`] on a map of files. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Inode>,
    dirs: BTreeSet<PathBuf>,
    unsynced: Option<Unsynced>,
}

/// What a disk that can lose power knows of its names.
#[derive(Debug, Default)]
struct Unsynced {
    synced: BTreeMap<PathBuf, Inode>,
    since: Vec<NameChange>,
}

/// Names that change together.
#[derive(Debug, Default)]
struct NameChange {
    /// Each with the file it then leads to.
    names: Vec<(PathBuf, Option<Inode>)>,
    /// The directories of which any, synced, makes all of it durable.
    dirs: BTreeSet<PathBuf>,
}

impl NameChange {
    /// Files get other names, or lose them.
    fn of_files(names: Vec<(PathBuf, Option<Inode>)>) -> Self {
        let dirs = names.iter().filter_map(|(path, _)| path.parent()).map(Path::to_owned).collect();
        Self { names, dirs }
    }
}

type Inode = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    modified_ns: i64,
    /// Readers that hold the lock.
    shared: usize,
    exclusive: bool,
    journal: Option<Journal>,
}

impl Content {
    fn inode(bytes: Vec<u8>, modified_ns: i64, journal: Option<Journal>) -> Inode {
        Arc::new(Mutex::new(Self { bytes, modified_ns, journal, ..Self::default() }))
    }

    fn write(&mut self, start: usize, bytes: &[u8]) {
        journal::write(&mut self.bytes, start, bytes);
        if let Some(journal) = &mut self.journal {
            journal.write(start, bytes);
        }
    }
}

impl MemDisk {
    /// A disk that keeps what was not synced apart, so that [`MemDisk::after_power_loss`] can lose it.
    pub fn recording() -> Self {
        let names = Names { unsynced: Some(Unsynced::default()), ..Names::default() };
        Self(Arc::new(Mutex::new(names)))
    }

    /// Puts a file in place of what has that name, and makes the directories above it; all of it durable.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.put_modified(path, bytes, 0);
    }

    fn put_modified(&self, path: &Path, bytes: Vec<u8>, modified_ns: i64) {
        let mut names = self.0.lock();
        names.make_dirs(path.parent());
        let journal = names.unsynced.is_some().then(|| Journal::synced(bytes.clone(), modified_ns));
        let inode = Content::inode(bytes, modified_ns, journal);
        if let Some(unsynced) = &mut names.unsynced {
            unsynced.synced.insert(path.to_owned(), Arc::clone(&inode));
        }
        names.files.insert(path.to_owned(), inode);
    }

    /// All files with their bytes.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let names = self.0.lock();
        names.files.iter().map(|(path, inode)| (path.clone(), inode.lock().bytes.clone())).collect()
    }

    /// The disk as the machine finds it that lost its power now; this one goes on.
    ///
    /// # Panics
    /// When the disk is not [recording](MemDisk::recording).
    pub fn after_power_loss(&self, loss: Loss) -> Self {
        let mut random = Random::new(if let Loss::Torn(seed) = loss { seed } else { 0 });
        let names = self.0.lock();
        let unsynced = names.unsynced.as_ref().expect("a recording disk");
        let left = Self::recording();
        left.0.lock().dirs.clone_from(&names.dirs);
        for (path, inode) in unsynced.after(loss, &mut random) {
            let content = inode.lock();
            let journal = content.journal.as_ref().expect("a recording disk");
            let bytes = journal.after(loss, &mut random);
            left.put_modified(&path, bytes, journal.modified_after(loss, &mut random));
        }
        left
    }

    /// Does to a file what a failed sync may do on a real system: what was written since the last successful one never
    /// reaches the disk, although readers still see it.
    pub fn forget_unsynced(&self, path: &Path) {
        if let Ok(inode) = self.inode(path)
            && let Some(journal) = &mut inode.lock().journal
        {
            journal.forget();
        }
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        Ok(Arc::clone(self.0.lock().files.get(path).ok_or(io::ErrorKind::NotFound)?))
    }
}

impl Unsynced {
    /// Makes the changes that touch a name in `dir` durable.
    fn sync(&mut self, dir: &Path) {
        let mut kept: Vec<NameChange> = Vec::new();
        for change in self.since.drain(..) {
            if !change.dirs.contains(dir) {
                kept.push(change);
                continue;
            }
            for (path, inode) in change.names {
                kept.iter_mut().for_each(|earlier| earlier.names.retain(|(name, _)| *name != path));
                set(&mut self.synced, &path, inode);
            }
        }
        self.since = kept;
    }

    fn after(&self, loss: Loss, random: &mut Random) -> BTreeMap<PathBuf, Inode> {
        let mut left = self.synced.clone();
        for change in &self.since {
            let happened = match loss {
                Loss::Everything => false,
                Loss::Nothing => true,
                Loss::Torn(_) => random.one_in(2),
            };
            if happened {
                change.names.iter().for_each(|(path, inode)| set(&mut left, path, inode.clone()));
            }
        }
        left
    }
}

fn set(names: &mut BTreeMap<PathBuf, Inode>, path: &Path, inode: Option<Inode>) {
    match inode {
        Some(inode) => names.insert(path.to_owned(), inode),
        None => names.remove(path),
    };
}

impl Names {
    /// Changes names together.
    fn change(&mut self, change: NameChange) {
        change.names.iter().for_each(|(path, inode)| set(&mut self.files, path, inode.clone()));
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.since.push(change);
        }
    }

    /// Moves a directory with all that is in it, as one change.
    fn move_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.files.contains_key(to) || !self.entries(to).is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let moved = |path: &Path| {
            path.strip_prefix(from).ok().map(|rest| to.components().chain(rest.components()).collect())
        };
        let mut change = NameChange { names: Vec::new(), dirs: BTreeSet::new() };
        change.dirs.extend([from.parent(), to.parent()].into_iter().flatten().map(Path::to_owned));
        for (path, inode) in &self.files {
            if let Some(path_then) = moved(path) {
                change.names.push((path.clone(), None));
                change.names.push((path_then, Some(Arc::clone(inode))));
            }
        }
        self.dirs = self.dirs.iter().map(|dir| moved(dir).unwrap_or_else(|| dir.clone())).collect();
        self.change(change);
        Ok(())
    }

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
        let entry = |is_dir| move |path: &PathBuf| DirEntry { path: path.clone(), is_dir, is_link: false };
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
        let inode = Content::inode(Vec::new(), 0, names.unsynced.is_some().then(Journal::default));
        names.change(NameChange::of_files(vec![(path.to_owned(), Some(Arc::clone(&inode)))]));
        Ok(Box::new(Opened(inode)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        Ok(Box::new(Opened(self.inode(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().make_dirs(Some(path));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        names.has_dir_of(to)?;
        if names.dirs.contains(from) {
            return names.move_dir(from, to);
        }
        let inode = Arc::clone(names.files.get(from).ok_or(io::ErrorKind::NotFound)?);
        let moved = vec![(from.to_owned(), None), (to.to_owned(), Some(inode))];
        names.change(NameChange::of_files(moved));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.0.lock();
        if !names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        names.change(NameChange::of_files(vec![(path.to_owned(), None)]));
        Ok(())
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
        let inode = self.inode(path)?;
        let mut content = inode.lock();
        content.modified_ns = modified_ns;
        if let Some(journal) = &mut content.journal {
            journal.set_modified(modified_ns);
        }
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
        let mut names = self.0.lock();
        if !names.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(unsynced) = &mut names.unsynced {
            unsynced.sync(dir);
        }
        Ok(())
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
        let mut content = self.0.lock();
        let end = content.bytes.len();
        content.write(end, bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(journal) = &mut self.0.lock().journal {
            journal.sync_all();
        }
        Ok(())
    }
}

impl WriteAt for Opened {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.0.lock().write(start, bytes);
        Ok(())
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut content = self.0.lock();
        content.bytes.resize(size, 0);
        if let Some(journal) = &mut content.journal {
            journal.set_size(size);
        }
        Ok(())
    }

    fn reserve(&mut self, size: u64) -> io::Result<()> {
        if self.size()? >= size { Ok(()) } else { self.set_size(size) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(journal) = &mut self.0.lock().journal {
            journal.sync();
        }
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
    use super::*;

    fn names(disk: &MemDisk) -> Vec<String> {
        disk.files().keys().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_name_is_lost_until_its_directory_is_synced_and_bytes_until_their_file_is() {
        let disk = MemDisk::recording();
        disk.put(Path::new("/d/old"), b"old".to_vec());
        let mut file = disk.create(Path::new("/d/new.tmp")).unwrap();
        file.append(b"ice").unwrap();
        disk.rename(Path::new("/d/new.tmp"), Path::new("/d/old")).unwrap();
        let left = disk.after_power_loss(Loss::Everything);
        assert_eq!(left.files(), [(PathBuf::from("/d/old"), b"old".to_vec())].into());

        disk.sync_dir(Path::new("/d")).unwrap();
        let left = disk.after_power_loss(Loss::Everything);
        assert_eq!(left.files(), [(PathBuf::from("/d/old"), Vec::new())].into(), "a name without its bytes");
        file.sync().unwrap();
        let left = disk.after_power_loss(Loss::Everything);
        assert_eq!(left.files(), [(PathBuf::from("/d/old"), b"ice".to_vec())].into());

        let mut file = disk.open_write(Path::new("/d/old")).unwrap();
        file.write_all_at(b"N", 0).unwrap();
        disk.forget_unsynced(Path::new("/d/old"));
        file.sync().unwrap();
        assert_eq!(disk.files()[Path::new("/d/old")], b"Nce");
        assert_eq!(disk.after_power_loss(Loss::Nothing).files()[Path::new("/d/old")], b"ice");
    }

    #[test]
    fn a_directory_moves_with_all_that_is_in_it_and_is_there_again_until_the_move_is_synced() {
        let disk = MemDisk::recording();
        disk.put(Path::new("/d/i/0/a"), Vec::new());
        disk.put(Path::new("/d/i/b"), Vec::new());
        disk.rename(Path::new("/d/i"), Path::new("/d/j")).unwrap();
        assert_eq!(names(&disk), ["/d/j/0/a", "/d/j/b"]);
        let entries = disk.list(Path::new("/d")).unwrap();
        assert_eq!(entries, [DirEntry { path: "/d/j".into(), is_dir: true, is_link: false }]);
        disk.sync_dir(Path::new("/d/j")).unwrap();
        for seed in 0..20 {
            let left = names(&disk.after_power_loss(Loss::Torn(seed))).concat();
            assert!(["/d/i/0/a/d/i/b", "/d/j/0/a/d/j/b"].contains(&left.as_str()), "{left}");
        }
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(names(&disk.after_power_loss(Loss::Everything)), ["/d/j/0/a", "/d/j/b"]);
        disk.create_dir(Path::new("/d/i")).unwrap();
        assert!(
            disk.rename(Path::new("/d/i"), Path::new("/d/j")).is_err(),
            "what is not empty is not replaced"
        );
    }

    #[test]
    fn unsynced_names_survive_one_without_the_other_and_a_rename_is_whole() {
        let disk = MemDisk::recording();
        disk.put(Path::new("/d/a"), Vec::new());
        drop(disk.create(Path::new("/d/b")).unwrap());
        disk.rename(Path::new("/d/a"), Path::new("/d/c")).unwrap();
        let seen: BTreeSet<_> =
            (0..40).map(|seed| names(&disk.after_power_loss(Loss::Torn(seed))).concat()).collect();
        assert_eq!(seen, ["/d/a", "/d/a/d/b", "/d/b/d/c", "/d/c"].map(String::from).into());
    }
}
