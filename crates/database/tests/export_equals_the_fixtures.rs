//! Exports of the fixtures against the values that the real server answered.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;

use icecore_database::{Database, Format, Mode, Options, Paths};
use icecore_testkit::fixtures;

/// Buckets with expected values.
const BUCKETS: [(&str, &str); 5] = [
    ("kitchen-sink", "725e5d10302da261"),
    ("kitchen-sink", "83fa952f192155e3"),
    ("kitchen-sink", "348f4c27f9903b80"),
    ("kitchen-sink", "e82f1075dd10d838"),
    ("layers", "a5de34553b154f33"),
];

fn export(dir: &Path, mode: Mode, bucket: &str) -> Vec<u8> {
    let database = Database::open(Paths::in_dir(dir), Options::new(mode)).unwrap();
    let mut out = Vec::new();
    database.export(bucket, Format::Tsv, &mut out).unwrap();
    out
}

/// Path, length, time of modification and content of every file below `dir`.
fn tree(dir: &Path) -> BTreeMap<String, (std::time::SystemTime, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let name = entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            let content = if meta.is_dir() {
                pending.push(entry.path());
                Vec::new()
            } else {
                std::fs::read(entry.path()).unwrap()
            };
            files.insert(name, (meta.modified().unwrap(), content));
        }
    }
    files
}

#[track_caller]
fn assert_same_lines(found: &[u8], expected: &[u8], what: &str) {
    let (mut found_lines, mut expected_lines) =
        (found.split(|b| *b == b'\n'), expected.split(|b| *b == b'\n'));
    for line in 1.. {
        let (found, expected) = (found_lines.next(), expected_lines.next());
        let text = |line: Option<&[u8]>| line.map(|line| String::from_utf8_lossy(line).into_owned());
        assert_eq!(text(found), text(expected), "{what}, line {line}");
        if found.is_none() {
            return;
        }
    }
}

#[test]
fn every_bucket_equals_what_the_real_server_answered_and_nothing_is_written() {
    for (fixture, bucket) in BUCKETS {
        let dir = fixtures::unpack(fixture);
        let before = tree(dir.path());
        let expected = fixtures::read(&format!("{fixture}/expected/{bucket}.tsv.gz"));
        assert_same_lines(&export(dir.path(), Mode::ReadOnly, bucket), &expected, bucket);
        assert!(tree(dir.path()) == before, "{fixture} was changed by reading it");
    }
}

#[test]
fn the_values_stay_when_the_log_is_taken_over_and_the_directory_is_opened_again() {
    for (fixture, bucket) in BUCKETS {
        let dir = fixtures::unpack(fixture);
        let expected = fixtures::read(&format!("{fixture}/expected/{bucket}.tsv.gz"));
        for round in ["taking over", "opened again"] {
            assert_same_lines(
                &export(dir.path(), Mode::ReadWrite, bucket),
                &expected,
                &format!("{bucket} {round}"),
            );
        }
        let segments = tree(dir.path()).into_keys().filter(|name| name.ends_with(".wal")).count();
        assert_eq!(segments, 0, "{fixture}: the log was taken over, so its segments are gone");
        assert_same_lines(&export(dir.path(), Mode::ReadOnly, bucket), &expected, bucket);
    }
}

/// Splits at commas outside quotes.
fn split_fields(text: &str) -> Vec<&str> {
    let mut in_quotes = false;
    text.split(|c: char| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    })
    .collect()
}

/// `series field=value,field=value time` without escapes, as the generator of `fleet` wrote it.
fn model_of_fleet() -> BTreeMap<(String, String, i64), String> {
    let text = String::from_utf8(fixtures::read("fleet/fleet.lp.gz")).unwrap();
    assert!(!text.contains('\\'), "escapes are not read here");
    let mut model = BTreeMap::new();
    for line in text.lines() {
        let (series, rest) = line.split_once(' ').unwrap();
        let (fields, time) = rest.rsplit_once(' ').unwrap();
        for field in split_fields(fields) {
            let (name, value) = field.split_once('=').unwrap();
            let value = match value.as_bytes() {
                [b'"', .., b'"'] => format!("s\t{value}"),
                [.., b'i'] => format!("i\t{}", value.trim_end_matches('i')),
                b"true" | b"false" => format!("b\t{value}"),
                _ => format!("f\t{:016x}", value.parse::<f64>().unwrap().to_bits()),
            };
            model.insert((series.to_owned(), name.to_owned(), time.parse().unwrap()), value);
        }
    }
    model
}

#[test]
fn fleet_equals_the_lines_that_were_written() {
    let dir = fixtures::unpack("fleet");
    let found = String::from_utf8(export(dir.path(), Mode::ReadOnly, "1b87b4f3c6ec1165")).unwrap();
    let model = model_of_fleet();
    let mut lines = found.lines();
    for ((series, field, time), value) in &model {
        assert_eq!(lines.next(), Some(format!("{series}\t{field}\t{value}\t{time}").as_str()));
    }
    assert_eq!((lines.next(), model.len()), (None, 2_000_000));
}

#[test]
fn a_bucket_that_nobody_knows_is_an_error_and_an_empty_one_is_not() {
    let dir = fixtures::unpack("kitchen-sink");
    let database = Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).unwrap();
    let error = database.export("0000000000000001", Format::Tsv, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "bucket 0000000000000001 not found");
    let mut out = Vec::new();
    assert_eq!(database.export("a61399a6437fbb5b", Format::LineProtocol, &mut out).unwrap(), 0);
    assert!(out.is_empty());
}

#[test]
fn a_directory_that_someone_else_writes_is_refused() {
    let dir = fixtures::unpack("layers");
    let paths = Paths::in_dir(dir.path());
    let _held = Database::open(paths.clone(), Options::new(Mode::ReadWrite)).unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let error = Database::open(paths.clone(), Options::new(mode)).unwrap_err();
        assert!(error.to_string().ends_with("is in use by another process: stop it first"), "{error}");
    }
}

#[test]
fn a_directory_of_another_user_is_not_written() {
    let dir = fixtures::unpack("layers");
    let bolt = dir.path().join("influxd.bolt");
    if std::os::unix::fs::chown(&bolt, Some(12_345), None).is_err() {
        eprintln!("a_directory_of_another_user_is_not_written: skipped, only root can give a file away");
        return;
    }
    let before = tree(dir.path());
    let error = Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadWrite)).unwrap_err();
    assert!(error.to_string().contains("belongs to user 12345"), "{error}");
    assert!(tree(dir.path()) == before);
    Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).unwrap();
}
