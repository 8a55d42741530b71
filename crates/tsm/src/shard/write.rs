//! Writing: a batch goes to the log, is synced, goes to the cache, and is acknowledged, in this order.

use std::io;
use std::sync::Arc;

use icecore_disk::Disk;
use parking_lot::Mutex;

use super::damage::Damage;
use super::flush::Commits;
use super::types::{Conflict, Types};
use super::view::View;
use super::{Shard, ShardDir};
use crate::budget::Budget;
use crate::cache::Admission;
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::format::batch::Batch;
use crate::log::own::Log;
use crate::tickets::Tickets;
use crate::units::Ticket;

/// What a shard needs to be written.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: ShardDir,
    pub(super) tickets: Arc<Tickets>,
    pub(super) budget: Arc<Budget>,
    pub(super) now: fn() -> i64,
    pub(super) log: Log,
    /// `None` before the first write or flush.
    types: Mutex<Option<Types>>,
    /// One flush at a time.
    pub(super) commits: Mutex<Commits>,
    /// Whether influxd's index of series is out of the way.
    index_is_aside: Mutex<bool>,
    /// The digest of the index of fields that the manifest listed when the shard was opened.
    fields_listed: Option<Digest>,
    /// What was damaged and is made again.
    pub(super) mended: Damage,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its place among all writes: cuts with later tickets have it, and no others. The same for all batches that were
    /// written together.
    pub ticket: Ticket,
    /// Points that are durable now.
    pub points: usize,
    /// Values of these.
    pub values: u64,
    /// Points that were not taken, by the field that kept them out.
    pub conflicts: Vec<Conflict>,
}

impl Shard {
    /// Writes the points of a batch; those of a field that has another type in the shard are left out, and `batch` is
    /// without them then.
    ///
    /// # Durability
    /// What the result counts is durable, and readers see it. After an error nothing was acknowledged: the points may
    /// come back when the shard is opened again, or may not.
    ///
    /// # Errors
    /// `Unavailable` when memory is short for longer than [`Budget`] allows, or the log could not be written: try again
    /// later. `Unfit` when the shard is open to be read only; its first damage when it has any; `Io` when influxd's index
    /// cannot be put out of the way.
    pub fn write(&self, batch: &mut Batch) -> Result<Written> {
        let mut written = write_together(&mut [(self, batch)])?;
        Ok(written.pop().unwrap_or_default())
    }

    fn writer(&self) -> Result<&Writer> {
        self.damage.first().map_or(Ok(()), Err)?;
        self.writer.as_ref().ok_or_else(|| Error::unfit("a shard that is open to be read only"))
    }

    /// Lets a batch in, but for its conflicts; everything that can be refused is refused here.
    fn prepare(&self, batch: &mut Batch) -> Result<(&Writer, Vec<Conflict>)> {
        let writer = self.writer()?;
        writer.set_index_aside()?;
        let conflicts = writer.with_types(&self.view.load(), |types| types.admit_all(batch))?;
        Ok((writer, conflicts))
    }

    fn admit(&self, ticket: Ticket) -> Option<Admission> {
        Some(self.view.load().caches.last()?.admit(ticket))
    }
}

/// Writes batches to several shards under one ticket: a cut has all of them or none.
///
/// # Errors
/// As [`Shard::write`]. Batches of shards before the one that failed are durable; nothing is taken back. `Unfit` when the
/// shards do not share their [`Tickets`].
pub fn write_together(parts: &mut [(&Shard, &mut Batch)]) -> Result<Vec<Written>> {
    let mut prepared = Vec::with_capacity(parts.len());
    for (shard, batch) in &mut *parts {
        let (writer, conflicts) = shard.prepare(batch)?;
        prepared.push((writer, conflicts));
    }
    let Some((first, _)) = prepared.first() else { return Ok(Vec::new()) };
    if !prepared.iter().all(|(writer, _)| Arc::ptr_eq(&writer.tickets, &first.tickets)) {
        return Err(Error::unfit("shards that are written together need the same tickets"));
    }
    let size = parts.iter().map(|(_, batch)| batch.cached_size()).sum();
    if !first.budget.take(size) {
        let what = "no memory is left for writes: they come in faster than they can be flushed";
        return Err(Error::unavailable(io::Error::new(io::ErrorKind::TimedOut, what)));
    }
    let mut reserved = Reserved { budget: &first.budget, size };
    let admissions: Vec<Option<Admission>> =
        first.tickets.admit(|ticket| parts.iter().map(|(shard, _)| shard.admit(ticket)).collect());
    let mut all = Vec::with_capacity(parts.len());
    for (((_, batch), (writer, conflicts)), admission) in parts.iter().zip(prepared).zip(admissions) {
        let admission = admission.ok_or_else(|| Error::unfit("a shard that is open to be read only"))?;
        let ticket = admission.ticket();
        if !batch.is_empty() {
            writer.log.append(ticket, &batch.body(&mut Default::default()))?;
            admission.apply(batch)?;
            reserved.size -= batch.cached_size();
        }
        all.push(Written { ticket, points: batch.len(), values: batch.values(), conflicts });
    }
    Ok(all)
}

/// Points that no file has are in the log; in memory they are given up.
impl Drop for Shard {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            writer.budget.give(self.cached_size());
        }
    }
}

/// Bytes of the budget that no cache has taken over yet.
struct Reserved<'b> {
    budget: &'b Budget,
    size: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.budget.give(self.size);
    }
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: ShardDir,
        writing: &super::Writing,
        log: Log,
        commits: Commits,
        mended: Damage,
    ) -> Self {
        Self {
            disk,
            dir,
            tickets: Arc::clone(&writing.tickets),
            budget: Arc::clone(&writing.budget),
            now: writing.now,
            log,
            types: Mutex::new(None),
            fields_listed: commits.fields,
            commits: Mutex::new(commits),
            index_is_aside: Mutex::new(false),
            mended,
        }
    }

    /// Calls `work` with the types of the fields, which are loaded at the first call.
    pub(super) fn with_types<T>(&self, view: &View, work: impl FnOnce(&mut Types) -> T) -> Result<T> {
        let mut types = self.types.lock();
        let types = match &mut *types {
            Some(types) => types,
            none => {
                let (types, damage) = Types::load(&*self.disk, &self.dir.data, view, self.fields_listed)?;
                damage.map(|damage| self.mended.note(damage));
                none.insert(types)
            }
        };
        Ok(work(types))
    }

    /// Before the first point that influxd's index of series may lack is acknowledged, the index gets a name that influxd
    /// removes: it makes a new one then (design D1).
    fn set_index_aside(&self) -> Result<()> {
        let mut is_aside = self.index_is_aside.lock();
        if *is_aside {
            return Ok(());
        }
        let (index, aside) = (self.dir.data.join("index"), self.dir.data.join("index.tmp"));
        let io = |error| Error::io(error, &index);
        let entries = self.disk.list(&self.dir.data).map_err(|error| Error::io(error, &self.dir.data))?;
        if entries.iter().any(|entry| entry.path == index) {
            self.disk.rename(&index, &aside).map_err(io)?;
        }
        // Also where an earlier call renamed it and could not sync.
        self.disk.sync_dir(&self.dir.data).map_err(io)?;
        *is_aside = true;
        Ok(())
    }
}
