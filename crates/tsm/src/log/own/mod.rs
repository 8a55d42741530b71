//! Icecore's own log: what was acknowledged and is in no TSM file yet. Bytes and rules: `docs/formats/icecore-wal.md`.
//!
//! Invariant: what [`Log::append`] acknowledged is found by every later [`replay`], in the order of the log, until
//! [`Log::release`] has removed it; of what it did not acknowledge at most a first part of the last group is found.
//!
//! [`replay`] reads, and writes nothing. [`Log::open`] goes on behind what it found, in a new segment, so that nothing
//! that a crash left is written over. Locks, in their order: `releasing`, the one of `commit.rs`, `files`; the last two are
//! held for no call to the disk.

mod commit;
mod group;
mod mend;
mod names;
mod replay;
mod sync;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::format::iwal::{HEAD_LEN, HEADER_LEN};
use crate::units::Ticket;
use commit::Committer;
use group::Gathered;
use names::INTERLOCK;
pub(crate) use replay::check;
pub use replay::{Replayed, Segment, Unconfirmed, replay};
use writer::{Files, Interlock, SharedFiles, Writer, lock, remove};

/// How a log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment that would grow beyond so many bytes is left and a new one begun. A larger record has one of its own.
    pub segment_size: u64,
    /// Whether space is set aside before it is written.
    pub reserve: bool,
}

impl Default for LogOptions {
    /// Segments of 64 MiB, whose space is set aside.
    fn default() -> Self {
        Self { segment_size: 64 << 20, reserve: true }
    }
}

/// Counts of a log, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Files.
    pub segments: u64,
    /// Bytes of records in them, heads included; void ones and space that is only set aside do not count.
    pub bytes: u64,
    /// Records that became durable since the log was opened.
    pub records: u64,
    /// Groups of records, each of which was synced once, since then.
    pub syncs: u64,
}

/// A log that is written. Shared by all writers; calls take `&self`.
///
/// Memory: two buffers that hold a group each, at most as large as a segment or one record; what is larger than 4 MiB
/// is given back after each group, and all of it by [`Log::release`]. One file is open.
pub struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    files: SharedFiles,
    committer: Committer<Writer>,
    /// One removes at a time.
    releasing: Mutex<()>,
}

