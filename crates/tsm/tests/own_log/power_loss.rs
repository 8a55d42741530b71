//! Power is lost before every call that changes the disk, also while the log is opened again, three deep: what was
//! acknowledged and not released is found, in order, and the log goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use icecore_disk::Disk;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, Loss, Verdict};
use icecore_testkit::{MemDisk, Random};
use icecore_tsm::Ticket;
use icecore_tsm::internal::Log;

use super::model::{Model, SMALL, append, found, open, record};

const LOSSES: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Append so many bytes.
    Append(usize),
    /// Release all but the last so many tickets.
    Release(u64),
    /// The next sync of a segment fails and forgets what it was to make durable.
    FailSync,
    /// Close without a word and open again.
    Reopen,
}
use Step::{Append, FailSync, Release, Reopen};

fn losses(seed: u64) -> impl Iterator<Item = Loss> {
    let torn = (2..LOSSES).map(move |n| Loss::Torn(seed.wrapping_mul(LOSSES).wrapping_add(n)));
    [Loss::Everything, Loss::Nothing].into_iter().chain(torn)
}

/// A log on a disk that is looked at before every change: what would be left, were the power lost now?
struct Run {
    disk: MemDisk,
    hooked: Arc<dyn Disk>,
    model: Arc<Mutex<Model>>,
    fail_sync: Arc<AtomicBool>,
    log: Option<Log>,
}

/// Crash points, and images.
type Counts = Arc<[AtomicU64; 2]>;

impl Run {
    fn new(disk: MemDisk, model: Model, seed: u64, depth: u32, top: bool, counts: &Counts) -> Self {
        let (model, fail_sync) = (Arc::new(Mutex::new(model)), Arc::new(AtomicBool::new(false)));
        let (below, expected, fail, counts) =
            (disk.clone(), model.clone(), fail_sync.clone(), counts.clone());
        let point = AtomicU64::new(0);
        let hook = move |call: &Call<'_>| {
            if !call.action.changes() {
                return Verdict::Go;
            }
            let point = point.fetch_add(1, Ordering::Relaxed);
            counts[0].fetch_add(1, Ordering::Relaxed);
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(point);
            for (nth, loss) in losses(seed).enumerate() {
                counts[1].fetch_add(1, Ordering::Relaxed);
                let image = below.after_power_loss(loss);
                let mut model = expected.lock().unwrap().clone();
                model.assert_left(&image);
                // One image goes on, another one at each point; further down, at some points.
                let chosen = (point + nth as u64).is_multiple_of(LOSSES) && (top || point % 17 == seed % 17);
                if depth > 0 && chosen {
                    recover(image, model, seed, depth - 1, &counts);
                }
            }
            if call.action == Action::Sync
                && call.path.extension().is_some_and(|name| name == "iwal")
                && fail.swap(false, Ordering::Relaxed)
            {
                below.forget_unsynced(call.path);
                return Verdict::Fail(Failure::Io);
            }
            Verdict::Go
        };
        let hooked: Arc<dyn Disk> = Arc::new(Hooked::new(disk.clone(), hook));
        let mut run = Self { disk, hooked, model, fail_sync, log: None };
        run.step(Reopen);
        run
    }

    fn step(&mut self, step: Step) {
        let model = |change: &mut dyn FnMut(&mut Model)| change(&mut self.model.lock().unwrap());
        match (step, &self.log) {
            (Append(len), Some(log)) => {
                let mut new = record(0, 0);
                model(&mut |model| {
                    let before =
                        model.acknowledged.iter().chain(&model.tried).map(|(ticket, _)| *ticket).max();
                    new = record(before.unwrap_or(0) + 1, len);
                    model.tried.push(new.clone());
                });
                if append(log, &new).is_ok() {
                    model(&mut |model| {
                        model.tried.clear();
                        model.acknowledged.push(new.clone());
                    });
                }
            }
            (Release(back), Some(log)) => {
                let mut flushed = 0;
                model(&mut |model| {
                    let next = model.acknowledged.last().map_or(0, |(ticket, _)| ticket + 1);
                    model.flushed = model.flushed.max(next.saturating_sub(back));
                    flushed = model.flushed;
                });
                let empty = log.release(Ticket::new(flushed)).unwrap();
                if empty {
                    let left = self.disk.after_power_loss(Loss::Everything).files();
                    assert!(
                        left.keys().all(|path| path.extension().is_some_and(|name| name == "torn")),
                        "{left:?}"
                    );
                }
                assert!(empty || back > 0, "all is flushed, and nobody writes");
            }
            (FailSync, _) => self.fail_sync.store(true, Ordering::Relaxed),
            _ => {
                self.log = None;
                // A sync may fail here, too; then nothing has changed.
                let first = open(self.hooked.clone(), SMALL);
                let opened = first.or_else(|_| open(self.hooked.clone(), SMALL));
                let (log, records) = opened.unwrap_or_else(|error| panic!("{error}"));
                let mut model = self.model.lock().unwrap();
                assert!(model.allows(&records));
                model.assert_left(&self.disk);
                self.log = Some(log);
            }
        }
    }
}

