//! Icecore's own log of two segments.
//!
//! ```text
//! input    | length of the first segment 2 | first segment | second segment |
//! ```

use std::path::Path;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_tsm::internal::{Log, LogOptions, Replayed, replay};
use icecore_tsm::{Result, Ticket};

use crate::MemDisk;

const DIR: &str = "/wal";
const NAMES: [&str; 2] = ["00000001.iwal", "00000002.iwal"];
const HEADER_LEN: usize = 33;
const HEAD_LEN: usize = 40;

/// Ticket and body.
type Record = (u64, Vec<u8>);

/// Any bytes are the segments of a log, or it is damaged and stays as it is. A log that is read has the records that a second,
/// plain reader finds; it can be opened, written and emptied.
///
/// Tried twice: as they are, and with headers and heads made intact, so that changed numbers reach the rules.
pub fn iwal(bytes: &[u8]) {
    let (len, rest) = bytes.split_first_chunk::<2>().unwrap_or((&[0; 2], bytes));
    let (first, second) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
    holds([first.to_vec(), second.to_vec()]);
    holds([mend(first.to_vec(), 1), mend(second.to_vec(), 2)]);
}

fn holds(segments: [Vec<u8>; 2]) {
    let disk = MemDisk::default();
    let names = NAMES.iter().zip(&segments);
    names.for_each(|(name, bytes)| disk.put(&Path::new(DIR).join(name), bytes.clone()));
    let before = disk.files();
    let outcome = read(&disk);
    assert_eq!(disk.files(), before, "reading writes nothing");
    let (records, is_whole) = plain(&segments);
    let (replayed, found) = match outcome {
        Ok(found) => found,
        Err(error) => {
            assert!(error.is_damage() && !is_whole, "{error}");
            let path = error.path().expect("damage has a file");
            let size = before.get(path).expect("it is one of the log").len() as u64;
            assert!(error.offset().expect("and a place").get() <= size, "{error}");
            return;
        }
    };
    assert_eq!(found, records, "what a plain reader finds");
    if let Some(torn) = &replayed.torn {
        assert!(!is_whole && torn.size > 0);
        assert!(torn.at.get() + torn.size <= before.get(&torn.path).expect("of the log").len() as u64);
    }
    goes_on(&disk, replayed, found);
}

fn read(disk: &MemDisk) -> Result<(Replayed, Vec<Record>)> {
    let mut records = Vec::new();
    let replayed = replay(disk, Path::new(DIR), |ticket, body| {
        records.push((ticket.get(), body.to_vec()));
        Ok(())
    })?;
    Ok((replayed, records))
}

/// The log takes a record more, has it then, and can be emptied.
fn goes_on(disk: &MemDisk, replayed: Replayed, mut records: Vec<Record>) {
    let torn = replayed.torn.is_some();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = Log::open(shared, Path::new(DIR), replayed, LogOptions { segment_size: 4096, reserve: true })
        .expect("a disk in memory");
    log.append(Ticket::new(7), &[b"one ", b"more"]).expect("a disk in memory");
    records.push((7, b"one more".to_vec()));
    let (again, found) = read(disk).expect("a log that was read");
    assert!(again.torn.is_none(), "the next segment voids a torn tail");
    assert_eq!(found, records);
    let emptied = log.release(Ticket::new(u64::MAX)).expect("a disk in memory");
    let keeps = found.iter().any(|(ticket, _)| *ticket == u64::MAX);
    assert_eq!(emptied, !keeps);
    assert!(keeps || disk.files().len() == usize::from(torn), "only a torn tail is left");
}

