//! What holds for every shard, wherever its points come from.

#[cfg(feature = "backup")]
pub(super) mod archive;
pub(super) mod file;
pub(super) mod tombstone;
pub(super) mod wal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_tsm::{
    BlockType, Column, Deletes, Error, ErrorKind, Result, Shard, ShardDir, Snapshot, Trust, Values, Writing,
};

use crate::MemDisk;

/// All points of a shard by composite key.
pub(super) type Content = BTreeMap<Vec<u8>, Column>;

pub(super) const DATA: &str = "/shard/data";
pub(super) const WAL: &str = "/shard/wal";

/// A field of each type.
const KINDS: [(&str, BlockType); 5] = [
    ("b", BlockType::Boolean),
    ("f", BlockType::Float),
    ("i", BlockType::Integer),
    ("s", BlockType::String),
    ("u", BlockType::Unsigned),
];

fn dir() -> ShardDir {
    ShardDir { data: DATA.into(), wal: WAL.into() }
}

/// Opens the shard on `disk` to read it.
pub(super) fn open(disk: &MemDisk) -> Shard {
    opened(Shard::open_read_only(disk, &dir(), Trust::Manifest))
}

/// Opens the shard on `disk` to write it.
pub(super) fn open_to_write(disk: &MemDisk, now: fn() -> i64) -> Shard {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    opened(Shard::open(&disk, &dir(), &Writing::new(now)))
}

/// Whatever the files of a shard hold, that is no reason to fail.
fn opened(shard: Result<Shard>) -> Shard {
    let shard = shard.unwrap_or_else(|error| panic!("damage is collected, not thrown: {error}"));
    shard.damage().iter().for_each(names_damage);
    shard
}

/// Damage names its file and a place in or right behind it.
pub(super) fn names_damage(error: &Error) {
    assert!(error.is_damage(), "not about damage: {error}");
    assert!(error.path().is_some_and(|path| path.starts_with("/shard")), "names no file: {error}");
    assert!(error.offset().is_some(), "names no place: {error}");
}

/// Everything in a snapshot that is not deleted.
///
/// # Errors
/// The damage of a block.
pub(super) fn content(snapshot: &Snapshot) -> Result<Content> {
    let mut content = Content::new();
    let mut before: Option<Vec<u8>> = None;
    snapshot.keys(|key, kind| {
        assert!(before.as_deref().is_none_or(|before| before < key), "keys ascend");
        before = Some(key.to_vec());
        let mut all = Column::new(kind);
        snapshot.read(key, |column| {
            assert!(!column.is_empty() && column.len() == column.values.len(), "as many values as times");
            all.extend_from(column, 0..column.len());
            Ok(())
        })?;
        assert!(all.times.is_sorted_by(|a, b| a < b), "one point per time, by time");
        if !all.is_empty() {
            content.insert(key.to_vec(), all);
        }
        Ok(())
    })?;
    Ok(content)
}

/// What a backup sends is as long and has the digest that it says, and opens as a shard of the same content: with
/// deletes applied, and with the tombstones beside the files.
pub(super) fn backup_holds(snapshot: &Snapshot, expected: &Content) {
    for deletes in [Deletes::Apply, Deletes::Keep] {
        match restored(snapshot, deletes) {
            Ok(restored) => same(expected, &restored),
            Err(error) => names_damage(&error), // of a block that is deleted as a whole: `content` did not read it
        }
    }
}

fn restored(snapshot: &Snapshot, deletes: Deletes) -> Result<Content> {
    let disk = MemDisk::default();
    disk.put(&Path::new(DATA).join("fields.idx"), Vec::new()); // the directory exists without a file, too
    for mut member in snapshot.members(deletes) {
        let mut bytes = Vec::new();
        for chunk in member.chunks()? {
            bytes.extend_from_slice(&chunk?);
        }
        assert_eq!(member.size(), Some(bytes.len() as u64), "as long as it was planned");
        assert_eq!(member.digest()?, blake3::hash(&bytes), "the digest is that of what was sent");
        if !bytes.is_empty() {
            disk.put(&Path::new(DATA).join(member.name().to_string()), bytes);
        }
        if let Some(tombstone) = member.tombstone() {
            disk.put(&Path::new(DATA).join(member.name().tombstone()), tombstone.bytes.to_vec());
        }
    }
    content(&open(&disk).snapshot()?)
}

/// Two contents are equal, floats by their bits.
pub(super) fn same(expected: &Content, found: &Content) {
    assert!(expected.keys().eq(found.keys()), "the same keys");
    for ((key, expected), found) in expected.iter().zip(found.values()) {
        let is_same = expected.times == found.times && is_same(&expected.values, &found.values);
        assert!(is_same, "{}: {expected:?} became {found:?}", key.escape_ascii());
    }
}

/// Whether two lists of values are equal, floats by their bits.
pub(super) fn is_same(a: &Values, b: &Values) -> bool {
    match (a, b) {
        (Values::Float(a), Values::Float(b)) => {
            a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
        }
        (a, b) => a == b,
    }
}

/// Whether the engine could not store a column: NaN has no encoding.
pub(super) fn is_unfit(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unfit(_))
}
