//! `icecore verify` as an operator uses it: exit codes, what is named, and that nothing is touched.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use common::{LOG, Ran, TOMBSTONE, TSM, icecore};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use icecore_testkit::fixtures;
use serde_json::Value;
use tempfile::TempDir;

const DAMAGED: i32 = 4;
const BACKUP: &str = "kitchen-sink/cli-backup";
const SHARD_1: &str = "20261122T171531Z.1.tar.gz";
/// The directory of [`TSM`].
const SHARD: &str = "engine/data/725e5d10302da261/autogen/1";

fn verify(dir: &Path, path: &str) -> Ran {
    icecore(dir, &["verify", path])
}

fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

/// A private copy of a folder of the fixtures.
fn copy_of(fixture: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures::path(fixture)).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(dir.path().join(entry.file_name()), bytes).unwrap();
    }
    dir
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The run ends with damage, and one line names file, what, and byte.
#[track_caller]
fn assert_names(ran: &Ran, line: &str) {
    assert_eq!(ran.code, DAMAGED, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.lines().any(|printed| printed.starts_with(line)), "{line}\nnot in\n{}", ran.stdout);
    assert!(ran.stdout.contains("\nDAMAGED: "), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("icecore: "), "{}", ran.stderr);
}

#[track_caller]
fn assert_sound(ran: &Ran) {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\nsound\n"), "{}", ran.stdout);
}

#[test]
fn sound_directories_and_backups_are_sound() {
    for name in ["kitchen-sink", "layers", "fleet"] {
        let dir = fixtures::unpack(name);
        for path in [".", "engine", "influxd.bolt", "influxd.sqlite"] {
            assert_sound(&verify(dir.path(), path));
        }
        assert_sound(&icecore(dir.path(), &["verify", "--depth", "checksum", "engine"]));
    }
    let backup = fixtures::path(BACKUP);
    let ran = verify(&backup, ".");
    assert_sound(&ran);
    assert!(!ran.stdout.contains("note:"), "{}", ran.stdout);
    assert_sound(&verify(&backup, SHARD_1));
    assert_sound(&verify(&backup, "20261122T171531Z.manifest"));
    let captured = fixtures::path("kitchen-sink/http");
    for path in ["shards", "shards/13.tar", "kv.bolt", "since-future.tar"] {
        assert_sound(&verify(&captured, path));
    }
}

#[test]
fn nothing_is_written_and_no_lock_is_needed() {
    let dir = fixtures::unpack("kitchen-sink");
    let tree = |dir: &Path| {
        let mut all = Vec::new();
        let mut ahead = vec![dir.to_owned()];
        while let Some(next) = ahead.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.metadata().unwrap();
                all.push((path.clone(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()));
                if meta.is_dir() {
                    ahead.push(path);
                }
            }
        }
        all.sort();
        all
    };
    let before = tree(dir.path());
    // As a running influxd holds it.
    let bolt = fs::File::open(dir.path().join("influxd.bolt")).unwrap();
    bolt.lock().unwrap();
    assert_sound(&verify(dir.path(), "."));
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn wrong_usage_is_2() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "ice").unwrap();
    for (arguments, said) in [
        (&["verify", "nowhere"][..], "nowhere: no such file or directory"),
        (&["verify", "notes.txt"], "neither its name nor its content"),
        (&["verify", "."], "there is nothing to verify in it"),
        (&["verify"], "required arguments"),
        (&["verify", ".", "--depth", "bottom"], "invalid value"),
    ] {
        let ran = icecore(dir.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}

#[test]
fn a_flip_in_a_block_is_named_with_its_key() {
    let dir = fixtures::unpack("kitchen-sink");
    edit(dir.path(), TSM, |bytes| bytes[10] ^= 1);
    for path in [TSM, SHARD, "engine", "."] {
        let file = match path {
            "." => format!("./{TSM}"),
            _ => TSM.to_owned(),
        };
        let line =
            format!("{file}: a block's checksum is wrong at byte 5 (key cpu,host=h0,region=r2#!~#bytes)");
        assert_names(&verify(dir.path(), path), &line);
    }
    let ran = icecore(dir.path(), &["verify", "--depth", "checksum", "."]);
    assert_eq!(ran.code, DAMAGED, "{}", ran.stdout);
}

#[test]
fn damage_of_index_footer_and_length_is_named() {
    let dir = fixtures::unpack("kitchen-sink");
    let path = dir.path().join(TSM);
    let sound = fs::read(&path).unwrap();
    let index = usize::try_from(u64::from_be_bytes(*sound.last_chunk().unwrap())).unwrap();
    let key_len = usize::from(sound[index + 1]);
    let kind = index + 2 + key_len;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        verify(dir.path(), TSM)
    };
    let ran = with(&|bytes| bytes[kind] = 9);
    assert_names(&ran, &format!("{TSM}: unknown block type in the index at byte {index} (key "));
    let ran = with(&|bytes| bytes[kind] = 0);
    assert_names(&ran, &format!("{TSM}: a block has another type than the index says at byte 5 (key "));
    let ran = with(&|bytes| *bytes.last_mut().unwrap() = 0);
    assert_eq!(ran.code, DAMAGED, "{}", ran.stdout);
    let ran = with(&|bytes| bytes.truncate(sound.len() - 1));
    assert_names(&ran, &format!("{TSM}: the footer points outside the file at byte {}", sound.len() - 9));
    let ran = with(&|bytes| bytes.truncate(3));
    assert_names(&ran, &format!("{TSM}: shorter than "));
    let ran = with(&|bytes| bytes[0] = 0);
    assert_names(&ran, &format!("{TSM}: not a TSM file at byte 0"));
}

