//! Random shards against a model: generations written over the same times, tombstones of every version beside them, a
//! log on top; read, taken over, opened again, and rebuilt from what a backup sends.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use icecore_disk::{Disk, RealDisk};
use proptest::prelude::*;

use super::*;
use crate::cache::flush;
use crate::cache::replayed::Replayed;
use crate::format::column::{BlockType, Column, Values};
use crate::format::wal::Entry;
use crate::{Deletes, Snapshot};
use crate::{Generation, Sequence, TimeRange};

/// Keys of all types; two that sort differently as series and as composite keys.
const KEYS: [(&[u8], BlockType); 5] = [
    (b"m,h=a!b#!~#f", BlockType::Integer),
    (b"m,h=a#!~#f", BlockType::Float),
    (b"m,h=b#!~#f", BlockType::String),
    (b"m,h=b#!~#g", BlockType::Boolean),
    (b"n#!~#f", BlockType::Unsigned),
];

/// The disk of this machine.
pub(super) fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

pub(super) fn now() -> i64 {
    NOW_NS
}

/// After the files that a test writes.
pub(super) const NOW_NS: i64 = 4_000_000_000_000_000_000;

/// Composite key and time to a number that every type can hold.
type Model = BTreeMap<(usize, i64), u8>;

#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Points of a key at distinct or equal times, in any order.
    Write(usize, Vec<(i64, u8)>),
    Delete(usize, i64, i64),
}

#[derive(Clone, Debug)]
struct Layer {
    written: Vec<Change>,
    deleted: Vec<(usize, i64, i64)>,
    tombstone_version: u8,
}

fn changes() -> impl Strategy<Value = Change> {
    let key = 0..KEYS.len();
    prop_oneof![
        4 => (key.clone(), prop::collection::vec((-40i64..40, any::<u8>()), 1..30)).prop_map(|(k, p)| Change::Write(k, p)),
        // Long enough for several blocks of one key.
        1 => (key.clone(), -3000i64..0, 1000i64..3000, any::<u8>())
            .prop_map(|(k, start, len, v)| Change::Write(k, (start..start + len).map(|t| (t, v)).collect())),
        1 => (key, -60i64..40, 0i64..60).prop_map(|(k, min, len)| Change::Delete(k, min, min + len)),
    ]
}

fn layers() -> impl Strategy<Value = Layer> {
    let range = prop_oneof![
        (-60i64..40, 0i64..60).prop_map(|(min, len)| (min, min + len)),
        (-3000i64..0, 0i64..2500).prop_map(|(min, len)| (min, min + len)),
        Just((i64::MIN, i64::MAX)),
    ];
    let deleted =
        prop::collection::vec((0..KEYS.len(), range).prop_map(|(k, (min, max))| (k, min, max)), 0..4);
    (prop::collection::vec(changes(), 1..6), deleted, 2u8..=4).prop_map(
        |(written, deleted, tombstone_version)| {
            let written = written.into_iter().filter(|change| matches!(change, Change::Write(..))).collect();
            Layer { written, deleted, tombstone_version }
        },
    )
}

fn apply(model: &mut Model, change: &Change) {
    match change {
        Change::Write(key, points) => {
            model.extend(points.iter().map(|(time, value)| ((*key, *time), *value)))
        }
        Change::Delete(key, min, max) => model.retain(|(k, time), _| k != key || time < min || time > max),
    }
}

pub(super) fn column(kind: BlockType, points: &[(i64, u8)]) -> Column {
    let (times, values): (Vec<_>, Vec<u8>) = points.iter().copied().unzip();
    let values = match kind {
        BlockType::Float => Values::Float(values.iter().map(|v| f64::from(*v) / 8.0).collect()),
        BlockType::Integer => Values::Integer(values.iter().map(|v| -i64::from(*v)).collect()),
        BlockType::Unsigned => Values::Unsigned(values.iter().map(|v| u64::MAX - u64::from(*v)).collect()),
        BlockType::Boolean => Values::Boolean(values.iter().map(|v| v % 2 == 1).collect()),
        BlockType::String => Values::String(values.iter().map(|v| "x".repeat(usize::from(*v) % 7)).collect()),
    };
    Column { times, values }
}

