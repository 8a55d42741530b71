//! A machine with a disk that loses power at a call, and goes on from what is left.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex};

use icecore_disk::Disk;
use icecore_testkit::disk::{Action, Call, Hooked, Loss, MemDisk, Verdict};
use icecore_tsm::{Shard, ShardDir, Writing};

const START: i64 = 1_700_000_000_000_000_000;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(START) };
}

/// The clock of the thread's machine.
pub(crate) fn now() -> i64 {
    NOW.get()
}

/// A history begins at the same time on every thread.
pub(crate) fn reset_clock() {
    NOW.set(START);
}

/// Puts the clock forward, or back.
pub(crate) fn set_clock(change_ns: i64) {
    NOW.set(NOW.get() + change_ns);
}

pub(crate) fn dir() -> ShardDir {
    ShardDir { data: "/data/1".into(), wal: "/wal/1".into() }
}

/// A disk that keeps what was not synced apart, with the empty directories of a shard.
pub(crate) fn empty_disk() -> MemDisk {
    let disk = MemDisk::recording();
    disk.create_dir(Path::new("/data/1")).unwrap();
    disk.create_dir(Path::new("/wal/1")).unwrap();
    disk
}

/// What one process shares between its shards.
pub(crate) fn writing() -> Writing {
    Writing::new(now)
}

/// Space that is set aside is a mebibyte of zeros, which most histories need not carry along.
pub(crate) fn without_reserving(call: &Call<'_>) -> Verdict {
    if call.action == Action::Reserve { Verdict::Skip } else { Verdict::Go }
}

#[derive(Debug)]
struct Cutoff {
    /// Changes before the one at which the power goes.
    calls: u64,
    loss: Loss,
    image: Option<MemDisk>,
}

/// A disk, and the switch of its power.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) disk: MemDisk,
    reserves: bool,
    cutoff: Arc<Mutex<Option<Cutoff>>>,
    over: Arc<dyn Disk>,
}

impl Machine {
    pub(crate) fn new(disk: MemDisk, reserves: bool) -> Self {
        let cutoff: Arc<Mutex<Option<Cutoff>>> = Arc::default();
        let (below, switch) = (disk.clone(), Arc::clone(&cutoff));
        let hook = move |call: &Call<'_>| {
            if call.action.changes()
                && let Some(cutoff) = &mut *switch.lock().unwrap()
                && cutoff.image.is_none()
            {
                match cutoff.calls.checked_sub(1) {
                    Some(calls) => cutoff.calls = calls,
                    None => cutoff.image = Some(below.after_power_loss(cutoff.loss)),
                }
            }
            if reserves { Verdict::Go } else { without_reserving(call) }
        };
        Self { over: Arc::new(Hooked::new(disk.clone(), hook)), disk, reserves, cutoff }
    }

    pub(crate) fn open(&self, writing: &Writing) -> Shard {
        Shard::open(&self.over, &dir(), writing).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The power will be lost after so many changes.
    pub(crate) fn cut_power_after(&self, calls: u64, loss: Loss) {
        *self.cutoff.lock().unwrap() = Some(Cutoff { calls, loss, image: None });
    }

    /// The machine after the power came back, if it was lost.
    pub(crate) fn after_cut(&self) -> Option<Self> {
        let image = self.cutoff.lock().unwrap().take()?.image?;
        Some(Self::new(image, self.reserves))
    }

    /// The machine after its power is lost now.
    pub(crate) fn cut_now(&self, loss: Loss) -> Self {
        Self::new(self.disk.after_power_loss(loss), self.reserves)
    }
}
