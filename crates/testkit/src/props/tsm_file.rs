use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Disk, Map, ReadAt};
use icecore_tsm::verify::{self, Counts, Depth, Finding, FindingKind, Options, Report};
use icecore_tsm::{BlockType, Column, Entry, FileName, Index, Key, Result, TimeRange, TsmFile, block, key};

use super::block::encodes_to_the_same;
use super::mend;
use super::shard::{DATA, names_damage};
use crate::MemDisk;

const NAME: &str = "000000001-000000001.tsm";

/// Points decoded of one file; files that claim more are opened, not read.
const POINTS_MAX: usize = 1 << 12;

const CRC_LEN: usize = 4;

thread_local! {
    static MENDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Any bytes are a TSM file that says the same whichever way it is asked, or damaged.
///
/// Tried twice: as they are; and with everything mended that would keep changed blocks from the decoders.
pub fn tsm_file(bytes: &[u8]) {
    tried(bytes);
    MENDED.with_borrow_mut(|mended| {
        if mend::file(bytes, mended) {
            tried(mended);
        }
    });
}

fn tried(bytes: &[u8]) {
    let file = open(bytes);
    if let Ok(file) = &file {
        agrees(file, bytes, POINTS_MAX);
    }
    if file.is_err() || file.is_ok_and(|file| file.index().is_err()) {
        assert!(
            !verified(bytes, Depth::Checksum).is_sound(),
            "a verification finds what keeps a file from opening"
        );
    }
}

/// The bytes as a file on a disk of its own.
pub(super) fn open(bytes: &[u8]) -> Result<TsmFile> {
    let (disk, path) = on_disk(bytes);
    let name = FileName::parse(NAME).expect("two numbers");
    TsmFile::open(&disk, &path, name).inspect_err(names_damage)
}

fn on_disk(bytes: &[u8]) -> (MemDisk, PathBuf) {
    let (disk, path) = (MemDisk::default(), Path::new(DATA).join(NAME));
    disk.put(&path, bytes.to_vec());
    (disk, path)
}

/// The bytes of a block behind its checksum.
fn body_of<'a>(entry: &Entry, bytes: &'a [u8]) -> &'a [u8] {
    let start = usize::try_from(entry.offset.get()).expect("a position in memory");
    bytes
        .get(start..start + entry.size as usize)
        .and_then(|block| block.get(CRC_LEN..))
        .expect("inside the file")
}

/// That the file agrees with itself. Returns whether all blocks were read, or nothing where there are too many points to
/// try, or the index is damaged.
pub(super) fn agrees(file: &TsmFile, bytes: &[u8], points_max: usize) -> Option<bool> {
    assert_eq!(file.size(), bytes.len() as u64);
    let index = match file.index() {
        Ok(index) => index,
        Err(error) => {
            names_damage(&error);
            assert!(file.check().is_err(), "a file without an index does not pass the check");
            return None;
        }
    };
    index_agrees(index);
    let entries = index.keys().flat_map(|key| key.entries());
    let claimed = entries.map(|entry| block::count(body_of(&entry, bytes), entry.offset).unwrap_or(0));
    if claimed.fold(0, usize::saturating_add) > points_max {
        return None;
    }
    let points = blocks_agree(file, index, bytes);
    match file.check() {
        Ok(digest) => assert_eq!(digest, blake3::hash(bytes), "the digest is that of the file"),
        Err(error) => {
            names_damage(&error);
            assert!(points.is_none(), "what is read passes the check: {error}");
        }
    }
    let report = verified(bytes, Depth::Decode);
    if let Some(points) = points {
        let counts = Counts { keys: index.len() as u64, values: points, ..report.counts };
        assert_eq!(report.counts, counts, "a verification counts what is read");
        // The one damage that keeps nobody from reading.
        let unclaimed = |finding: &Finding| finding.kind == FindingKind::Unclaimed;
        assert!(report.damage.listed().iter().all(unclaimed), "what is read is sound: {report:?}");
        assert_eq!(report.digest, Some(blake3::hash(bytes)));
    } else {
        assert!(!report.is_sound(), "a verification finds what keeps a block from being read");
    }
    Some(points.is_some())
}

