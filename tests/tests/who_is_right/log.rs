//! Our log with points that no file has: what it holds is not in the hands of whoever runs next.

use std::fs;

use icecore_database::{Mode, ShardId};

use super::scene::{Log, SHARD, back_up, open, wal_dir};
use super::{assert_damaged, assert_sound, bits, scenes};

const HEADER_LEN: usize = 33;

fn segment(nth: usize) -> String {
    format!("{nth:08}.iwal")
}

/// The bytes of the records, without the space that is set aside behind them.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_flipped_bit_in_the_log_is_damage_or_the_end_of_what_was_acknowledged() {
    for scene in scenes(Log::Left) {
        let mut cases = 0;
        let numbers: Vec<usize> = {
            let copy = scene.copy();
            let names = fs::read_dir(wal_dir(copy.path())).unwrap().map(|entry| entry.unwrap().file_name());
            let mut numbers: Vec<_> =
                names.filter_map(|name| name.to_str()?.strip_suffix(".iwal")?.parse().ok()).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(numbers.len(), 3);
        for (nth, number) in numbers.iter().enumerate() {
            let path = wal_dir(scene.copy().path()).join(segment(*number));
            let template = scene.copy();
            let bytes = fs::read(wal_dir(template.path()).join(segment(*number))).unwrap();
            assert!(path.ends_with(segment(*number)));
            let last = used(&bytes);
            // Of the last segment the records that are known to be synced: the first.
            let records = last - HEADER_LEN;
            let end = if nth == 2 { HEADER_LEN + records / 2 } else { last };
            for bit in (0..end * 8).step_by(end) {
                let copy = scene.copy();
                let path = wal_dir(copy.path()).join(segment(*number));
                copy.flip(&path, bit);
                assert_damaged(&scene, &copy, &path, &format!("bit {bit} of segment {number}"));
                cases += 1;
            }
        }
        println!("{:?}: {cases} flips", scene.since);

        // The last record may never have been acknowledged: its bytes are kept, and told.
        let copy = scene.copy();
        let path = wal_dir(copy.path()).join(segment(numbers[2]));
        let bytes = fs::read(&path).unwrap();
        let last = used(&bytes);
        copy.flip(&path, last * 8 - 12);
        let database = open(copy.path(), Mode::ReadWrite).unwrap();
        let shard = database.shard(ShardId(SHARD)).unwrap();
        let torn = shard.shard.recovery().torn.clone().unwrap();
        assert_eq!((&torn.path, torn.at.get() + torn.size), (&path, last as u64));
        back_up(&database, SHARD)
            .unwrap()
            .assert_equal(&scene.layers_without(scene.layers.len() - 1), "torn");
        assert!(path.with_file_name(format!("{}.torn", segment(numbers[2]))).exists());
    }
}

#[test]
fn a_segment_in_the_middle_of_the_log_that_vanished_is_damage() {
    for scene in scenes(Log::Left) {
        let copy = scene.copy();
        assert_sound(&scene, &copy, &scene.values[&SHARD], "nothing happened");
        let copy = scene.copy();
        let mut segments: Vec<_> = fs::read_dir(wal_dir(copy.path()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "iwal"))
            .collect();
        segments.sort();
        fs::remove_file(&segments[1]).unwrap();
        assert_damaged(&scene, &copy, &segments[0], "a segment vanished");
    }
}

/// influxd may have run, and not have started: only the manifest knew which points of the log are in files.
#[test]
fn a_log_without_the_manifest_that_was_there_is_damage() {
    for scene in scenes(Log::Left) {
        let copy = scene.copy();
        let manifest = copy.shard().join("icecore.manifest");
        fs::remove_file(&manifest).unwrap();
        assert_damaged(&scene, &copy, &manifest, "the manifest vanished beside a log");
    }
    // The bits of a manifest beside a log.
    for scene in scenes(Log::Left) {
        for bit in bits(&scene.copy().shard().join("icecore.manifest"), 3) {
            let copy = scene.copy();
            let manifest = copy.shard().join("icecore.manifest");
            copy.flip(&manifest, bit);
            assert_damaged(&scene, &copy, &manifest, "the manifest is damaged beside a log");
        }
    }
}
