use std::path::Path;

use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{Access, BlockType, Column, Entry, FileName, Index, Key, Result, TsmFile, Values, key};

use super::shard::{self, DATA};
use crate::MemDisk;

const NAME: &str = "000000001-000000001.tsm";

/// Points decoded of one file. A block of a few bytes can claim 2^24 points, and many entries one block: such files are
/// opened, not read.
const POINTS_MAX: usize = 1 << 18;

/// Any bytes are a TSM file that says the same whichever way it is asked, or damaged.
///
/// Tried twice: as they are, and with right checksums, so that changed blocks reach the decoders.
pub fn tsm_file(bytes: &[u8]) {
    if let Ok(file) = open(bytes.to_vec()) {
        consistent(&file, bytes);
        let mended = mend(&file, bytes);
        if mended != bytes {
            let file = open(mended.clone()).expect("a block's checksum is no part of the index");
            consistent(&file, &mended);
        }
    }
}

fn open(bytes: Vec<u8>) -> Result<TsmFile> {
    let (disk, path) = (MemDisk::default(), Path::new(DATA).join(NAME));
    disk.put(&path, bytes);
    let name = FileName::parse(NAME).expect("two numbers");
    let opened = TsmFile::open(&disk, &path, name);
    opened.and_then(|file| file.index().map(drop).map(|()| file)).inspect_err(shard::names_damage)
}

fn index_of(file: &TsmFile) -> Index<'_> {
    file.index().expect("walked when it was opened")
}

/// The bytes of a block with its checksum in front.
fn block_of<'a>(entry: &Entry, bytes: &'a [u8]) -> &'a [u8] {
    let start = usize::try_from(entry.offset.get()).expect("a position in memory");
    bytes.get(start..start + entry.size as usize).expect("a block inside the file")
}

fn mend(file: &TsmFile, bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    for entry in index_of(file).keys().flat_map(|key| key.entries()) {
        let crc = crc32fast::hash(block_of(&entry, &mended).get(4..).expect("longer than a checksum"));
        let start = usize::try_from(entry.offset.get()).expect("a position in memory");
        mended.get_mut(start..start + 4).expect("inside the file").copy_from_slice(&crc.to_be_bytes());
    }
    mended
}

fn consistent(file: &TsmFile, bytes: &[u8]) {
    index_agrees(file, bytes);
    let claimed = index_of(file).keys().flat_map(|key| key.entries()).map(|entry| {
        let body = block_of(&entry, bytes).get(4..).unwrap_or_default();
        block::count(body, entry.offset).unwrap_or(0)
    });
    if claimed.fold(0, usize::saturating_add) > POINTS_MAX {
        return;
    }
    let mut all_read = true;
    let mut column = Column::new(BlockType::Float);
    for key in index_of(file).keys() {
        for entry in key.entries() {
            match file.read_block(&key, &entry, &mut column) {
                Ok(()) => block_agrees(&key, &entry, block_of(&entry, bytes), &column),
                Err(error) => {
                    shard::names_damage(&error);
                    all_read = false;
                }
            }
        }
    }
    match file.check() {
        Ok(digest) => assert_eq!(digest, blake3::hash(bytes), "the digest is that of the file"),
        Err(error) => {
            shard::names_damage(&error);
            assert!(!all_read, "what is read passes the check: {error}");
        }
    }
    shard_agrees(file, bytes, all_read);
}

fn index_agrees(file: &TsmFile, bytes: &[u8]) {
    assert_eq!(file.size(), bytes.len() as u64);
    let index = index_of(file);
    assert_eq!(index.keys().count(), index.len());
    let mut before: Option<Key<'_>> = None;
    for (ordinal, key) in (0u32..).zip(index.keys()) {
        assert!(before.is_none_or(|before| before.key < key.key), "keys ascend");
        assert!(key::split(key.key).is_some(), "a key has a field");
        let is_it = |found: Option<Key<'_>>| {
            found.is_some_and(|found| (found.key, found.kind, found.ordinal) == (key.key, key.kind, ordinal))
        };
        assert!(
            is_it(Some(key)) && is_it(index.key(ordinal)) && is_it(index.find(key.key)),
            "one key, found"
        );
        let absent = [key.key, &[0]].concat();
        assert!(
            index.find(&absent).is_none_or(|found| found.key == absent),
            "what is found is what was sought"
        );
        let range = key.range();
        assert!(index.range().covers(range), "the file covers its keys");
        assert!(key.entries().all(|entry| range.covers(entry.range)), "a key covers its blocks");
        assert!(key.entries().map(|entry| entry.range.min()).is_sorted(), "blocks ascend");
        before = Some(key);
    }
}

fn block_agrees(key: &Key<'_>, entry: &Entry, bytes: &[u8], column: &Column) {
    let body = bytes.get(4..).expect("longer than a checksum");
    assert!(!column.is_empty() && column.len() == column.values.len(), "as many values as times");
    assert!(column.times.is_sorted(), "times ascend");
    assert_eq!(column.kind(), key.kind);
    assert_eq!(column.times.first(), Some(&entry.range.min()));
    assert!(column.times.last().is_some_and(|last| entry.range.contains(*last)));
    assert_eq!(block::count(body, entry.offset).expect("it was read"), column.len());
    let mut times = Vec::new();
    assert_eq!(block::decode_times(body, entry.offset, &mut times).expect("it was read"), key.kind);
    assert_eq!(times, column.times);
    for flavor in [Flavor::Batch, Flavor::Stream] {
        encodes_to_the_same(column, flavor);
    }
}

/// What was decoded is encoded to a block that decodes to it; NaN alone has no encoding.
fn encodes_to_the_same(column: &Column, flavor: Flavor) {
    let has_nan =
        matches!(&column.values, Values::Float(values) if values.iter().any(|value| value.is_nan()));
    let mut body = Vec::new();
    match block::encode(column, 0..column.len(), flavor, &mut body) {
        Ok(()) => {
            let mut back = Column::new(column.kind());
            block::decode(&body, icecore_tsm::Offset::START, &mut back).expect("our own block");
            assert!(shard::is_same(column, &back), "{column:?} became {back:?}");
        }
        Err(error) => assert!(has_nan && shard::is_unfit(&error), "{error}"),
    }
}

/// A shard that consists of the file has its keys, and sends it as it is.
fn shard_agrees(file: &TsmFile, bytes: &[u8], all_read: bool) {
    let disk = MemDisk::default();
    disk.put(file.path(), bytes.to_vec());
    let opened = shard::open(&disk, Access::ReadOnly);
    let snapshot = opened.snapshot().expect("the file opened before");
    match shard::content(&snapshot) {
        Ok(content) => {
            assert!(all_read && content.len() == index_of(file).len(), "every key has a point");
            shard::backup_holds(&snapshot, &content);
        }
        Err(error) => {
            shard::names_damage(&error);
            assert!(!all_read, "what was read once is read again: {error}");
            assert!(opened.snapshot().is_err(), "damage is remembered");
        }
    }
}
