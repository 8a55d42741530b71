//! The check before a backup begins finds the same on any number of threads, whenever its time ends.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::Random;
use icecore_testkit::fixtures;
use icecore_tsm::{Deletes, Engine, Member, Snapshot, Trust, prepare_all};

const FILE: &str = "engine/data/1b87b4f3c6ec1165/autogen/1/000000001-000000001.tsm";

/// Of a shard of two files, of 8 MB and of 0.4.
fn snapshot(dir: &Path) -> Snapshot {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let engine = Engine::open_read_only(&disk, &dir.join("engine"), &Trust::Directory.into()).unwrap();
    engine.shards()[0].shard.snapshot().unwrap()
}

fn members(dir: &Path) -> Vec<Member> {
    let mut members = snapshot(dir).members(Deletes::Apply);
    members.reverse(); // the large one is not the first
    members
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[test]
fn every_number_of_threads_finds_the_digests_of_the_files() {
    let dir = fixtures::unpack("fleet");
    for threads in [1, 2, 3, 8, 100] {
        let mut members = members(dir.path());
        assert!(prepare_all(&mut members, far(), threads).unwrap());
        assert!(prepare_all(&mut members, Instant::now(), threads).unwrap(), "nothing is left to do");
        for member in &mut members {
            let path = dir.path().join(FILE).with_file_name(member.name().to_string());
            assert_eq!(member.digest().unwrap(), blake3::hash(&std::fs::read(path).unwrap()));
        }
    }
}

#[test]
fn a_check_whose_time_ends_anywhere_goes_on_from_there() {
    let dir = fixtures::unpack("fleet");
    let content = std::fs::read(dir.path().join(FILE)).unwrap();
    let mut stops = 0;
    for step_us in [0, 50, 200, 1000] {
        let mut members = members(dir.path());
        let mut step = Duration::ZERO;
        while !prepare_all(&mut members, Instant::now() + step, 2).unwrap() {
            stops += 1;
            step += Duration::from_micros(step_us.max(20));
            // What was not reached is checked on the way.
            let sent: Vec<u8> =
                members[1].chunks().unwrap().take(3).flat_map(|chunk| chunk.unwrap()).collect();
            assert!(content.starts_with(&sent));
        }
        assert_eq!(members[1].digest().unwrap(), blake3::hash(&content));
    }
    assert!(stops > 4, "{stops} checks were stopped");
}

#[test]
fn damage_is_the_same_wherever_it_is_and_however_many_look() {
    let dir = fixtures::unpack("fleet");
    let healthy = std::fs::read(dir.path().join(FILE)).unwrap();
    let blocks_end = usize::try_from(u64::from_be_bytes(*healthy.last_chunk().unwrap())).unwrap();
    let seed = std::env::var("ICECORE_SEED").map_or(20_261_128, |seed| seed.parse().unwrap());
    println!("ICECORE_SEED={seed}");
    let mut random = Random::new(seed);
    for _ in 0..40 {
        let mut bytes = healthy.clone();
        // One or two, so that two threads can find one each: the first counts.
        for _ in 0..random.below(2) + 1 {
            bytes[5 + random.below(blocks_end - 5)] ^= 1 << random.below(8);
        }
        std::fs::write(dir.path().join(FILE), &bytes).unwrap();
        let errors = [1, 2, 4].map(|threads| {
            let snapshot = snapshot(dir.path());
            let mut members = snapshot.members(Deletes::Apply);
            let error = prepare_all(&mut members, far(), threads).unwrap_err();
            assert!(error.is_damage());
            error.to_string()
        });
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        assert!(errors[0].contains("000000001-000000001.tsm: damaged: a block"), "{}", errors[0]);
    }
}
