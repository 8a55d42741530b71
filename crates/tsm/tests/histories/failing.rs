//! A disk that fails, once or for good, fills up, or writes a part: nothing is acknowledged that is not durable, nothing that
//! was is lost, and when the disk is well again the same shard goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use icecore_disk::Disk;
use icecore_testkit::Random;
use icecore_testkit::disk::{Action, Call, Failure, Hooked, MemDisk, Verdict, fail_calls, fill_up};
use icecore_tsm::{ErrorKind, Shard, Writing};

use crate::check::{assert_reads, assert_same, assert_sound, assert_tidy, content, content_of, difference};
use crate::draw::Manner;
use crate::machine::{dir, empty_disk, set_clock, without_reserving, writing};
use crate::model::{Content, Model, Point, batch_of};
use crate::power_loss::{Told, assert_left, losses};
use crate::seeds::{on_all_cores, seeds};

type Hook = Box<dyn Fn(&Call<'_>) -> Verdict + Send>;

/// A shard on a disk that fails when it is told to, and what was acknowledged.
struct Faulty {
    disk: MemDisk,
    over: Arc<dyn Disk>,
    hook: Arc<Mutex<Option<Hook>>>,
    failures: Arc<Mutex<u64>>,
    /// What a failed sync was to make durable never reaches the disk, although it is shown.
    failed_syncs_forget: Arc<AtomicBool>,
    writing: Writing,
    shard: Option<Shard>,
    model: Model,
    /// Writes that failed since the last acknowledgement: one of them may come back when the shard is opened again.
    failed: Vec<Vec<Point>>,
    manner: Manner,
    random: Random,
}

impl Faulty {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // What a write that failed has done to types is tried elsewhere.
        let manner = Manner { wrong_type: 0, ..Manner::of(&mut random) };
        let (disk, reserves) = (empty_disk(), random.one_in(10));
        let (hook, failures): (Arc<Mutex<Option<Hook>>>, Arc<Mutex<u64>>) = Default::default();
        let failed_syncs_forget = Arc::new(AtomicBool::new(true));
        let (below, forgets) = (disk.clone(), Arc::clone(&failed_syncs_forget));
        let (decide, counted) = (Arc::clone(&hook), Arc::clone(&failures));
        let over = Hooked::new(disk.clone(), move |call: &Call<'_>| {
            let verdict = decide.lock().unwrap().as_ref().map_or(Verdict::Go, |decide| decide(call));
            match verdict {
                Verdict::Fail(_) | Verdict::Short(..) => {
                    *counted.lock().unwrap() += 1;
                    if call.action == Action::Sync && forgets.load(Ordering::Relaxed) {
                        below.forget_unsynced(call.path);
                    }
                    verdict
                }
                _ if reserves => verdict,
                _ => without_reserving(call),
            }
        });
        let (over, writing): (Arc<dyn Disk>, _) = (Arc::new(over), writing());
        let shard = Some(Shard::open(&over, &dir(), &writing).unwrap());
        let (model, failed) = (Model::default(), Vec::new());
        Self {
            disk,
            over,
            hook,
            failures,
            failed_syncs_forget,
            writing,
            shard,
            model,
            failed,
            manner,
            random,
        }
    }

    fn fail_by(&self, hook: impl Fn(&Call<'_>) -> Verdict + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// The disk is well again. Returns how many calls have failed.
    fn heal(&self) -> u64 {
        *self.hook.lock().unwrap() = None;
        *self.failures.lock().unwrap()
    }

    fn shard(&self) -> &Shard {
        self.shard.as_ref().unwrap()
    }

    /// Returns whether the write was acknowledged.
    fn write(&mut self) -> bool {
        set_clock(1_000);
        let points = self.manner.points(&mut self.random);
        match self.shard().write(&mut batch_of(&points)) {
            Ok(written) => {
                self.model.take(&points, &written);
                self.failed.clear();
                true
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Io), "{error}");
                assert!(error.path().is_some() && std::error::Error::source(&error).is_some(), "{error}");
                self.failed.push(points);
                false
            }
        }
    }

    fn flush(&mut self) -> bool {
        match self.shard().flush() {
            Ok(()) => self.failed.clear(), // its log is gone
            Err(error) => {
                assert!(error.kind() == ErrorKind::Io && error.path().is_some(), "{error}");
                return false;
            }
        }
        true
    }

    fn snapshot(&mut self) {
        match self.shard().snapshot() {
            Ok(snapshot) => assert_same(&content_of(&snapshot), &self.model.content),
            Err(error) => assert!(error.kind() == ErrorKind::Io && error.path().is_some(), "{error}"),
        }
    }

    /// Who reads sees what was acknowledged, and nothing else.
    fn assert_shows(&self) {
        assert_sound(self.shard());
        assert_same(&content(self.shard()), &self.model.content);
        assert_eq!(self.writing.budget.used(), self.shard().cached_size());
    }

    /// What may be there after the shard is opened again.
    fn possible(&self) -> Vec<Content> {
        let with = |points: &Vec<Point>| {
            let mut model = self.model.clone();
            model.write(points);
            model.content
        };
        [self.model.content.clone()].into_iter().chain(self.failed.iter().map(with)).collect()
    }

    fn assert_power_may_go(&self, goes_on: bool) {
        let possible = self.possible();
        for loss in losses(self.failures.lock().map_or(0, |failures| *failures)).take(4) {
            let what = format!("{loss:?}");
            let _what = Told(&what);
            assert_left(&self.disk.after_power_loss(loss), &possible.iter().collect::<Vec<_>>(), goes_on);
        }
    }

    /// The process ends, and another one opens the shard, as soon as the disk lets it.
    fn reopen(&mut self) {
        self.shard = None;
        self.writing = writing();
        let shard = Shard::open(&self.over, &dir(), &self.writing);
        let shard = shard.or_else(|error| {
            assert!(error.kind() == ErrorKind::Io && error.path().is_some(), "{error}");
            self.writing = writing();
            self.heal();
            Shard::open(&self.over, &dir(), &self.writing)
        });
        let shard = shard.unwrap();
        assert_sound(&shard);
        let left = content(&shard);
        let found = self.possible().into_iter().find(|content| *content == left);
        assert!(found.is_some(), "{}", difference(&left, &self.model.content));
        if left != self.model.content {
            let points = self.failed.iter().find(|points| {
                let mut model = self.model.clone();
                model.write(points);
                model.content == left
            });
            self.model.write(&points.unwrap().clone());
        }
        self.failed.clear();
        self.shard = Some(shard);
    }

    /// The shard becomes one that influxd made.
    fn forget_manifest(&mut self) {
        self.shard = None;
        let is_ours = |name: &str| name == "icecore.manifest" || name.ends_with(".tsmsum");
        for entry in
            self.disk.list(&dir().data).unwrap().iter().filter(|entry| entry.name().is_some_and(is_ours))
        {
            self.disk.remove(&entry.path).unwrap();
        }
        self.disk.sync_dir(&dir().data).unwrap();
        self.reopen();
        assert!(self.disk.stat(&dir().data.join("icecore.manifest")).is_err());
    }

    /// The disk is well: the same shard goes on, and all that was left over goes.
    fn go_on(&mut self) {
        assert!(self.write(), "the same shard goes on");
        assert!(self.flush());
        assert_tidy(&self.disk, &dir(), self.shard());
        self.assert_shows();
        self.assert_power_may_go(false);
        self.reopen();
        assert!(self.write() && self.flush());
        assert_tidy(&self.disk, &dir(), self.shard());
        self.assert_power_may_go(true);
    }
}

