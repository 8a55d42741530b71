//! `engine/icecore.lock`: held while a directory is open, and the note of who wrote it last (design D1 and D2).
//!
//! Each start of influxd moves the transaction number of `influxd.bolt`. The note has the number of our last commit: where
//! it is that of the file, nobody but us has written since. And it has the shards of which we do not know more than that
//! influxd ran: damaged ones, in which nothing of what it did was adopted.
//!
//! ```text
//! | 0 magic 4 | 4 version 1 | 5 must 4 | 9 may 4 | 13 transaction 8 | 21 count 4 | 25 shard 8 | … | CRC32 of all before 4 |
//! ```
//! All big-endian. It is written in place: torn or damaged, it says nothing, and influxd may have run.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::{Disk, Lock, LockMode};
use icecore_kvstore::{Store, TxId, View};
use icecore_tsm::{Trust, Trusted};

use crate::error::Error;
use crate::options::Paths;

const NAME: &str = "icecore.lock";
const MAGIC: [u8; 4] = *b"iceK";
const VERSION: u8 = 1;
const TXID_AT: usize = MAGIC.len() + size_of::<u8>() + 2 * size_of::<u32>();
const COUNT_AT: usize = TXID_AT + size_of::<u64>();
const SHARDS_AT: usize = COUNT_AT + size_of::<u32>();
const CRC_LEN: usize = size_of::<u32>();
const _: () = assert!(SHARDS_AT == 25, "docs/formats/icecore-lock.md");

/// A longer note is neither written nor believed: it has room for 131,000 shards.
const LEN_MAX: usize = 1 << 20;

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    /// Of `influxd.bolt`, at our last commit.
    commit: u64,
    /// Shards in which what influxd did was not adopted.
    unadopted: BTreeSet<u64>,
}

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

    /// Who is right where a manifest and its directory differ. `now` is the state of `influxd.bolt`.
    ///
    /// # Errors
    /// `Store` when that is not the state that we left, and the meta page that would say so is damaged; `Io`.
    pub(crate) fn trust(&self, disk: &dyn Disk, now: &View) -> Result<Trusted, Error> {
        let note = read(disk, &self.path).map_err(|source| self.io(source))?;
        judge(note, now.txid(), now.metas().into_iter().find_map(Result::err))
    }

    /// Notes our last commit, and the shards in which the directory has to be believed once more.
    ///
    /// # Durability
    /// On return it is. Lost before, it says that influxd may have run: what it may have written is checked then, and a
    /// file that is missing counts as one that it removed.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn note(&self, disk: &dyn Disk, commit: TxId, unadopted: &BTreeSet<u64>) -> Result<(), Error> {
        let bytes = Note { commit: commit.get(), unadopted: unadopted.clone() }.to_bytes();
        if bytes.len() > LEN_MAX {
            return Ok(()); // the number that stands there is not this one: the directory is right everywhere
        }
        let write = || {
            let mut file = disk.open_write(&self.path)?;
            file.write_all_at(&bytes, 0)?;
            file.sync()
        };
        write().map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

/// Who is right in a directory that is not opened; `None` where that cannot be told, because there is no note or no Bolt
/// file. Takes no lock.
pub fn who_is_right(disk: &dyn Disk, paths: &Paths) -> Option<Trusted> {
    let (now, damage) = Store::peek(disk, &paths.bolt).ok()?;
    let note = read(disk, &paths.engine.join(NAME)).ok()?;
    Some(judge(note, now, damage).unwrap_or_else(|_| Trust::Directory.into()))
}

/// `now` is the newest whole transaction of the Bolt file, `damage` what is wrong with one of its meta pages.
fn judge(note: Option<Note>, now: TxId, damage: Option<icecore_kvstore::Error>) -> Result<Trusted, Error> {
    let Some(Note { commit, unadopted }) = note else { return Ok(Trust::Directory.into()) };
    match (commit.cmp(&now.get()), damage) {
        (Ordering::Equal, None) => Ok(Trusted { all: Trust::Manifest, unadopted }),
        // The commit that we noted was in the page that is damaged.
        (Ordering::Greater, Some(damage)) => Err(Error::Store(damage)),
        (Ordering::Greater, None) => {
            tracing::warn!(
                "influxd.bolt is older than Icecore left it: the directories of the shards are believed"
            );
            Ok(Trust::Directory.into())
        }
        // A later commit, of influxd, or maybe one in the page that is damaged.
        (Ordering::Less, _) | (Ordering::Equal, Some(_)) => Ok(Trust::Directory.into()),
    }
}

/// What is noted; `None` where nothing is, or nothing that can be believed.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Note>> {
    let file = disk.open(path)?;
    let len = usize::try_from(file.size()?).unwrap_or(usize::MAX);
    if len > LEN_MAX {
        return Ok(None);
    }
    let mut found = vec![0; len];
    file.read_exact_at(&mut found, 0)?;
    Ok(Note::parse(&found))
}

