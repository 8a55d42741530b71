//! Power is lost before every call that changes the disk: what is left opens without damage and shows what was
//! acknowledged, and the one write that was on its way as a whole or not at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use icecore_disk::Disk;
use icecore_testkit::Random;
use icecore_testkit::disk::{Call, Hooked, Loss, MemDisk, Verdict};
use icecore_tsm::{Batch, Shard, Trust, Value};

use crate::check::{assert_same, assert_sound, assert_tidy, content, content_of};
use crate::draw::Manner;
use crate::machine::{Machine, dir, empty_disk, set_clock, without_reserving, writing};
use crate::model::{Content, Model, Point, Val, batch_of};
use crate::seeds::{on_all_cores, seeds};

const LOSSES: u64 = 8;

pub(crate) fn losses(seed: u64) -> impl Iterator<Item = Loss> {
    let torn = (2..LOSSES).map(move |n| Loss::Torn(seed.wrapping_mul(LOSSES).wrapping_add(n)));
    [Loss::Everything, Loss::Nothing].into_iter().chain(torn)
}

/// What is left is sound and shows one of these, to who only reads it and to who goes on from there.
pub(crate) fn assert_left(disk: &MemDisk, expected: &[&Content], goes_on: bool) {
    if goes_on {
        let shard = Shard::open_read_only(disk, &dir(), Trust::Manifest).unwrap();
        assert_sound(&shard);
        assert!(
            expected.contains(&&content(&shard)),
            "read only, neither the state before nor the one after"
        );
    }
    let machine = Machine::new(disk.clone(), false);
    let shard = machine.open(&writing());
    assert_sound(&shard);
    let mut left = content(&shard);
    assert!(expected.contains(&&left), "neither the state before nor the one after");
    if goes_on {
        write_after(&shard, &mut left, 1);
        shard.flush().unwrap();
        assert_tidy(disk, &dir(), &shard);
        write_after(&shard, &mut left, 2);
        drop(shard);
        let image = disk.after_power_loss(Loss::Everything);
        let shard = Machine::new(image, false).open(&writing());
        assert_sound(&shard);
        assert_same(&content(&shard), &left);
    }
}

/// A point of a measurement of its own.
fn write_after(shard: &Shard, content: &mut Content, time: i64) {
    let mut batch = Batch::new();
    batch.point(b"after", 5, time, [(&b"power"[..], Value::Boolean(true))]).unwrap();
    shard.write(&mut batch).unwrap();
    content.entry(b"after#!~#power".to_vec()).or_default().insert(time, Val::Boolean(true));
}

/// A disk that is looked at before every change: what would be left of it, were the power lost now?
struct Watched {
    disk: MemDisk,
    over: Arc<dyn Disk>,
    expected: Arc<Mutex<Vec<Content>>>,
    points: Arc<AtomicU64>,
}

impl Watched {
    fn new(seed: u64, defect: Option<Defect>) -> Self {
        let (disk, reserves) = (empty_disk(), seed.is_multiple_of(8));
        let (expected, points): (Arc<Mutex<Vec<Content>>>, Arc<AtomicU64>) = Default::default();
        let (below, known, made) = (disk.clone(), Arc::clone(&expected), Arc::clone(&points));
        let hook = move |call: &Call<'_>| {
            if call.action.changes() {
                let (point, known) = (made.fetch_add(1, Ordering::Relaxed), known.lock().unwrap());
                let expected: Vec<&Content> = known.iter().collect();
                for loss in losses(seed.wrapping_mul(1_000_003).wrapping_add(point)) {
                    let what = format!(
                        "before call {point}, {:?} of {}, {loss:?}",
                        call.action,
                        call.path.display()
                    );
                    let _what = Told(&what);
                    assert_left(&below.after_power_loss(loss), &expected, point % 4 == 0);
                }
            }
            match defect {
                Some(defect) if defect(call) => Verdict::Skip,
                _ if reserves => Verdict::Go,
                _ => without_reserving(call),
            }
        };
        Self { over: Arc::new(Hooked::new(disk.clone(), hook)), disk, expected, points }
    }

    fn expect(&self, states: &[&Content]) {
        *self.expected.lock().unwrap() = states.iter().copied().cloned().collect();
    }

    /// Nothing but this may be left now.
    fn assert_durable(&self, state: &Content) {
        self.expect(&[state]);
        for loss in losses(0) {
            assert_left(&self.disk.after_power_loss(loss), &[state], false);
        }
    }
}