impl Log {
    /// Goes on behind what `replayed` found in `dir`, which nobody else writes or has written since. Records of which it is not
    /// known that they were synced are made durable: what was replayed counts from now on. The bytes of a torn
    /// tail are kept aside; a log in which no record counts is removed, and the interlock with it; one that counts has it, or
    /// gets it again. No segment is created before the first [`Log::append`], and `dir` need not exist before.
    ///
    /// # Errors
    /// `Io`; the directory is as good as before, and can be replayed and opened again.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, replayed: Replayed, options: LogOptions) -> Result<Self> {
        if let Some(records) = &replayed.unconfirmed {
            mend::confirm(&*disk, records)?;
        }
        if let Some(torn) = &replayed.torn {
            mend::keep(&*disk, torn)?;
        }
        let interlock = match disk.stat(&dir.join(INTERLOCK)) {
            Ok(_) => Interlock::Unknown,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Interlock::Absent,
            Err(error) => return Err(Error::io(error, &dir.join(INTERLOCK))),
        };
        let next = (replayed.next_segment, replayed.next_record);
        let files: SharedFiles =
            Arc::new(Mutex::new(Files { sealed: replayed.segments.into(), ..Files::default() }));
        let mut writer =
            Writer::new(Arc::clone(&disk), dir.to_owned(), options, Arc::clone(&files), next, interlock);
        if replayed.records > 0 {
            writer.restore_interlock()?;
        }
        let log =
            Self { disk, options, files, committer: Committer::new(writer), releasing: Mutex::default() };
        if replayed.records == 0 {
            log.release(Ticket::default())?;
        }
        Ok(log)
    }

    /// Adds a record whose body is the concatenation of `body`, and returns when it is durable: it then counts in every
    /// later replay. One sync serves all who wait. The bytes are copied once.
    ///
    /// # Errors
    /// `Unavailable` when the record could not be made durable. It does not count, unless a crash follows before another
    /// record is acknowledged; then it may. The next call tries again in a new segment. `Unfit` when the body has 4 GiB or
    /// more.
    pub fn append(&self, ticket: Ticket, body: &[&[u8]]) -> Result<()> {
        let len = body.iter().try_fold(0u32, |len, part| len.checked_add(u32::try_from(part.len()).ok()?));
        let len = len.ok_or_else(|| Error::unfit("a record of a log with 4 GiB or more"))?;
        let mut crc = crc32fast::Hasher::new();
        body.iter().for_each(|part| crc.update(part));
        let record = Gathered { ticket, len, body_crc: crc.finalize() };
        let whole = HEADER_LEN as u64 + HEAD_LEN as u64 + u64::from(len);
        let room = self.options.segment_size.saturating_sub(whole);
        self.committer
            .append(|group| group.len() as u64 <= room, |group| group.add(record, body))
            .map_err(Error::from)
    }

    /// Removes segments, oldest first, up to the first that holds a ticket of `flushed` or higher. The one that is written is
    /// removed, too, if nothing is being written; the next append begins a new one. Durable on return. Returns whether
    /// the log is empty now; then the interlock is gone.
    ///
    /// # Errors
    /// `Io`: what was not removed is removed by a later call, or found by the next replay.
    pub fn release(&self, flushed: Ticket) -> Result<bool> {
        let _releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.remove_sealed(flushed)? {
            return Ok(false);
        }
        let removed = self.committer.when_idle(|writer| {
            if writer.current().is_some_and(|segment| !is_flushed(segment, flushed)) {
                return Ok(false);
            }
            writer.seal();
            Ok(self.remove_sealed(flushed)? && writer.remove_interlock().map(|()| true)?)
        });
        removed.unwrap_or(Ok(false))
    }

    /// Returns whether none is left.
    fn remove_sealed(&self, flushed: Ticket) -> Result<bool> {
        loop {
            // Nobody else takes from the front.
            let path = match lock(&self.files).sealed.front() {
                None => return Ok(true),
                Some(segment) if is_flushed(segment, flushed) => segment.path.clone(),
                Some(_) => return Ok(false),
            };
            remove(&*self.disk, &path)?;
            lock(&self.files).sealed.pop_front();
        }
    }

    /// Counts, now.
    pub fn stats(&self) -> LogStats {
        let files = lock(&self.files);
        LogStats {
            segments: files.sealed.len() as u64 + u64::from(files.current.is_some()),
            bytes: files.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + files.current.unwrap_or(0),
            records: files.records,
            syncs: files.syncs,
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Whether all that a segment holds is in files.
fn is_flushed(segment: &Segment, flushed: Ticket) -> bool {
    segment.max_ticket.is_none_or(|ticket| ticket < flushed)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::commit::{Committer, Sink};

    /// Panics at the first group.
    #[derive(Default)]
    struct Panicking(u32);

    #[expect(clippy::panic_in_result_fn, reason = "that is what it is for")]
    impl Sink for Panicking {
        type Group = Vec<u32>;
        type Error = &'static str;

        fn commit(&mut self, group: &mut Vec<u32>) -> Result<(), &'static str> {
            self.0 += 1;
            assert!(self.0 > 1, "as asked");
            assert_eq!(group.len(), 1, "what was in the first group is gone");
            Ok(())
        }

        fn clear(group: &mut Vec<u32>) {
            group.clear();
        }

        fn broken() -> &'static str {
            "broken"
        }
    }

    #[test]
    fn a_panic_while_a_group_is_written_leaves_nobody_waiting() {
        let committer = Committer::new(Panicking::default());
        let append = |number| committer.append(|_| true, |group| group.push(number));
        let panicked = thread::scope(|scope| scope.spawn(|| append(1)).join());
        assert!(panicked.is_err());
        assert_eq!(append(2), Ok(()));
        assert!(committer.when_idle(|_| ()).is_some());
    }
}
