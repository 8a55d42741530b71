//! Writes, cuts and flushes of a small shard made of the engine's own gate and its own list of pending writes, compiled once
//! more with locks of shuttle, which tries interleavings of threads: a cut has exactly the writes with earlier tickets.
//!
//! `ICECORE_SCHEDULES` chooses how many interleavings are tried. A failure prints the schedule that led to it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

#[path = "../src/cache/pending.rs"]
mod pending;
#[path = "../src/tickets.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is tried here")]
mod tickets;

/// Locks of shuttle that are called like those of parking_lot.
mod sync {
    use std::ops::{Deref, DerefMut};

    pub(crate) use shuttle::sync::atomic::AtomicU64;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// `None` while it waits.
    pub(crate) struct Guard<'m, T>(Option<shuttle::sync::MutexGuard<'m, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            Guard(Some(self.0.lock().unwrap()))
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap()
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            guard.0 = guard.0.take().map(|held| self.0.wait(held).unwrap());
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[derive(Debug)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap()
        }

        pub(crate) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap()
        }
    }
}

mod units {
    /// As in the engine.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Ticket(u64);

    impl Ticket {
        pub(crate) fn new(number: u64) -> Self {
            Self(number)
        }

        pub(crate) fn get(self) -> u64 {
            self.0
        }
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;

use pending::Pending;
use shuttle::sync::Mutex;
use shuttle::{check_pct, check_random, thread};
use tickets::Tickets;
use units::Ticket;

type Writes = BTreeSet<Ticket>;

/// A cache, and what of it is needed here: which writes came in.
#[derive(Default)]
struct Cache {
    pending: Pending,
    writes: Mutex<Writes>,
    /// What the files have, once they have it, too.
    files: Mutex<Option<Writes>>,
}

impl Cache {
    fn is_unused(&self) -> bool {
        self.pending.is_none() && self.writes.lock().unwrap().is_empty()
    }
}

/// Files, and caches of which the last takes writes.
#[derive(Clone, Default)]
struct View {
    files: Writes,
    caches: Vec<Arc<Cache>>,
}

/// The steps of `shard/write.rs` and `shard/flush.rs`, in their order.
struct Shard {
    tickets: Arc<Tickets>,
    view: Mutex<View>,
    commits: Mutex<()>,
}

enum Cut {
    Files(Writes),
    Cache(Arc<Cache>),
}

impl Shard {
    fn new(tickets: &Arc<Tickets>) -> Self {
        let view = View { files: Writes::new(), caches: vec![Arc::default()] };
        Self { tickets: Arc::clone(tickets), view: Mutex::new(view), commits: Mutex::new(()) }
    }

    fn admit(&self) -> Arc<Cache> {
        let cache = Arc::clone(self.view.lock().unwrap().caches.last().unwrap());
        cache.pending.begin();
        cache
    }

    fn freeze(&self) -> Cut {
        let mut view = self.view.lock().unwrap();
        match view.caches.as_slice() {
            [.., active] if !active.is_unused() => {
                let frozen = Arc::clone(active);
                view.caches.push(Arc::default());
                Cut::Cache(frozen)
            }
            [.., frozen, _] => Cut::Cache(Arc::clone(frozen)),
            _ => Cut::Files(view.files.clone()),
        }
    }

    fn files_of(&self, cut: Cut) -> Writes {
        let cache = match cut {
            Cut::Files(files) => return files,
            Cut::Cache(cache) => cache,
        };
        let _commits = self.commits.lock().unwrap();
        loop {
            if let Some(files) = &*cache.files.lock().unwrap() {
                return files.clone();
            }
            let view = self.view.lock().unwrap().clone();
            let oldest = &view.caches[0];
            oldest.pending.wait();
            let mut files = view.files.clone();
            files.extend(oldest.writes.lock().unwrap().iter());
            thread::yield_now(); // they are written
            let mut now = self.view.lock().unwrap();
            now.files.clone_from(&files);
            now.caches.remove(0);
            drop(now);
            *oldest.files.lock().unwrap() = Some(files);
        }
    }
}

/// What happened: writes that came in, and cuts with what they have of each shard.
#[derive(Default)]
struct Seen {
    writes: Writes,
    cuts: Vec<(Ticket, [Writes; 2])>,
}

fn write(shards: &[Shard; 2], seen: &Mutex<Seen>, fails: bool) {
    let (ticket, caches) = shards[0].tickets.admit(|ticket| (ticket, shards.each_ref().map(Shard::admit)));
    for cache in &caches {
        thread::yield_now(); // the log is written
        if !fails {
            cache.writes.lock().unwrap().insert(ticket);
        }
        cache.pending.end();
    }
    if !fails {
        seen.lock().unwrap().writes.insert(ticket);
    }
}

fn cut(shards: &[Shard; 2], seen: &Mutex<Seen>) {
    let acknowledged = seen.lock().unwrap().writes.clone();
    let (ticket, [first, second]) =
        shards[0].tickets.cut(|ticket| (ticket, shards.each_ref().map(Shard::freeze)));
    let files = [shards[0].files_of(first), shards[1].files_of(second)];
    assert!(
        files.iter().all(|files| files.is_superset(&acknowledged)),
        "a cut has what was acknowledged before"
    );
    seen.lock().unwrap().cuts.push((ticket, files));
}

fn work() {
    let tickets = Arc::new(Tickets::new());
    let (shards, seen) =
        (Arc::new([Shard::new(&tickets), Shard::new(&tickets)]), Arc::new(Mutex::new(Seen::default())));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (shards, seen) = (Arc::clone(&shards), Arc::clone(&seen));
            thread::spawn(move || match number {
                0 | 1 => (0..2).for_each(|_| cut(&shards, &seen)),
                _ => (0..2).for_each(|nth| write(&shards, &seen, number == 3 && nth == 0)),
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    cut(&shards, &seen);
    let seen = seen.lock().unwrap();
    for (ticket, files) in &seen.cuts {
        let expected: Writes = seen.writes.range(..*ticket).copied().collect();
        assert!(
            files.iter().all(|files| *files == expected),
            "cut {}: {files:?}, not {expected:?}",
            ticket.get()
        );
    }
    assert_eq!((seen.writes.len(), seen.cuts.len()), (3, 5));
}

fn schedules() -> usize {
    std::env::var("ICECORE_SCHEDULES").map_or(4000, |text| text.parse().unwrap())
}

#[test]
fn a_cut_has_exactly_the_writes_with_earlier_tickets_in_any_order_of_threads() {
    check_random(work, schedules());
}

#[test]
fn so_it_has_where_few_switches_are_tried_at_the_worst_places() {
    check_pct(work, schedules(), 3);
}