/// Every way in which the call of a number can fail.
fn failures_at(call: u64) -> impl Iterator<Item = (std::ops::RangeInclusive<u64>, Failure, u64)> {
    let ways = [(0, true), (0, false), (50, true), (99, false)];
    [Failure::Io, Failure::NoSpace].into_iter().flat_map(move |failure| {
        ways.map(|(short, only_one)| (call..=if only_one { call } else { u64::MAX }, failure, short))
    })
}

fn counts(call: &Call<'_>) -> bool {
    call.action.changes()
        || matches!(call.action, Action::Map | Action::OpenWrite | Action::List | Action::Open | Action::Read)
}

/// Tries `work` with a failure at its first call, its second, and so on, until it makes no more calls.
fn fail_at_every_call(seed: u64, prepare: impl Fn(&mut Faulty), work: impl Fn(&mut Faulty)) -> u64 {
    let mut failures = 0;
    for call in 0.. {
        let mut reached = false;
        for (numbers, failure, short) in failures_at(call) {
            let what = format!("calls {numbers:?} fail by {failure:?} after {short} %");
            let _what = Told(&what);
            let mut faulty = Faulty::new(seed);
            prepare(&mut faulty);
            faulty.fail_by(fail_calls(counts, numbers, failure, short));
            work(&mut faulty);
            faulty.assert_shows();
            let failed = faulty.heal();
            faulty.assert_power_may_go(false);
            if seed.is_multiple_of(2) {
                faulty.reopen();
            }
            faulty.go_on();
            reached |= failed > 0;
            failures += u64::from(failed > 0);
        }
        if !reached {
            break;
        }
    }
    failures
}

