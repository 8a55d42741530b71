//! influxd's log is taken over, and the power goes, or a call fails, at every call that changes the disk: whoever opens
//! the shard then, Icecore or influxd, finds the state that was there before. Nothing old comes back, nothing is lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod origin;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icecore_disk::Disk;
use icecore_testkit::disk::{Call, Failure, Hooked, Loss, MemDisk, Verdict, fail_calls};
use icecore_tsm::{Batch, BlockType, Column, ErrorKind, Shard, TimeRange, Trust, Value, Writing};

use origin::{Origin, dir, is_ours};

/// Points by composite key.
type Content = BTreeMap<Vec<u8>, Column>;

fn writing(trust: Trust) -> Writing {
    Writing { trust, ..Writing::new(|| 1_700_000_000_000_000_000) }
}

fn content(shard: &Shard) -> Content {
    let damage: Vec<String> = shard.damage().iter().map(ToString::to_string).collect();
    assert!(damage.is_empty(), "{damage:?}");
    let mut content = Content::new();
    let mut each = |key: &[u8], kind: BlockType| {
        let mut all = Column::new(kind);
        shard.read(key, TimeRange::ALL, |column| {
            all.extend_from(column, 0..column.len());
            Ok(())
        })?;
        if !all.is_empty() {
            content.insert(key.to_vec(), all);
        }
        Ok(())
    };
    shard.keys(&mut each).unwrap();
    content
}

fn read(disk: &MemDisk, trust: Trust) -> Content {
    content(&Shard::open_read_only(disk, &dir(), trust).unwrap())
}

fn open(disk: &Arc<dyn Disk>, trust: Trust) -> Shard {
    Shard::open(disk, &dir(), &writing(trust)).unwrap()
}

/// What influxd would find: it knows no file of ours.
fn as_influxd_sees_it(disk: &MemDisk) -> MemDisk {
    let seen = MemDisk::default();
    seen.create_dir(&dir().wal).unwrap();
    for (path, bytes) in disk.files().into_iter().filter(|(path, _)| !is_ours(path)) {
        seen.put(&path, bytes);
    }
    seen
}

fn segments(disk: &MemDisk) -> usize {
    disk.files().keys().filter(|path| path.extension().is_some_and(|end| end == "wal")).count()
}

/// Names where a test was when it panicked.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Whoever reads what is left.
fn assert_seen(left: &MemDisk, trust: Trust, expected: &Content) {
    assert!(read(left, trust) == *expected, "read only");
    assert!(read(&as_influxd_sees_it(left), Trust::Directory) == *expected, "as influxd sees it");
}

/// Whoever reads what is left, and whoever goes on from there.
fn assert_left(left: &MemDisk, trust: Trust, expected: &Content) {
    assert_seen(left, trust, expected);
    let disk: Arc<dyn Disk> = Arc::new(left.clone());
    let shard = open(&disk, trust);
    assert!(content(&shard) == *expected, "opened to write");
    assert_eq!(segments(left), 0);
    let mut expected = expected.clone();
    for time in [5, 6] {
        let mut batch = Batch::new();
        batch.point(b"after", 5, time, [(&b"power"[..], Value::Boolean(true))]).unwrap();
        shard.write(&mut batch).unwrap();
        shard.flush().unwrap();
    }
    drop(shard);
    let mut after = Column::new(BlockType::Boolean);
    let values = icecore_tsm::Values::Boolean([true, true].into_iter().collect());
    after.extend_from(&Column { times: vec![5, 6], values }, 0..2);
    expected.insert(b"after#!~#power".to_vec(), after);
    let left = left.after_power_loss(Loss::Everything);
    assert!(read(&left, Trust::Manifest) == expected, "as the manifest has it");
    assert!(read(&as_influxd_sees_it(&left), Trust::Directory) == expected, "as influxd sees it at the end");
}

/// Loses the power at every call of a take-over, and of the take-over of what is left, `deep` times.
fn interrupt(disk: &MemDisk, trust: Trust, expected: &Content, losses: &[Loss], deep: u32) -> (u64, u64) {
    let (points, images) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let hook = {
        let (disk, expected, losses) = (disk.clone(), expected.clone(), losses.to_vec());
        let (points, images) = (Arc::clone(&points), Arc::clone(&images));
        move |call: &Call<'_>| {
            if call.action.changes() {
                let point = points.fetch_add(1, Ordering::Relaxed);
                for loss in &losses {
                    let _told = Told(format!(
                        "before call {point}, {:?} {}, {loss:?}",
                        call.action,
                        call.path.display()
                    ));
                    let left = disk.after_power_loss(*loss);
                    images.fetch_add(1, Ordering::Relaxed);
                    match deep.checked_sub(1) {
                        None => assert_left(&left, trust, &expected),
                        Some(deep) => {
                            assert_seen(&left, trust, &expected);
                            let (_, more) = interrupt(&left, trust, &expected, &losses, deep);
                            images.fetch_add(more, Ordering::Relaxed);
                        }
                    }
                }
            }
            Verdict::Go
        }
    };
    let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(disk.clone(), hook));
    let shard = open(&hooked, trust);
    assert!(content(&shard) == *expected, "taken over");
    assert_eq!(segments(disk), 0);
    drop(shard);
    for loss in losses {
        assert_left(&disk.after_power_loss(*loss), trust, expected);
    }
    (points.load(Ordering::Relaxed), images.load(Ordering::Relaxed))
}

