//! Many threads write two shards under common tickets, while snapshots of both are taken in a loop and both are flushed: every
//! pair of snapshots is the model at its ticket.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use icecore_disk::Disk;
use icecore_testkit::Random;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Loss, MemDisk, Verdict};
use icecore_tsm::{ErrorKind, Shard, ShardDir, Ticket, Writing, snapshot_together, write_together};

use crate::check::{assert_same, assert_sound, content, content_of};
use crate::draw::Manner;
use crate::machine::{now, without_reserving, writing};
use crate::model::{Content, Model, Point, batch_of};
use crate::seeds::{on_all_cores, seeds};

const WRITERS: u64 = 8;
const WRITES: usize = 40;

fn dirs() -> [ShardDir; 2] {
    ["1", "2"].map(|name| ShardDir { data: Path::new("/data").join(name), wal: Path::new("/wal").join(name) })
}

/// What was acknowledged: the ticket, and points for each of the shards.
type Acknowledged = Vec<(Ticket, [Vec<Point>; 2])>;

struct Pair {
    shards: [Shard; 2],
    acknowledged: Mutex<Acknowledged>,
    snapshots: Mutex<Vec<(Ticket, [Content; 2])>>,
    writers: AtomicUsize,
}

fn open(disk: &Arc<dyn Disk>, writing: &Writing) -> [Shard; 2] {
    dirs().map(|dir| Shard::open(disk, &dir, writing).unwrap())
}

impl Pair {
    fn write(&self, seed: u64, together: bool) {
        let mut random = Random::new(seed);
        // Few times and series, so that threads write over each other's points; all of one measurement's types agree.
        let manner = Manner { wrong_type: 0, times: 12, points: 3, ..Manner::of(&mut random) };
        for _ in 0..WRITES {
            let mut points = [manner.points(&mut random), manner.points(&mut random)];
            let [first, second] = &self.shards;
            let outcome = if together {
                let [mut a, mut b] = points.each_ref().map(|points| batch_of(points));
                let written = write_together(&mut [(first, &mut a), (second, &mut b)]);
                written.map(|written| {
                    assert_eq!(written[0].ticket, written[1].ticket);
                    written[0].ticket
                })
            } else {
                let at = random.below(2);
                points[1 - at].clear();
                self.shards[at].write(&mut batch_of(&points[at])).map(|written| written.ticket)
            };
            match outcome {
                Ok(ticket) => self.acknowledged.lock().unwrap().push((ticket, points)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
        self.writers.fetch_sub(1, Ordering::Relaxed);
    }

    fn writers_are_gone(&self) -> bool {
        self.writers.load(Ordering::Relaxed) == 0
    }

    fn take_snapshots(&self) {
        let [first, second] = &self.shards;
        loop {
            let is_last = self.writers_are_gone();
            match snapshot_together(&[first, second]) {
                Ok(pair) => {
                    let ticket = pair[0].ticket().unwrap();
                    assert_eq!(pair[1].ticket(), Some(ticket));
                    let contents = [content_of(&pair[0]), content_of(&pair[1])];
                    self.snapshots.lock().unwrap().push((ticket, contents));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
            }
            if is_last {
                return;
            }
        }
    }

    fn flush(&self) {
        while !self.writers_are_gone() {
            for shard in &self.shards {
                if let Err(error) = shard.flush() {
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                }
                thread::yield_now();
            }
        }
    }

    /// Every snapshot has all writes with earlier tickets and no others. Returns the last state.
    fn assert_snapshots(&self) -> [Model; 2] {
        let (mut acknowledged, mut snapshots) =
            (self.acknowledged.lock().unwrap(), self.snapshots.lock().unwrap());
        acknowledged.sort_by_key(|(ticket, _)| *ticket);
        snapshots.sort_by_key(|(ticket, _)| *ticket);
        let (mut models, mut writes) = ([Model::default(), Model::default()], acknowledged.iter().peekable());
        for (cut, contents) in snapshots.iter() {
            while let Some((_, points)) = writes.next_if(|(ticket, _)| ticket < cut) {
                (0..2).for_each(|at| drop(models[at].write(&points[at])));
            }
            (0..2).for_each(|at| assert_same(&contents[at], &models[at].content));
        }
        assert!(writes.next().is_none(), "the last snapshot came behind all writes");
        models
    }
}

/// Returns the number of pairs of snapshots.
fn write_from_many_threads(
    seed: u64,
    hook: impl Fn(&Call<'_>) -> Verdict + Send + Sync + 'static,
    heal: &AtomicBool,
) -> u64 {
    let disk = MemDisk::recording();
    for dir in dirs() {
        disk.create_dir(&dir.data).unwrap();
        disk.create_dir(&dir.wal).unwrap();
    }
    let over: Arc<dyn Disk> = Arc::new(Hooked::new(disk.clone(), move |call: &Call<'_>| {
        if call.action.changes() {
            thread::yield_now(); // others come in between
        }
        match hook(call) {
            Verdict::Go => without_reserving(call),
            verdict => verdict,
        }
    }));
    let writing = writing();
    let pair = Pair {
        shards: open(&over, &writing),
        acknowledged: Mutex::default(),
        snapshots: Mutex::default(),
        writers: AtomicUsize::new(usize::try_from(WRITERS).unwrap()),
    };
    let fails = !heal.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let pair = &pair;
            scope.spawn(move || pair.write(seed * WRITERS + writer, !fails));
        }
        scope.spawn(|| pair.take_snapshots());
        scope.spawn(|| pair.flush());
    });
    heal.store(true, Ordering::Relaxed);
    pair.take_snapshots();
    let models = pair.assert_snapshots();
    let snapshots = pair.snapshots.lock().unwrap().len() as u64;
    drop(pair);
    assert_eq!(writing.budget.used(), 0);
    for loss in [Loss::Everything, Loss::Nothing, Loss::Torn(seed)] {
        let left: Arc<dyn Disk> = Arc::new(disk.after_power_loss(loss));
        for (shard, model) in open(&left, &Writing::new(now)).iter().zip(&models) {
            assert_sound(shard);
            assert_same(&content(shard), &model.content);
        }
    }
    snapshots
}

#[test]
fn every_snapshot_of_two_shards_that_eight_threads_write_is_the_model_at_its_ticket() {
    let snapshots: u64 =
        seeds(60).map(|seed| write_from_many_threads(seed, |_| Verdict::Go, &AtomicBool::new(true))).sum();
    println!("{snapshots} pairs of snapshots");
}

/// What was not acknowledged is in no snapshot, and what was is in all that come behind.
#[test]
fn so_it_is_on_a_disk_whose_log_fails_now_and_then() {
    let failures = Arc::new(AtomicUsize::new(0));
    let snapshots = on_all_cores(seeds(40), |seed| {
        let (healed, random, counted) =
            (Arc::new(AtomicBool::new(false)), Mutex::new(Random::new(seed)), Arc::clone(&failures));
        let is_well = Arc::clone(&healed);
        let hook = move |call: &Call<'_>| {
            let is_log = matches!(call.action, Action::WriteAt | Action::Sync | Action::Create)
                && call.path.starts_with("/wal");
            if is_log && !is_well.load(Ordering::Relaxed) && random.lock().unwrap().one_in(12) {
                counted.fetch_add(1, Ordering::Relaxed);
                return Verdict::Short(call.len / 2, Failure::NoSpace);
            }
            Verdict::Go
        };
        write_from_many_threads(seed, hook, &healed)
    });
    println!("{snapshots} pairs of snapshots, {} failures", failures.load(Ordering::Relaxed));
}