pub(super) fn entry(change: &Change) -> Entry {
    match change {
        Change::Write(key, points) => {
            Entry::Write(vec![(KEYS[*key].0.to_vec(), column(KEYS[*key].1, points))])
        }
        Change::Delete(key, min, max) => {
            Entry::Delete { range: TimeRange::new(*min, *max).unwrap(), keys: vec![KEYS[*key].0.to_vec()] }
        }
    }
}

pub(super) fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// One gzip member, or none, per record.
pub(super) fn tombstone(version: u8, deleted: &[(usize, i64, i64)]) -> Vec<u8> {
    let mut out = vec![0, 0, 0x15, version];
    for (key, min, max) in deleted {
        let key = KEYS[*key].0;
        let len = u32::try_from(key.len()).unwrap().to_be_bytes();
        let record = [&len[..], key, &min.to_be_bytes(), &max.to_be_bytes()].concat();
        if version == 2 {
            out.extend_from_slice(&record);
        } else {
            let mut gzip = GzEncoder::new(&mut out, Compression::default());
            gzip.write_all(&record).unwrap();
            gzip.finish().unwrap();
        }
    }
    out
}

/// What influxd's log holds for a change.
pub(super) fn frame(change: &Change) -> Vec<u8> {
    let key = |key: usize| KEYS[key].0;
    let (kind, body) = match change {
        Change::Delete(k, min, max) => {
            let len = u32::try_from(key(*k).len()).unwrap().to_be_bytes();
            (3, [&min.to_be_bytes()[..], &max.to_be_bytes(), &len, key(*k)].concat())
        }
        Change::Write(k, points) => {
            let code = match KEYS[*k].1 {
                BlockType::Float => 1,
                BlockType::Integer => 2,
                BlockType::Boolean => 3,
                BlockType::String => 4,
                BlockType::Unsigned => 5,
            };
            let mut body = vec![code];
            body.extend_from_slice(&u16::try_from(key(*k).len()).unwrap().to_be_bytes());
            body.extend_from_slice(key(*k));
            body.extend_from_slice(&u32::try_from(points.len()).unwrap().to_be_bytes());
            for at in 0..points.len() {
                let one = column(KEYS[*k].1, &points[at..=at]);
                body.extend_from_slice(&one.times[0].to_be_bytes());
                match one.values {
                    Values::Float(v) => body.extend_from_slice(&v[0].to_bits().to_be_bytes()),
                    Values::Integer(v) => body.extend_from_slice(&v[0].to_be_bytes()),
                    Values::Unsigned(v) => body.extend_from_slice(&v[0].to_be_bytes()),
                    Values::Boolean(v) => body.push(u8::from(v.get(0).unwrap())),
                    Values::String(v) => {
                        let text = v.get(0).unwrap();
                        body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                        body.extend_from_slice(text);
                    }
                }
            }
            (1, body)
        }
    };
    let payload = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    [&[kind][..], &u32::try_from(payload.len()).unwrap().to_be_bytes(), &payload].concat()
}

