//! Line protocol goes in, and comes out of reads, exports and the directory that is opened again.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use icecore_catalog::{Id, OnboardRequest};
use icecore_database::{Database, Format, Mode, Options, Paths, Precision, WriteError};
use icecore_testkit::fixtures;
use icecore_tsm::{Column, TimeRange, Values};

fn open(dir: &Path) -> Database {
    Database::open(Paths::in_dir(dir), Options::new(Mode::ReadWrite)).unwrap()
}

fn set_up(database: &Database) -> Id {
    let request = OnboardRequest {
        username: "admin".into(),
        password: "choose-your-own".into(),
        org: "main".into(),
        bucket: "first".into(),
        ..OnboardRequest::default()
    };
    database.onboard(&request).unwrap();
    database.catalog().buckets().unwrap().into_iter().find(|bucket| bucket.name == "first").unwrap().id
}

fn read(database: &Database, bucket: Id, series: &str, field: &str) -> Vec<Column> {
    let mut columns = Vec::new();
    let read = database.read(bucket, series.as_bytes(), field.as_bytes(), TimeRange::ALL, |column| {
        columns.push(column.clone());
        Ok(())
    });
    read.unwrap();
    columns
}

fn lines(database: &Database, bucket: Id) -> Vec<String> {
    let mut out = Vec::new();
    database.export(&bucket.to_string(), Format::LineProtocol, &mut out).unwrap();
    let mut lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_was_written_is_read_exported_and_there_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let bucket = set_up(&database);
    let body = b"cpu,host=b,dc=x user=1.5,procs=12i 1700000000\nmem free=7u,name=\"a b\" 1700000001\ncpu,host=b,dc=x user=2 1800000000\n";
    let report = database.write(bucket, body, Precision::Seconds).unwrap();
    assert_eq!((report.points, report.values, report.partial), (3, 5, None));
    let expected = [
        Column { times: vec![1_700_000_000_000_000_000], values: Values::Float(vec![1.5]) },
        Column { times: vec![1_800_000_000_000_000_000], values: Values::Float(vec![2.0]) },
    ];
    assert_eq!(read(&database, bucket, "cpu,dc=x,host=b", "user"), expected);
    drop(database); // as a crash: nothing is flushed

    let database = open(dir.path());
    assert_eq!(read(&database, bucket, "cpu,dc=x,host=b", "user"), expected);
    let exported = lines(&database, bucket);
    assert_eq!(
        exported,
        [
            "cpu,dc=x,host=b procs=12i 1700000000000000000",
            "cpu,dc=x,host=b user=1.5 1700000000000000000",
            "cpu,dc=x,host=b user=2 1800000000000000000",
            "mem free=7u 1700000001000000000",
            "mem name=\"a b\" 1700000001000000000",
        ]
    );
    database.write(bucket, b"cpu,host=b,dc=x user=3 1700000000\n", Precision::Seconds).unwrap();
    let times = read(&database, bucket, "cpu,dc=x,host=b", "user");
    assert_eq!(times[0].values, Values::Float(vec![3.0]), "of equal times the last written counts");
    database.flush().unwrap();
    drop(database);
    let names: Vec<_> = walk(dir.path())
        .into_iter()
        .filter(|name| name.ends_with(".iwal") || name.ends_with(".wrr"))
        .collect();
    assert!(names.is_empty(), "a flush leaves no log: {names:?}");
    let read_only = Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).unwrap();
    assert_eq!(read(&read_only, bucket, "cpu,dc=x,host=b", "user")[0].values, Values::Float(vec![3.0]));
    assert_eq!(lines(&read_only, bucket).len(), 5);
}

#[test]
fn a_shard_whose_directory_of_logs_was_removed_is_written() {
    let dir = fixtures::unpack("fleet");
    std::fs::remove_dir_all(dir.path().join("engine/wal")).unwrap();
    let database = open(dir.path());
    let bucket: Id = "1b87b4f3c6ec1165".parse().unwrap();
    let shard = database.shards().first().unwrap().shard.snapshot().unwrap();
    let line = format!("late v=1i {}", shard.range().unwrap().unwrap().min());
    let report = database.write(bucket, line.as_bytes(), Precision::Nanoseconds).unwrap();
    assert_eq!((report.points, report.partial), (1, None));
    assert_eq!(database.shards().len(), 1, "it is the same shard");
    drop(database); // as a crash
    assert_eq!(
        read(&open(dir.path()), bucket, "late", "v").first().unwrap().values,
        Values::Integer(vec![1])
    );
}

fn walk(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(walk(&path));
        }
        names.push(path.display().to_string());
    }
    names
}

#[test]
fn what_is_refused_is_told_as_influxd_tells_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    let bucket = set_up(&database);
    let write = |body: &str| database.write(bucket, body.as_bytes(), Precision::Nanoseconds);
    let error = write("m f=1 1\nm f=\nm g=1i 2").unwrap_err();
    assert!(matches!(error, WriteError::Lines(_)));
    assert_eq!(error.to_string(), "unable to parse 'm f=': missing field value");
    assert!(read(&database, bucket, "m", "f").is_empty(), "nothing of such a batch is written");

    write("m f=1 1").unwrap();
    let partial = |body: &str| write(body).unwrap().partial.map(|partial| partial.to_string());
    assert_eq!(
        partial("m f=1i 2\nm f=2 2\nm f=t 3").unwrap(),
        "partial write: field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float dropped=2"
    );
    assert_eq!(read(&database, bucket, "m", "f")[0].times, [1, 2]);
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(
        partial(&format!("m s=\"{long}\" 4")).unwrap(),
        "partial write: input field \"s\" on measurement \"m\" is too long, 1048577 > 1048576 dropped=1"
    );
    assert_eq!(
        partial("m time=1 5").unwrap(),
        "partial write: invalid field name: input field \"time\" on measurement \"m\" is invalid dropped=1"
    );
    assert_eq!(
        partial("m time=1,g=2 5").unwrap(),
        format!(
            "partial write: invalid field name: input field \"time\" on measurement \"m\" is invalid. Field \"time\" has been stripped from point. dropped=0 for database: {bucket} for retention policy: autogen"
        )
    );
    assert!(read(&database, bucket, "m", "time").is_empty());
    assert_eq!(read(&database, bucket, "m", "g")[0].times, [5]);
    assert_eq!(partial("# a comment\n\n"), None);
    assert_eq!(partial(&format!("m s=\"{}\" 4", &long[..1 << 20])), None);
}
