//! What a log looks like to a reader, case by case: the table of `docs/formats/icecore-wal.md`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_testkit::MemDisk;
use icecore_tsm::internal::{LogOptions, replay};
use icecore_tsm::{Error, ErrorKind, Ticket};

use super::model::{DIR, INTERLOCK, SMALL, append, disk, found, open, path, record, tickets};

/// A header, made by the document alone.
fn header(segment: u64, first: u64) -> Vec<u8> {
    let mut bytes = [&b"iceL\x01\0\0\0\0\0\0\0\0"[..], &segment.to_be_bytes(), &first.to_be_bytes()].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

struct Raw {
    kind: u8,
    number: u64,
    synced: u64,
    ticket: u64,
}

fn raw(number: u64, synced: u64) -> Raw {
    Raw { kind: 1, number, synced, ticket: number }
}

/// Adds a record behind these bytes of a segment, made by the document alone.
fn push(bytes: &mut Vec<u8>, segment: u64, raw: &Raw, body: &[u8]) {
    let mut head = vec![0xd7, 0x69, 0x6c, raw.kind];
    head.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    head.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    [raw.number, raw.synced, raw.ticket].iter().for_each(|n| head.extend_from_slice(&n.to_be_bytes()));
    let covered = [&segment.to_be_bytes()[..], &(bytes.len() as u64).to_be_bytes(), &head].concat();
    head.extend_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(body);
}

fn segment(number: u64, first: u64, records: &[Raw]) -> Vec<u8> {
    let mut bytes = header(number, first);
    records.iter().for_each(|raw| push(&mut bytes, number, raw, b"body"));
    bytes
}

fn read(segments: &[(u64, Vec<u8>)]) -> Result<Vec<u64>, Error> {
    let disk = MemDisk::default();
    segments.iter().for_each(|(number, bytes)| disk.put(&path(*number), bytes.clone()));
    found(&disk).map(|(_, records)| tickets(&records))
}

fn refusal(segments: &[(u64, Vec<u8>)]) -> (&'static str, PathBuf, u64, Option<u64>) {
    let error = read(segments).unwrap_err();
    let ErrorKind::Corrupt(what) = error.kind() else { panic!("{error}") };
    (what, error.path().unwrap().to_owned(), error.offset().unwrap().get(), error.record())
}

#[test]
fn a_log_made_by_the_document_is_read() {
    let one = segment(1, 1, &[raw(1, 0), raw(2, 0), raw(3, 2)]);
    let two = segment(12, 4, &[raw(4, 3)]);
    assert_eq!(read(&[(1, one), (12, two)]).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn numbers_are_ordered_as_numbers() {
    let (old, new) = (segment(99_999_999, 7, &[raw(7, 6)]), segment(100_000_000, 8, &[raw(8, 7)]));
    assert_eq!(read(&[(99_999_999, old), (100_000_000, new)]).unwrap(), [7, 8]);
}

#[test]
fn the_next_header_voids_what_was_not_acknowledged_whatever_it_is() {
    let mut one = segment(1, 1, &[raw(1, 0), raw(2, 1)]);
    let two = segment(2, 2, &[raw(2, 1)]);
    assert_eq!(read(&[(1, one.clone()), (2, two.clone())]).unwrap(), [1, 2], "each once");
    one.extend_from_slice(b"anything");
    assert_eq!(read(&[(1, one), (2, two)]).unwrap(), [1, 2]);
}

#[test]
fn a_creation_that_was_not_finished_counts_for_nothing() {
    let one = segment(1, 1, &[raw(1, 0)]);
    let whole = header(2, 2);
    for unfinished in [vec![], vec![0; 500], whole[..20].to_vec(), [&whole[..20], &[0; 300]].concat()] {
        let next = segment(3, 2, &[raw(2, 1)]);
        let log = [(1, one.clone()), (2, unfinished), (3, next)];
        assert_eq!(read(&log).unwrap(), [1, 2]);
        assert_eq!(read(&log[..2]).unwrap(), [1]);
    }
    let gone = (1, vec![0; 500]);
    let refused = refusal(&[(1, one.clone()), (2, vec![0; 40]), (3, segment(3, 3, &[raw(3, 2)]))]);
    assert_eq!(refused, ("a record is missing that was acknowledged", path(1), 33 + 44, Some(2)));
    assert_eq!(read(&[gone]).unwrap(), [] as [u64; 0]);
    assert_eq!(read(&[(7, header(7, 30))]).unwrap(), [] as [u64; 0]);
}

#[test]
fn damage_is_named() {
    let whole = segment(1, 1, &[raw(1, 0), raw(2, 1), raw(3, 2)]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        refusal(&[(1, bytes)])
    };
    let (first, second) = (33, 33 + 44);
    let body = "the body of a record is not intact";
    assert_eq!(with(&|bytes| bytes[first + 41] ^= 1), (body, path(1), first as u64, Some(1)));
    let head = "the head of a record is not intact";
    assert_eq!(with(&|bytes| bytes[second] ^= 1), (head, path(1), second as u64, Some(2)));
    assert_eq!(with(&|bytes| bytes[second..second + 44].fill(0)), (head, path(1), second as u64, Some(2)));
    let header_lost = ("the header of a segment is not intact", path(1), 0, None);
    assert_eq!(with(&|bytes| bytes[30] ^= 1), header_lost);

    let of = |records: &[Raw]| refusal(&[(1, segment(1, 1, records))]);
    let number = "a record has another number than the next";
    assert_eq!(of(&[raw(1, 0), raw(1, 0)]), (number, path(1), second as u64, Some(2)), "twice");
    assert_eq!(of(&[raw(1, 0), raw(3, 0)]), (number, path(1), second as u64, Some(2)), "one missing");
    let itself = "a record says of itself that it was synced before it was written";
    assert_eq!(of(&[raw(1, 1)]), (itself, path(1), first as u64, Some(1)));
    assert_eq!(of(&[raw(1, u64::MAX)]), (itself, path(1), first as u64, Some(1)));
    let kind = "a record is of an unknown kind";
    assert_eq!(of(&[Raw { kind: 2, ..raw(1, 0) }]), (kind, path(1), first as u64, Some(1)));

    let other = "a segment has another number than its name";
    assert_eq!(refusal(&[(2, whole.clone())]), (other, path(2), 13, None));
    let back = "a segment begins with an earlier record than one before it";
    assert_eq!(refusal(&[(1, header(1, 9)), (2, vec![]), (3, header(3, 8))]), (back, path(3), 21, None));
    let zero = "the first record of a segment has no possible number";
    assert_eq!(refusal(&[(1, header(1, 0))]), (zero, path(1), 21, None));
    assert_eq!(refusal(&[(1, header(1, u64::MAX))]), (zero, path(1), 21, None));
}

#[test]
fn what_another_version_wrote_is_refused() {
    let mut bytes = segment(1, 1, &[raw(1, 0)]);
    bytes[4] = 2;
    let error = read(&[(1, bytes)]).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Version(2), Some(&*path(1))));
    let mut bytes = header(1, 1);
    bytes[8] = 4;
    let crc = crc32fast::hash(&bytes[..29]);
    bytes[29..].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(read(&[(1, bytes)]).unwrap_err().kind(), ErrorKind::Feature(2));
}

#[test]
fn a_head_inside_a_body_vouches_for_nothing() {
    // The second record's head is lost, and its body has the bytes of an intact head that claims that all is synced.
    let mut inner = header(1, 1);
    push(&mut inner, 1, &raw(9, 8), b"");
    let mut bytes = segment(1, 1, &[raw(1, 0)]);
    let at = bytes.len();
    push(&mut bytes, 1, &raw(2, 1), &inner);
    bytes[at..at + 40].fill(0);
    assert_eq!(read(&[(1, bytes)]).unwrap(), [1], "it stands where it was not written");
}

#[test]
fn a_lost_head_is_damage_when_any_intact_head_behind_it_says_so() {
    let records = || [raw(1, 0), raw(2, 1), raw(3, 1), raw(4, 3)];
    let mut bytes = segment(1, 1, &records());
    let second = 33 + 44;
    bytes[second..second + 3].fill(0);
    assert_eq!(refusal(&[(1, bytes.clone())]).3, Some(2));
    let fourth = 33 + 3 * 44;
    bytes[fourth..].fill(0);
    assert_eq!(read(&[(1, bytes)]).unwrap(), [1], "the third was in one group with it");
}

#[test]
fn an_error_of_the_reader_gets_the_place_in_the_file() {
    let disk = MemDisk::default();
    disk.put(&path(1), segment(1, 1, &[raw(1, 0), raw(2, 1)]));
    let error = replay(&disk, Path::new(DIR), |ticket, _| {
        // An error at byte 5 of something.
        let mut frames = icecore_tsm::wal::frames(b"\x02\0\0\0\0?").skip(1);
        if ticket == Ticket::new(2) { frames.next().unwrap().map(|_| ()) } else { Ok(()) }
    });
    let error = error.unwrap_err();
    assert_eq!((error.path(), error.offset().unwrap().get()), (Some(&*path(1)), 33 + 44 + 40 + 5));
    assert_eq!(
        error.to_string(),
        "/wal/00000001.iwal: damaged: unknown type of log entry in record 2 at byte 122"
    );
}

#[test]
fn other_names_are_left_alone_and_a_segment_without_a_number_is_named() {
    let disk = disk();
    disk.put(Path::new("/wal/_00001.wal"), b"influxd's".to_vec());
    disk.put(Path::new("/wal/00000007.iwal.torn"), b"kept".to_vec());
    disk.put(Path::new("/wal/00000009.iwal.torn.tmp"), b"partial".to_vec());
    let before = disk.files();
    assert_eq!(found(&disk).unwrap().0.next_segment, 8, "no second segment has a tail of that name");
    let (log, _) = open(Arc::new(disk.clone()), SMALL).unwrap();
    append(&log, &record(1, 5)).unwrap();
    assert!(log.release(Ticket::new(2)).unwrap());
    assert_eq!(disk.files(), before);
    for name in ["1.iwal", "000000001.iwal", "x.iwal", ".iwal", "99999999999999999999.iwal"] {
        let disk = MemDisk::default();
        disk.put(&Path::new(DIR).join(name), Vec::new());
        let error = found(&disk).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt("the name of a segment of Icecore's log has no number"));
        assert_eq!(error.path(), Some(&*Path::new(DIR).join(name)));
    }
}

