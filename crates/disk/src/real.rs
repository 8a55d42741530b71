use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat, WriteAt};

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The file system of this machine (Unix).
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let file = File::open(path)?;
        // Advice: a system that does not know it reads as well.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::NoReuse);
        Ok(Arc::new(Reader(file)))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        Map::of(&File::open(path)?)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?; // the umask may have taken bits away
        Ok(Box::new(Writer(file)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteAt>> {
        Ok(Box::new(Writer(OpenOptions::new().write(true).open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let (path, is_link) = (entry.path(), entry.file_type()?.is_symlink());
                let is_dir = match fs::metadata(&path) {
                    Ok(meta) => meta.is_dir(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => false, // a link to nothing
                    Err(error) => return Err(error),
                };
                Ok(DirEntry { path, is_dir, is_link })
            })
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let meta = fs::metadata(path)?;
        Ok(Stat {
            size: meta.len(),
            modified_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    fn set_modified(&self, path: &Path, modified_ns: i64) -> io::Result<()> {
        let offset = Duration::from_nanos(modified_ns.unsigned_abs());
        let time =
            if modified_ns < 0 { UNIX_EPOCH.checked_sub(offset) } else { UNIX_EPOCH.checked_add(offset) };
        File::open(path)?.set_modified(time.ok_or(io::ErrorKind::InvalidInput)?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        // An exclusive flock needs no write access here; some network file systems do ask for it.
        let file = match mode {
            LockMode::Shared => File::open(path)?,
            LockMode::Exclusive => OpenOptions::new().read(true).write(true).open(path)?,
        };
        let locked = match mode {
            LockMode::Shared => file.try_lock_shared(),
            LockMode::Exclusive => file.try_lock(),
        };
        match locked {
            Ok(()) => Ok(Box::new(Held { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct Reader(File);

impl ReadAt for Reader {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn map(&self) -> Option<Map> {
        Map::of(&self.0).ok()
    }
}

#[derive(Debug)]
struct Writer(File);

impl Append for Writer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl WriteAt for Writer {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn reserve(&mut self, size: u64) -> io::Result<()> {
        if self.0.metadata()?.len() >= size { Ok(()) } else { set_aside(&self.0, size) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data() // a changed length is data too; times are not waited for
    }
}

/// Blocks of the file system for all bytes below `size`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_aside(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{Errno, retry_on_intr};
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size),
        outcome => Ok(outcome?),
    }
}

/// Other systems have no call that also makes the file longer.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_aside(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

/// `flock` is tied to the open file: dropping it unlocks.
#[derive(Debug)]
struct Held {
    _file: File,
}

impl Lock for Held {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_under_any_umask_and_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap().append(b"1234").unwrap();
        let stat = RealDisk.stat(&path).unwrap();
        assert_eq!((stat.size, stat.mode), (4, 0o600));
        assert_eq!(RealDisk.create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for time in [-1_500_000_001, 0, 1_700_000_000_123_456_789] {
            RealDisk.set_modified(&path, time).unwrap();
            assert_eq!(RealDisk.stat(&path).unwrap().modified_ns, time);
        }
    }

    #[test]
    fn one_exclusive_lock_or_many_shared_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap();
        let shared = RealDisk.lock(&path, LockMode::Shared).unwrap();
        let also = RealDisk.lock(&path, LockMode::Shared).unwrap();
        let refused = RealDisk.lock(&path, LockMode::Exclusive).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop((shared, also));
        let _alone = RealDisk.lock(&path, LockMode::Exclusive).unwrap();
        let refused = RealDisk.lock(&path, LockMode::Shared).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn space_that_is_set_aside_has_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap().append(b"ice").unwrap();
        let mut file = RealDisk.open_write(&path).unwrap();
        file.reserve(1 << 20).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.len(), 1 << 20);
        assert!(!cfg!(target_os = "linux") || meta.blocks() * 512 >= 1 << 20, "{} blocks", meta.blocks());
    }

    #[test]
    fn a_live_map_shows_what_is_written_and_keeps_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap().append(b"0123456789").unwrap();
        let map = RealDisk.map(&path).unwrap();
        let mut file = RealDisk.open_write(&path).unwrap();
        file.set_size(20).unwrap();
        file.write_all_at(b"abc", 4).unwrap();
        assert!(map.is_live());
        assert_eq!((map.get(3..8), map.len()), (Some(&b"3abc7"[..]), 10));
        for outside in [8..11, 11..11, 20..21, 0..usize::MAX] {
            assert_eq!(map.get(outside), None);
        }
        let backwards = std::ops::Range { start: 5, end: 4 };
        assert_eq!(map.get(backwards), None);
    }

    #[test]
    fn what_a_file_has_can_be_populated_and_what_it_lost_cannot() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap().append(&[7; 100_000]).unwrap();
        let map = RealDisk.open(&path).unwrap().map().unwrap();
        assert_eq!(map.len(), 100_000);
        let is_linux = cfg!(target_os = "linux"); // 5.14, which all that is tested on is
        for inside in [0..1, 5..70_000, 0..100_000, 99_999..100_000] {
            assert_eq!(map.populate(inside.clone()), is_linux, "{inside:?}");
        }
        assert!(!map.populate(0..100_001) && !map.populate(100_001..100_002));
        RealDisk.open_write(&path).unwrap().set_size(50_000).unwrap();
        assert_eq!(map.populate(0..40_000), is_linux);
        assert!(!map.populate(0..100_000) && !map.populate(90_000..90_001), "no signal");
    }

    #[test]
    fn a_slice_of_a_map_outlives_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        RealDisk.create(&path).unwrap().append(b"0123456789").unwrap();
        let slice = RealDisk.map(&path).unwrap().slice(2..5);
        RealDisk.remove(&path).unwrap();
        assert_eq!(&slice[..], b"234");
    }
}