#[test]
fn damage_of_tombstone_and_log_is_named() {
    let dir = fixtures::unpack("kitchen-sink");
    edit(dir.path(), TOMBSTONE, |bytes| bytes[140] ^= 1);
    edit(dir.path(), LOG, |bytes| bytes[0] = 9); // values in a log have no checksum: the type of an entry
    let ran = verify(dir.path(), "engine");
    assert_names(
        &ran,
        &format!("{TOMBSTONE}: a tombstone record is cut off or its checksum is wrong at byte 4"),
    );
    assert_names(&ran, &format!("{LOG}: unknown type of log entry at byte 0"));
}

#[test]
fn a_torn_tail_is_a_note_in_the_last_segment_and_damage_before_it() {
    let dir = fixtures::unpack("kitchen-sink");
    let size = fs::metadata(dir.path().join(LOG)).unwrap().len();
    edit(dir.path(), LOG, |bytes| bytes.truncate(bytes.len() - 5));
    let ran = verify(dir.path(), "engine");
    assert_sound(&ran);
    let note =
        format!("note: {LOG}: the log ends in an unfinished write, which was never acknowledged at byte ");
    assert!(ran.stdout.contains(&note), "{}", ran.stdout);
    let later = LOG.replace("_00004", "_00005");
    fs::copy(
        fixtures::unpack("layers").path().join("engine/wal/a5de34553b154f33/autogen/1/_00006.wal"),
        dir.path().join(&later),
    )
    .unwrap();
    let ran = verify(dir.path(), LOG);
    assert_eq!(ran.code, DAMAGED, "{size}: {}", ran.stdout);
    assert_eq!(verify(dir.path(), "engine").code, DAMAGED);
}

#[test]
fn damage_of_the_metadata_is_named() {
    let dir = fixtures::unpack("kitchen-sink");
    // Page 0 and 1 are the metas; page 3 is in use by what influxd writes first.
    edit(dir.path(), "influxd.bolt", |bytes| bytes[0..8192].fill(0xee));
    assert_names(&verify(dir.path(), "influxd.bolt"), "influxd.bolt: ");
    edit(dir.path(), "influxd.sqlite", |bytes| {
        let end = bytes.len().min(8192);
        bytes[4096..end].fill(0xee);
    });
    assert_names(&verify(dir.path(), "influxd.sqlite"), "influxd.sqlite: ");
}

#[test]
fn a_damaged_member_of_an_archive_is_named_with_its_byte() {
    let dir = copy_of(BACKUP);
    edit(dir.path(), SHARD_1, |bytes| {
        let mut plain = gunzip(bytes);
        plain[512 + 10] ^= 1;
        *bytes = gzip(&plain);
    });
    let member = "725e5d10302da261/autogen/1/000000003-000000002.tsm";
    let line = format!("{SHARD_1}:{member}: a block's checksum is wrong at byte 5 (key ");
    assert_names(&verify(dir.path(), SHARD_1), &line);
    let ran = verify(dir.path(), ".");
    assert_names(&ran, &format!("./{line}"));
    assert!(ran.stdout.contains(&format!("./{SHARD_1}: it has ")), "the manifest's length: {}", ran.stdout);
}

