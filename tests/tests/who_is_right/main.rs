//! Who is right when a directory is opened that was changed since Icecore closed it (design D2): damage is named, whatever
//! else runs goes on, nothing is removed for it, and what influxd changed is adopted. Every value is compared.
//!
//! Each case once where only we ran, once where the transaction number of `influxd.bolt` moved, and, where there is one, after
//! a real influxd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod fields;
mod log;
mod metadata;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use icecore_database::{Database, Mode, ShardId};
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::values::Values;
use icecore_tests::{peers, tree, tsm};
use icecore_tsm::FileName;
use scene::{Copy, FILES, Log, OTHER, SHARD, Scene, Since, back_up, bucket, open, time_ns};

/// The same for each who may have run.
fn scenes(log: Log) -> Vec<Scene> {
    let influxd = peers::influxd2();
    let mut scenes = vec![Scene::new(Since::OnlyWe, log, None), Scene::new(Since::Moved, log, None)];
    // It does not start where our log has points.
    if let (Some(influxd), Log::Flushed) = (influxd, log) {
        scenes.push(Scene::new(Since::Influxd, log, Some(&influxd)));
    }
    scenes
}

fn name(stem: &str) -> FileName {
    FileName::parse(&format!("{stem}.tsm")).unwrap()
}

/// Every shard but `SHARD` is as it was.
#[track_caller]
fn assert_others(database: &Database, scene: &Scene, what: &str) {
    for (id, expected) in scene.values.iter().filter(|(id, _)| **id != SHARD) {
        back_up(database, *id).unwrap().assert_equal(expected, &format!("{what}: shard {id}"));
    }
}

/// `SHARD` is damaged, `file` is named for it, and it is neither backed up nor read as if nothing had happened, nor written;
/// what lies there stays as it is. No commit of ours makes that another story.
#[track_caller]
fn assert_damaged(scene: &Scene, copy: &Copy, file: &Path, what: &str) {
    let what = format!("{:?}, {what}", scene.since);
    let dirs = [copy.shard(), scene::wal_dir(copy.path())];
    let before = dirs.each_ref().map(|dir| tree::of(dir));
    for (round, mode) in
        [Mode::ReadOnly, Mode::ReadWrite, Mode::ReadWrite, Mode::ReadOnly].into_iter().enumerate()
    {
        let database = open(copy.path(), mode).unwrap();
        let what = format!("{what}, opened {mode:?} ({round})");
        database.check_indexes();
        let error = back_up(&database, SHARD).map(|_| ()).expect_err(&what);
        assert!(error.is_damage(), "{what}: {error}");
        let shard = database.shard(ShardId(SHARD)).unwrap();
        let damage = shard.shard.damage();
        let is_named = damage.iter().any(|error| error.path() == Some(file) && error.offset().is_some());
        assert!(is_named, "{what}: {damage:?}");
        assert!(tsm::of_shard(&shard.shard).is_err(), "{what}: it is read");
        if round == 1 {
            assert_others(&database, scene, &what);
        }
        if mode == Mode::ReadWrite {
            let lines = format!("late f=1 {}\n", time_ns(&database));
            let precision = icecore_database::Precision::Nanoseconds;
            assert!(database.write(bucket(), lines.as_bytes(), precision).is_err(), "{what}: it is written");
            // A commit of ours.
            let later_ns =
                time_ns(&database) + (100 + i64::try_from(round).unwrap()) * 7 * 86_400_000_000_000;
            database.ensure_shards(bucket(), [later_ns], later_ns).unwrap();
        }
    }
    dirs.iter().zip(&before).for_each(|(dir, before)| tree::assert_unchanged(dir, before));
}

/// Nothing is damaged, every shard has its values, and `SHARD` these. Returns what was mended.
#[track_caller]
fn assert_sound(scene: &Scene, copy: &Copy, expected: &Values, what: &str) -> Vec<PathBuf> {
    let what = format!("{:?}, {what}", scene.since);
    let mut mended = Vec::new();
    for (round, mode) in
        [Mode::ReadOnly, Mode::ReadWrite, Mode::ReadWrite, Mode::ReadOnly].into_iter().enumerate()
    {
        let database = open(copy.path(), mode).unwrap();
        let what = format!("{what}, opened {mode:?} ({round})");
        database.check_indexes();
        let shard = database.shard(ShardId(SHARD)).unwrap();
        assert!(shard.shard.damage().is_empty(), "{what}: {:?}", shard.shard.damage());
        back_up(&database, SHARD).unwrap().assert_equal(expected, &what);
        if round == 1 {
            assert_others(&database, scene, &what);
        }
        mended.extend(shard.shard.mended().iter().map(|error| error.path().unwrap().to_owned()));
        if mode == Mode::ReadWrite {
            let later_ns =
                time_ns(&database) + (100 + i64::try_from(round).unwrap()) * 7 * 86_400_000_000_000;
            database.ensure_shards(bucket(), [later_ns], later_ns).unwrap();
        }
    }
    mended
}

