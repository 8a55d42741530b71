//! Reading a log: which records count, and whether what cannot be read is a torn tail or damage.
//!
//! Invariant: a record is handed out only if it is intact, stands where it was written, and has the number that is
//! expected next. What the next header or an intact later head says was synced is there, or the replay fails: a
//! torn tail has no record of which it is known that it was acknowledged. Nothing is written.
//!
//! The rules are in `docs/formats/icecore-wal.md`, section 4.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use icecore_disk::Disk;

use super::names::{self, Listing};
use crate::error::{Error, Result};
use crate::file::verify::LogRecord;
use crate::format::iwal::{self, HEAD_LEN, HEADER_LEN, Head, Header, Place};
use crate::log::influx::TornTail;
use crate::units::{Offset, Ticket};

/// What a replay found; [`Log::open`](super::Log::open) goes on from it.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The number of the first record that is written next.
    pub next_record: u64,
    /// The number of the segment that is created next.
    pub next_segment: u64,
    /// All segments, by number, those without records too.
    pub segments: Vec<Segment>,
    /// The highest ticket of any record that counts.
    pub max_ticket: Option<Ticket>,
    /// The tail that does not count, if there is one.
    pub torn: Option<TornTail>,
    /// The records at the end of which no other says that they were synced, if there are any.
    pub unconfirmed: Option<Unconfirmed>,
    /// How many records count.
    pub records: u64,
    /// Their bytes, heads included.
    pub bytes: u64,
}

/// Records that were read, but may not be on the disk: the process that wrote them may have ended before it synced them, or
/// because that failed, and the system shows them all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The segment.
    pub path: PathBuf,
    /// The first of their bytes.
    pub at: Offset,
    /// How many bytes they have.
    pub size: u64,
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// The highest ticket of the records in it that count.
    pub max_ticket: Option<Ticket>,
    /// Bytes of the records in it that count, heads included.
    pub bytes: u64,
}

/// Calls `each` with ticket and body of every record of the log in `dir`, in the order of the log. A missing directory is
/// an empty log. The bodies are parts of one buffer for each segment, which lives as long as they do. Writes nothing.
///
/// # Errors
/// `Corrupt` names segment, offset and, where it has one, record of what cannot be read and was acknowledged: then nothing
/// may be concluded from what `each` has seen. `Version` and `Feature`: the log is not for this build. `Io`. An error
/// of `each` gets the place of the record, and its offset is taken for one in the body.
pub fn replay(
    disk: &dyn Disk,
    dir: &Path,
    mut each: impl FnMut(Ticket, Bytes) -> Result<()>,
) -> Result<Replayed> {
    let listing = Listing::of(disk, dir)?;
    let mut replayed = Replayed { next_record: 1, next_segment: listing.next_segment, ..Replayed::default() };
    let mut firsts = Vec::with_capacity(listing.segments.len());
    for (number, path) in listing.segments {
        let first = first_of(disk, &path, number).map_err(|error| error.in_file(&path))?;
        if first.is_some() && first < firsts.iter().copied().flatten().next_back() {
            let what = "a segment begins with an earlier record than one before it";
            return Err(Error::corrupt(what, Header::at_first()).in_file(&path));
        }
        firsts.push(first);
        replayed.segments.push(Segment { number, path, max_ticket: None, bytes: 0 });
    }
    let mut buffer = Vec::new(); // of the segment before, if nobody holds on to a body
    for (nth, segment) in replayed.segments.iter_mut().enumerate() {
        let mut from_here = firsts.iter().skip(nth).copied();
        let (Some(first), end) = (from_here.next().flatten(), from_here.flatten().next()) else { continue };
        let path = segment.path.clone();
        let scope = Scope { segment: segment.number, first, end };
        let count = |at: Offset, head: &Head, body: Bytes| {
            each(head.ticket, body).map_err(|error| error.in_part(at).in_record(head.number))?;
            segment.max_ticket = segment.max_ticket.max(Some(head.ticket));
            segment.bytes += HEAD_LEN as u64 + u64::from(head.len);
            replayed.records += 1;
            Ok(())
        };
        let bytes = read(disk, &path, buffer).map_err(|error| error.in_file(&path))?;
        let walked = scope.walk(&bytes, count).map_err(|error| error.in_file(&path))?;
        buffer = bytes.try_into_mut().map_or_else(|_| Vec::new(), Vec::from);
        replayed.next_record = walked.next_record;
        replayed.unconfirmed =
            walked.unconfirmed.map(|(at, size)| Unconfirmed { path: path.clone(), at, size });
        replayed.torn = walked.torn.map(|(at, size)| TornTail { path, at, size });
    }
    replayed.max_ticket = replayed.segments.iter().filter_map(|segment| segment.max_ticket).max();
    replayed.bytes = replayed.segments.iter().map(|segment| segment.bytes).sum();
    Ok(replayed)
}

