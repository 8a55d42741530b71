//! What a shard, or a snapshot of it, shows, compared with a model, every value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use icecore_disk::Disk;
use icecore_testkit::{MemDisk, Random};
use icecore_tsm::{Column, Deletes, FileName, Shard, ShardDir, Snapshot, TimeRange, Trust, Values};

use crate::draw::Manner;
use crate::model::{Content, FIELDS, Model, Points, SERIES, Val, composite};

/// The bytes of all files of a snapshot.
pub(crate) type Files = BTreeMap<FileName, Vec<u8>>;

/// Points of a key, of columns that follow each other.
#[derive(Default)]
struct Collected {
    points: Points,
    last: Option<i64>,
}

impl Collected {
    fn push(&mut self, column: &Column, range: TimeRange) {
        assert!(!column.is_empty());
        for (at, time) in column.times.iter().enumerate() {
            assert!(self.last < Some(*time) && range.contains(*time), "{time} behind {:?}", self.last);
            self.last = Some(*time);
            self.points.insert(*time, value(&column.values, at));
        }
    }
}

fn value(values: &Values, at: usize) -> Val {
    match values {
        Values::Float(values) => Val::Float(values[at].to_bits()),
        Values::Integer(values) => Val::Integer(values[at]),
        Values::Unsigned(values) => Val::Unsigned(values[at]),
        Values::Boolean(values) => Val::Boolean(values.get(at).unwrap()),
        Values::String(values) => Val::String(values.get(at).unwrap().to_vec()),
    }
}

/// All that a shard shows.
pub(crate) fn content(shard: &Shard) -> Content {
    let mut content = Content::new();
    shard
        .keys(|key, kind| {
            let mut found = Collected::default();
            shard.read(key, TimeRange::ALL, |column| {
                assert_eq!(column.kind(), kind);
                found.push(column, TimeRange::ALL);
                Ok(())
            })?;
            assert!(content.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "keys ascend");
            content.insert(key.to_vec(), found.points);
            Ok(())
        })
        .unwrap();
    content
}

/// All that a snapshot has.
pub(crate) fn content_of(snapshot: &Snapshot) -> Content {
    let mut content = Content::new();
    snapshot
        .keys(|key, kind| {
            let mut found = Collected::default();
            snapshot.read(key, |column| {
                assert_eq!(column.kind(), kind);
                found.push(column, TimeRange::ALL);
                Ok(())
            })?;
            content.insert(key.to_vec(), found.points);
            Ok(())
        })
        .unwrap();
    content
}

/// The shard has no damage and shows this.
pub(crate) fn assert_is(shard: &Shard, model: &Model) {
    assert_sound(shard);
    assert_same(&content(shard), &model.content);
}

pub(crate) fn assert_sound(shard: &Shard) {
    let damage: Vec<String> = shard.damage().iter().map(ToString::to_string).collect();
    assert!(damage.is_empty(), "{damage:?}");
}

pub(crate) fn assert_same(found: &Content, expected: &Content) {
    if found != expected {
        panic!("{}", difference(found, expected));
    }
}

/// The first point in which two contents differ.
pub(crate) fn difference(found: &Content, expected: &Content) -> String {
    let none = Points::new();
    let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    for key in keys {
        let of = |content: &Content| content.get(key).unwrap_or(&none).clone();
        let (found, expected) = (of(found), of(expected));
        let times: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        for time in times {
            if found.get(time) != expected.get(time) {
                let (found, expected) = (found.get(time), expected.get(time));
                return format!("{} at {time}: {found:?}, not {expected:?}", key.escape_ascii());
            }
        }
    }
    String::from("keys without points")
}

/// A read of any key in any range.
pub(crate) fn assert_reads(shard: &Shard, model: &Model, manner: Manner, random: &mut Random) {
    let key = composite(random.below(SERIES.len()), random.below(FIELDS.len()));
    let (a, b) = (manner.time(random), manner.time(random));
    let range = TimeRange::new(a.min(b), a.max(b)).unwrap();
    let mut found = Collected::default();
    shard
        .read(&key, range, |column| {
            found.push(column, range);
            Ok(())
        })
        .unwrap();
    let all = model.content.get(&key);
    let expected: Points =
        all.into_iter().flat_map(|all| all.range(a.min(b)..=a.max(b))).map(to_owned).collect();
    let differs = || {
        difference(&[(key.clone(), found.points.clone())].into(), &[(key.clone(), expected.clone())].into())
    };
    assert!(found.points == expected, "in {range:?}: {}", differs());
}

fn to_owned((time, value): (&i64, &Val)) -> (i64, Val) {
    (*time, value.clone())
}

/// What a backup sends of a snapshot: files that were modified strictly after `since`, as they leave.
pub(crate) fn sent(snapshot: &Snapshot, since: i64) -> Files {
    let members = snapshot.members(Deletes::Apply).into_iter().filter(|member| member.modified_ns() > since);
    members
        .map(|mut member| {
            let bytes: Vec<u8> = member.chunks().unwrap().flat_map(|chunk| chunk.unwrap()).collect();
            (member.name(), bytes)
        })
        .collect()
}

/// A shard of these files, as a restore would make one.
pub(crate) fn content_of_files(files: &Files) -> Content {
    let (disk, dir) = (MemDisk::default(), ShardDir { data: "/r/data".into(), wal: "/r/wal".into() });
    disk.create_dir(&dir.data).unwrap();
    for (name, bytes) in files {
        disk.put(&dir.data.join(name.to_string()), bytes.clone());
    }
    let shard = Shard::open_read_only(&disk, &dir, Trust::Manifest).unwrap();
    assert_sound(&shard);
    content(&shard)
}

/// Nothing lies in the directories that is not needed by a shard without points in its log.
pub(crate) fn assert_tidy(disk: &dyn Disk, dir: &ShardDir, shard: &Shard) {
    let live: Vec<String> =
        shard.snapshot().unwrap().files().iter().map(|file| file.name().to_string()).collect();
    for entry in disk.list(&dir.data).unwrap() {
        let name = entry.name().unwrap().to_owned();
        let stem = name.strip_suffix(".tsmsum").map(|stem| format!("{stem}.tsm"));
        let is_needed = ["icecore.manifest", "fields.idx"].contains(&name.as_str());
        assert!(
            is_needed || live.contains(&name) || stem.is_some_and(|stem| live.contains(&stem)),
            "{name} is left"
        );
    }
    assert_log_is_gone(disk, &dir.wal);
}

/// No log, and nothing that keeps influxd from starting.
pub(crate) fn assert_log_is_gone(disk: &dyn Disk, wal: &Path) {
    for entry in disk.list(wal).unwrap() {
        let name = entry.name().unwrap();
        assert!(name.ends_with(".iwal.torn"), "{name} is left");
    }
}
