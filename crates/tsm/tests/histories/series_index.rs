//! influxd's index of series may lack what we write: it is out of influxd's sight before anything is acknowledged (design D1).

use std::path::Path;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_testkit::Random;
use icecore_testkit::disk::{Call, Failure, Hooked, Loss, MemDisk, Verdict, fail_calls};
use icecore_tsm::{ErrorKind, Shard};

use crate::check::{assert_tidy, content};
use crate::draw::Manner;
use crate::machine::{Machine, dir, empty_disk, without_reserving, writing};
use crate::model::{Content, batch_of};
use crate::power_loss::losses;

fn with_index() -> MemDisk {
    let disk = empty_disk();
    disk.put(Path::new("/data/1/index/0/L0-00000001.tsl"), b"series".to_vec());
    disk
}

fn has_index(disk: &MemDisk) -> bool {
    disk.files().keys().any(|path| path.starts_with("/data/1/index"))
}

#[test]
fn no_loss_of_power_brings_the_index_back_beside_a_point() {
    let (mut with, mut without) = (0, 0);
    for call in 0.. {
        let mut ended = true;
        for loss in losses(call) {
            let machine = Machine::new(with_index(), false);
            machine.cut_power_after(call, loss);
            let shard = machine.open(&writing());
            assert!(has_index(&machine.disk), "who only opens a shard leaves it");
            let mut random = Random::new(3);
            shard.write(&mut batch_of(&Manner::of(&mut random).points(&mut random))).unwrap();
            let Some(left) = machine.after_cut() else { continue };
            ended = false;
            // influxd would see what lies there; we would see it, too.
            let index_is_left = has_index(&left.disk);
            let is_empty = content(&left.open(&writing())) == Content::new();
            assert!(is_empty || !index_is_left, "call {call}, {loss:?}");
            with += u64::from(index_is_left);
            without += u64::from(!index_is_left);
        }
        if ended {
            break;
        }
    }
    assert!(with > 8 && without > 8);
}

#[test]
fn where_it_cannot_be_put_aside_nothing_is_acknowledged_and_the_next_write_tries_again() {
    for path in ["/data/1/index.tmp", "/data/1"] {
        let disk = with_index();
        // Opening the shard syncs the directory once.
        let first = u64::from(path == "/data/1");
        let is_it = move |call: &Call<'_>| call.action.changes() && call.path == Path::new(path);
        let hook = fail_calls(is_it, first..=first, Failure::Io, 0);
        let over = Hooked::new(disk.clone(), move |call: &Call<'_>| match hook(call) {
            Verdict::Go => without_reserving(call),
            verdict => verdict,
        });
        let over: Arc<dyn Disk> = Arc::new(over);
        let shard = Shard::open(&over, &dir(), &writing()).unwrap();
        let mut random = Random::new(3);
        let points = Manner::of(&mut random).points(&mut random);
        let error = shard.write(&mut batch_of(&points)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(content(&shard), Content::new());
        shard.write(&mut batch_of(&points)).unwrap();
        let left = disk.after_power_loss(Loss::Everything);
        assert!(!has_index(&left) && !content(&shard).is_empty());
        shard.flush().unwrap();
        drop(shard);
        let shard = Machine::new(disk.clone(), false).open(&writing());
        assert_tidy(&disk, &dir(), &shard);
    }
}