#[test]
fn a_cut_archive_and_a_flip_in_its_gzip_are_named() {
    let dir = copy_of(BACKUP);
    let path = dir.path().join(SHARD_1);
    let sound = fs::read(&path).unwrap();
    for keep in [sound.len() / 2, sound.len() - 1, 30, 5, 0] {
        fs::write(&path, &sound[..keep]).unwrap();
        assert_names(&verify(dir.path(), SHARD_1), &format!("{SHARD_1}: the "));
    }
    for at in [sound.len() / 2, sound.len() - 6, 100] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x04;
        fs::write(&path, bytes).unwrap();
        let ran = verify(dir.path(), SHARD_1);
        assert_names(&ran, SHARD_1);
        assert!(ran.stdout.contains("at byte"), "{}", ran.stdout);
    }
    // The gzip is whole, and what is in it is cut.
    let plain = gunzip(&sound);
    for keep in [plain.len() - 1024, plain.len() - 512, plain.len() - 2000, 512, 300] {
        fs::write(&path, gzip(&plain[..keep])).unwrap();
        assert_names(&verify(dir.path(), SHARD_1), &format!("{SHARD_1}: the archive "));
        fs::write(dir.path().join("1.tar"), &plain[..keep]).unwrap();
        assert_names(&verify(dir.path(), "1.tar"), "1.tar: the archive ");
    }
    fs::write(dir.path().join("1.tar"), &plain).unwrap();
    assert_sound(&verify(dir.path(), "1.tar"));
    fs::write(dir.path().join("1.tar"), [&plain[..], b"more"].concat()).unwrap();
    assert_names(&verify(dir.path(), "1.tar"), "1.tar: bytes behind the end of the archive at byte ");
    let mut header = plain.clone();
    header[3] ^= 1;
    fs::write(dir.path().join("1.tar"), header).unwrap();
    assert_names(&verify(dir.path(), "1.tar"), "1.tar: the archive cannot be followed from here on ");
}

#[test]
fn a_backup_is_held_to_its_manifest() {
    let dir = copy_of(BACKUP);
    let manifest = "20261122T171531Z.manifest";
    fs::remove_file(dir.path().join(SHARD_1)).unwrap();
    assert_names(&verify(dir.path(), "."), &format!("./{manifest}: {SHARD_1} is missing"));
    // The archive of another shard under its name.
    fs::copy(dir.path().join("20261122T171531Z.2.tar.gz"), dir.path().join(SHARD_1)).unwrap();
    let ran = verify(dir.path(), manifest);
    assert_names(&ran, &format!("{SHARD_1}: 725e5d10302da261/autogen/2/000000001-000000002.tsm is not in "));
    assert!(ran.stdout.contains("the manifest says 203444"), "{}", ran.stdout);
    fs::write(dir.path().join(manifest), "{").unwrap();
    assert_names(&verify(dir.path(), "."), &format!("./{manifest}: it is not the manifest of a backup"));
    let dir = copy_of(BACKUP);
    edit(dir.path(), "20261122T171531Z.bolt.gz", |bytes| {
        let mut plain = gunzip(bytes);
        plain[0..8192].fill(0xee);
        *bytes = gzip(&plain);
    });
    assert_names(&verify(dir.path(), "."), "./20261122T171531Z.bolt.gz: ");
}

/// An archive as Icecore sends it, with its list of files.
fn archive_with_list() -> Vec<u8> {
    use icecore::{Database, Mode, Options, Paths, ShardId};
    let dir = fixtures::unpack("layers");
    let database = Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).unwrap();
    let archive =
        icecore_backup::ShardArchive::new(&database, ShardId(1), &icecore_backup::Selection::default());
    archive.unwrap().map(Result::unwrap).collect::<Vec<_>>().concat()
}