#[test]
fn a_failure_at_every_call_of_writes_is_told_and_loses_nothing() {
    let failures = on_all_cores(seeds(16), |seed| {
        let prepare = |faulty: &mut Faulty| {
            if seed % 3 > 0 {
                assert!(faulty.write() && faulty.write());
            }
            if seed % 3 > 1 {
                assert!(faulty.flush() && faulty.write());
            }
        };
        fail_at_every_call(seed, prepare, |faulty| {
            for _ in 0..3 {
                faulty.write();
                faulty.assert_shows();
                faulty.assert_power_may_go(false);
            }
        })
    });
    println!("{failures} failures");
}

#[test]
fn a_failure_at_every_call_of_a_flush_is_told_and_loses_nothing() {
    let failures = on_all_cores(seeds(8), |seed| {
        let prepare = |faulty: &mut Faulty| {
            for step in 1..4 {
                assert!(faulty.write());
                assert!(step != seed % 4 || faulty.flush());
            }
            if seed.is_multiple_of(2) {
                faulty.forget_manifest();
            }
            assert!(faulty.write());
        };
        fail_at_every_call(seed, prepare, |faulty| {
            let is_flushed = faulty.flush();
            faulty.assert_shows();
            faulty.assert_power_may_go(false);
            if seed % 3 == 0 {
                faulty.snapshot();
                faulty.write();
            }
            // It catches up, with what came meanwhile.
            if !is_flushed && faulty.flush() {
                assert_eq!(faulty.shard().cached_size(), 0);
            }
        })
    });
    println!("{failures} failures");
}

#[test]
fn a_disk_that_fills_up_at_any_byte_is_told_and_loses_nothing() {
    let failures = on_all_cores(seeds(8), |seed| {
        let mut failures = 0;
        for room in 0.. {
            let what = format!("room for {} bytes", room * 150);
            let _what = Told(&what);
            let mut faulty = Faulty::new(seed);
            faulty.write();
            faulty.fail_by(fill_up(room * 150));
            for step in 0..6 {
                faulty.write();
                if step % 3 == 2 {
                    faulty.flush();
                }
                faulty.assert_shows();
            }
            let failed = faulty.heal();
            faulty.assert_power_may_go(false);
            faulty.go_on();
            if failed == 0 {
                break;
            }
            failures += 1;
        }
        failures
    });
    println!("{failures} full disks");
}

/// Random operations on a disk that fails now and then, for a while or once.
#[test]
fn random_histories_on_a_failing_disk_lose_nothing() {
    let failures = on_all_cores(seeds(600), |seed| {
        let mut faulty = Faulty::new(seed);
        for step in 0..100u64 {
            match faulty.random.below(30) {
                0..3 => {
                    let failure = if faulty.random.one_in(2) { Failure::Io } else { Failure::NoSpace };
                    let first = faulty.random.below(12) as u64;
                    let last = first + faulty.random.below(20) as u64;
                    faulty.fail_by(fail_calls(counts, first..=last, failure, (seed + step) % 3 * 45));
                }
                3 => faulty.fail_by(fill_up((seed + step) % 5000)),
                4..6 => drop(faulty.heal()),
                6..8 => drop(faulty.flush()),
                8 => faulty.snapshot(),
                9 => faulty.reopen(),
                10 => faulty.assert_power_may_go(false),
                _ => drop(faulty.write()),
            }
            assert_eq!(faulty.writing.budget.used(), faulty.shard().cached_size());
            // Reads fail, too, where the disk fails them.
            if faulty.hook.lock().unwrap().is_none() {
                assert_reads(
                    faulty.shard.as_ref().unwrap(),
                    &faulty.model,
                    faulty.manner,
                    &mut faulty.random,
                );
            }
        }
        let failures = faulty.heal();
        faulty.assert_shows();
        faulty.go_on();
        failures
    });
    println!("{failures} failed calls");
}

/// The process ends at any call, by itself or because a sync failed, and the next one finds what the system shows, which may
/// not be on the disk. What that one shows outlives a loss of power.
#[test]
fn what_a_new_process_shows_is_durable() {
    let ends = on_all_cores(seeds(24), |seed| {
        let mut ends = 0;
        for call in 0.. {
            let what = format!("the process ends at call {call}");
            let _what = Told(&what);
            let mut faulty = Faulty::new(seed);
            faulty.failed_syncs_forget.store(seed % 2 == 0, Ordering::Relaxed);
            if seed % 3 == 0 {
                assert!(faulty.write() && faulty.flush());
            }
            faulty.fail_by(fail_calls(|call| call.action.changes(), call..=u64::MAX, Failure::Io, 60));
            let lives =
                faulty.write() && faulty.write() && faulty.flush() && faulty.write() && faulty.flush();
            faulty.heal();
            faulty.reopen();
            faulty.assert_power_may_go(false);
            for _ in 0..2 {
                assert!(faulty.write());
                faulty.assert_power_may_go(false);
            }
            faulty.go_on();
            if lives {
                break;
            }
            ends += 1;
        }
        ends
    });
    println!("{ends} ends");
}
