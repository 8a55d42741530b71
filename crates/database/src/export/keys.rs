//! The keys of an export, in its order, and how they are shared out.

use icecore_catalog::ShardId;
use icecore_tsm::{Key, Snapshot, TimeRange, key};

use crate::error::Error;

/// A piece of work is full with as many encoded bytes: mostly the text of ten thousand values.
const PIECE_BYTES: u64 = 64 << 10;
/// Or with as many blocks: each costs something though it may have one point, and it may have many in few bytes.
const PIECE_BLOCKS: usize = 128;

/// A key, and a shard that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardKey<'a> {
    pub(super) id: ShardId,
    pub(super) snapshot: &'a Snapshot,
    /// Series key and field, as the shard knows them.
    pub(super) composite: &'a [u8],
    series_len: usize,
    cost: Cost,
}

/// What it takes to read a key, deletes not considered.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: u64,
    blocks: usize,
}

impl<'a> ShardKey<'a> {
    /// `None` when the key has no field, which no index has.
    fn new(id: ShardId, snapshot: &'a Snapshot, key: &Key<'a>) -> Option<Self> {
        let (series, _) = key::split(key.key)?;
        let bytes = key.entries().map(|entry| u64::from(entry.size)).sum();
        let cost = Cost { bytes, blocks: key.block_count() };
        Some(Self { id, snapshot, composite: key.key, series_len: series.len(), cost })
    }

    /// Series key and field: what keys are ordered by.
    pub(super) fn parts(&self) -> (&'a [u8], &'a [u8]) {
        let (series, rest) = self.composite.split_at_checked(self.series_len).unwrap_or_default();
        (series, rest.get(key::SEPARATOR.len()..).unwrap_or_default())
    }
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, blocks: self.blocks + other.blocks }
    }

    fn fits(self) -> bool {
        self.bytes <= PIECE_BYTES && self.blocks <= PIECE_BLOCKS
    }
}

/// Every key of every shard, ordered by series key, field, and the time at which the values of the shard begin.
///
/// That is not the order of composite keys (see [`key`]), though mostly the same. The keys stay where they are, in the
/// mapped files; the list has 64 bytes beside each.
///
/// # Errors
/// `Shard` when an index is damaged.
pub(super) fn list<'a>(
    snapshots: impl Iterator<Item = (ShardId, &'a Snapshot)>,
) -> Result<Vec<ShardKey<'a>>, Error> {
    let in_shard = |id| move |source| Error::Shard { id, source };
    let mut by_time = Vec::new();
    for (id, snapshot) in snapshots {
        let range = snapshot.range().map_err(in_shard(id))?;
        by_time.push((range.map(TimeRange::min), id, snapshot));
    }
    by_time.sort_by_key(|(time, id, _)| (*time, *id));
    let mut keys = Vec::new();
    for (_, id, snapshot) in by_time {
        for file in snapshot.files() {
            let index = file.index().map_err(in_shard(id))?;
            keys.extend(index.keys().filter_map(|key| ShardKey::new(id, snapshot, &key)));
        }
    }
    // Stable: shards stay in the order of time, and the files of one together.
    keys.sort_by(|a, b| a.parts().cmp(&b.parts()));
    keys.dedup_by(|later, first| {
        let same = later.id == first.id && later.composite == first.composite;
        if same {
            first.cost = first.cost.plus(later.cost);
        }
        same
    });
    Ok(keys)
}

/// Cuts the list into pieces of work, of one key at least.
pub(super) fn pieces<'k, 'a>(keys: &'k [ShardKey<'a>]) -> impl Iterator<Item = &'k [ShardKey<'a>]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut cost = rest.first()?.cost;
        let more = rest.iter().skip(1).take_while(|key| {
            cost = cost.plus(key.cost);
            cost.fits()
        });
        let (piece, behind) = rest.split_at_checked(1 + more.count())?;
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use icecore_testkit::{MemDisk, tsm};
    use icecore_tsm::{BlockType, Shard, ShardDir};

    use super::*;

    const DATA: &str = "/shard";

    /// A snapshot of a shard with these files: keys, and the time of the one point that each has.
    fn snapshot(files: &[(&[&str], i64)]) -> Snapshot {
        let disk = MemDisk::default();
        for (nth, (keys, time)) in files.iter().enumerate() {
            let columns = keys.iter().map(|key| (key, tsm::column(BlockType::Integer, vec![*time], 1)));
            let name = format!("{DATA}/{:09}-000000001.tsm", nth + 1);
            disk.put(name.as_ref(), tsm::file(columns, 1000));
        }
        let dir = ShardDir { data: DATA.into(), wal: "/log".into() };
        Shard::open_read_only(&disk, &dir, icecore_tsm::Trust::Manifest).unwrap().snapshot().unwrap()
    }

    #[test]
    fn keys_are_ordered_by_series_field_and_time_and_no_shard_has_one_twice() {
        // `!` comes before the separator: the order of composite keys is another.
        let late = snapshot(&[(&["m!#!~#f", "m#!~#e", "m#!~#f"], 30)]);
        let early = snapshot(&[(&["m#!~#e", "m#!~#g"], 20), (&["m!#!~#f", "m#!~#e", "n#!~#f"], 10)]);
        let keys = list([(ShardId(1), &late), (ShardId(2), &early)].into_iter()).unwrap();
        let found: Vec<_> = keys
            .iter()
            .map(|key| (key.id.0, String::from_utf8_lossy(key.composite).into_owned(), key.cost.blocks))
            .collect();
        let expected = [
            (2, "m#!~#e", 2),
            (1, "m#!~#e", 1),
            (1, "m#!~#f", 1),
            (2, "m#!~#g", 1),
            (2, "m!#!~#f", 1),
            (1, "m!#!~#f", 1),
            (2, "n#!~#f", 1),
        ];
        assert_eq!(found, expected.map(|(id, key, blocks)| (id, key.to_owned(), blocks)));
        assert_eq!(keys[4].parts(), (&b"m!"[..], &b"f"[..]));
    }

    #[test]
    fn pieces_are_full_and_together_all_keys() {
        let names: Vec<_> = (0..1000).map(|nth| format!("m{nth:04}#!~#f")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let snapshot = snapshot(&[(&names, 1)]);
        let mut keys = list([(ShardId(1), &snapshot)].into_iter()).unwrap();
        keys[500].cost.bytes = 2 * PIECE_BYTES;
        let lens: Vec<_> = pieces(&keys).map(<[_]>::len).collect();
        assert_eq!(lens, [128, 128, 128, 116, 1, 128, 128, 128, 115]);
        let together: Vec<_> = pieces(&keys).flatten().map(|key| key.composite).collect();
        assert!(together.iter().eq(keys.iter().map(|key| &key.composite)));
    }
}