/// What the log does after a crash: it goes on, and crashes again.
fn recover(disk: MemDisk, model: Model, seed: u64, depth: u32, counts: &Counts) {
    let torn = found(&disk).unwrap().0.torn;
    let mut run = Run::new(disk, model, seed, depth, false, counts);
    if let Some(torn) = torn {
        let mut kept = torn.path.clone().into_os_string();
        kept.push(".torn");
        assert!(run.disk.files().contains_key(std::path::Path::new(&kept)), "the torn tail is kept");
    }
    run.step(Append(30));
    if seed.is_multiple_of(2) {
        run.step(Reopen);
        run.step(Append(700));
        run.step(Release(1));
    }
    run.step(Append(1));
    run.step(Release(0));
    let mut model = run.model.lock().unwrap();
    model.assert_left(&run.disk);
}

fn histories() -> Vec<Vec<Step>> {
    vec![
        vec![
            Append(10),
            Append(0),
            Append(300),
            Append(600),
            Reopen,
            Append(5),
            Release(2),
            Append(7),
            Release(0),
        ],
        vec![
            Append(900),
            Append(900),
            Append(900),
            Append(900),
            Release(1),
            Append(900),
            Release(0),
            Append(1),
        ],
        vec![
            Append(20),
            FailSync,
            Append(600),
            Append(30),
            FailSync,
            Append(31),
            FailSync,
            Append(32),
            Append(33),
        ],
        vec![FailSync, Append(20), FailSync, Append(20), Release(0), Append(20), Reopen, Append(4)],
        vec![Append(5000), Append(3), Append(2100), Release(1), Reopen, Append(40), Release(0)],
        vec![
            Append(40),
            Release(0),
            Append(41),
            Release(0),
            Reopen,
            Append(42),
            Reopen,
            Release(0),
            Append(43),
        ],
        vec![
            Append(100),
            FailSync,
            Append(700),
            Reopen,
            Append(50),
            FailSync,
            Append(60),
            Release(0),
            Append(6),
        ],
    ]
}

fn random_history(random: &mut Random) -> Vec<Step> {
    let step = |random: &mut Random| match random.below(10) {
        0..=5 => Append([0, 20, 600, 900, 3000][random.below(5)]),
        6 | 7 => Release(random.below(4) as u64),
        8 => FailSync,
        _ => Reopen,
    };
    (0..12).map(|_| step(random)).collect()
}

fn run(history: &[Step], seed: u64, depth: u32, counts: &Counts) {
    println!("seed {seed}, depth {depth}: {history:?}");
    let mut run = Run::new(super::model::disk(), Model::default(), seed, depth, true, counts);
    history.iter().for_each(|step| run.step(*step));
    let mut model = run.model.lock().unwrap();
    model.assert_left(&run.disk.after_power_loss(Loss::Everything));
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn whatever_power_loss_leaves_has_all_that_was_acknowledged_three_deep() {
    let counts = Counts::default();
    for (seed, history) in histories().iter().enumerate() {
        run(history, seed as u64, 3, &counts);
    }
    let [points, images] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    println!("{points} points, {images} images");
    assert!(points > 1000 && images == points * LOSSES, "{points} points, {images} images");
}

#[test]
fn so_do_random_histories() {
    let counts = Counts::default();
    let first = number("ICECORE_SEED", 1);
    for seed in first..first + number("ICECORE_HISTORIES", 60) {
        run(&random_history(&mut Random::new(seed)), seed, 1, &counts);
    }
    let [points, images] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    println!("{points} points, {images} images");
    assert!(points > 0 && images == points * LOSSES);
}
