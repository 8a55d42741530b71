//! The end of a log that grows: groups of records become durable, one after the other.
//!
//! Invariant: a segment that a write or sync failed in is never written again, and its records that were not synced are void
//! by the header of the next one. No record is written before its segment's header and name, and the interlock, are
//! durable. Every file of the log that may exist is the current segment or in `Files::sealed`, in the order of numbers.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use icecore_disk::{Disk, WriteAt};

use super::LogOptions;
use super::commit::Sink;
use super::group::Group;
use super::names::{self, INTERLOCK};
use super::replay::Segment;
use crate::error::{Error, Result};
use crate::format::iwal::{HEADER_LEN, Header};

/// What influxd's refusal leads a person to.
const INTERLOCK_TEXT: &[u8] = b"\
Icecore's log in this directory has points that are in no TSM file yet, so influxd must not start: it would serve the\n\
data without them. Run `icecore flush` on the data directory; it removes this file.\n";

/// Set aside at first in a new segment; then twice as much each time, up to the size of a segment.
const RESERVE_MIN: u64 = 1 << 20;

/// What is known of the files of a log; shared with those who do not write.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Segments that are not written any more, oldest first.
    pub(super) sealed: VecDeque<Segment>,
    /// Bytes of records in the segment that is written, if there is one.
    pub(super) current: Option<u64>,
    /// Records that became durable.
    pub(super) records: u64,
    /// Groups that became durable.
    pub(super) syncs: u64,
}

pub(super) type SharedFiles = Arc<Mutex<Files>>;

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: LogOptions,
    files: SharedFiles,
    current: Option<Current>,
    next_segment: u64,
    next_record: u64,
    interlock: Interlock,
}

#[derive(Debug)]
struct Current {
    segment: Segment,
    file: Box<dyn WriteAt>,
    /// Where the next record begins.
    end: u64,
    /// Length of the file.
    reserved: u64,
}

