use std::path::Path;
use std::sync::LazyLock;

use icecore_tsm::Column;

use super::{self as shard, Content, DATA, KINDS, WAL};
use crate::props::tombstone::{Delete, records};
use crate::{MemDisk, tsm};

const TSM: &str = "000000001-000000001.tsm";
const TOMBSTONE: &str = "000000001-000000001.tombstone";
const V2: [u8; 4] = [0, 0, 0x15, 2];

/// Any bytes beside a file are its deletes, applied alike by a read and by a backup, or damaged.
///
/// The file has keys and times of the fixture `layers`. Tried three times: the bytes as they are; and the records that
/// can be read in them as a tombstone of version 2 and of version 4, where it is known what must be left.
pub fn tombstone_shard(bytes: &[u8]) {
    let opened = shard::open(&disk(bytes.to_vec()));
    if let Ok(snapshot) = opened.snapshot() {
        let content = shard::content(&snapshot).expect("the file is sound");
        shard::backup_holds(&snapshot, &content);
    } else {
        assert!(
            opened.damage().iter().all(|error| error.path().is_some_and(|path| path.ends_with(TOMBSTONE))),
            "the tombstone is what is damaged"
        );
    }
    let deletes = records(bytes.strip_prefix(&V2).unwrap_or(bytes));
    let expected = left(&deletes);
    let (first, second) = deletes.split_at_checked(deletes.len() / 2).unwrap_or_default();
    for tombstone in [tsm::tombstone_v2(&deletes), tsm::tombstone_v4(&[first, second])] {
        let opened = shard::open(&disk(tombstone));
        let snapshot = opened.snapshot().expect("a tombstone by the book");
        shard::same(&expected, &shard::content(&snapshot).expect("the file is sound"));
        shard::backup_holds(&snapshot, &expected);
    }
}

/// Every type for hosts a and b: 12 points, one every 100 s.
static KEYS: LazyLock<Content> = LazyLock::new(|| {
    let times = || (1_704_067_200_000_000_000..).step_by(100_000_000_000).take(12).collect();
    let of_host = |host| {
        KINDS.map(|(field, kind)| {
            (format!("m,h={host}#!~#{field}").into_bytes(), tsm::column(kind, times(), 1))
        })
    };
    ["a", "b"].into_iter().flat_map(of_host).collect()
});

/// The keys in a file, in blocks of 4 points.
static FILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| tsm::file(KEYS.iter().map(|(key, column)| (key, column.clone())), 4));

fn disk(tombstone: Vec<u8>) -> MemDisk {
    let disk = MemDisk::default();
    disk.put(&Path::new(DATA).join(TSM), FILE.clone());
    disk.put(&Path::new(DATA).join(TOMBSTONE), tombstone);
    disk.put(&Path::new(WAL).join("_00001.wal"), Vec::new());
    disk
}

/// What the deletes leave of the file.
fn left(deletes: &[Delete<'_>]) -> Content {
    let mut content = Content::new();
    for (key, column) in &*KEYS {
        let deleted: Vec<_> = deletes.iter().filter(|(of, _)| *of == key).map(|(_, range)| range).collect();
        let mut kept = Column::new(column.kind());
        for (at, time) in column.times.iter().enumerate() {
            if !deleted.iter().any(|range| range.contains(*time)) {
                kept.extend_from(column, at..at + 1);
            }
        }
        if !kept.is_empty() {
            content.insert(key.clone(), kept);
        }
    }
    content
}
