//! `fields.idx` has no checksum: whatever is in it, a field keeps the type that its keys have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use icecore_database::{Database, Mode, Precision, ShardId};
use icecore_disk::RealDisk;
use icecore_tests::line_protocol;
use icecore_tests::values::{Value, Values};
use icecore_tsm::block::Flavor;
use icecore_tsm::fields::{FieldSet, IDX_NAME, IDXL_NAME};
use icecore_tsm::{BlockType, Column, FileName, TsmWriter, WriterOptions};

use super::scene::{Copy, Log, SHARD, Scene, Since, back_up, bucket, open, time_ns};
use super::{assert_others, scenes};

type Kinds = BTreeMap<(Vec<u8>, Vec<u8>), BlockType>;

fn kinds(dir: &Path) -> Kinds {
    let (fields, _) = FieldSet::read(&RealDisk, dir).unwrap().unwrap();
    fields.iter().map(|(measurement, field, kind)| ((measurement.to_vec(), field.to_vec()), kind)).collect()
}

/// A value for every field of `values`, of the type that it has and of another one.
fn lines(values: &Values, time_ns: i64) -> Vec<(String, String)> {
    let mut fields = BTreeMap::new();
    for ((series, field), first, _) in values.spans() {
        let measurement = series.split(',').next().unwrap();
        fields.entry((measurement.to_owned(), field.clone())).or_insert_with(|| (series, first));
    }
    let lines = fields.into_iter().filter(|((measurement, _), _)| !measurement.contains('\\'));
    lines
        .map(|((measurement, field), (series, first))| {
            let (right, wrong) = match &values.column(series, &field)[&first] {
                Value::Float(_) => ("1.5", "1i"),
                Value::Integer(_) => ("1i", "1.5"),
                Value::Unsigned(_) => ("1u", "true"),
                Value::Boolean(_) => ("true", "1u"),
                Value::String(_) => ("\"one\"", "1.5"),
            };
            let field = field.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
            let line = |value: &str| format!("{measurement} {field}={value} {time_ns}\n");
            (line(right), line(wrong))
        })
        .collect()
}

fn write(database: &Database, line: &str) -> bool {
    let report = database.write(bucket(), line.as_bytes(), Precision::Nanoseconds).unwrap();
    report.partial.is_none()
}

/// Wrong types are refused, right ones taken; flushed, and opened again, every value is there.
#[track_caller]
fn assert_types_hold(scene: &Scene, copy: &Copy, sound: &Kinds, what: &str) -> Vec<PathBuf> {
    let what = format!("{:?}, {what}", scene.since);
    let database = open(copy.path(), Mode::ReadWrite).unwrap();
    let mut expected = scene.values[&SHARD].clone();
    for (right, wrong) in lines(&scene.values[&SHARD], time_ns(&database) + 5) {
        assert!(!write(&database, &wrong), "{what}: {wrong}");
        assert!(write(&database, &right), "{what}: {right}");
        expected.overwrite(line_protocol::parse_later_wins(&right));
    }
    database.flush().unwrap();
    let mended = database.shard(ShardId(SHARD)).unwrap().shard.mended();
    back_up(&database, SHARD).unwrap().assert_equal(&expected, &what);
    assert_others(&database, scene, &what);
    drop(database);
    let found = kinds(&copy.shard());
    for (field, kind) in sound {
        assert_eq!(found.get(field), Some(kind), "{what}: {field:?}");
    }
    let database = open(copy.path(), Mode::ReadWrite).unwrap();
    let mut right = lines(&expected, time_ns(&database) + 6);
    right.retain(|(right, wrong)| write(&database, right) && !write(&database, wrong));
    assert_eq!(right.len(), lines(&expected, 0).len(), "{what}: opened again");
    let again = database.shard(ShardId(SHARD)).unwrap().shard.mended();
    assert!(again.is_empty(), "{what}: {again:?}");
    mended.iter().map(|error| error.path().unwrap().to_owned()).collect()
}

/// The fields that have keys.
fn with_keys(scene: &Scene, copy: &Copy) -> Kinds {
    let mut kinds = kinds(&copy.shard());
    let values = &scene.values[&SHARD];
    kinds.retain(|(_, field), _| values.spans().any(|((_, known), ..)| known.as_bytes() == field.as_slice()));
    kinds
}

