//! influxd's log of a shard: segments `_NNNNN.wal`, replayed in the order of their numbers.
//!
//! The log has neither checksums nor record numbers, so a torn tail is told from damage by its looks. An entry that
//! cannot be read is a torn tail, of a write that was never acknowledged, if no intact entry lies behind it, it is in
//! the last segment that has content, and it looks unfinished: it runs past the end of the segment, or one of its
//! sectors reads as zeros. Everything else is damage and is named; nothing is cut off. What this cannot tell: a
//! flipped bit in the *length* of the very last entry looks like a torn tail; it is reported as one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use icecore_disk::{Disk, Map, Stat};

use crate::cache::replayed::Replayed;
use crate::error::{Error, Result};
use crate::format::key;
use crate::format::read::Cursor;
use crate::format::wal::{Entry, Frame};
use crate::units::Offset;

/// What a disk writes as a whole.
const SECTOR_LEN: usize = 512;

/// Fewer zeros at the edge of a sector can be the end of a value.
const ZEROS_MIN: usize = 16;

/// Decompressed while looking for entries behind a bad one, at most: hostile bytes must not hold up the start.
const SEARCH_BYTES_MAX: usize = 64 << 20;

/// What a replay found.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// All segments, empty ones too, in order.
    pub(crate) segments: Vec<Segment>,
    /// Entries applied.
    pub(crate) entries: u64,
    /// The tail that was left out, if there is one.
    pub(crate) torn: Option<TornTail>,
}

/// A file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
}

/// The bytes at the end of a log that a crash left of a write that was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub path: PathBuf,
    /// The first byte that belongs to no complete entry.
    pub at: Offset,
    /// From there to the end of the segment.
    pub size: u64,
}

/// Replays the log in `dir` into `cache`. A missing directory is an empty log.
///
/// # Errors
/// `Corrupt` names segment and offset of the first entry that cannot be read; `cache` is then incomplete.
pub(crate) fn replay(disk: &dyn Disk, dir: &Path, cache: &mut Replayed) -> Result<Log> {
    let segments = segments(disk, dir)?;
    let last = segments.iter().rposition(|segment| segment.stat.size > 0);
    let mut log = Log { segments, ..Log::default() };
    for at in 0..log.segments.len() {
        let Some(Segment { path, .. }) = log.segments.get(at) else { break };
        let bytes = disk.map(path).map_err(|error| Error::io(error, path))?;
        let (entries, torn) =
            replay_segment(&bytes, Some(at) == last, cache).map_err(|error| error.in_file(path))?;
        log.entries += entries;
        if let Some(at) = torn {
            log.torn = Some(TornTail { path: path.clone(), at, size: bytes.len() as u64 - at.get() });
        }
    }
    Ok(log)
}

/// The segments in `dir` by number, empty ones too.
///
/// # Errors
/// `Corrupt` when the name of one has no number, `Io`.
pub(crate) fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Segment>> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(error, dir)),
    };
    let mut segments = Vec::new();
    for entry in names {
        let Some(id) = entry.name().and_then(|name| name.strip_prefix('_')?.strip_suffix(".wal")) else {
            continue;
        };
        let id: u64 = id.parse().map_err(|_| {
            Error::corrupt("the name of a log segment has no number", Offset::START).in_file(&entry.path)
        })?;
        let stat = disk.stat(&entry.path).map_err(|error| Error::io(error, &entry.path))?;
        segments.push((id, Segment { path: entry.path, stat }));
    }
    segments.sort_by_key(|(id, _)| *id);
    Ok(segments.into_iter().map(|(_, segment)| segment).collect())
}

/// Returns how many entries were applied, and where a torn tail begins.
fn replay_segment(bytes: &Map, may_be_torn: bool, cache: &mut Replayed) -> Result<(u64, Option<Offset>)> {
    let mut entries = 0;
    let torn = walk_segment(bytes, may_be_torn, |at, entry| {
        entries += 1;
        cache.apply(entry).map_err(|refused| Error::corrupt(refused.what(), at.start))
    })?;
    Ok((entries, torn))
}

