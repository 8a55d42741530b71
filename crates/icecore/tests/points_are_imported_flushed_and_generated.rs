//! `icecore import`, `icecore flush` and `icecore gen`: what goes in comes out again, and what is refused is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::{LOG, Ran, icecore, icecore_reads};
use flate2::Compression;
use flate2::write::GzEncoder;
use icecore::{Database, Id, Mode, Options, Paths};
use icecore_catalog::OnboardRequest;
use icecore_lineprotocol::{Parser, Precision};
use icecore_testkit::fixtures;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory `data` that was set up, in one for files, and the id of its bucket.
fn set_up() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let request = OnboardRequest {
        username: "admin".into(),
        org: "main".into(),
        bucket: "first".into(),
        ..OnboardRequest::default()
    };
    let database = open(dir.path(), Mode::ReadWrite);
    let bucket: Id = database.onboard(&request).unwrap().bucket.id;
    (dir, bucket.to_string())
}

fn open(dir: &Path, mode: Mode) -> Database {
    Database::open(Paths::in_dir(&dir.join("data")), Options::new(mode)).unwrap()
}

fn import(dir: &Path, bucket: &str, arguments: &[&str]) -> Ran {
    icecore(dir, &[&["import", "--data-dir", "data", "--bucket-id", bucket], arguments].concat())
}

fn export(dir: &Path, bucket: &str) -> String {
    let ran = icecore(
        dir,
        &["export", "--data-dir", "data", "--bucket-id", bucket, "--format", "lp", "--output", "-"],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(dir.join(name), bytes).unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Value by series, field and time; later ones win.
fn values(text: &str) -> BTreeMap<(Vec<u8>, Vec<u8>, i64), String> {
    let (mut values, mut parser) = (BTreeMap::new(), Parser::new());
    let mut lines = parser.lines(text.as_bytes(), Precision::Nanoseconds, 0);
    while let Some(line) = lines.next_line() {
        let line = line.unwrap();
        for field in line.fields() {
            let place = (line.key().to_vec(), field.key.to_vec(), line.time_ns());
            values.insert(place, format!("{:?}", field.value));
        }
    }
    values
}

/// No log is left, and nothing that keeps influxd from starting.
fn assert_flushed(dir: &Path) {
    let mut pending = vec![dir.join("data/engine/wal")];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            assert!(!name.ends_with(".iwal") && !name.ends_with(".wrr"), "{name} is left");
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
}

/// More than a batch, with strings of several lines, so that batches have to end where lines do.
fn long(lines: usize) -> String {
    let mut text = String::new();
    for n in 0..lines {
        text.push_str(&format!(
            "m,host=h{} n={n}i,s=\"two\nlines {}\" {}\n",
            n % 7,
            "x".repeat(n % 90),
            1_700_000_000_000_000_000 + n
        ));
    }
    text
}

#[test]
fn files_compressed_files_and_standard_input_are_imported() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    write(dir, "plain.lp", "# a comment\nm,b=2,a=1 f=1.5,i=7i 1\n\nm s=\"no line break at the end\" 2");
    let ran = import(dir, &bucket, &["plain.lp"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "2 points, 3 values\n", ""));

    let two_members = [gzip("m,a=1,b=2 f=2 1\n"), gzip("m u=3u 3\n")].concat();
    write(dir, "packed.lp.gz", two_members);
    let ran = import(dir, &bucket, &["--json", "packed.lp.gz"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told, json!({"points": 2, "values": 2, "partial": 0}));

    let arguments =
        ["import", "--data-dir", "data", "--bucket-id", &bucket.to_uppercase(), "--precision", "s", "-"];
    let ran = icecore_reads(dir, &arguments, b"m b=t 5\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1 points, 1 values\n"), "{}", ran.stderr);
    let expected = "m b=true 5000000000\nm s=\"no line break at the end\" 2\nm u=3u 3\nm,a=1,b=2 f=2 1\nm,a=1,b=2 i=7i 1\n";
    assert_eq!(export(dir, &bucket), expected);
    assert_flushed(dir);
}

#[test]
fn batches_end_where_lines_do_and_an_import_can_be_repeated() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    let text = long(60_000);
    assert!(text.len() > 4 << 20);
    write(dir, "long.lp", &text);
    write(dir, "long.lp.gz", gzip(&text));
    let told = "60000 points, 120000 values\n";
    assert_eq!(import(dir, &bucket, &["long.lp"]).stdout, told);
    let expected = values(&text);
    assert!(values(&export(dir, &bucket)) == expected);
    assert_eq!(import(dir, &bucket, &["long.lp.gz"]).stdout, told);
    assert!(values(&export(dir, &bucket)) == expected, "the same points are there once");
    // A string of several batches is one line.
    let large = format!("large s=\"{}\" 1\nlarge t=\"a\" 2", "line\n".repeat(200_000));
    let ran =
        icecore_reads(dir, &["import", "--data-dir", "data", "--bucket-id", &bucket, "-"], large.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 points, 2 values\n"), "{}", ran.stderr);
    assert_eq!(values(&export(dir, &bucket)).len(), expected.len() + 2);
}

#[test]
fn a_line_that_is_no_point_ends_an_import_behind_the_batches_before_it() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    write(dir, "bad.lp", "m f=1 1\nm f=\nm f=3 3\nm,=x f=1 4\n");
    let ran = import(dir, &bucket, &["--json", "bad.lp"]);
    let what = "icecore: bad.lp: behind 0 points: unable to parse 'm f=': missing field value\nunable to parse 'm,=x f=1 4': missing tag key\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", what));
    assert_eq!(export(dir, &bucket), "", "nothing of the batch is written");

    let text = long(30_000) + "m f=";
    write(dir, "bad.lp.gz", gzip(&text));
    let ran = import(dir, &bucket, &["bad.lp.gz"]);
    assert_eq!(ran.code, 1);
    let told = ran.stderr.strip_prefix("icecore: bad.lp.gz: behind ").unwrap();
    let (points, rest) = told.split_once(' ').unwrap();
    assert_eq!(rest, "points: unable to parse 'm f=': missing field value\n");
    let points: usize = points.parse().unwrap();
    assert!((1000..30_000).contains(&points), "{points}");
    let exported = values(&export(dir, &bucket));
    assert!(exported == values(&long(points)), "so many points are there, and no others");
    assert_flushed(dir);
}