#[test]
fn a_flipped_bit_in_the_index_of_fields_gives_no_field_another_type() {
    for scene in scenes(Log::Flushed) {
        let path = scene.copy().shard().join(IDX_NAME);
        let sound = with_keys(&scene, &scene.copy());
        assert!(sound.len() > 10, "{sound:?}");
        let (mut cases, mut named) = (0, 0);
        let copy = scene.copy();
        let len = fs::read(copy.shard().join(IDX_NAME)).unwrap().len() * 8;
        assert!(path.ends_with(IDX_NAME));
        for bit in (0..len).step_by(len / 20 + 1) {
            let copy = scene.copy();
            let path = copy.shard().join(IDX_NAME);
            copy.flip(&path, bit);
            let damaged = fs::read(&path).unwrap();
            let mended = assert_types_hold(&scene, &copy, &sound, &format!("bit {bit} of {IDX_NAME}"));
            cases += 1;
            named += mended.len();
            if !mended.is_empty() {
                assert_eq!(mended, std::slice::from_ref(&path), "bit {bit}");
                let aside = path.with_file_name(format!("{IDX_NAME}.stray"));
                assert!(fs::read(aside).unwrap() == damaged, "bit {bit}: it is kept");
            }
        }
        println!("{:?}: {named} of {cases} flips are named", scene.since);
        assert!(named * 2 > cases, "most bits belong to fields that have keys");
    }
}

#[test]
fn an_index_of_fields_that_is_gone_or_lacks_fields_is_made_of_the_keys() {
    for scene in scenes(Log::Flushed) {
        let copy = scene.copy();
        let sound = with_keys(&scene, &copy);
        fs::remove_file(copy.shard().join(IDX_NAME)).unwrap();
        let mended = assert_types_hold(&scene, &copy, &sound, "no index of fields");
        assert_eq!(mended, [""; 0].map(PathBuf::from), "none is as good as the right one");

        // influxd loads fields.idx and drops a bad fields.idxl: what only that had is gone.
        let copy = scene.copy();
        let path = copy.shard().join(IDX_NAME);
        let (fields, _) = FieldSet::read(&RealDisk, &copy.shard()).unwrap().unwrap();
        let mut fewer = FieldSet::default();
        for (nth, (measurement, field, kind)) in fields.iter().enumerate() {
            if nth % 2 == 0 {
                fewer.add(measurement, field, kind).unwrap();
            }
        }
        fs::write(&path, fewer.to_idx_bytes()).unwrap();
        fs::write(path.with_file_name(IDXL_NAME), []).unwrap();
        let mended = assert_types_hold(&scene, &copy, &sound, "every second field is gone");
        assert_eq!(mended, [path], "it is told");
    }
}

/// The index is the one that the manifest lists; only it does not know what influxd wrote since.
#[test]
fn a_file_of_influxd_whose_field_is_in_no_index_gives_it_its_type() {
    for scene in scenes(Log::Flushed).into_iter().filter(|scene| scene.since != Since::OnlyWe) {
        let copy = scene.copy();
        let database = open(copy.path(), Mode::ReadOnly).unwrap();
        let time_ns = time_ns(&database);
        drop(database);
        let name = FileName::parse("000000077-000000001.tsm").unwrap();
        let mut writer = TsmWriter::new(&RealDisk, &copy.shard(), name, WriterOptions::default());
        let column = Column { times: vec![time_ns], values: icecore_tsm::Values::Integer(vec![7]) };
        writer.column(b"fresh,at=a#!~#f", &column, Flavor::Batch).unwrap();
        writer.finish().unwrap();
        let database = open(copy.path(), Mode::ReadWrite).unwrap();
        assert!(!write(&database, &format!("fresh,at=b f=1.5 {time_ns}\n")), "{:?}", scene.since);
        assert!(write(&database, &format!("fresh,at=b f=8i {time_ns}\n")), "{:?}", scene.since);
        database.flush().unwrap();
        let mut expected = scene.values[&SHARD].clone();
        let lines = format!("fresh,at=a f=7i {time_ns}\nfresh,at=b f=8i {time_ns}\n");
        expected.overwrite(line_protocol::parse(&lines));
        back_up(&database, SHARD).unwrap().assert_equal(&expected, &format!("{:?}", scene.since));
    }
}
