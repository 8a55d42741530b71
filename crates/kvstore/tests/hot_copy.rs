//! Copies while four threads write: each is the state of one transaction, and readers and writers do not wait for it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{copied, open_bytes};
use icecore_disk::RealDisk;
use icecore_kvstore::{Builder, Store, View};
use icecore_testkit::Random;
use icecore_testkit::disk::{Hooked, without_sync};

const KEYS: usize = 4000;

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

/// Puts pairs that begin with the transaction's number, and notes the sum of these numbers over all pairs.
fn write_some(store: &Store, random: &mut Random) {
    let changes = 1 + random.below(30);
    let written = store.write(|tx| {
        let now = tx.txid().get();
        let mut bucket = tx.bucket_or_create(b"data")?;
        let mut sum = bucket.sequence();
        for _ in 0..changes {
            let key = (random.below(KEYS) as u64).to_be_bytes();
            sum = sum.wrapping_sub(bucket.get(&key)?.map_or(0, number));
            if random.one_in(5) {
                bucket.delete(&key)?;
                continue;
            }
            let len = random.below(400);
            bucket.put(&key, &[&now.to_be_bytes()[..], &random.bytes(len)].concat())?;
            sum = sum.wrapping_add(now);
        }
        bucket.set_sequence(sum);
        bucket.put(b"written by", &now.to_be_bytes())
    });
    written.unwrap();
}

fn assert_is_one_transaction(view: &View) {
    assert_eq!(view.verify().unwrap().notes, []);
    let bucket = view.bucket(b"data").unwrap().unwrap();
    let pairs = bucket.range(..&b"w"[..]).unwrap().map(Result::unwrap);
    assert_eq!(
        pairs.map(|(_, value)| number(value)).fold(0, u64::wrapping_add),
        bucket.sequence(),
        "a mixture"
    );
    assert_eq!(number(bucket.get(b"written by").unwrap().unwrap()), view.txid().get());
}

/// Lets four threads write for `time`; returns how long each write took, sorted.
fn write_for(store: &Store, time: Duration, beside: impl FnOnce(&AtomicBool)) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|seed| {
                let (store, is_over) = (&store, &is_over);
                scope.spawn(move || {
                    let (mut random, mut took) = (Random::new(seed), Vec::new());
                    while !is_over.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        write_some(store, &mut random);
                        took.push(begin.elapsed());
                    }
                    took
                })
            })
            .collect();
        let timer = scope.spawn(|| {
            std::thread::sleep(time);
            is_over.store(true, Ordering::Relaxed);
        });
        beside(&is_over);
        timer.join().unwrap();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    took.sort_unstable();
    took
}

/// `ICECORE_SECONDS` asks for more than one, with syncs, and tells how long the writers took with and without copies.
#[test]
fn each_copy_made_while_four_threads_write_is_one_transaction() {
    let seconds: Option<u64> = std::env::var("ICECORE_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn icecore_disk::Disk> = match seconds {
        Some(_) => Arc::new(RealDisk),
        None => Arc::new(Hooked::new(RealDisk, without_sync)),
    };
    let store = Store::create(disk, &dir.path().join("hot.bolt"), Builder::new(4096).unwrap()).unwrap();
    write_some(&store, &mut Random::new(9));
    let time = Duration::from_secs(seconds.unwrap_or(1));
    let alone = write_for(&store, time, |_| {});
    let mut copies = 0;
    let beside = write_for(&store, time, |is_over| {
        while !is_over.load(Ordering::Relaxed) {
            let view = store.view();
            let copy = copied(&view).unwrap();
            let again = copied(&view).unwrap();
            assert!(copy == again, "the same state, other bytes");
            let copy = open_bytes(copy).unwrap();
            assert_eq!(copy.txid(), view.txid());
            assert_is_one_transaction(&copy.view());
            copies += 1;
        }
    });
    let p99 = |took: &[Duration]| took[took.len() * 99 / 100];
    println!(
        "{copies} copies; {} writes alone, p99 {:?}; {} writes beside them, p99 {:?}",
        alone.len(),
        p99(&alone),
        beside.len(),
        p99(&beside)
    );
    assert!(copies > 3 && beside.len() > 50, "{copies} copies, {} writes", beside.len());
    assert_is_one_transaction(&store.view());
}
