//! A disk that refuses calls to the spool: the download is what it would be without a spool, and nothing is left behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Verdict, fail_calls, fill_up};
use icecore_tsm::{Spool, SpoolOptions};

use super::shard::{OneFile, bytes, member, spooled};

static TOLD: AtomicUsize = AtomicUsize::new(0);

fn is_of_spool(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "icecore.spool")
}

/// Sends a file with deletes three times over a disk with this hook; returns whether a call failed.
fn send(
    shard: &OneFile,
    expected: &[u8],
    hook: impl Fn(&Call<'_>) -> Verdict + Send + Sync + 'static,
) -> bool {
    let root = tempfile::tempdir().unwrap();
    let (failed, removals) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(RealDisk, {
        let (failed, removals) = (Arc::clone(&failed), Arc::clone(&removals));
        move |call: &Call<'_>| {
            let verdict = if is_of_spool(call.path) { hook(call) } else { Verdict::Go };
            if verdict != Verdict::Go {
                failed.fetch_add(1, Ordering::SeqCst);
                removals.fetch_add(usize::from(call.action == Action::Remove), Ordering::SeqCst);
            }
            verdict
        }
    }));
    TOLD.store(0, Ordering::SeqCst);
    let on_failure = |_: &icecore_tsm::Error| {
        TOLD.fetch_add(1, Ordering::SeqCst);
    };
    let options = SpoolOptions { on_failure, ..SpoolOptions::default() };
    let spool = Arc::new(Spool::open(&disk, root.path(), options));
    let opened = shard.open(&*disk);
    for request in 0..3 {
        let mut member = member(&opened.snapshot().unwrap());
        member.spooled(&spool, 1);
        assert!(bytes(&mut member) == expected, "request {request}");
        let on_disk: u64 = spooled(root.path()).iter().map(|(_, size)| size).sum();
        assert!(on_disk <= spool.size(), "what lies there is known");
        let is_clean = spooled(root.path()).iter().all(|(path, _)| path.extension().unwrap() == "tsm");
        assert!(is_clean || removals.load(Ordering::SeqCst) > 0, "{:?}", spooled(root.path()));
    }
    assert!(opened.damage().is_empty());
    let has_failed = failed.load(Ordering::SeqCst) > 0;
    assert_eq!(TOLD.load(Ordering::SeqCst) > 0, has_failed, "a failure is told");
    drop(spool);
    let left = spooled(root.path());
    assert!(left.is_empty() || removals.load(Ordering::SeqCst) > 0, "{left:?}");
    // Opened again, on a disk that works, it is empty.
    drop(Spool::open(&(Arc::new(RealDisk) as Arc<dyn Disk>), root.path(), SpoolOptions::default()));
    assert_eq!(spooled(root.path()), []);
    has_failed
}

// One test, since what is told is counted in one place.
#[test]
fn no_failing_call_of_the_spool_is_seen_by_the_download() {
    let shard = OneFile::new();
    let expected = bytes(&mut member(&shard.snapshot()));
    let mut calls = 0;
    for (failure, short) in [(Failure::Io, 0), (Failure::NoSpace, 50)] {
        for is_once in [true, false] {
            for first in 0.. {
                let last = if is_once { first } else { u64::MAX };
                if !send(&shard, &expected, fail_calls(|_| true, first..=last, failure, short)) {
                    assert!(first > 10, "{first} calls");
                    calls += first;
                    break;
                }
            }
        }
    }
    println!("{calls} calls failed");
    for room in [0, 1, 1000, 300_000, expected.len() as u64 - 1] {
        assert!(send(&shard, &expected, fill_up(room)), "room for {room} bytes");
    }
    assert!(!send(&shard, &expected, fill_up(u64::MAX)));
    // Told once while it goes on.
    let is_append = |call: &Call<'_>| call.action == Action::Append;
    assert!(send(&shard, &expected, fail_calls(is_append, 0..=u64::MAX, Failure::NoSpace, 0)));
    assert_eq!(TOLD.load(Ordering::SeqCst), 1);
}