/// Calls `each` with every entry of a segment and where it lies. Returns where a torn tail begins, if there is one and the
/// segment may have it.
///
/// # Errors
/// `Corrupt` with the place of the first entry that cannot be read, and what `each` says.
pub(crate) fn walk_segment(
    bytes: &[u8],
    may_be_torn: bool,
    mut each: impl FnMut(Range<Offset>, Entry) -> Result<()>,
) -> Result<Option<Offset>> {
    let mut cursor = Cursor::new(bytes, Offset::START);
    let mut buffer = Vec::new();
    while !cursor.is_empty() {
        let start = cursor.clone();
        match Frame::read(&mut cursor).and_then(|frame| frame.decode(&mut buffer)) {
            Ok(entry) => each(start.at()..cursor.at(), entry)?,
            Err(_)
                if may_be_torn && looks_unfinished(&start) && !intact_entry_behind(&start, &mut buffer) =>
            {
                return Ok(Some(start.at()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether the entry at `from` runs past the end, or a sector of it was never written.
fn looks_unfinished(from: &Cursor<'_>) -> bool {
    let mut behind = from.clone();
    let runs_past = Frame::read(&mut behind)
        .is_err_and(|error| error.kind() == crate::ErrorKind::Corrupt("a log entry is cut off"));
    let first_sector = usize::try_from(from.at().get() % SECTOR_LEN as u64).unwrap_or(0);
    let (head, sectors) =
        from.rest().split_at_checked(SECTOR_LEN - first_sector).unwrap_or((from.rest(), &[]));
    let is_zero = |bytes: &[u8]| bytes.len() >= ZEROS_MIN && bytes.iter().all(|byte| *byte == 0);
    let is_nothing = from.rest().iter().all(|byte| *byte == 0);
    runs_past || is_nothing || is_zero(head) || sectors.chunks(SECTOR_LEN).any(is_zero)
}

/// Whether an entry that means something can be read anywhere behind the first byte of `from`.
fn intact_entry_behind(from: &Cursor<'_>, buffer: &mut Vec<u8>) -> bool {
    let rest = from.rest();
    let mut decompressed = 0;
    (1..rest.len()).any(|skip| {
        if decompressed > SEARCH_BYTES_MAX {
            return true; // not known, so it counts as damage
        }
        let mut cursor = Cursor::new(rest.get(skip..).unwrap_or_default(), Offset::START);
        let entry = Frame::read(&mut cursor).and_then(|frame| {
            decompressed += frame.plain_len().unwrap_or(0);
            frame.decode(buffer)
        });
        match entry {
            Ok(Entry::Write(groups)) => !groups.is_empty(),
            Ok(Entry::Delete { keys, .. }) => {
                !keys.is_empty() && keys.iter().all(|key| key::split(key).is_some())
            }
            Err(_) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use icecore_disk::RealDisk;

    use super::*;
    use crate::format::column::Values;

    fn entry(time: i64, value: f64) -> Vec<u8> {
        let mut body = vec![1, 0, 6];
        body.extend_from_slice(b"m#!~#f");
        body.extend_from_slice(&1u32.to_be_bytes());
        body.extend_from_slice(&time.to_be_bytes());
        body.extend_from_slice(&value.to_bits().to_be_bytes());
        let payload = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        [&[1][..], &u32::try_from(payload.len()).unwrap().to_be_bytes(), &payload].concat()
    }

    fn log(segments: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Result<Log>, Vec<i64>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in segments {
            RealDisk.create(&dir.path().join(name)).unwrap().append(bytes).unwrap();
        }
        let mut cache = Replayed::default();
        let result = replay(&RealDisk, dir.path(), &mut cache);
        let frozen = cache.sort();
        let times = frozen.column(b"m#!~#f").map_or(Vec::new(), |column| column.times.clone());
        (dir, result, times)
    }

    #[test]
    fn segments_replay_by_number_and_the_later_value_wins() {
        let segments =
            [("_100000.wal", entry(1, 2.0)), ("_99999.wal", entry(1, 1.0)), ("_00001.wal", Vec::new())];
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &segments {
            RealDisk.create(&dir.path().join(name)).unwrap().append(bytes).unwrap();
        }
        let mut cache = Replayed::default();
        let log = replay(&RealDisk, dir.path(), &mut cache).unwrap();
        assert_eq!((log.entries, log.segments.len(), log.torn), (2, 3, None));
        assert_eq!(cache.sort().column(b"m#!~#f").unwrap().values, Values::Float(vec![2.0]));
    }

    #[test]
    fn every_cut_of_the_last_entry_is_a_torn_tail() {
        let (first, second) = (entry(1, 1.0), entry(2, 2.0));
        for len in 1..second.len() {
            let bytes = [&first[..], &second[..len]].concat();
            let (_dir, result, times) = log(&[("_00001.wal", bytes), ("_00002.wal", Vec::new())]);
            let torn = result.unwrap().torn.unwrap();
            assert_eq!(
                (torn.at, torn.size, times),
                (Offset::START.forward(first.len()), len as u64, vec![1])
            );
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_torn_tail() {
        let (_dir, result, times) = log(&[("_00001.wal", [entry(1, 1.0), vec![0; 100]].concat())]);
        assert_eq!((result.unwrap().torn.unwrap().size, times), (100, vec![1]));
    }

    #[test]
    fn bad_bytes_before_an_intact_entry_are_damage_and_named() {
        let first = entry(1, 1.0);
        for hole in [vec![0; 10], vec![0xff; 10], entry(2, 2.0)[..9].to_vec()] {
            let (dir, result, _) = log(&[("_00001.wal", [first.clone(), hole, entry(3, 3.0)].concat())]);
            let error = result.unwrap_err();
            assert!(error.is_damage());
            assert_eq!(error.path(), Some(&*dir.path().join("_00001.wal")));
            assert!(error.offset().unwrap().get() >= first.len() as u64);
        }
    }

    #[test]
    fn a_flipped_bit_in_the_last_entry_is_damage_unless_it_makes_the_entry_run_past_the_end() {
        let (first, second) = (entry(1, 1.0), entry(2, 2.0));
        for bit in (5 * 8..second.len() * 8).filter(|bit| *bit / 8 < 20) {
            let mut damaged = second.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (_dir, result, _) = log(&[("_00001.wal", [&first[..], &damaged].concat())]);
            match result {
                Ok(log) => {
                    assert_eq!((log.torn, log.entries), (None, 2), "bit {bit} changed a key or a value")
                }
                Err(error) => assert!(error.is_damage(), "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_cut_segment_before_the_last_is_damage() {
        let cut = entry(1, 1.0)[..8].to_vec();
        let (_dir, result, _) = log(&[("_00001.wal", cut), ("_00002.wal", entry(2, 2.0))]);
        assert_eq!(result.unwrap_err().offset(), Some(Offset::START));
    }
}
