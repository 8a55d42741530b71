//! An archive with comments before its files (docs/http.md, section 14.5) is the same to whoever reads it: Go, Python, GNU tar, and a
//! real influxd that restores it. A file that is long enough has one over HTTP, too, the same at the first request and later.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use icecore_backup::{Selection, ShardArchive};
use icecore_database::{Database, Mode, Options, Paths, ShardId};
use icecore_disk::RealDisk;
use icecore_testkit::tsm;
use icecore_tests::archive::{self, Files};
use icecore_tests::fixture::LAYERS;
use icecore_tests::http::{Answer, Client};
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{self, Cli, Influxd};
use icecore_tests::peers;
use icecore_tests::process::run;
use icecore_tsm::block::Flavor;
use icecore_tsm::{BlockType, Delete, FileName, Scope, TimeRange, TsmFile, TsmWriter, WriterOptions};

/// Of the server that the backup is restored into, before that.
const OTHER_TOKEN: &str = "a-token-of-the-other-server";

/// Where the files of the one shard lie.
fn shard_dir(root: &Path) -> PathBuf {
    root.join("engine/data").join(LAYERS.buckets[0]).join("autogen/1")
}

/// Deletes all times of the points of a file.
fn delete(path: &Path, range: TimeRange) {
    let name = FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let file = TsmFile::open(&RealDisk, path, name).unwrap();
    file.delete(&RealDisk, &[Delete { scope: Scope::Prefix(b"m"), range }], None).unwrap();
}

/// The archive of a shard with a block of a comment for each `unit` bytes of its files.
fn commented(root: &Path, unit: u64) -> Vec<u8> {
    let database = Database::open(Paths::in_dir(root), Options::new(Mode::ReadOnly)).unwrap();
    let archive = ShardArchive::new(&database, ShardId(1), &Selection::default()).unwrap();
    let chunks = archive.with_manner(unit, 1, Instant::now).map(Result::unwrap);
    chunks.collect::<Vec<_>>().concat()
}

/// Where each comment begins, and its length.
fn comments(archive: &[u8]) -> Vec<(usize, u64)> {
    let mut reader = tar::Archive::new(archive);
    let entries = reader.entries().unwrap().raw(true).map(Result::unwrap);
    let extended = entries.filter(|entry| entry.header().entry_type().is_pax_local_extensions());
    extended.map(|entry| (usize::try_from(entry.raw_header_position()).unwrap(), entry.size())).collect()
}

/// The files below a directory of which all are of the shard, by the last component of their names.
fn unpacked(root: &Path) -> Files {
    let folder = root.join(LAYERS.buckets[0]).join("autogen/1");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// Unpacks with what of other programs is there, and compares.
fn read_by_others(bytes: &[u8]) {
    let expected = archive::files(bytes, LAYERS.buckets[0], 1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("1.tar");
    fs::write(&file, bytes).unwrap();
    let mut readers: BTreeMap<&str, Command> = BTreeMap::new();
    if let Some(go) = peers::untar() {
        readers.insert("go", Command::new(go));
    }
    if let Some(python) = peers::python3() {
        let mut command = Command::new(python);
        command.arg(peers::own("python/untar.py"));
        readers.insert("python", command);
    }
    for (name, mut command) in readers {
        let to = dir.path().join(name);
        run(command.arg(&file).arg(&to));
        assert!(unpacked(&to) == expected, "{name}");
    }
    if let Some(tar) = peers::tar() {
        let to = dir.path().join("tar");
        fs::create_dir(&to).unwrap();
        run(Command::new(&tar).arg("-xf").arg(&file).arg("-C").arg(&to));
        assert!(unpacked(&to) == expected, "tar");
        let listed = String::from_utf8(run(Command::new(tar).arg("-tvf").arg(&file))).unwrap();
        assert_eq!(listed.lines().count(), expected.len(), "{listed}");
    }
    let said = icecore::verify(&file);
    assert!(!said.contains("note:"), "{said}");
}

#[test]
fn comments_of_any_length_are_passed_over_by_every_reader() {
    let root = LAYERS.unpack();
    let count = commented_files(root.path());
    assert!(count > 1);
    // The longest that there can be, and those of a block or two.
    for (unit, longest) in [(1, 1 << 20..=1 << 20), (2048, 512..=100 << 10)] {
        let bytes = commented(root.path(), unit);
        let lens: Vec<_> = comments(&bytes).into_iter().map(|(_, len)| len).collect();
        assert!(
            lens.iter().max().is_some_and(|len| longest.contains(len)) && lens.len() == count,
            "{lens:?}"
        );
        read_by_others(&bytes);
    }
}

/// How many files have deletes.
fn commented_files(root: &Path) -> usize {
    let entries = fs::read_dir(shard_dir(root)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "tombstone")).count()
}

#[test]
fn a_comment_of_a_file_of_which_nothing_is_left_is_passed_over_before_the_next() {
    let root = LAYERS.unpack();
    let sent = comments(&commented(root.path(), 1)).len();
    let mut files: Vec<_> =
        fs::read_dir(shard_dir(root.path())).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "tsm"));
    files.sort();
    // One in the middle, then all of them: the last comment stands before the list.
    for (gone, left) in [(&files[1..2], sent - 1), (&files[..], 1)] {
        gone.iter().for_each(|path| delete(path, TimeRange::ALL));
        let bytes = commented(root.path(), 1);
        assert_eq!(comments(&bytes).len(), left);
        read_by_others(&bytes);
    }
}

