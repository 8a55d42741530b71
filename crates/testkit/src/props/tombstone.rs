use std::cell::RefCell;

use icecore_tsm::{Result, TimeRange, key, tombstone};

use crate::tsm;

const V2: [u8; 4] = [0, 0, 0x15, 2];
const V3: [u8; 4] = [0, 0, 0x15, 3];
const V4: [u8; 4] = [0, 0, 0x15, 4];

/// A composite key and what is deleted of it.
pub(super) type Delete<'a> = (&'a [u8], TimeRange);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Any bytes are the deletes beside a file, or damaged; deletes that are not compressed are all that the bytes have.
///
/// Tried five times: as they are; and the records that can be read in them as a tombstone of version 2, and in two gzip
/// members of version 3, of version 4, and without a magic number.
pub fn tombstone(bytes: &[u8]) {
    as_they_are(bytes);
    let records = records(bytes.strip_prefix(&V2).unwrap_or(bytes));
    SCRATCH.with_borrow_mut(|file| {
        file.clear();
        file.extend_from_slice(&V2);
        put_records(&records, file);
        holds(file, &records);
        let (first, second) = records.split_at_checked(records.len() / 2).unwrap_or_default();
        for magic in [&V3[..], &V4, &[]] {
            file.clear();
            file.extend_from_slice(magic);
            put_member(first, file);
            put_member(second, file);
            holds(file, &records);
        }
    });
}

fn as_they_are(bytes: &[u8]) {
    let mut deletes = Vec::new();
    let outcome = tombstone::walk(bytes, |key, range| {
        assert!(key.len() <= key::LEN_MAX, "a key that a file can have");
        deletes.push((key.to_vec(), range));
    });
    if let Err(error) = &outcome {
        assert!(error.is_damage(), "not about damage: {error}");
        assert!(error.offset().is_some_and(|at| at.get() <= bytes.len() as u64), "names no place: {error}");
    }
    if bytes.starts_with(&V2) {
        let records = tsm::tombstone_v2(&deletes);
        assert!(bytes.starts_with(&records), "what was read is what stands there");
        assert_eq!(outcome.is_ok(), records.len() == bytes.len(), "all or damage");
    } else if !bytes.starts_with(&V3) && !bytes.starts_with(&V4) && !bytes.starts_with(&[0x1f, 0x8b]) {
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let keys = lines.filter(|line| !line.is_empty()).take_while(|key| key::split(key).is_some());
        assert!(keys.eq(deletes.iter().map(|(key, _)| key.as_slice())), "a key a line");
        assert!(deletes.iter().all(|(_, range)| *range == TimeRange::ALL), "of all time");
    }
}

fn holds(file: &[u8], records: &[Delete<'_>]) {
    let mut expected = records.iter();
    let outcome: Result<()> =
        tombstone::walk(file, |key, range| assert_eq!(expected.next(), Some(&(key, range))));
    outcome.expect("a tombstone by the book");
    assert_eq!(expected.next(), None, "every record is read");
}

/// The records in bytes, up to the first that cannot be read.
pub(super) fn records(mut bytes: &[u8]) -> Vec<Delete<'_>> {
    let mut records = Vec::new();
    while let Some((record, rest)) = record(bytes) {
        records.push(record);
        bytes = rest;
    }
    records
}

fn record(bytes: &[u8]) -> Option<(Delete<'_>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    let len = usize::from(u16::try_from(u32::from_be_bytes(*len)).ok()?);
    let (key, rest) = rest.split_at_checked(len)?;
    let (min, rest) = rest.split_first_chunk()?;
    let (max, rest) = rest.split_first_chunk()?;
    let range = TimeRange::new(i64::from_be_bytes(*min), i64::from_be_bytes(*max)).ok()?;
    Some(((key, range), rest))
}

fn put_records(records: &[Delete<'_>], out: &mut Vec<u8>) {
    for (key, range) in records {
        out.extend_from_slice(&u32::try_from(key.len()).expect("at most 65,535 bytes").to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(&range.min().to_be_bytes());
        out.extend_from_slice(&range.max().to_be_bytes());
    }
}

/// Appends a gzip member of records, which are stored: compressing them would cost more than all that is tried.
fn put_member(records: &[Delete<'_>], out: &mut Vec<u8>) {
    let mut plain = Vec::new();
    put_records(records, &mut plain);
    out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    for part in plain.chunks(usize::from(u16::MAX)) {
        let len = u16::try_from(part.len()).expect("a part of at most 64 KiB");
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]); // an empty part, the last
    out.extend_from_slice(&crc32fast::hash(&plain).to_le_bytes());
    out.extend_from_slice(&u32::try_from(plain.len()).expect("far below 4 GiB").to_le_bytes());
}