/// Says where a test was when it panicked.
pub(crate) struct Told<'t>(pub(crate) &'t str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// A call that is left out, and said to have been made.
pub(crate) type Defect = fn(&Call<'_>) -> bool;

/// Returns the number of points at which power was lost.
pub(crate) fn lose_power_in(seed: u64, defect: Option<Defect>) -> u64 {
    let mut random = Random::new(seed);
    let manner = Manner::of(&mut random);
    let watched = Watched::new(seed, defect);
    let mut model = Model::default();
    watched.expect(&[&model.content]);
    let (mut process, mut shard) = (writing(), None);
    for _ in 0..30 {
        set_clock(1_000);
        let open = shard.get_or_insert_with(|| Shard::open(&watched.over, &dir(), &process).unwrap());
        match random.below(10) {
            0 => {
                shard = None;
                process = writing();
            }
            1..3 => open.flush().unwrap(),
            3 => assert_same(&content_of(&open.snapshot().unwrap()), &model.content),
            _ => {
                let points = manner.points(&mut random);
                let mut wanted = model.clone();
                wanted.write(&points);
                watched.expect(&[&model.content, &wanted.content]);
                let written = open.write(&mut batch_of(&points)).unwrap();
                model.take(&points, &written);
                watched.assert_durable(&model.content);
            }
        }
    }
    assert_same(&content(&Shard::open(&watched.over, &dir(), &process).unwrap()), &model.content);
    watched.points.load(Ordering::Relaxed)
}

#[test]
fn power_loss_at_every_call_loses_no_acknowledged_write() {
    let points = on_all_cores(seeds(24), |seed| lose_power_in(seed, None));
    println!("{points} points, {} images", points * LOSSES);
    assert!(points >= 2000 || std::env::var_os("ICECORE_HISTORIES").is_some(), "{points}");
}

/// A machine whose shard has files, a log, and a write of several sectors that is about to be made.
fn prepared(seed: u64, reserves: bool) -> (Machine, Shard, Model, Vec<Point>, Random) {
    let mut random = Random::new(seed);
    let manner = Manner { wrong_type: 0, ..Manner::of(&mut random) };
    let machine = Machine::new(empty_disk(), reserves);
    let shard = machine.open(&writing());
    let mut model = Model::default();
    for step in 0..8 {
        set_clock(1_000);
        let points = manner.points(&mut random);
        model.take(&points, &shard.write(&mut batch_of(&points)).unwrap());
        if step == 4 {
            shard.flush().unwrap();
        }
    }
    let long = |time| Point { series: 0, time, fields: vec![(4, Val::String(vec![b'l'; 1500]))] };
    let points = vec![long(1), long(2)];
    (machine, shard, model, points, random)
}

/// The power is lost in a write, which tears; what is acknowledged after that outlives the next losses.
#[test]
fn what_is_acknowledged_behind_a_torn_tail_outlives_a_second_crash() {
    let torn = on_all_cores(seeds(60), |seed| {
        let mut torn = 0;
        for call in 0.. {
            let (machine, shard, before, points, mut random) = prepared(seed, seed.is_multiple_of(6));
            let mut after = before.clone();
            machine.cut_power_after(call, Loss::Torn(random.next_u64()));
            after.take(&points, &shard.write(&mut batch_of(&points)).unwrap());
            let Some(mut left) = machine.after_cut() else { break };
            let _what = format!("call {call}");
            let shard = left.open(&writing());
            assert_sound(&shard);
            torn += u64::from(shard.recovery().torn.is_some());
            let mut state = content(&shard);
            assert!(state == before.content || state == after.content);
            drop(shard);
            for time in 1..4 {
                let shard = left.open(&writing());
                write_after(&shard, &mut state, time);
                for loss in losses(random.next_u64()) {
                    assert_left(&left.disk.after_power_loss(loss), &[&state], false);
                }
                left = left.cut_now(Loss::Torn(random.next_u64()));
            }
        }
        torn
    });
    println!("{torn} torn tails");
    assert!(torn > 0 || std::env::var_os("ICECORE_HISTORIES").is_some());
}

/// The power is lost at every call of a write and of a flush, then at every call of the recovery, and of the recovery of
/// that, and of the recovery of that.
#[test]
fn recovery_that_is_interrupted_three_times_loses_nothing() {
    let images = on_all_cores(seeds(2), |seed| {
        let mut images = 0;
        for call in 0.. {
            let (machine, shard, before, points, mut random) = prepared(seed, false);
            let mut after = before.clone();
            machine.cut_power_after(call, Loss::Torn(random.next_u64()));
            after.take(&points, &shard.write(&mut batch_of(&points)).unwrap());
            shard.flush().unwrap();
            let Some(left) = machine.after_cut() else { break };
            let expected = [&before.content, &after.content];
            interrupt_recovery(&left.disk, &expected, 3, &mut random, &mut images);
        }
        images
    });
    println!("{images} recoveries");
}

fn interrupt_recovery(
    disk: &MemDisk,
    expected: &[&Content],
    deep: u32,
    random: &mut Random,
    images: &mut u64,
) {
    *images += 1;
    let machine = Machine::new(disk.after_power_loss(Loss::Nothing), false);
    let shard = machine.open(&writing());
    let state = content(&shard);
    assert!(expected.contains(&&state), "{deep} recoveries from the end: neither the state before nor after");
    if deep == 0 {
        shard.flush().unwrap();
        assert_tidy(&machine.disk, &dir(), &shard);
        return;
    }
    for call in 0.. {
        let machine = Machine::new(disk.after_power_loss(Loss::Nothing), false);
        machine.cut_power_after(call, Loss::Torn(random.next_u64()));
        let shard = machine.open(&writing());
        assert_sound(&shard);
        assert!(content(&shard) == state, "what is recovered does not depend on chance");
        match machine.after_cut() {
            Some(left) => interrupt_recovery(&left.disk, &[&state], deep - 1, random, images),
            None => return,
        }
    }
}