impl Note {
    /// What lies behind it is what is left of a longer one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let commit = number(TXID_AT)?;
        let count = u32::from_be_bytes(*bytes.get(COUNT_AT..)?.first_chunk()?);
        let places = (0..usize::try_from(count).ok()?).map(|nth| SHARDS_AT + nth * size_of::<u64>());
        let unadopted = places.map(number).collect::<Option<_>>()?;
        let note = Self { commit, unadopted };
        bytes.starts_with(&note.to_bytes()).then_some(note)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SHARDS_AT + self.unadopted.len() * size_of::<u64>() + CRC_LEN);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&[0; 2 * size_of::<u32>()]);
        out.extend_from_slice(&self.commit.to_be_bytes());
        // As many as fit into a file that is written.
        out.extend_from_slice(&u32::try_from(self.unadopted.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.unadopted.iter().for_each(|shard| out.extend_from_slice(&shard.to_be_bytes()));
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use icecore_disk::LockMode;
    use icecore_kvstore::Builder;
    use icecore_testkit::MemDisk;

    use super::*;

    /// A directory whose Bolt file has had `commits` transactions.
    fn directory(disk: &MemDisk, commits: u64) -> (Paths, Store) {
        let paths = Paths::in_dir("/data".as_ref());
        disk.create_dir(&paths.engine).unwrap();
        let store = Store::create(Arc::new(disk.clone()), &paths.bolt, Builder::new(4096).unwrap()).unwrap();
        for nth in 0..commits {
            store.write(|tx| tx.create_bucket(&nth.to_be_bytes()).map(drop)).unwrap();
        }
        (paths, store)
    }

    #[test]
    fn only_the_number_that_was_noted_is_believed() {
        let disk = MemDisk::default();
        let (paths, store) = directory(&disk, 3);
        let (view, txid) = (store.view(), store.txid());
        let held = Held::exclusive(&disk, &paths).unwrap();
        assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Directory.into());
        held.note(&disk, txid, &BTreeSet::from([9, 4])).unwrap();
        let few = Trusted { all: Trust::Manifest, unadopted: [4, 9].into() };
        assert_eq!(held.trust(&disk, &view).unwrap(), few);
        held.note(&disk, TxId::new(txid.get() - 1), &BTreeSet::new()).unwrap();
        assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Directory.into());
        held.note(&disk, TxId::new(txid.get() + 1), &BTreeSet::new()).unwrap();
        assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Directory.into(), "an older file was put there");
        held.note(&disk, txid, &BTreeSet::new()).unwrap();
        assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Manifest.into(), "behind a longer note");
        held.note(&disk, txid, &BTreeSet::from([4])).unwrap();
        let path = paths.engine.join(NAME);
        let sound = disk.files()[&path].clone();
        drop(held);
        for bit in 0..(SHARDS_AT + 8 + CRC_LEN) * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            disk.put(&path, damaged);
            let held = Held::exclusive(&disk, &paths).unwrap();
            assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Directory.into(), "bit {bit}");
        }
        for len in 0..SHARDS_AT + 8 + CRC_LEN {
            disk.put(&path, sound[..len].to_vec());
            let held = Held::exclusive(&disk, &paths).unwrap();
            assert_eq!(held.trust(&disk, &view).unwrap(), Trust::Directory.into(), "cut at {len}");
        }
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let held = Held::shared(&*disk, &paths).unwrap().unwrap();
        assert!(matches!(Held::exclusive(&*disk, &paths), Err(Error::Locked { .. })));
        drop(held);
    }

    #[test]
    fn a_meta_page_that_was_damaged_since_our_last_commit_is_named() {
        const PAGE_LEN: usize = 4096;
        let disk = MemDisk::default();
        let (paths, store) = directory(&disk, 3);
        let txid = store.txid();
        let held = Held::exclusive(&disk, &paths).unwrap();
        held.note(&disk, txid, &BTreeSet::new()).unwrap();
        drop(store);
        let sound = disk.files()[&paths.bolt].clone();
        for newest in [true, false] {
            let page = usize::from((txid.get() % 2 == 1) == newest);
            let mut damaged = sound.clone();
            damaged[page * PAGE_LEN + 16 + 20] ^= 1;
            disk.put(&paths.bolt, damaged);
            let store = Store::open(Arc::new(disk.clone()), &paths.bolt, LockMode::Exclusive).unwrap();
            match (newest, held.trust(&disk, &store.view())) {
                (true, Err(error)) => {
                    let source = std::error::Error::source(&error).unwrap().to_string();
                    assert!(error.is_damage() && source.contains(&format!("page {page}")), "{source}");
                }
                // Nobody knows which of the two it was.
                (false, outcome) => assert_eq!(outcome.unwrap(), Trust::Directory.into()),
                (true, Ok(trust)) => panic!("{trust:?}"),
            }
        }
    }
}
