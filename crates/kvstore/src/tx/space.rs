//! Which pages of the file may be written: those that no living state refers to.
//!
//! Invariant: the pages in use by the current state, those that wait and the free ones partition the pages behind the
//! metas, below the high-water mark. A page waits from the transaction that gave it up until no state lives that shows
//! it: one of a transaction at or after the page's birth and before the page was given up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::TxId;
use crate::error::{Error, Result};

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) count: u64,
}

/// Free pages, by place and by length of their runs; no two runs touch.
#[derive(Debug, Default)]
struct Free {
    by_first: BTreeMap<u64, u64>,
    by_count: BTreeSet<(u64, u64)>,
}

/// Pages that the current state does not use and an older one may.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    run: Run,
    /// `None`: before any state that lives.
    born: Option<TxId>,
    given_up: TxId,
}

#[derive(Debug)]
pub(super) struct Space {
    free: Free,
    waiting: Vec<Waiting>,
    /// The transactions that made pages, by first page; only those after the oldest living state.
    born: HashMap<u64, TxId>,
    high_water: u64,
    /// What the transaction that is being committed took.
    taken: Vec<Run>,
    high_water_before: u64,
}

impl Free {
    fn add(&mut self, mut run: Run) {
        let after = run.first + run.count;
        if let Some(count) = self.by_first.get(&after).copied() {
            self.remove(Run { first: after, count });
            run.count += count;
        }
        if let Some((&first, &count)) = self.by_first.range(..run.first).next_back()
            && first + count == run.first
        {
            self.remove(Run { first, count });
            run = Run { first, count: count + run.count };
        }
        self.by_first.insert(run.first, run.count);
        self.by_count.insert((run.count, run.first));
    }

    fn remove(&mut self, run: Run) {
        self.by_first.remove(&run.first);
        self.by_count.remove(&(run.count, run.first));
    }

    /// Pages from the shortest run that is long enough; among equals the lowest.
    fn take(&mut self, count: u64) -> Option<Run> {
        let &(len, first) = self.by_count.range((count, 0)..).next()?;
        self.remove(Run { first, count: len });
        if len > count {
            self.add(Run { first: first + count, count: len - count });
        }
        Some(Run { first, count })
    }

    fn count(&self) -> u64 {
        self.by_first.values().sum()
    }
}

impl Space {
    pub(super) fn new(free: impl IntoIterator<Item = (u64, u64)>, high_water: u64) -> Self {
        let mut space = Self {
            free: Free::default(),
            waiting: Vec::new(),
            born: HashMap::new(),
            high_water,
            taken: Vec::new(),
            high_water_before: high_water,
        };
        free.into_iter().for_each(|(first, count)| space.free.add(Run { first, count }));
        space
    }

    /// Pages below the high-water mark.
    pub(super) fn high_water(&self) -> u64 {
        self.high_water
    }

    pub(super) fn free_pages(&self) -> u64 {
        self.free.count()
    }

