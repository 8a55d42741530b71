//! `engine/icecore.lock`: held while a directory is open, and the note of who wrote it last (design D1 and D2).
//!
//! Each start of influxd moves the transaction number of `influxd.bolt`. The note has the number of our last commit: where
//! it is that of the file, nobody but us has written since.
//!
//! ```text
//! | 0 magic 4 | 4 version 1 | 5 must 4 | 9 may 4 | 13 transaction 8 | 21 CRC32 of all before 4 |       big-endian
//! ```
//!
//! It is written in place: torn or damaged, it says nothing, and influxd may have run.

use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::{Disk, Lock, LockMode};
use icecore_kvstore::TxId;
use icecore_tsm::Trust;

use crate::error::Error;
use crate::options::Paths;

const NAME: &str = "icecore.lock";
const MAGIC: [u8; 4] = *b"iceK";
const VERSION: u8 = 1;
const TXID_AT: usize = MAGIC.len() + size_of::<u8>() + 2 * size_of::<u32>();
const CRC_AT: usize = TXID_AT + size_of::<u64>();
const LEN: usize = CRC_AT + size_of::<u32>();
const _: () = assert!(LEN == 25, "docs/formats/icecore-lock.md");

/// The lock of a directory, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    _lock: Box<dyn Lock>,
}

impl Held {
    /// Locks a directory to write it.
    ///
    /// # Errors
    /// `Locked`, `Io`.
    pub(crate) fn exclusive(disk: &dyn Disk, paths: &Paths) -> Result<Self, Error> {
        let path = paths.engine.join(NAME);
        match disk.create(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::Io { path, source }),
        }
        Self::lock(disk, path, LockMode::Exclusive)
    }

    /// Locks a directory to read it. One that no Icecore has written has no lock file, and a reader creates none.
    ///
    /// # Errors
    /// `Locked`, `Io`.
    pub(crate) fn shared(disk: &dyn Disk, paths: &Paths) -> Result<Option<Self>, Error> {
        let path = paths.engine.join(NAME);
        match disk.stat(&path) {
            Ok(_) => Self::lock(disk, path, LockMode::Shared).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn lock(disk: &dyn Disk, path: PathBuf, mode: LockMode) -> Result<Self, Error> {
        match disk.lock(&path, mode) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Locked { path }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Who is right where a manifest and its directory differ.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn trust(&self, disk: &dyn Disk, now: TxId) -> Result<Trust, Error> {
        let noted = read(disk, &self.path).map_err(|source| self.io(source))?;
        Ok(if noted == Some(now.get()) { Trust::Manifest } else { Trust::Directory })
    }

    /// Notes our last commit.
    ///
    /// # Durability
    /// On return it is. Lost before, it says that influxd may have run, which costs a check and nothing else.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn note(&self, disk: &dyn Disk, commit: TxId) -> Result<(), Error> {
        let write = || {
            let mut file = disk.open_write(&self.path)?;
            file.write_all_at(&bytes(commit.get()), 0)?;
            file.sync()
        };
        write().map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

/// The noted number; `None` where there is none, or none that can be believed.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<u64>> {
    let file = disk.open(path)?;
    if file.size()? < LEN as u64 {
        return Ok(None);
    }
    let mut found = [0; LEN];
    file.read_exact_at(&mut found, 0)?;
    let number = found
        .get(TXID_AT..CRC_AT)
        .and_then(|bytes| bytes.first_chunk())
        .map(|bytes| u64::from_be_bytes(*bytes));
    Ok(number.filter(|number| bytes(*number) == found))
}

fn bytes(commit: u64) -> [u8; LEN] {
    let mut out = Vec::with_capacity(LEN);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&[0; 2 * size_of::<u32>()]);
    out.extend_from_slice(&commit.to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.try_into().unwrap_or([0; LEN])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use icecore_testkit::MemDisk;

    use super::*;

    #[test]
    fn only_the_number_that_was_noted_is_believed() {
        let disk = MemDisk::default();
        let paths = Paths::in_dir("/data".as_ref());
        disk.create_dir(&paths.engine).unwrap();
        let held = Held::exclusive(&disk, &paths).unwrap();
        assert_eq!(held.trust(&disk, TxId::new(7)).unwrap(), Trust::Directory);
        held.note(&disk, TxId::new(7)).unwrap();
        assert_eq!(held.trust(&disk, TxId::new(7)).unwrap(), Trust::Manifest);
        assert_eq!(held.trust(&disk, TxId::new(8)).unwrap(), Trust::Directory);
        let path = paths.engine.join(NAME);
        let sound = disk.files()[&path].clone();
        drop(held);
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            disk.put(&path, damaged);
            let held = Held::exclusive(&disk, &paths).unwrap();
            assert_eq!(held.trust(&disk, TxId::new(7)).unwrap(), Trust::Directory, "bit {bit}");
        }
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let held = Held::shared(&*disk, &paths).unwrap().unwrap();
        assert!(matches!(Held::exclusive(&*disk, &paths), Err(Error::Locked { .. })));
        drop(held);
    }
}