/// So many bits of a file, the first and the last among them.
fn bits(path: &Path, count: usize) -> impl Iterator<Item = usize> + use<> {
    let len = fs::read(path).unwrap().len() * 8;
    let step = (len / count).max(1);
    (0..len).step_by(step).chain([len - 1])
}

#[test]
fn a_flipped_bit_in_a_listed_file_is_damage_that_is_named() {
    for scene in scenes(Log::Flushed) {
        let mut cases = 0;
        let files = FILES.map(|stem| format!("{stem}.tsm"));
        for file in [files[0].clone(), files[2].clone(), name(FILES[0]).tombstone()] {
            for bit in bits(&scene.copy().shard().join(&file), 7) {
                let copy = scene.copy();
                copy.flip(&copy.shard().join(&file), bit);
                assert_damaged(&scene, &copy, &copy.shard().join(&file), &format!("bit {bit} of {file}"));
                cases += 1;
            }
        }
        println!("{:?}: {cases} flips", scene.since);
    }
}

#[test]
fn a_flipped_bit_in_a_manifest_is_damage_that_is_named() {
    for scene in scenes(Log::Flushed) {
        for bit in bits(&scene.copy().shard().join("icecore.manifest"), 10) {
            let copy = scene.copy();
            let file = copy.shard().join("icecore.manifest");
            copy.flip(&file, bit);
            assert_damaged(&scene, &copy, &file, &format!("bit {bit} of the manifest"));
            let database = open(copy.path(), Mode::ReadWrite).unwrap();
            let damage = database.shard(ShardId(SHARD)).unwrap().shard.damage();
            assert_eq!(damage.len(), 1, "it is damaged, and not missing: {damage:?}");
        }
    }
}

#[test]
fn sums_that_are_damaged_or_gone_are_made_again() {
    for scene in scenes(Log::Flushed) {
        for stem in FILES {
            let sums = name(stem).sums();
            let sound = fs::read(scene.copy().shard().join(&sums)).unwrap();
            let harms = bits(&scene.copy().shard().join(&sums), 3).map(Some).chain([None]);
            for harm in harms {
                let copy = scene.copy();
                let path = copy.shard().join(&sums);
                match harm {
                    Some(bit) => copy.flip(&path, bit),
                    None => fs::remove_file(&path).unwrap(),
                }
                let what = format!("{harm:?} of {sums}");
                let mended = assert_sound(&scene, &copy, &scene.values[&SHARD], &what);
                assert_eq!(mended, std::slice::from_ref(&path), "{what}: told once, and written back");
                assert!(fs::read(&path).unwrap() == sound, "{what}");
            }
        }
    }
}

#[test]
fn a_listed_file_that_vanished_is_damage_unless_influxd_ran() {
    for scene in scenes(Log::Flushed) {
        let copy = scene.copy();
        let file = copy.shard().join(format!("{}.tsm", FILES[2]));
        fs::remove_file(&file).unwrap();
        match scene.since {
            Since::OnlyWe => assert_damaged(&scene, &copy, &file, "a file vanished"),
            Since::Moved | Since::Influxd => {
                let mended = assert_sound(&scene, &copy, &scene.layers_without(2), "a file vanished");
                assert_eq!(mended, [""; 0].map(PathBuf::from));
                // influxd's log may have become a file of this name.
                assert_eq!(file.with_extension("tsmsum").exists(), file.exists());
            }
        }
        let copy = scene.copy();
        let file = copy.shard().join(name(FILES[0]).tombstone());
        fs::remove_file(&file).unwrap();
        assert_damaged(&scene, &copy, &file, "a tombstone vanished");

        let copy = scene.copy();
        let file = copy.shard().join("icecore.manifest");
        fs::remove_file(&file).unwrap();
        match scene.since {
            Since::OnlyWe => assert_damaged(&scene, &copy, &file, "the manifest vanished"),
            Since::Moved | Since::Influxd => {
                assert_sound(&scene, &copy, &scene.values[&SHARD], "the manifest vanished");
            }
        }
    }
}

/// influxd renames a file whose header, footer or tombstone it cannot read, and starts without it the next time.
#[test]
fn a_listed_file_that_influxd_set_aside_is_damage() {
    for scene in scenes(Log::Flushed) {
        let copy = scene.copy();
        let file = copy.shard().join(format!("{}.tsm", FILES[2]));
        let bad = copy.shard().join(format!("{}.tsm.bad", FILES[2]));
        fs::rename(&file, &bad).unwrap();
        let named = if scene.since == Since::OnlyWe { &file } else { &bad };
        assert_damaged(&scene, &copy, named, "influxd set a file aside");
        // Given back its name it is what it was.
        fs::rename(&bad, &file).unwrap();
        assert_sound(&scene, &copy, &scene.values[&SHARD], "it has its name again");
    }
}

