//! A shard of one file of 40 keys with 50 blocks each, of which a delete cuts two and takes three.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::tsm;
use icecore_tsm::{BlockType, Deletes, Member, Shard, ShardDir, Snapshot, TimeRange, Trust, TsmFile};
use tempfile::TempDir;

pub(crate) const NAME: &str = "000000001-000000001";
const KEYS: usize = 40;
const BLOCKS: i64 = 50;
const BLOCK_POINTS: i64 = 100;
/// Ends in the middle of blocks.
const DELETED: Range<i64> = 1050..1450;

pub(crate) struct OneFile {
    dir: TempDir,
}

/// What the delete does to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Copied,
    Cut,
    Gone,
}

impl OneFile {
    pub(crate) fn new() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(made.path("")).unwrap();
        let keys: Vec<_> = (0..KEYS).map(|nth| format!("m,host=h{nth:02}#!~#f")).collect();
        let columns = keys.iter().enumerate().map(|(nth, key)| {
            (key, tsm::column(BlockType::Float, (0..BLOCKS * BLOCK_POINTS).collect(), nth as u64))
        });
        let points = usize::try_from(BLOCK_POINTS).unwrap();
        fs::write(made.path(&format!("{NAME}.tsm")), tsm::file(columns, points)).unwrap();
        made.delete(DELETED);
        made
    }

    /// Replaces the deletes.
    pub(crate) fn delete(&self, times: Range<i64>) {
        let range = TimeRange::new(times.start, times.end - 1).unwrap();
        let deletes: Vec<_> = (0..KEYS).map(|nth| (format!("m,host=h{nth:02}#!~#f"), range)).collect();
        fs::write(self.path(&format!("{NAME}.tombstone")), tsm::tombstone_v4(&[&deletes])).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    pub(crate) fn tsm(&self) -> PathBuf {
        self.path(&format!("{NAME}.tsm"))
    }

    pub(crate) fn open(&self, disk: &dyn Disk) -> Shard {
        let dir = ShardDir { data: self.path(""), wal: self.dir.path().join("wal") };
        Shard::open_read_only(disk, &dir, Trust::Directory).unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.open(&RealDisk).snapshot().unwrap()
    }

    /// Where the blocks lie, in the order of the file.
    pub(crate) fn blocks(&self) -> Vec<(Range<u64>, Fate)> {
        let snapshot = self.snapshot();
        let file: &Arc<TsmFile> = &snapshot.files()[0];
        let fate = |range: TimeRange| match (range.min(), range.max()) {
            (min, max) if max < DELETED.start || min >= DELETED.end => Fate::Copied,
            (min, max) if DELETED.contains(&min) && DELETED.contains(&max) => Fate::Gone,
            _ => Fate::Cut,
        };
        let entries = file.index().unwrap().keys().flat_map(|key| key.entries().collect::<Vec<_>>());
        let place = |offset: u64, size: u32| offset..offset + u64::from(size);
        entries.map(|entry| (place(entry.offset.get(), entry.size), fate(entry.range))).collect()
    }

    /// Flips a bit in the middle of a block.
    pub(crate) fn damage(&self, block: &Range<u64>) {
        flip(&self.tsm(), (block.start + block.end) / 2);
    }
}

/// What lies in a spool below `root`: names and lengths.
pub(crate) fn spooled(root: &Path) -> Vec<(PathBuf, u64)> {
    let dir = root.join("icecore.spool");
    let entries = fs::read_dir(&dir).map(|entries| entries.map(|entry| entry.unwrap()).collect());
    let mut files: Vec<_> = entries
        .unwrap_or_else(|_| Vec::new())
        .iter()
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn member(snapshot: &Snapshot) -> Member {
    snapshot.members(Deletes::Apply).remove(0)
}

/// All bytes of a member as they leave.
pub(crate) fn bytes(member: &mut Member) -> Vec<u8> {
    member.chunks().unwrap().flat_map(|chunk| chunk.unwrap()).collect()
}