#[test]
fn influxd_restores_an_archive_with_comments() {
    let Some((influxd, influx)) = peers::influxd2_and_cli() else { return };
    let root = LAYERS.unpack();
    let backup = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    let client = server.client().with_token(LAYERS.token);
    Cli::new(&influx, &client, LAYERS.token).run(&["backup", "--compression", "none"], Some(backup.path()));
    server.stop();
    // The CLI hands the archive on as it lies there.
    let bytes = commented(root.path(), 1);
    assert!(!comments(&bytes).is_empty());
    let mut archives: Vec<_> =
        fs::read_dir(backup.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    archives.retain(|path| path.to_str().unwrap().ends_with(".1.tar"));
    assert_eq!(archives.len(), 1);
    assert!(
        archive::files(&fs::read(&archives[0]).unwrap(), LAYERS.buckets[0], 1)
            == archive::files(&bytes, LAYERS.buckets[0], 1)
    );
    fs::write(&archives[0], bytes).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let other = Influxd::start(&influxd, dir.path());
    influxd2::set_up(other.client(), OTHER_TOKEN);
    let cli = Cli::new(&influx, other.client(), OTHER_TOKEN);
    cli.run(&["restore", "--full", "--operator-token", LAYERS.token], Some(backup.path()));
    let client = other.client().with_token(LAYERS.token);
    for bucket_id in LAYERS.buckets {
        influxd2::answered(&client, bucket_id).assert_equal(&LAYERS.expected(bucket_id), bucket_id);
    }
    other.stop();
}

/// Puts a file of more than 16 MiB into the shard, with a delete that cuts a block of each key.
fn put_long_file(root: &Path) {
    let name = FileName::parse("000000100-000000001.tsm").unwrap();
    let dir = shard_dir(root);
    let mut writer = TsmWriter::new(&RealDisk, &dir, name, WriterOptions::default());
    let column =
        tsm::column(BlockType::Float, (0..100_000).map(|second| second * 1_000_000_000).collect(), 1);
    for key in 0..25 {
        writer.column(format!("m,long={key:02}#!~#f").as_bytes(), &column, Flavor::Batch).unwrap();
    }
    writer.finish().unwrap();
    let path = dir.join(name.to_string());
    assert!((16 << 20..32 << 20).contains(&fs::metadata(&path).unwrap().len()));
    delete(&path, TimeRange::new(0, 500 * 1_000_000_000).unwrap());
}

fn download(client: &Client, query: &str, headers: &[(&str, &str)]) -> Answer {
    client.send("GET", &format!("/api/v2/backup/shards/1{query}"), headers, &[])
}

#[test]
fn a_long_file_with_deletes_has_a_comment_the_same_at_every_request_and_in_every_part() {
    let root = LAYERS.unpack();
    put_long_file(root.path());
    let mut archives = Vec::new();
    // In time and not, so that the head leaves with a length and without.
    for flags in [&[][..], &["--backup-check-max", "0"], &["--backup-spool-max", "0"], &["--read-only"]] {
        let server = Server::start_with(root.path(), flags);
        let client = server.client().with_token(LAYERS.token);
        let first = download(&client, "", &[]);
        assert_eq!(first.status, 200);
        let found = comments(&first.body);
        assert_eq!(found.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [512], "{flags:?}");
        let at = found[0].0;
        let second = download(&client, "", &[]);
        assert_eq!(second.header("Content-Length"), Some(first.body.len().to_string()).as_deref());
        assert!(second.body == first.body, "{flags:?}");
        let tag = second.header("ETag").unwrap();
        for from in
            [at - 1, at, at + 1, at + 512, at + 600, at + 1023, at + 1024, at + 1536, first.body.len() - 1]
        {
            let part = download(&client, "", &[("Range", &format!("bytes={from}-")), ("If-Range", tag)]);
            assert_eq!(part.status, 206);
            assert!(part.body == first.body[from..], "{flags:?}, from {from}, the comment at {at}");
        }
        for encoding in ["gzip", "zstd"] {
            let headers = [("Accept-Encoding", encoding), ("Gzip-Compression-Level", "speedy")];
            assert!(download(&client, "", &headers).decoded() == first.body, "{encoding}");
        }
        // The list alone: what may have to be read for it is more than 16 MiB.
        let cut = first.header("Icecore-Cut").unwrap().replace('+', "%2B");
        let list = download(&client, &format!("?since={cut}&files=1"), &[]);
        assert_eq!(comments(&list.body), [(0, 512)], "{flags:?}");
        let names: Vec<_> = archive::files(&list.body, LAYERS.buckets[0], 1).into_keys().collect();
        assert_eq!(names, ["icecore.files"]);
        server.stop();
        archives.push(first.body);
    }
    assert!(archives.windows(2).all(|pair| pair[0] == pair[1]), "the same by every server");
    read_by_others(&archives[0]);
}