/// What one segment is, among those beside it.
pub(crate) struct Checked {
    /// Its length.
    pub(crate) size: u64,
    /// Where a torn tail begins.
    pub(crate) torn: Option<Offset>,
}

/// Calls `each` with every record of the segment at `path` that counts, and its body.
///
/// # Errors
/// As [`replay`]; damage of other segments is not told. An error of `each` as there.
pub(crate) fn check(
    disk: &dyn Disk,
    path: &Path,
    mut each: impl FnMut(&LogRecord, &[u8]) -> Result<()>,
) -> Result<Checked> {
    let number = names::number_of(path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let first = first_of(disk, path, number).map_err(|error| error.in_file(path))?;
    let bytes = read(disk, path, Vec::new()).map_err(|error| error.in_file(path))?;
    let mut checked = Checked { size: bytes.len() as u64, torn: None };
    let Some(first) = first else { return Ok(checked) };
    let segments = Listing::of(disk, dir).map_or_else(|_| Vec::new(), |listing| listing.segments);
    let behind = segments.iter().filter(|(other, _)| *other > number);
    let end = behind.filter_map(|(other, path)| first_of(disk, path, *other).ok().flatten()).next();
    let walked = Scope { segment: number, first, end }.walk(&bytes, |at, head, body| {
        let size = (HEAD_LEN + body.len()) as u64;
        let start = Offset::new(at.get() - HEAD_LEN as u64);
        let record = LogRecord { number: head.number, ticket: head.ticket, at: start, size };
        each(&record, &body).map_err(|error| error.in_part(at).in_record(head.number))
    });
    checked.torn = walked.map_err(|error| error.in_file(path))?.torn.map(|(at, _)| at);
    Ok(checked)
}

/// The number of the first record of a segment; `None` when the segment was not created to its end, and nothing was
/// acknowledged in it.
fn first_of(disk: &dyn Disk, path: &Path, number: u64) -> Result<Option<u64>> {
    let file = disk.open(path).map_err(Error::io_unnamed)?;
    let size = file.size().map_err(Error::io_unnamed)?;
    let len = usize::try_from(size).unwrap_or(usize::MAX).min(HEADER_LEN);
    let mut bytes = [0; HEADER_LEN];
    let bytes = bytes.get_mut(..len).unwrap_or_default();
    file.read_exact_at(bytes, 0).map_err(Error::io_unnamed)?;
    match Header::read(bytes)? {
        Some(header) if header.segment != number => {
            Err(Error::corrupt("a segment has another number than its name", Header::at_segment()))
        }
        Some(header) => Ok(Some(header.first)),
        None if written(read(disk, path, Vec::new())?.get(HEADER_LEN..).unwrap_or_default()) == 0 => Ok(None),
        None => Err(Error::corrupt("the header of a segment is not intact", Offset::START)),
    }
}

/// Which records of a segment count.
#[derive(Clone, Copy, Debug)]
struct Scope {
    segment: u64,
    first: u64,
    /// Those before this one were synced, and it and those behind it are void; `None` in the last segment.
    end: Option<u64>,
}

/// Places are the first byte and how many follow.
struct Walked {
    next_record: u64,
    unconfirmed: Option<(Offset, u64)>,
    torn: Option<(Offset, u64)>,
}

impl Scope {
    /// Calls `each` with the place of the body, the head and the body of every record that counts.
    fn walk(self, bytes: &Bytes, mut each: impl FnMut(Offset, &Head, Bytes) -> Result<()>) -> Result<Walked> {
        let written = written(bytes);
        let (mut at, mut number, mut confirmed) = (HEADER_LEN, self.first, HEADER_LEN);
        let torn = loop {
            let place = Offset::START.forward(at);
            if self.end.map_or(at >= written, |end| number >= end) {
                break None;
            }
            let (behind, what) = match self.record(bytes, at) {
                Ok((head, body)) => {
                    self.check(&head, number, place)?;
                    if head.synced + 1 == number {
                        confirmed = at;
                    }
                    at += HEAD_LEN + body.len();
                    number += 1;
                    each(place.forward(HEAD_LEN), &head, body)?;
                    continue;
                }
                Err(_) if at >= written => (bytes.len(), "a record is missing that was acknowledged"),
                Err(bad) => bad,
            };
            if self.end.is_some() || self.is_vouched_for(bytes, behind, number) {
                return Err(Error::corrupt(what, place).in_record(number));
            }
            break Some((place, (written - at) as u64));
        };
        let unconfirmed = (self.end.is_none() && at > confirmed)
            .then(|| (Offset::START.forward(confirmed), (at - confirmed) as u64));
        Ok(Walked { next_record: number, unconfirmed, torn })
    }

    /// The record at `at`. Otherwise where to look for others, and what is wrong with it.
    fn record(self, bytes: &Bytes, at: usize) -> std::result::Result<(Head, Bytes), (usize, &'static str)> {
        let head = self.head(bytes, at).ok_or((at + 1, "the head of a record is not intact"))?;
        let end = head.record_len().and_then(|len| at.checked_add(len)).filter(|end| *end <= bytes.len());
        let end = end.ok_or((bytes.len(), "a record is cut off"))?;
        let body = bytes.slice(at + HEAD_LEN..end);
        if head.fits(&body) { Ok((head, body)) } else { Err((end, "the body of a record is not intact")) }
    }

    fn head(self, bytes: &[u8], at: usize) -> Option<Head> {
        let place = Place { segment: self.segment, at: Offset::START.forward(at) };
        Head::read(bytes.get(at..)?, place)
    }

    /// What an intact record must be to follow those before it.
    fn check(self, head: &Head, number: u64, at: Offset) -> Result<()> {
        let what = match head.kind {
            _ if head.number != number => "a record has another number than the next",
            _ if head.synced >= number => "a record says of itself that it was synced before it was written",
            iwal::POINTS => return Ok(()),
            _ => "a record is of an unknown kind",
        };
        Err(Error::corrupt(what, at).in_record(number))
    }

    /// Whether an intact head at or behind `from` says that record `number` was synced.
    fn is_vouched_for(self, bytes: &[u8], from: usize, number: u64) -> bool {
        let mut from = from;
        while let Some(at) = iwal::find_marker(bytes, from) {
            from = match self.head(bytes, at) {
                Some(head) if head.synced >= number => return true,
                Some(head) => head.record_len().and_then(|len| at.checked_add(len)).unwrap_or(usize::MAX),
                None => at + 1,
            };
        }
        false
    }
}

/// The length without the zeros at the end.
fn written(bytes: &[u8]) -> usize {
    const CHUNK: usize = 4096; // looked at as a whole: half of a segment may be zeros
    let zeros = bytes.rchunks(CHUNK).take_while(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0);
    let rest = bytes.get(..bytes.len() - zeros.map(<[u8]>::len).sum::<usize>()).unwrap_or_default();
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A whole segment, in `buffer` if it is large enough.
fn read(disk: &dyn Disk, path: &Path, mut buffer: Vec<u8>) -> Result<Bytes> {
    let file = disk.open(path).map_err(Error::io_unnamed)?;
    let size = file.size().map_err(Error::io_unnamed)?;
    let has = buffer.len();
    let fits = |size: &usize| buffer.try_reserve_exact(size.saturating_sub(has)).is_ok();
    let room = usize::try_from(size).ok().filter(fits);
    let Some(size) = room else { return Err(Error::unfit("a segment of a log that is longer than memory")) };
    buffer.resize(size, 0);
    file.read_exact_at(&mut buffer, 0).map_err(Error::io_unnamed)?;
    Ok(Bytes::from(buffer))
}
