//! What a log should hold, and what of it a disk has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_testkit::{MemDisk, Random};
use icecore_tsm::internal::{Log, LogOptions, Replayed, replay};
use icecore_tsm::{Result, Ticket};

pub(crate) const DIR: &str = "/wal";
pub(crate) const INTERLOCK: &str = "/wal/_v0_icecore.wrr";

/// Ticket and body.
pub(crate) type Record = (u64, Vec<u8>);

/// Segments that are full after a few records.
pub(crate) const SMALL: LogOptions = LogOptions { segment_size: 2048, reserve: true };

pub(crate) fn disk() -> MemDisk {
    let disk = MemDisk::recording();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

pub(crate) fn path(segment: u64) -> PathBuf {
    Path::new(DIR).join(format!("{segment:08}.iwal"))
}

/// Some bodies have zeros at their end, some have nothing else.
pub(crate) fn record(ticket: u64, len: usize) -> Record {
    let mut body = Random::new(ticket).bytes(len);
    let zeros = [0, 0, len / 2, len][usize::try_from(ticket % 4).unwrap()];
    body[len - zeros..].fill(0);
    (ticket, body)
}

/// Appends a body in up to three parts.
pub(crate) fn append(log: &Log, (ticket, body): &Record) -> Result<()> {
    let (a, b) = body.split_at(body.len() / 3);
    let (b, c) = b.split_at(b.len() / 2);
    log.append(Ticket::new(*ticket), &[a, b, c])
}

/// All that is found in the log on `disk`.
pub(crate) fn found(disk: &dyn Disk) -> Result<(Replayed, Vec<Record>)> {
    let mut records = Vec::new();
    let replayed = replay(disk, Path::new(DIR), |ticket, body| {
        records.push((ticket.get(), body.to_vec()));
        Ok(())
    })?;
    Ok((replayed, records))
}

pub(crate) fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Log, Vec<Record>)> {
    let (replayed, records) = found(&*disk)?;
    Ok((Log::open(disk, Path::new(DIR), replayed, options)?, records))
}

/// What one thread has done with a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// In order; what was released is still here.
    pub(crate) acknowledged: Vec<Record>,
    /// Tried since the last acknowledgement and not acknowledged: one of them may be found behind the others.
    pub(crate) tried: Vec<Record>,
    /// Smaller tickets may be gone.
    pub(crate) flushed: u64,
}

impl Model {
    /// Whether these records can be what a log has after a crash.
    pub(crate) fn allows(&self, records: &[Record]) -> bool {
        let is_kept = |records: &[Record]| {
            let Some(gone) = self.acknowledged.len().checked_sub(records.len()) else { return false };
            let (gone, kept) = self.acknowledged.split_at(gone);
            kept == records && gone.iter().all(|(ticket, _)| *ticket < self.flushed)
        };
        is_kept(records)
            || records.split_last().is_some_and(|(last, others)| self.tried.contains(last) && is_kept(others))
    }

    /// Checks what is left on a disk, and takes over what is found there.
    pub(crate) fn assert_left(&mut self, disk: &MemDisk) {
        let (replayed, records) = found(disk).unwrap_or_else(|error| panic!("{error}"));
        assert!(self.allows(&records), "found {:?} of {self:?}", tickets(&records));
        let interlocked = disk.stat(Path::new(INTERLOCK)).is_ok();
        assert!(records.is_empty() || interlocked, "influxd would start without {:?}", tickets(&records));
        assert_eq!(replayed.records, records.len() as u64);
        assert_eq!(replayed.max_ticket.map(Ticket::get), records.iter().map(|(ticket, _)| *ticket).max());
        if let Some(last) = records.last().filter(|last| self.tried.contains(last)) {
            self.acknowledged.push(last.clone());
        }
        self.tried.clear();
    }
}

pub(crate) fn tickets(records: &[Record]) -> Vec<u64> {
    records.iter().map(|(ticket, _)| *ticket).collect()
}