#[test]
fn a_missing_directory_is_an_empty_log_and_nothing_is_made_of_it() {
    let disk = MemDisk::default();
    let (log, records) = open(Arc::new(disk.clone()), SMALL).unwrap();
    assert!(records.is_empty() && log.release(Ticket::new(9)).unwrap());
    assert!(disk.list(Path::new(DIR)).is_err() && disk.files().is_empty());
}

#[test]
fn a_replay_writes_nothing_and_keeps_bodies_as_parts_of_one_buffer() {
    let disk = disk();
    let (log, _) = open(Arc::new(disk.clone()), LogOptions::default()).unwrap();
    [1, 2].iter().for_each(|ticket| append(&log, &record(*ticket, 100)).unwrap());
    let before = disk.files();
    let mut bodies = Vec::new();
    replay(&disk, Path::new(DIR), |_, body| {
        bodies.push(body);
        Ok(())
    })
    .unwrap();
    assert_eq!(disk.files(), before);
    assert_eq!(bodies[1].as_ptr() as usize - bodies[0].as_ptr() as usize, 140);
}

#[test]
fn the_interlock_lies_there_while_a_record_does() {
    let disk = disk();
    let exists = || disk.stat(Path::new(INTERLOCK)).is_ok();
    let (log, _) = open(Arc::new(disk.clone()), SMALL).unwrap();
    assert!(!exists());
    append(&log, &record(1, 5)).unwrap();
    append(&log, &record(2, 5)).unwrap();
    assert!(exists() && !log.release(Ticket::new(2)).unwrap() && exists());
    drop(log);
    disk.remove(Path::new(INTERLOCK)).unwrap();
    let (log, records) = open(Arc::new(disk.clone()), SMALL).unwrap();
    assert!(exists(), "it is put back");
    assert_eq!(tickets(&records), [1, 2]);
    assert!(log.release(Ticket::new(3)).unwrap() && !exists());
    assert_eq!(disk.files().len(), 0);
    append(&log, &record(3, 5)).unwrap();
    assert!(exists());

    let alone = super::model::disk();
    alone.put(Path::new(INTERLOCK), Vec::new());
    alone.put(&path(3), header(3, 5));
    drop(open(Arc::new(alone.clone()), SMALL).unwrap());
    assert!(alone.files().is_empty(), "without a record nothing stays");
}

#[test]
fn a_segment_goes_when_all_its_tickets_are_flushed_and_none_before_it_stays() {
    let disk = disk();
    let (log, _) = open(Arc::new(disk.clone()), LogOptions { segment_size: 150, reserve: true }).unwrap();
    for ticket in [1, 9, 2, 3, 4] {
        append(&log, &record(ticket, 70)).unwrap();
    }
    assert_eq!((log.stats().segments, log.stats().bytes), (5, 5 * 110));
    assert!(!log.release(Ticket::new(4)).unwrap());
    assert_eq!(tickets(&found(&disk).unwrap().1), [9, 2, 3, 4]);
    assert!(!log.release(Ticket::new(9)).unwrap());
    assert_eq!(tickets(&found(&disk).unwrap().1), [9, 2, 3, 4]);
    assert!(log.release(Ticket::new(10)).unwrap());
    assert_eq!((log.stats().segments, log.stats().bytes, log.stats().records), (0, 0, 5));
}