#[test]
fn an_archive_is_held_to_its_list_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let sound = archive_with_list();
    fs::write(dir.path().join("1.tar"), &sound).unwrap();
    fs::write(dir.path().join("1.tar.gz"), gzip(&sound)).unwrap();
    for name in ["1.tar", "1.tar.gz"] {
        let ran = verify(dir.path(), name);
        assert_sound(&ran);
        assert!(!ran.stdout.contains("no list of files"), "{}", ran.stdout);
    }
    // The modification time in the index is not covered by a checksum of the file, the key is not either: the digest is.
    let key = sound.windows(5).rposition(|window| window == b"m,h=b").unwrap();
    let mut other_key = sound.clone();
    other_key[key..key + 5].copy_from_slice(b"m,h=B");
    let mut short = sound.clone();
    let size = sound[124..136].to_vec(); // of the first file
    let first = 512
        + usize::from_str_radix(std::str::from_utf8(&size[..11]).unwrap(), 8).unwrap().next_multiple_of(512);
    short.drain(..first);
    for (name, bytes) in [("1.tar", other_key.clone()), ("1.tar.gz", gzip(&other_key))] {
        fs::write(dir.path().join(name), bytes).unwrap();
        let ran = verify(dir.path(), name);
        assert_eq!(ran.code, DAMAGED, "{}", ran.stdout);
    }
    assert!(verify(dir.path(), "1.tar").stdout.contains("1.tar: the digest of "));
    // As an incremental archive is: it lacks what an earlier one has.
    fs::write(dir.path().join("1.tar"), &short).unwrap();
    let ran = verify(dir.path(), "1.tar");
    assert_sound(&ran);
    assert!(
        ran.stdout.contains("note: 1.tar: 1 of the 6 files of its list are in an earlier archive"),
        "{}",
        ran.stdout
    );
    // The list itself.
    let list = sound.windows(15).rposition(|window| window == b"icecore.files 1").unwrap();
    let mut lie = sound.clone();
    lie[list + 20] ^= 1;
    fs::write(dir.path().join("1.tar"), &lie).unwrap();
    assert_names(&verify(dir.path(), "1.tar"), "1.tar:a5de34553b154f33/autogen/1/icecore.files: ");
}

#[test]
fn the_json_names_the_same() {
    let dir = fixtures::unpack("kitchen-sink");
    edit(dir.path(), TSM, |bytes| bytes[10] ^= 1);
    let ran = icecore(dir.path(), &["verify", "--json", "engine"]);
    assert_eq!(ran.code, DAMAGED);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["summary"]["verdict"], "damaged");
    assert_eq!(found["summary"]["damage"], 1);
    assert_eq!(found["summary"]["blocks"], 256);
    let files = found["files"].as_array().unwrap();
    let damaged: Vec<&Value> = files.iter().filter(|file| file["verdict"] != "sound").collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!((&damaged[0]["path"], &damaged[0]["kind"]), (&Value::from(TSM), &Value::from("tsm")));
    let damage = &damaged[0]["damage"]["listed"][0];
    assert_eq!(damage["offset"], 5);
    assert_eq!(damage["kind"], "checksum");
    assert_eq!(damage["key"], "cpu,host=h0,region=r2#!~#bytes");
    assert_eq!(found["summary"]["files"], files.len());
}

/// Where influxd can see a damage, it says the same of the file.
#[test]
fn influxd_comes_to_the_same_verdict() {
    let Some(influxd) = std::env::var_os("INFLUXD_BIN") else {
        let line = "\ninfluxd_comes_to_the_same_verdict: skipped without INFLUXD_BIN\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let influxd_finds_damage = |dir: &Path| {
        let output = Command::new(&influxd)
            .args(["inspect", "verify-tsm", "--engine-path"])
            .arg(dir.join("engine"))
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        !output.status.success() || !text.contains("Broken Blocks: 0 /")
    };
    let dir = fixtures::unpack("kitchen-sink");
    assert!(!influxd_finds_damage(dir.path()));
    assert_eq!(verify(dir.path(), "engine").code, 0);
    let sound = fs::read(dir.path().join(TSM)).unwrap();
    let index = usize::try_from(u64::from_be_bytes(*sound.last_chunk().unwrap())).unwrap();
    for at in [5, 9, 100, 5000, index / 2, index - 1, sound.len() - 1] {
        edit(dir.path(), TSM, |bytes| {
            bytes.copy_from_slice(&sound);
            bytes[at] ^= 0x40;
        });
        assert!(influxd_finds_damage(dir.path()), "byte {at}");
        assert_eq!(verify(dir.path(), "engine").code, DAMAGED, "byte {at}");
    }
}
