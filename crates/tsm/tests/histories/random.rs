//! Random histories: batches are written, flushed, snapshots taken, the shard opened again, the power lost in the middle of
//! anything. Every read equals the model.

use icecore_testkit::Random;
use icecore_testkit::disk::Loss;
use icecore_tsm::{Shard, Snapshot, Trust, Writing};

use crate::check::{
    Files, assert_is, assert_log_is_gone, assert_reads, assert_same, assert_sound, content, content_of,
    content_of_files, difference, sent,
};
use crate::draw::Manner;
use crate::machine::{Machine, dir, empty_disk, set_clock, writing};
use crate::model::{Model, Point, batch_of};
use crate::seeds::{on_all_cores, seeds};

const OPERATIONS: usize = 200;

#[derive(Clone, Debug)]
enum Operation {
    Write(Vec<Point>),
    Flush,
    Snapshot,
    /// A snapshot of which only what was modified after an earlier one is sent.
    Since,
    Reopen,
    ReadOnly,
}

impl Operation {
    fn any(manner: Manner, random: &mut Random) -> Self {
        match random.below(if manner.mostly_writes { 300 } else { 100 }) {
            0 => Self::ReadOnly,
            1..3 => Self::Snapshot,
            3..5 => Self::Since,
            5..8 => Self::Reopen,
            8..12 => Self::Flush,
            _ => Self::Write(manner.points(random)),
        }
    }
}

/// What somebody has backed up.
#[derive(Clone, Debug)]
struct Backup {
    cut_ns: i64,
    files: Files,
}

struct History {
    random: Random,
    manner: Manner,
    machine: Machine,
    writing: Writing,
    shard: Option<Shard>,
    model: Model,
    backup: Option<Backup>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let manner = Manner::of(&mut random);
        let machine = Machine::new(empty_disk(), random.one_in(40));
        let writing = writing();
        let shard = Some(machine.open(&writing));
        Self { random, manner, machine, writing, shard, model: Model::default(), backup: None }
    }

    fn shard(&self) -> &Shard {
        self.shard.as_ref().unwrap()
    }

    fn run(&mut self) {
        let crash_at = self.random.below(OPERATIONS);
        for step in 0..OPERATIONS {
            set_clock(if self.random.one_in(20) { -5_000 } else { 1_000 });
            let operation = Operation::any(self.manner, &mut self.random);
            if step == crash_at || self.random.one_in(80) {
                self.crash_in(&operation);
            } else {
                self.perform(&operation);
            }
            if self.random.one_in(4) {
                assert_reads(self.shard.as_ref().unwrap(), &self.model, self.manner, &mut self.random);
            }
            if self.random.one_in(80) {
                assert_is(self.shard(), &self.model);
            }
        }
        self.perform(&Operation::Since);
        self.perform(&Operation::Flush);
        self.perform(&Operation::Reopen);
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(points) => {
                let mut batch = batch_of(points);
                let written = self.shard().write(&mut batch).unwrap();
                self.model.take(points, &written);
                assert_eq!((batch.len(), batch.values()), (written.points, written.values));
            }
            Operation::Flush => {
                self.shard().flush().unwrap();
                assert_eq!(self.shard().cached_size(), 0);
                assert_log_is_gone(&self.machine.disk, &dir().wal);
            }
            Operation::Snapshot => {
                let snapshot = self.snapshot();
                self.backup = Some(Backup { cut_ns: snapshot.cut_ns(), files: sent(&snapshot, i64::MIN) });
            }
            Operation::Since => self.back_up_since(),
            Operation::Reopen => {
                self.shard = None;
                assert_eq!(self.writing.budget.used(), 0, "a shard that is closed has no points in memory");
                self.shard = Some(self.machine.open(&self.writing));
                assert_is(self.shard(), &self.model);
            }
            Operation::ReadOnly => {
                let before = self.machine.disk.files();
                let shard = Shard::open_read_only(&self.machine.disk, &dir(), Trust::Manifest).unwrap();
                assert_is(&shard, &self.model);
                assert!(self.machine.disk.files() == before, "reading writes nothing");
            }
        }
        assert_eq!(self.writing.budget.used(), self.shard().cached_size());
    }

    fn snapshot(&self) -> Snapshot {
        let snapshot = self.shard().snapshot().unwrap();
        assert_same(&content_of(&snapshot), &self.model.content);
        snapshot
    }

    fn back_up_since(&mut self) {
        let snapshot = self.snapshot();
        let Some(backup) = &mut self.backup else { return };
        let increment = sent(&snapshot, backup.cut_ns);
        backup.files.extend(increment);
        backup.files.retain(|name, _| snapshot.files().iter().any(|file| file.name() == *name));
        backup.cut_ns = snapshot.cut_ns();
        assert_same(&content_of_files(&backup.files), &self.model.content);
        assert!(backup.files == sent(&snapshot, i64::MIN), "the files are the same, not only their points");
    }

    /// The power is lost in the middle of an operation, and maybe again while the shard is opened.
    fn crash_in(&mut self, operation: &Operation) {
        let (before, backup) = (self.model.clone(), self.backup.clone());
        let loss = any_loss(&mut self.random);
        self.machine.cut_power_after(self.random.below(20) as u64, loss);
        self.perform(operation);
        self.shard = None;
        match self.machine.after_cut() {
            Some(left) => {
                self.machine = left;
                self.backup = backup;
            }
            None => self.machine = self.machine.cut_now(loss),
        }
        while self.random.one_in(3) {
            let loss = any_loss(&mut self.random);
            self.machine.cut_power_after(self.random.below(12) as u64, loss);
            drop(self.machine.open(&writing()));
            let left = self.machine.after_cut();
            self.machine = left.unwrap_or_else(|| self.machine.cut_now(loss));
        }
        self.writing = writing();
        let shard = self.machine.open(&self.writing);
        assert_sound(&shard);
        let left = content(&shard);
        if left == before.content && left != self.model.content {
            self.model = before;
            if let Operation::Write(points) = operation {
                self.model.doubt(points);
            }
        }
        assert!(left == self.model.content, "{}", difference(&left, &self.model.content));
        self.shard = Some(shard);
    }
}

fn any_loss(random: &mut Random) -> Loss {
    match random.below(4) {
        0 => Loss::Everything,
        1 => Loss::Nothing,
        _ => Loss::Torn(random.next_u64()),
    }
}

#[test]
fn every_read_of_random_histories_equals_the_model() {
    let histories = on_all_cores(seeds(10_000), |seed| {
        History::new(seed).run();
        1
    });
    println!("{histories} histories of {OPERATIONS} operations");
}