/// Writes the layers and the log, and says what must be read.
fn build(dir: &ShardDir, layers: &[Layer], log: &[Change]) -> Model {
    std::fs::create_dir_all(&dir.data).unwrap();
    let mut model = Model::new();
    let mut name = FileName { generation: Generation::FIRST, sequence: Sequence::FIRST };
    for layer in layers {
        let mut cache = Replayed::default();
        let mut own = Model::new();
        for change in &layer.written {
            cache.apply(entry(change)).unwrap();
            apply(&mut own, change);
        }
        let frozen = cache.sort();
        if frozen.is_empty() {
            continue;
        }
        flush::to_disk(&frozen, &RealDisk, &dir.data, name, 1_000).unwrap();
        if !layer.deleted.is_empty() {
            put(&dir.data.join(name.tombstone()), &tombstone(layer.tombstone_version, &layer.deleted));
        }
        for (key, min, max) in &layer.deleted {
            apply(&mut own, &Change::Delete(*key, *min, *max));
        }
        model.extend(own);
        name.generation = name.generation.next().unwrap();
    }
    let mut cached = Model::new();
    for change in log {
        apply(&mut cached, change);
    }
    model.extend(cached);
    let frames: Vec<u8> = log.iter().flat_map(frame).collect();
    put(&dir.wal.join("_00001.wal"), &frames);
    model
}

fn read(snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Column> {
    let mut found = BTreeMap::new();
    snapshot
        .keys(|key, kind| {
            let mut all = Column::new(kind);
            snapshot.read(key, |part| {
                all.extend_from(part, 0..part.len());
                Ok(())
            })?;
            if !all.is_empty() {
                assert!(found.insert(key.to_vec(), all).is_none());
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    found
}

fn expected(model: &Model) -> BTreeMap<Vec<u8>, Column> {
    let mut points: BTreeMap<usize, Vec<(i64, u8)>> = BTreeMap::new();
    for ((key, time), value) in model {
        points.entry(*key).or_default().push((*time, *value));
    }
    points.into_iter().map(|(key, points)| (KEYS[key].0.to_vec(), column(KEYS[key].1, &points))).collect()
}

/// Puts every file that a backup sends into an empty shard.
fn restore(snapshot: &Snapshot, dir: &ShardDir) -> Shard {
    std::fs::create_dir_all(&dir.data).unwrap();
    for mut member in snapshot.members(Deletes::Apply) {
        let bytes: Vec<u8> = member.chunks().unwrap().flat_map(|chunk| chunk.unwrap()).collect();
        assert_eq!(member.size(), Some(bytes.len() as u64));
        assert_eq!(member.digest().unwrap(), blake3::hash(&bytes));
        if !bytes.is_empty() {
            put(&dir.data.join(member.name().to_string()), &bytes);
        }
    }
    Shard::open_read_only(&RealDisk, dir, Trust::Manifest).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_shard_holds_what_was_written_last_and_not_deleted(
        layers in prop::collection::vec(layers(), 0..5),
        log in prop::collection::vec(changes(), 0..6),
    ) {
        let root = tempfile::tempdir().unwrap();
        let dir = |name: &str| ShardDir { data: root.path().join(name).join("data"), wal: root.path().join(name).join("wal") };
        let source = dir("source");
        let expected = expected(&build(&source, &layers, &log));
        let read_only = Shard::open_read_only(&RealDisk, &source, Trust::Manifest).unwrap();
        prop_assert_eq!(read_only.damage().len(), 0);
        let snapshot = read_only.snapshot().unwrap();
        prop_assert_eq!(&read(&snapshot), &expected, "read only");
        prop_assert_eq!(&read(&restore(&snapshot, &dir("restored")).snapshot().unwrap()), &expected, "restored");

        let cut = snapshot.cut_ns();
        let taken = Shard::open(&real(), &source, &Writing::new(now)).unwrap();
        prop_assert_eq!(&read(&taken.snapshot().unwrap()), &expected, "taken over");
        prop_assert!(taken.recovery().flushed.is_empty() || taken.snapshot().unwrap().cut_ns() > cut);
        prop_assert!(RealDisk.list(&source.wal).unwrap().is_empty(), "the log is gone");
        drop(taken);
        let again = Shard::open(&real(), &source, &Writing::new(now)).unwrap();
        prop_assert_eq!(&read(&again.snapshot().unwrap()), &expected, "opened again");
        prop_assert!(again.recovery().flushed.is_empty());
    }
}
