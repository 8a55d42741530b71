//! Group commit: many threads bring records, one of them writes all that have gathered, for all of them.
//!
//! Invariant: a caller returns with success only after the sink has committed the group that its record is in, and no
//! record is in two groups. Whoever finds the sink at its place takes it and leads: it commits what has gathered, puts
//! the sink back and wakes all. So somebody leads whenever a record waits: one that waits either sees the sink taken,
//! and is woken when it comes back, or takes it.
//!
//! One lock, never held while the sink works. The module knows neither records nor files, and takes its locks from
//! `super::sync`: `tests/group_commit.rs` compiles it a second time, with locks of shuttle.

use std::mem;
use std::sync::{Arc, OnceLock, PoisonError};

use super::sync::{Condvar, Mutex, MutexGuard};

/// What makes a group of records durable.
pub(super) trait Sink {
    /// Records that are committed together.
    type Group: Default;
    /// Why a group was not committed. Everyone whose record is in it gets a clone.
    type Error: Clone;

    /// Makes a group durable, or says that it is not and never will be. A group that was committed is void to the sink: it
    /// is cleared and used again.
    ///
    /// # Errors
    /// None of the group's records counts then.
    fn commit(&mut self, group: &mut Self::Group) -> Result<(), Self::Error>;

    /// Empties a group; what it holds of memory may stay.
    fn clear(group: &mut Self::Group);

    /// The error of a group whose commit panicked.
    fn broken() -> Self::Error;
}

/// A sink that many threads share.
pub(super) struct Committer<S: Sink> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

struct State<S: Sink> {
    /// `None` while someone leads.
    sink: Option<S>,
    gathering: S::Group,
    /// Records in `gathering`.
    count: usize,
    /// What will become of `gathering`.
    outcome: Outcome<S>,
    /// An empty group to gather in next.
    spare: S::Group,
}

impl<S: Sink> Committer<S> {
    pub(super) fn new(sink: S) -> Self {
        let state = State {
            sink: Some(sink),
            gathering: S::Group::default(),
            count: 0,
            outcome: Arc::default(),
            spare: S::Group::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a record to a group for which it is not too much, and returns when the group is committed. A group without
    /// records takes any.
    pub(super) fn append(
        &self,
        fits: impl Fn(&S::Group) -> bool,
        add: impl FnOnce(&mut S::Group),
    ) -> Result<(), S::Error> {
        let mut state = self.lock();
        while state.count > 0 && !fits(&state.gathering) {
            state = self.turn(state);
        }
        add(&mut state.gathering);
        state.count += 1;
        let outcome = Arc::clone(&state.outcome);
        loop {
            if let Some(result) = outcome.get() {
                return result.clone();
            }
            state = self.turn(state);
        }
    }

    /// Calls `work` with the sink if nobody leads and no record waits; records that come meanwhile wait. `None` if it is busy.
    /// What the groups held of memory is given back.
    pub(super) fn when_idle<T>(&self, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        let mut state = self.lock();
        if state.count > 0 {
            return None;
        }
        let sink = state.sink.take()?;
        state.gathering = S::Group::default();
        state.spare = S::Group::default();
        drop(state);
        let mut lead = Lead {
            committer: self,
            sink: Some(sink),
            group: S::Group::default(),
            outcome: None,
            result: None,
        };
        lead.sink.as_mut().map(work)
    }

    /// Leads if nobody does, or waits until something has changed.
    fn turn<'a>(&'a self, mut state: MutexGuard<'a, State<S>>) -> MutexGuard<'a, State<S>> {
        let Some(sink) = state.sink.take() else {
            return self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let spare = mem::take(&mut state.spare);
        let group = mem::replace(&mut state.gathering, spare);
        let outcome = mem::take(&mut state.outcome);
        state.count = 0;
        drop(state);
        let mut lead =
            Lead { committer: self, sink: Some(sink), group, outcome: Some(outcome), result: None };
        lead.commit();
        drop(lead);
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sink, taken out of its place. Dropped, also by a panic of the sink, it goes back, the outcome of the group is
/// told, and all are woken.
struct Lead<'a, S: Sink> {
    committer: &'a Committer<S>,
    sink: Option<S>,
    group: S::Group,
    /// Where those who wait for the group look.
    outcome: Option<Outcome<S>>,
    result: Option<Result<(), S::Error>>,
}

type Outcome<S> = Arc<OnceLock<Result<(), <S as Sink>::Error>>>;

impl<S: Sink> Lead<'_, S> {
    fn commit(&mut self) {
        self.result = self.sink.as_mut().map(|sink| sink.commit(&mut self.group));
    }
}

impl<S: Sink> Drop for Lead<'_, S> {
    fn drop(&mut self) {
        S::clear(&mut self.group);
        let mut state = self.committer.lock();
        if let Some(outcome) = self.outcome.take() {
            // This is the only place that sets it, and once.
            let _ = outcome.set(self.result.take().unwrap_or_else(|| Err(S::broken())));
        }
        state.sink = self.sink.take();
        state.spare = mem::take(&mut self.group);
        drop(state);
        self.committer.changed.notify_all();
    }
}