    pub(super) fn waiting_pages(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.run.count).sum()
    }

    /// Frees the pages that none of the states of the transactions `living`, ascending, shows.
    pub(super) fn release(&mut self, living: &[TxId]) {
        let Self { free, waiting, born, .. } = self;
        waiting.retain(|page| {
            let from = living.partition_point(|&txid| page.born.is_some_and(|born| txid < born));
            let is_shown = living.get(from).is_some_and(|&txid| txid < page.given_up);
            if !is_shown {
                free.add(page.run);
            }
            is_shown
        });
        // A page as old as the oldest state waits for that state, and then for each later one: no need to know more.
        born.retain(|_, born| living.first().is_none_or(|&oldest| *born > oldest));
    }

    /// Pages for the transaction that is being committed: free ones, or new ones at the high-water mark.
    ///
    /// # Errors
    /// `Unfit` when the file would have more pages than there are numbers.
    pub(super) fn take(&mut self, count: u64) -> Result<u64> {
        let run = match self.free.take(count) {
            Some(run) => run,
            None => {
                let first = self.high_water;
                self.high_water = first
                    .checked_add(count)
                    .ok_or_else(|| Error::unfit("more pages than a file can have"))?;
                Run { first, count }
            }
        };
        self.taken.push(run);
        Ok(run.first)
    }

    /// The commit failed before anything refers to the pages it took: they are free again.
    pub(super) fn give_back(&mut self) {
        self.high_water = self.high_water_before;
        for Run { first, count } in self.taken.drain(..) {
            let end = (first + count).min(self.high_water);
            if first < end {
                self.free.add(Run { first, count: end - first });
            }
        }
    }

    /// Transaction `txid` is durable: the pages it took are its own, those in `given_up` wait for older states.
    pub(super) fn commit(&mut self, txid: TxId, given_up: impl IntoIterator<Item = Run>) {
        let Self { waiting, born, .. } = self;
        waiting.extend(given_up.into_iter().map(|run| {
            let born = born.remove(&run.first);
            Waiting { run, born, given_up: txid }
        }));
        born.extend(self.taken.drain(..).map(|run| (run.first, txid)));
        self.high_water_before = self.high_water;
    }

    /// All pages that hold nothing once `given_up` is given up, as runs, ascending: what the list in the file says.
    pub(super) fn listed(&self, given_up: &[Run]) -> Vec<Run> {
        let free = self.free.by_first.iter().map(|(&first, &count)| Run { first, count });
        let waiting = self.waiting.iter().map(|waiting| waiting.run);
        let mut runs: Vec<Run> = free.chain(waiting).chain(given_up.iter().copied()).collect();
        runs.sort_unstable();
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txids(txids: &[u64]) -> Vec<TxId> {
        txids.iter().copied().map(TxId::new).collect()
    }

    fn run(first: u64, count: u64) -> Run {
        Run { first, count }
    }

    #[test]
    fn runs_join_and_the_shortest_that_fits_is_taken() {
        let mut space = Space::new([(4, 1), (10, 3), (20, 2)], 30);
        space.free.add(run(5, 5));
        assert_eq!(space.listed(&[]), [run(4, 9), run(20, 2)]);
        assert_eq!(space.take(1).unwrap(), 20);
        assert_eq!(space.take(1).unwrap(), 21);
        assert_eq!(space.take(4).unwrap(), 4);
        assert_eq!(space.take(6).unwrap(), 30, "nothing is long enough");
        assert_eq!((space.high_water(), space.free_pages()), (36, 5));
        space.give_back();
        assert_eq!((space.high_water(), space.listed(&[])), (30, vec![run(4, 9), run(20, 2)]));
    }

    #[test]
    fn a_page_waits_for_the_states_that_show_it_and_for_no_others() {
        let mut space = Space::new([], 10);
        space.commit(TxId::new(5), [run(3, 1)]); // shown by 4 and before
        assert_eq!(space.take(1).unwrap(), 10);
        space.commit(TxId::new(6), []);
        space.commit(TxId::new(8), [run(10, 1)]); // shown by 6 and 7
        space.release(&txids(&[4, 6, 8]));
        assert_eq!((space.free_pages(), space.waiting_pages()), (0, 2));
        space.release(&txids(&[4, 8]));
        assert_eq!(space.listed(&[]), [run(3, 1), run(10, 1)]);
        assert_eq!((space.free_pages(), space.waiting_pages()), (1, 1), "page 10 is free, 3 is not");
        space.release(&txids(&[5, 8]));
        assert_eq!((space.free_pages(), space.waiting_pages()), (2, 0));
    }

    #[test]
    fn births_are_remembered_only_as_long_as_they_matter() {
        let mut space = Space::new([], 10);
        for txid in 1..100 {
            space.release(&txids(&[txid - 1]));
            space.take(1).unwrap();
            space.commit(TxId::new(txid), []);
        }
        space.release(&txids(&[99]));
        assert!(space.born.is_empty());
    }
}