#[test]
fn points_that_are_not_taken_are_told() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    write(dir, "types.lp", "m f=1 1\nm f=2i 2\nm f=3 3\n");
    let ran = import(dir, &bucket, &["--json", "types.lp"]);
    assert_eq!(ran.code, 1);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told, json!({"points": 2, "values": 2, "partial": 1}));
    let what = "partial write: field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float dropped=1";
    assert!(ran.stderr.contains(what), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("icecore: one batch was not taken whole\n"), "{}", ran.stderr);
    assert_eq!(export(dir, &bucket), "m f=1 1\nm f=3 3\n");
}

#[test]
fn what_cannot_be_imported_is_named() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    write(dir, "one.lp", "m f=1 1\n");
    let packed = gzip(&long(1000));
    write(dir, "cut.lp.gz", &packed[..packed.len() / 2]);
    let cases = [
        (bucket.as_str(), "none.lp", "icecore: none.lp: No such file or directory (os error 2)\n"),
        (bucket.as_str(), "cut.lp.gz", "icecore: cut.lp.gz: "),
        ("0123456789abcdef", "one.lp", "icecore: bucket 0123456789abcdef not found\n"),
        ("first", "one.lp", "icecore: \"first\" is not the id of a bucket\n"),
    ];
    for (bucket, file, what) in cases {
        let ran = import(dir, bucket, &[file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{file}");
        assert!(ran.stderr.starts_with(what), "{}", ran.stderr);
    }
    assert_eq!(export(dir, &bucket), "");
    let held = open(dir, Mode::ReadWrite);
    let ran = import(dir, &bucket, &["one.lp"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(ran.stderr, "icecore: data/influxd.bolt is in use by another process: stop it first\n");
    drop(held);
    assert_eq!(icecore(dir, &["import", "--data-dir", "data", "one.lp"]).code, 2, "no bucket is wrong usage");
}

#[test]
fn generated_lines_are_exported_as_they_were_imported() {
    for shape in ["walk", "random", "constant", "counter", "unsigned", "boolean", "string", "mixed"] {
        let (dir, bucket) = set_up();
        let dir = dir.path();
        let arguments = [
            "gen",
            "--series",
            "30",
            "--points",
            "40",
            "--fields",
            "8",
            "--shape",
            shape,
            "--out-of-order",
            "0.2",
            "--step",
            "3600000000000",
            "--seed",
            "5",
        ];
        let generated = icecore(dir, &arguments);
        assert_eq!((generated.code, generated.stderr.as_str()), (0, ""));
        assert_eq!(generated.stdout.lines().count(), 1200);
        let file = icecore(dir, &[&arguments[..], &["--output", "gen.lp"]].concat());
        assert_eq!((file.code, file.stdout.as_str()), (0, ""));
        assert!(std::fs::read_to_string(dir.join("gen.lp")).unwrap() == generated.stdout, "again, the same");
        let ran = import(dir, &bucket, &["--json", "gen.lp"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["values"], 9600);
        let expected = values(&generated.stdout);
        assert!(expected.len() < 9600, "some points lie over others");
        assert!(values(&export(dir, &bucket)) == expected, "{shape}");
    }
}

#[test]
fn a_flush_takes_logs_into_files() {
    let (dir, bucket) = set_up();
    let dir = dir.path();
    let database = open(dir, Mode::ReadWrite);
    let lines = b"m f=1 1700000000\nm f=2 1800000000\n";
    database.write(bucket.parse().unwrap(), lines, Precision::Seconds).unwrap();
    drop(database); // as a crash: nothing is flushed
    let expected = export(dir, &bucket);
    let ran = icecore(dir, &["flush", "--data-dir", "data"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 shards, 2 files\n"), "{}", ran.stderr);
    assert_flushed(dir);
    assert_eq!(export(dir, &bucket), expected);
    let ran = icecore(dir, &["flush", "--data-dir", "data", "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told, json!({"shards": 2, "damaged": 0, "files": 2}), "again, there is nothing to do");
}

#[test]
fn a_flush_takes_logs_of_influxd_over_and_leaves_a_damaged_shard_alone() {
    let dir = fixtures::unpack("kitchen-sink");
    let mut log = std::fs::read(dir.path().join(LOG)).unwrap();
    log[5..40].fill(0xff);
    write(dir.path(), LOG, &log);
    let ran = icecore(dir.path(), &["flush", "--data-dir", ".", "--json"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["shards"], &told["damaged"]), (&json!(13), &json!(1)));
    assert!(ran.stderr.contains(LOG), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("icecore: one damaged shard was left as it is\n"), "{}", ran.stderr);
    assert!(std::fs::read(dir.path().join(LOG)).unwrap() == log);
    let other = dir.path().join("engine/wal/e82f1075dd10d838/autogen/13/_00002.wal");
    assert!(!other.exists(), "the log of another shard is in a file");
}