/// What a verification finds, whether it reads the file or has a map of it.
fn verified(bytes: &[u8], depth: Depth) -> Report {
    let (disk, path) = on_disk(bytes);
    let read = disk.open(&path).expect("it was put there");
    let options = Options { depth, digest: true, threads: NonZeroUsize::MIN };
    let report = verify::file(&read, &options);
    let mapped: Arc<dyn ReadAt> = Arc::new(WithMap { read, map: Map::from(bytes.to_vec()) });
    assert_eq!(verify::file(&mapped, &options), report, "the same is found in a map");
    report
}

/// A file that has a map, too.
#[derive(Debug)]
struct WithMap {
    read: Arc<dyn ReadAt>,
    map: Map,
}

impl ReadAt for WithMap {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.read.size()
    }

    fn map(&self) -> Option<Map> {
        Some(self.map.clone())
    }
}

fn index_agrees(index: Index<'_>) {
    assert_eq!(index.keys().count(), index.len());
    let mut before: Option<Key<'_>> = None;
    let mut absent = Vec::new();
    for (ordinal, key) in (0u32..).zip(index.keys()) {
        assert!(before.is_none_or(|before| before.key < key.key), "keys ascend");
        assert!(key::split(key.key).is_some(), "a key has a field");
        let found = index.find(key.key).expect("a key is found");
        assert_eq!(
            (found.key, found.kind, found.ordinal, key.ordinal),
            (key.key, key.kind, ordinal, ordinal)
        );
        absent.clear();
        absent.extend_from_slice(key.key);
        absent.push(0);
        assert!(index.find(&absent).is_none_or(|found| found.key == absent), "what is found was sought");
        entries_agree(&key);
        assert!(index.range().covers(key.range()), "the file covers its keys");
        before = Some(key);
    }
}

fn entries_agree(key: &Key<'_>) {
    let range = key.range();
    assert_eq!(key.entries().count(), key.block_count());
    assert!(key.entries().all(|entry| range.covers(entry.range)), "a key covers its blocks");
    assert!(key.entries().map(|entry| entry.range.min()).is_sorted(), "blocks ascend");
    for (at, entry) in key.entries().enumerate().take(8) {
        assert_eq!(key.entry(at), Some(entry));
        let end = TimeRange::new(entry.range.max(), entry.range.max()).expect("a moment");
        for wanted in [entry.range, end] {
            let expected = key.entries().filter(|entry| entry.range.overlaps(wanted));
            assert!(key.entries_within(wanted).eq(expected), "blocks by time are those that share one");
        }
    }
}

/// Reads all blocks; returns how many points they have if all could be read.
fn blocks_agree(file: &TsmFile, index: Index<'_>, bytes: &[u8]) -> Option<u64> {
    let (mut points, mut all_read) = (0, true);
    let (mut column, mut back) = (Column::new(BlockType::Float), Column::new(BlockType::Float));
    let (mut times, mut encoded) = (Vec::new(), Vec::new());
    for key in index.keys() {
        for entry in key.entries() {
            if let Err(error) = file.read_block(&key, &entry, &mut column) {
                names_damage(&error);
                all_read = false;
                continue;
            }
            points += column.len() as u64;
            let body = body_of(&entry, bytes);
            assert!(!column.is_empty() && column.len() == column.values.len(), "as many values as times");
            assert!(column.times.is_sorted(), "times ascend");
            assert_eq!(column.kind(), key.kind);
            assert_eq!(column.times.first(), Some(&entry.range.min()));
            assert!(column.times.last().is_some_and(|last| entry.range.contains(*last)));
            assert_eq!(block::count(body, entry.offset).expect("it was read"), column.len());
            assert_eq!(block::decode_times(body, entry.offset, &mut times).expect("it was read"), key.kind);
            assert_eq!(times, column.times);
            encodes_to_the_same(&column, &mut encoded, &mut back);
        }
    }
    all_read.then_some(points)
}