/// Whether `_v0_icecore.wrr` is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interlock {
    /// It is not.
    Absent,
    /// It may be.
    Unknown,
    /// It is, also after a crash.
    Durable,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        options: LogOptions,
        files: SharedFiles,
        (next_segment, next_record): (u64, u64),
        interlock: Interlock,
    ) -> Self {
        Self { disk, dir, options, files, current: None, next_segment, next_record, interlock }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    /// Lets go of the current segment: it is not written any more.
    pub(super) fn seal(&mut self) {
        if let Some(Current { segment, .. }) = self.current.take() {
            let mut files = self.files();
            files.current = None;
            files.sealed.push_back(segment);
        }
    }

    /// The segment that is written now.
    pub(super) fn current(&self) -> Option<&Segment> {
        self.current.as_ref().map(|current| &current.segment)
    }

    /// Puts the interlock where it is missing although the log has records; durable on return.
    pub(super) fn restore_interlock(&mut self) -> Result<()> {
        if self.interlock == Interlock::Absent {
            let path = self.dir.join(INTERLOCK);
            let put = put_interlock(&*self.disk, &path).and_then(|()| self.disk.sync_dir(&self.dir));
            put.map_err(|error| Error::io(error, &path))?;
            self.interlock = Interlock::Durable;
        }
        Ok(())
    }

    /// Takes the interlock away, durably. To be called when no segment is left.
    pub(super) fn remove_interlock(&mut self) -> Result<()> {
        if self.interlock == Interlock::Absent {
            return Ok(());
        }
        self.interlock = Interlock::Unknown;
        remove(&*self.disk, &self.dir.join(INTERLOCK))?;
        self.interlock = Interlock::Absent;
        Ok(())
    }

    fn write(&mut self, group: &mut Group) -> Result<()> {
        let len = group.len() as u64;
        let full = |current: &Current| {
            current.end > HEADER_LEN as u64 && current.end + len > self.options.segment_size
        };
        if self.current.as_ref().is_some_and(full) {
            self.seal();
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create_segment(len)?,
        };
        let outcome = self.write_to(&mut current, group);
        let path = current.segment.path.clone();
        self.current = Some(current);
        if outcome.is_err() {
            self.seal();
        }
        outcome.map_err(|error| Error::unavailable(error).in_file(&path))
    }

    fn write_to(&mut self, current: &mut Current, group: &mut Group) -> io::Result<()> {
        let len = group.len() as u64;
        current.reserve(current.end + len, self.options)?;
        let bytes = group.bytes(current.segment.number, current.end, self.next_record);
        current.file.write_all_at(bytes, current.end)?;
        current.file.sync()?;
        current.end += len;
        current.segment.bytes += len;
        current.segment.max_ticket = current.segment.max_ticket.max(group.max_ticket());
        self.next_record += group.count();
        let mut files = lock(&self.files);
        files.current = Some(current.segment.bytes);
        files.records += group.count();
        files.syncs += 1;
        Ok(())
    }

    /// A new segment with room for `len` bytes. Its header, its name and the interlock are durable on return.
    fn create_segment(&mut self, len: u64) -> Result<Current> {
        if self.interlock != Interlock::Durable {
            let path = self.dir.join(INTERLOCK);
            self.interlock = Interlock::Unknown;
            put_interlock(&*self.disk, &path).map_err(|error| Error::unavailable(error).in_file(&path))?;
        }
        let number = self.next_segment;
        self.next_segment += 1;
        let path = names::segment(&self.dir, number);
        let segment = Segment { number, path: path.clone(), max_ticket: None, bytes: 0 };
        // If this fails because there is a file, it is none of ours, and stays.
        self.disk.create(&path).map_err(|error| Error::unavailable(error).in_file(&path))?;
        match self.begin(&segment, len) {
            Ok(current) => {
                self.interlock = Interlock::Durable;
                self.files().current = Some(0);
                Ok(current)
            }
            Err(error) => {
                if self.disk.remove(&path).is_err() {
                    self.files().sealed.push_back(segment); // to be removed later
                }
                Err(Error::unavailable(error).in_file(&path))
            }
        }
    }

    fn begin(&self, segment: &Segment, len: u64) -> io::Result<Current> {
        let file = self.disk.open_write(&segment.path)?;
        let mut current = Current { segment: segment.clone(), file, end: HEADER_LEN as u64, reserved: 0 };
        current.reserve(current.end + len, self.options)?;
        let header = Header { segment: segment.number, first: self.next_record };
        current.file.write_all_at(&header.to_bytes(), 0)?;
        current.file.sync()?;
        self.disk.sync_dir(&self.dir)?; // the name of the interlock, too
        Ok(current)
    }
}

impl Current {
    fn reserve(&mut self, size: u64, options: LogOptions) -> io::Result<()> {
        if !options.reserve || size <= self.reserved {
            return Ok(());
        }
        let ahead = self.reserved.saturating_mul(2).max(RESERVE_MIN).min(options.segment_size);
        let reserved = ahead.max(size);
        self.file.reserve(reserved)?;
        self.reserved = reserved;
        Ok(())
    }
}

/// Why a group is not durable.
#[derive(Clone, Debug)]
pub(super) struct Refused(Arc<Error>);

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.0.again()
    }
}

impl Sink for Writer {
    type Group = Group;
    type Error = Refused;

    fn commit(&mut self, group: &mut Group) -> std::result::Result<(), Refused> {
        self.write(group).map_err(|error| Refused(Arc::new(error)))
    }

    fn clear(group: &mut Group) {
        group.clear();
    }

    fn broken() -> Refused {
        Refused(Arc::new(Error::unavailable(io::Error::other("the thread that wrote it panicked"))))
    }
}

pub(super) fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates the interlock, or leaves it as it is. Durable when the directory is synced.
fn put_interlock(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(mut file) => {
            file.append(INTERLOCK_TEXT)?;
            file.sync()
        }
    }
}

/// Unlinks a file that may be gone already; durable on return.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(error, path)),
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(|error| Error::io(error, dir))
}
