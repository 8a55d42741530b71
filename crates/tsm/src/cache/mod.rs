//! Points that no TSM file has yet.
//!
//! A [`Cache`] takes batches, from any number of threads, and is read while it does. It is frozen by putting another one
//! in its place (`shard`): nothing in it moves, the batches that were admitted before still come in, and then it
//! is written as TSM files ([`flush`]).
//!
//! Invariant: of values of one series, field and time the one with the latest ticket counts, and within a batch the last.
//!
//! Locks: `tickets`, `forms`, then one partition at a time; none is held while anything waits or is written. A flush holds
//! all partitions of a frozen cache for reading, which nobody wants to write any more.

mod arena;
pub(crate) mod flush;
mod forms;
mod partition;
mod pending;
mod read;
pub(crate) mod replayed;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use self::forms::Forms;
use self::partition::Partition;
use self::pending::Pending;
use crate::error::{Error, Result};
use crate::format::batch::Batch;
use crate::shard::file_set::FileSet;
use crate::units::Ticket;

const PARTITIONS: usize = 16;

/// Points by series, of many batches.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    partitions: [RwLock<Partition>; PARTITIONS],
    forms: RwLock<Forms>,
    /// By the numbers of batches.
    tickets: RwLock<Vec<Ticket>>,
    size: AtomicU64,
    values: AtomicU64,
    pending: Pending,
    /// Set when it is frozen: the ticket of the cut. It has all earlier ones that are in no cache before it.
    cut: OnceLock<Ticket>,
    /// Set when it is flushed: the files of the shard then.
    files: OnceLock<Arc<FileSet>>,
}

/// A write that a cache waits for. Dropped, it is over, whether its points came in or not.
#[derive(Debug)]
pub(crate) struct Admission {
    cache: Arc<Cache>,
    ticket: Ticket,
}

impl Admission {
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Takes the points of the write. Readers may see a part of them meanwhile.
    ///
    /// # Errors
    /// As [`Cache::apply`].
    pub(crate) fn apply(self, batch: &Batch) -> Result<()> {
        self.cache.apply(self.ticket, batch)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.cache.pending.end();
    }
}

impl Cache {
    /// Takes the points of a batch. Readers may see a part of them meanwhile.
    ///
    /// # Errors
    /// `Unfit` when the numbers of the cache do not reach: it would have to hold more than 64 GiB.
    pub(crate) fn apply(&self, ticket: Ticket, batch: &Batch) -> Result<()> {
        let batch_number = {
            let mut tickets = self.tickets.write();
            tickets.push(ticket);
            u32::try_from(tickets.len() - 1).map_err(|_| full())?
        };
        let forms = self.forms.write().intern(batch.shapes())?;
        let hashes: Vec<u64> = batch.series().map(|(_, hash)| hash).collect();
        let order = ByPartition::of(batch, &hashes);
        let mut numbers = vec![None; batch.series_len()];
        for (partition, rows) in self.partitions.iter().zip(order.stretches()) {
            if rows.is_empty() {
                continue;
            }
            let mut partition = partition.write();
            for row in rows.iter().filter_map(|row| batch.row(*row)) {
                let number = numbers.get_mut(row.series as usize).ok_or_else(full)?;
                let series = match *number {
                    Some(series) => series,
                    None => {
                        let hash = hashes.get(row.series as usize).copied().unwrap_or_default();
                        *number.insert(partition.intern(batch.key(row.series), hash)?)
                    }
                };
                let form = *forms.get(row.shape as usize).ok_or_else(full)?;
                partition.push(series, form, batch_number, row.payload)?;
            }
        }
        self.size.fetch_add(batch.cached_size(), Ordering::Relaxed);
        self.values.fetch_add(batch.values(), Ordering::Relaxed);
        Ok(())
    }

    /// Announces a write. Whoever freezes the cache keeps this and that apart: see [`crate::Tickets`].
    pub(crate) fn admit(self: &Arc<Self>, ticket: Ticket) -> Admission {
        self.pending.begin();
        Admission { cache: Arc::clone(self), ticket }
    }

    /// Returns when every write that was announced has come in or failed; a frozen cache is announced no other.
    pub(crate) fn settle(&self) {
        self.pending.wait();
    }

    /// Whether it has taken nothing and nothing is announced.
    pub(crate) fn is_unused(&self) -> bool {
        // In this order: what is not pending any more has come in.
        self.pending.is_none() && self.is_empty()
    }

    /// Says at which cut it was frozen; only the first time counts.
    pub(crate) fn freeze(&self, cut: Ticket) {
        self.cut.get_or_init(|| cut);
    }

    /// The cut at which it was frozen.
    pub(crate) fn cut(&self) -> Option<Ticket> {
        self.cut.get().copied()
    }

    /// Says which files have its points; only the first time counts.
    pub(crate) fn set_files(&self, files: Arc<FileSet>) {
        self.files.get_or_init(|| files);
    }

    /// The files of the shard that have its points and those before it, and no later ones.
    pub(crate) fn files(&self) -> Option<&Arc<FileSet>> {
        self.files.get()
    }

    /// About as many bytes as the points take.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The number of values taken, overwritten ones counted.
    pub(crate) fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Whether it has taken nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.values() == 0
    }

    fn partition_of(&self, hash: u64) -> Option<&RwLock<Partition>> {
        self.partitions.get(partition_number(hash))
    }
}

/// Places and numbers have 32 bits.
fn full() -> Error {
    Error::unfit("a cache has no numbers left for more points")
}

/// Bits that the hash tables inside do not look at first.
fn partition_number(hash: u64) -> usize {
    (hash >> 40) as usize % PARTITIONS
}

/// The rows of a batch by the partitions that they go to, otherwise in their order.
struct ByPartition {
    rows: Vec<u32>,
    ends: [usize; PARTITIONS],
}

impl ByPartition {
    fn of(batch: &Batch, hashes: &[u64]) -> Self {
        let partitions: Vec<usize> = batch
            .rows()
            .map(|row| partition_number(hashes.get(row.series as usize).copied().unwrap_or_default()))
            .collect();
        let mut ends = [0usize; PARTITIONS];
        for partition in &partitions {
            ends.iter_mut().skip(*partition).for_each(|end| *end += 1);
        }
        let mut next: [usize; PARTITIONS] = [0; PARTITIONS];
        next.iter_mut().skip(1).zip(ends).for_each(|(start, end)| *start = end);
        let mut rows = vec![0; partitions.len()];
        for (number, partition) in (0u32..).zip(partitions) {
            if let Some(next) = next.get_mut(partition) {
                if let Some(place) = rows.get_mut(*next) {
                    *place = number;
                }
                *next += 1;
            }
        }
        Self { rows, ends }
    }

    fn stretches(&self) -> impl Iterator<Item = &[u32]> {
        let starts = [0].into_iter().chain(self.ends);
        starts.zip(self.ends).map(|(start, end)| self.rows.get(start..end).unwrap_or_default())
    }
}
