//! `icecore verify` holds the files of a shard that Icecore wrote to `icecore.manifest`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Ran, icecore, icecore_reads};
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::Store;
use icecore_testkit::fixtures;
use serde_json::Value;
use tempfile::TempDir;

const BUCKET: &str = "83fa952f192155e3";
/// A shard with a tombstone, to which we have added a file.
const SHARD: &str = "engine/data/83fa952f192155e3/autogen/8";
const OLD: &str = "engine/data/83fa952f192155e3/autogen/8/000000001-000000001";
const NEW: &str = "engine/data/83fa952f192155e3/autogen/8/000000002-000000001";

/// `kitchen-sink`, with one more file in the shard, and a manifest; closed by Icecore.
fn directory() -> TempDir {
    let dir = fixtures::unpack("kitchen-sink");
    let database = icecore::Database::open(
        icecore::Paths::in_dir(dir.path()),
        icecore::Options::new(icecore::Mode::ReadOnly),
    );
    let groups = database.unwrap().shard_groups(BUCKET.parse().unwrap()).unwrap();
    let slice = groups.slices().iter().find(|slice| slice.shard.0 == 8).unwrap();
    let line = format!("mine,at=here f=1 {}\n", slice.start_ns + 1);
    let import = ["import", "--data-dir", ".", "--bucket-id", BUCKET, "-"];
    let ran = icecore_reads(dir.path(), &import, line.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(dir.path().join(format!("{NEW}.tsm")).exists());
    dir
}

/// As if influxd had started.
fn move_on(dir: &Path) {
    let store = Store::open(Arc::new(RealDisk), &dir.join("influxd.bolt"), LockMode::Exclusive).unwrap();
    store.write(|tx| tx.create_bucket(b"started").map(drop)).unwrap();
    store.write(|tx| tx.create_bucket(b"again").map(drop)).unwrap();
}

/// Bytes change, and the time stays.
fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(name);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn verify(dir: &Path) -> Ran {
    icecore(dir, &["verify", "."])
}

/// One finding is told, as text and in JSON, with the exit code that it deserves.
#[track_caller]
fn assert_found(dir: &Path, label: &str, file: &str, what: &str) {
    let is_damage = label.is_empty();
    for path in [".", SHARD] {
        let ran = icecore(dir, &["verify", path]);
        let file = if path == "." { format!("./{file}") } else { file.to_owned() };
        let line = format!("{label}{file}: {what}");
        assert!(ran.stdout.lines().any(|printed| printed == line), "{line}\nnot in\n{}", ran.stdout);
        assert_eq!(ran.code, if is_damage { 4 } else { 0 }, "{}", ran.stdout);
        let ran = icecore(dir, &["verify", "--json", path]);
        assert_eq!(ran.code, if is_damage { 4 } else { 0 });
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        let list = if is_damage { "damage" } else { "notes" };
        let files = json["files"].as_array().unwrap();
        let report = files.iter().find(|report| report["path"] == file.as_str()).unwrap();
        let what = what.rsplit_once(" at byte ").map_or(what, |(what, _)| what);
        let listed = report[list]["listed"].as_array().unwrap();
        assert!(listed.iter().any(|finding| finding["what"] == what), "{report}");
        assert_eq!(json["summary"]["verdict"], if is_damage { "damaged" } else { "sound" });
    }
}

#[test]
fn a_sound_directory_is_sound_and_all_of_its_files_are_looked_at() {
    let dir = directory();
    let ran = verify(dir.path());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(!ran.stdout.contains("note:"), "{}", ran.stdout);
    let ran = icecore(dir.path(), &["verify", "--json", SHARD]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut kinds: Vec<_> =
        json["files"].as_array().unwrap().iter().map(|file| file["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["fields", "icecore-manifest", "icecore-sums", "icecore-sums", "tombstone", "tsm", "tsm"]
    );
    move_on(dir.path());
    let ran = verify(dir.path());
    assert_eq!(ran.code, 0);
    assert!(!ran.stdout.contains("note:"), "what influxd left as it was is what is listed: {}", ran.stdout);
}

#[test]
fn a_file_that_is_not_the_listed_one_is_damage_where_its_pages_say() {
    let dir = directory();
    // The last time in the index of the last key is later: no check of the file alone finds that.
    edit(dir.path(), &format!("{NEW}.tsm"), |bytes| {
        let at = bytes.len() - 8 - 28 + 15;
        bytes[at] ^= 0x40;
    });
    assert_found(dir.path(), "", &format!("{NEW}.tsm"), "a page is not what its sum says at byte 0");
    fs::remove_file(dir.path().join(format!("{NEW}.tsmsum"))).unwrap();
    let what = "it is not the file that icecore.manifest lists at byte 0";
    assert_found(dir.path(), "", &format!("{NEW}.tsm"), what);

    let dir = directory();
    edit(dir.path(), &format!("{NEW}.tsm"), |bytes| bytes.push(0));
    let len = fs::metadata(dir.path().join(format!("{NEW}.tsm"))).unwrap().len();
    let what = format!("a file has another length than icecore.manifest says at byte {}", len - 1);
    assert_found(dir.path(), "", &format!("{NEW}.tsm"), &what);

    let dir = directory();
    edit(dir.path(), &format!("{OLD}.tombstone"), |bytes| bytes[8] ^= 1); // a time of gzip, which nobody reads
    let what = "it is not the tombstone that icecore.manifest lists at byte 0";
    assert_found(dir.path(), "", &format!("{OLD}.tombstone"), what);
}

#[test]
fn files_that_are_missing_or_unknown_are_told_by_who_ran() {
    let missing = "a file that icecore.manifest lists is missing at byte 0";
    let dir = directory();
    fs::remove_file(dir.path().join(format!("{NEW}.tsm"))).unwrap();
    assert_found(dir.path(), "", &format!("{NEW}.tsm"), missing);
    assert!(!verify(dir.path()).stdout.contains("vanished"));
    move_on(dir.path());
    let what = "000000002-000000001.tsm is not there any more: influxd has run since, and removes files";
    assert_found(dir.path(), "note: ", &format!("{SHARD}/icecore.manifest"), what);
    fs::write(dir.path().join(format!("{NEW}.tsm.bad")), b"any").unwrap();
    let what = "influxd could not read a file that icecore.manifest lists, and set it aside at byte 0";
    assert_found(dir.path(), "", &format!("{NEW}.tsm.bad"), what);

    let dir = directory();
    fs::remove_file(dir.path().join(format!("{OLD}.tombstone"))).unwrap();
    let what = "a tombstone that icecore.manifest lists is missing at byte 0";
    assert_found(dir.path(), "", &format!("{OLD}.tombstone"), what);

    let dir = directory();
    let stray = format!("{SHARD}/000000077-000000001.tsm");
    fs::copy(dir.path().join(format!("{OLD}.tsm")), dir.path().join(&stray)).unwrap();
    let what = "icecore.manifest does not list it: nothing of it counts, and it will be set aside";
    assert_found(dir.path(), "note: ", &stray, what);
    move_on(dir.path());
    assert_found(dir.path(), "note: ", &stray, "icecore.manifest does not list it: influxd has run since");

    // Without the engine around it nobody knows who ran: the manifest is right.
    let dir = directory();
    let alone = dir.path().join("alone/8");
    fs::create_dir_all(&alone).unwrap();
    for entry in fs::read_dir(dir.path().join(SHARD)).unwrap().map(Result::unwrap) {
        if entry.path().is_file()
            && !entry.file_name().to_str().unwrap().starts_with("000000002-000000001.tsm")
        {
            fs::copy(entry.path(), alone.join(entry.file_name())).unwrap();
        }
    }
    let ran = icecore(dir.path(), &["verify", "alone/8"]);
    assert_eq!(ran.code, 4);
    let line = format!("alone/8/000000002-000000001.tsm: {missing}");
    assert!(ran.stdout.lines().any(|printed| printed == line), "{}", ran.stdout);
}

#[test]
fn our_own_files_are_checked_and_their_loss_is_told() {
    let manifest = format!("{SHARD}/icecore.manifest");
    let dir = directory();
    let len = fs::metadata(dir.path().join(&manifest)).unwrap().len();
    edit(dir.path(), &manifest, |bytes| bytes[20] ^= 1);
    assert_found(dir.path(), "", &manifest, &format!("the checksum is wrong at byte {}", len - 32));
    fs::remove_file(dir.path().join(&manifest)).unwrap();
    assert_found(dir.path(), "", &manifest, "the manifest is missing at byte 0");
    move_on(dir.path());
    assert_eq!(verify(dir.path()).code, 0, "influxd may have removed it, and its directory is right");

    let dir = directory();
    let sums = format!("{NEW}.tsmsum");
    let sound = fs::read(dir.path().join(&sums)).unwrap();
    edit(dir.path(), &sums, |bytes| bytes[30] ^= 1);
    assert_found(dir.path(), "", &sums, &format!("the checksum is wrong at byte {}", sound.len() - 32));
    fs::copy(dir.path().join(format!("{OLD}.tsmsum")), dir.path().join(&sums)).unwrap();
    assert_found(dir.path(), "", &sums, "these are not the sums of the listed file at byte 0");
    fs::remove_file(dir.path().join(&sums)).unwrap();
    let what = "there are none; they are made again when the shard is opened";
    assert_found(dir.path(), "note: ", &sums, what);

    let dir = directory();
    let fields = format!("{SHARD}/fields.idx");
    edit(dir.path(), &fields, |bytes| {
        let at = bytes.windows(4).position(|window| window == b"mine").unwrap();
        bytes[at] = b'w';
    });
    let what = "it is another one than icecore.manifest lists, and will be compared with the keys";
    assert_found(dir.path(), "note: ", &fields, what);
    edit(dir.path(), &fields, |bytes| bytes[0] = 7);
    assert_found(dir.path(), "", &fields, "not a fields.idx at byte 0");
}

#[test]
fn what_is_not_there_is_wrong_usage() {
    let dir = directory();
    let ran = icecore(dir.path(), &["verify", &format!("{SHARD}/000000009-000000001.tsmsum")]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = icecore(dir.path(), &["verify", &PathBuf::from(format!("{NEW}.tsmsum")).display().to_string()]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
}