/// The records of both segments as far as each can be read, and whether nothing else is in them.
fn plain(segments: &[Vec<u8>; 2]) -> (Vec<Record>, bool) {
    let firsts: Vec<_> = segments.iter().zip(1..).map(|(bytes, number)| first(bytes, number)).collect();
    let mut is_whole = segments.iter().zip(&firsts).all(|(bytes, first)| first.is_some() || is_zero(bytes));
    is_whole &= !matches!(firsts.as_slice(), [Some(first), Some(second)] if second < first);
    let mut records = Vec::new();
    for (nth, (bytes, first)) in segments.iter().zip(&firsts).enumerate() {
        let Some(first) = first else { continue };
        let end = firsts.get(nth + 1).copied().flatten();
        let (mut number, mut at) = (*first, HEADER_LEN);
        while end.is_none_or(|end| number < end) {
            let Some((record, len)) = record(bytes, at, nth as u64 + 1, number) else { break };
            records.push(record);
            (number, at) = (number + 1, at + len);
        }
        is_whole &= end.map_or_else(|| is_zero(bytes.get(at..).unwrap_or_default()), |end| number == end);
    }
    (records, is_whole)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The first record of a segment whose header is as the document has it.
fn first(bytes: &[u8], segment: u64) -> Option<u64> {
    let known = bytes.starts_with(b"iceL\x01\0\0\0\0") && u64_at(bytes, 13)? == segment;
    let intact = crc32fast::hash(bytes.get(..29)?) == u32_at(bytes, 29)?;
    u64_at(bytes, 21).filter(|first| known && intact && *first >= 1 && *first < 1 << 63)
}

fn head_crc(head: &[u8], segment: u64, at: usize) -> u32 {
    crc32fast::hash(&[&segment.to_be_bytes()[..], &(at as u64).to_be_bytes(), head].concat())
}

/// The record at `at`, and how long it is.
fn record(bytes: &[u8], at: usize, segment: u64, number: u64) -> Option<(Record, usize)> {
    let bytes_at = bytes.get(at..)?;
    let len = usize::try_from(u32_at(bytes_at, 4)?).ok()?.checked_add(HEAD_LEN)?;
    let body = bytes_at.get(HEAD_LEN..len)?;
    let fits = bytes_at.starts_with(b"\xd7\x69\x6c\x01")
        && u32_at(bytes_at, 36)? == head_crc(bytes_at.get(..36)?, segment, at)
        && u32_at(bytes_at, 8)? == crc32fast::hash(body)
        && u64_at(bytes_at, 12)? == number
        && u64_at(bytes_at, 20)? < number;
    fits.then_some(((u64_at(bytes_at, 28)?, body.to_vec()), len))
}

/// Makes the header intact, and one record after the other as their lengths have it.
fn mend(mut bytes: Vec<u8>, segment: u64) -> Vec<u8> {
    let put = |at: usize, new: &[u8], bytes: &mut Vec<u8>| {
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    };
    if bytes.len() < HEADER_LEN {
        return bytes;
    }
    put(0, b"iceL\x01\0\0\0\0", &mut bytes);
    put(13, &segment.to_be_bytes(), &mut bytes);
    put(21, &[0; 7], &mut bytes);
    let crc = crc32fast::hash(bytes.get(..29).unwrap_or_default());
    put(29, &crc.to_be_bytes(), &mut bytes);
    let mut at = HEADER_LEN;
    while bytes.len().saturating_sub(at) >= HEAD_LEN {
        put(at, b"\xd7\x69\x6c", &mut bytes);
        put(at + 4, &[0; 2], &mut bytes);
        put(at + 12, &[0; 7], &mut bytes);
        put(at + 20, &[0; 7], &mut bytes);
        let len = bytes.get(at..).and_then(|head| u32_at(head, 4)).unwrap_or_default() as usize;
        let end = (at + HEAD_LEN).saturating_add(len);
        let body = bytes.get(at + HEAD_LEN..end.min(bytes.len())).map_or(0, crc32fast::hash);
        put(at + 8, &body.to_be_bytes(), &mut bytes);
        let crc = head_crc(bytes.get(at..at + 36).unwrap_or_default(), segment, at);
        put(at + 36, &crc.to_be_bytes(), &mut bytes);
        at = end;
    }
    bytes
}