fn losses() -> Vec<Loss> {
    [Loss::Nothing, Loss::Everything].into_iter().chain((0..6).map(Loss::Torn)).collect()
}

fn each_origin(mut work: impl FnMut(&Origin, Trust)) {
    for origin in Origin::all() {
        let _told = Told(origin.name.clone());
        // Where influxd ran since our manifest was written, its directory is right; else who is right makes no difference.
        let trusts = [Trust::Directory, Trust::Manifest];
        for trust in trusts.into_iter().take(if origin.has_manifest { 1 } else { 2 }) {
            work(&origin, trust);
        }
    }
}

#[test]
fn power_loss_at_every_call_of_a_take_over_leaves_the_state_before() {
    let (mut all_points, mut all_images) = (0, 0);
    each_origin(|origin, trust| {
        let expected = origin.expected();
        assert!(expected.values().map(Column::len).sum::<usize>() > 1000);
        let losses = if origin.is_small { losses() } else { losses()[..4].to_vec() };
        let (points, images) = interrupt(&origin.disk(), trust, &expected, &losses, 0);
        println!("{}, {trust:?}: {points} points, {images} images", origin.name);
        (all_points, all_images) = (all_points + points, all_images + images);
    });
    println!("{all_points} points, {all_images} images");
}

#[test]
fn a_take_over_that_is_interrupted_two_or_three_times_leaves_the_state_before() {
    let mut all_images = 0;
    each_origin(|origin, trust| {
        let deep = match origin.name.as_str() {
            "layers" => 2,
            "layers, entry by entry, with a manifest" => 1,
            _ => 0,
        };
        if deep > 0 && trust == Trust::Directory {
            let (_, images) = interrupt(&origin.disk(), trust, &origin.expected(), &[Loss::Nothing], deep);
            all_images += images;
        }
    });
    println!("{all_images} images");
}

#[test]
fn a_failure_at_every_call_of_a_take_over_is_told_and_leaves_the_state_before() {
    let mut failures = 0;
    each_origin(|origin, trust| {
        let expected = origin.expected();
        for call in 0.. {
            let disk = origin.disk();
            let hook =
                fail_calls(|call| call.action.changes(), call..=u64::MAX, Failure::NoSpace, call % 2 * 50);
            let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(disk.clone(), hook));
            let _told = Told(format!("call {call} and all behind fail"));
            match Shard::open(&hooked, &dir(), &writing(trust)) {
                Ok(shard) => {
                    assert!(content(&shard) == expected);
                    break;
                }
                Err(error) => {
                    assert!(error.kind() == ErrorKind::Io && error.path().is_some(), "{error}");
                    failures += 1;
                }
            }
            for loss in [Loss::Nothing, Loss::Everything, Loss::Torn(call)] {
                assert_left(&disk.after_power_loss(loss), trust, &expected);
            }
        }
    });
    println!("{failures} failures");
}

/// The control: were the log removed before its points are in a file, or a delete before the write that it deletes, this
/// would see it.
#[test]
fn a_log_that_is_removed_too_early_or_in_another_order_is_seen() {
    let origin = Origin::all().into_iter().find(|origin| origin.name == "layers, entry by entry").unwrap();
    let expected = origin.expected();
    let of_log = |path: &Path| path.extension().is_some_and(|end| end == "wal");
    let log = || origin.files().into_iter().filter(|(path, _)| of_log(path));
    let disk = origin.disk();
    log().for_each(|(path, _)| disk.remove(&path).unwrap());
    assert!(read(&disk, Trust::Directory) != expected, "no log");

    let disk = origin.disk();
    drop(open(&(Arc::new(disk.clone()) as Arc<dyn Disk>), Trust::Directory));
    assert!(read(&disk, Trust::Directory) == expected && segments(&disk) == 0);
    let is_delete = |bytes: &[u8]| bytes.first().is_some_and(|kind| *kind > 1);
    assert!(log().any(|(_, bytes)| is_delete(&bytes)));
    for (path, bytes) in log().take_while(|(_, bytes)| !is_delete(bytes)) {
        disk.put(&path, bytes);
    }
    assert!(read(&disk, Trust::Directory) != expected, "what was deleted is back");
}
