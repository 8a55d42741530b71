//! A backup that works on the bytes of a file gets copies of them, in which a bad sector is an error.
#![expect(clippy::unwrap_used, reason = "a helper stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::disk::{Action, Failure, Hooked, Verdict};
use icecore_testkit::fixtures;
use icecore_tsm::{Deletes, Engine, ErrorKind, Snapshot, Trust};

fn snapshots(disk: &Arc<dyn Disk>, dir: &tempfile::TempDir) -> Vec<Snapshot> {
    let engine = Engine::open_read_only(disk, &dir.path().join("engine"), &Trust::Directory.into()).unwrap();
    engine.shards().iter().map(|open| open.shard.snapshot().unwrap()).collect()
}

#[test]
fn copies_have_the_bytes_of_the_map_with_deletes_and_without() {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut files = 0;
    for fixture in ["fleet", "layers", "kitchen-sink"] {
        let dir = fixtures::unpack(fixture);
        for snapshot in snapshots(&disk, &dir) {
            for mut member in
                [Deletes::Apply, Deletes::Keep].into_iter().flat_map(|how| snapshot.members(how))
            {
                let copied: Vec<u8> =
                    member.chunks().unwrap().copied().flat_map(|chunk| chunk.unwrap()).collect();
                let mapped: Vec<u8> = member.chunks().unwrap().flat_map(|chunk| chunk.unwrap()).collect();
                assert!(copied == mapped, "{fixture}: {}", member.name());
                assert_eq!(member.digest().unwrap(), blake3::hash(&copied));
                files += 1;
            }
        }
    }
    assert!(files > 20, "{files} files");
}

#[test]
fn a_bad_sector_is_an_error_of_a_copy() {
    let is_bad = Arc::new(AtomicBool::new(false));
    let hook = {
        let is_bad = Arc::clone(&is_bad);
        move |call: &icecore_testkit::disk::Call<'_>| match call.action {
            Action::Read if call.offset >= 1 << 20 && is_bad.load(Ordering::SeqCst) => {
                Verdict::Fail(Failure::Io)
            }
            _ => Verdict::Go,
        }
    };
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(RealDisk, hook));
    let snapshot = snapshots(&disk, &fixtures::unpack("fleet")).remove(0);
    let mut member = snapshot.members(Deletes::Apply).remove(0);
    assert!(member.size().unwrap() > 2 << 20);
    assert!(member.prepare(None).unwrap(), "sound when it is checked");
    is_bad.store(true, Ordering::SeqCst);
    let mut read = 0;
    let error = member
        .chunks()
        .unwrap()
        .copied()
        .find_map(|chunk| match chunk {
            Ok(chunk) => {
                read += chunk.len();
                None
            }
            Err(error) => Some(error),
        })
        .expect("the sector is bad");
    assert_eq!((error.kind(), read), (ErrorKind::Io, 1 << 20));
    assert!(error.to_string().contains(&member.name().to_string()), "{error}");
}