#[test]
fn a_real_influxd_sets_aside_what_it_cannot_read_and_we_miss_it() {
    let Some(influxd) = peers::influxd2() else { return };
    let scene = Scene::new(Since::OnlyWe, Log::Flushed, None);
    // The magic number; a byte of the first member.
    for (stem, file, at) in
        [(FILES[2], format!("{}.tsm", FILES[2]), 2), (FILES[0], name(FILES[0]).tombstone(), 40)]
    {
        let copy = scene.copy();
        copy.flip(&copy.shard().join(&file), 8 * at);
        let bad = copy.shard().join(format!("{stem}.tsm.bad"));
        // It may hang, or not open the shard; the next time it starts without the file.
        let mut process = influxd2::spawn(&influxd, copy.path());
        let start = Instant::now();
        while !bad.exists() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(bad.exists(), "{file}: influxd sets nothing aside");
        Influxd::start(&influxd, copy.path()).stop();
        assert_damaged(&scene, &copy, &bad, &format!("influxd set {stem} aside for {file}"));
    }
}

#[test]
fn a_stray_file_is_set_aside_and_told_unless_influxd_ran() {
    for scene in scenes(Log::Flushed) {
        // The points of the first flush, to win over all others.
        let copy = scene.copy();
        let [from, stray] =
            [FILES[1], "000000077-000000001"].map(|stem| copy.shard().join(format!("{stem}.tsm")));
        fs::copy(&from, &stray).unwrap();
        let bytes = fs::read(&stray).unwrap();
        if scene.since == Since::OnlyWe {
            let database = open(copy.path(), Mode::ReadWrite).unwrap();
            let shard = database.shard(ShardId(SHARD)).unwrap();
            let aside = copy.shard().join("000000077-000000001.tsm.stray");
            assert_eq!(shard.shard.recovery().set_aside, std::slice::from_ref(&aside));
            assert!(!stray.exists() && fs::read(aside).unwrap() == bytes);
            drop((shard, database));
            assert_sound(&scene, &copy, &scene.values[&SHARD], "a stray file");
        } else {
            let mut expected = scene.layers_without(usize::MAX);
            // influxd's own points are in its log, and written last.
            expected.overwrite(scene.layers[1].clone());
            if scene.since == Since::Influxd {
                expected.overwrite(scene.layers[3].clone());
            }
            assert_sound(&scene, &copy, &expected, "a file that influxd may have written");
            assert!(fs::read(&stray).unwrap() == bytes);
        }
    }
}

#[test]
fn a_file_that_the_manifest_lists_as_replaced_is_removed_unless_influxd_ran() {
    for scene in scenes(Log::Flushed) {
        let copy = scene.copy();
        let replaced = copy.shard().join("000000004-000000002.tsm");
        let manifest =
            icecore_tsm::manifest::Manifest::read(&icecore_disk::RealDisk, &copy.shard()).unwrap().unwrap();
        assert!(manifest.replaced.contains(&name("000000004-000000002")), "{:?}", manifest.replaced);
        fs::copy(copy.shard().join(format!("{}.tsm", FILES[2])), &replaced).unwrap();
        assert_sound(&scene, &copy, &scene.values[&SHARD], "a file that was replaced");
        assert_eq!(replaced.exists(), scene.since != Since::OnlyWe);
    }
}

/// What influxd wrote is checked as a whole before a manifest lists it; a damaged one changes nothing, and stays damaged.
#[test]
fn a_damaged_file_of_influxd_is_named_and_not_adopted() {
    for scene in scenes(Log::Flushed).into_iter().filter(|scene| scene.since != Since::OnlyWe) {
        let copy = scene.copy();
        let new = copy.shard().join("000000077-000000001.tsm");
        fs::copy(copy.shard().join(format!("{}.tsm", FILES[1])), &new).unwrap();
        copy.flip(&new, 8 * 60);
        assert_damaged(&scene, &copy, &new, "a block of a new file");
        // In the others only we have run since: what vanishes there is not taken for a work of influxd.
        let other = scene::shard_dir(copy.path(), OTHER);
        let vanished = fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().path());
        let vanished =
            vanished.filter(|path| path.extension().is_some_and(|end| end == "tsm")).min().unwrap();
        fs::remove_file(&vanished).unwrap();
        let database = open(copy.path(), Mode::ReadWrite).unwrap();
        let damage = database.shard(ShardId(OTHER)).unwrap().shard.damage();
        assert_eq!(damage[0].path(), Some(vanished.as_path()), "{:?}: {damage:?}", scene.since);
        drop(database);
        // Without the new file the shard is what it was.
        fs::remove_file(&new).unwrap();
        let database = open(copy.path(), Mode::ReadWrite).unwrap();
        back_up(&database, SHARD).unwrap().assert_equal(&scene.values[&SHARD], "without the damaged file");
    }
}
