//! A segment of Icecore's own log: its header and the heads of its records (`docs/formats/icecore-wal.md`).
//!
//! Invariant: a header or head is read only where its bytes are intact, and a head only at the place it was written for.
//!
//! ```text
//! header | magic 4 | version 1 | must 4 | may 4 | segment 8 | first 8 | CRC 4 |                       big-endian
//! record | marker 3 | kind 1 | body len 4 | body CRC 4 | number 8 | synced 8 | ticket 8 | head CRC 4 | body |
//! head CRC: segment 8, offset of the record in the file 8, the 36 bytes of the head before it
//! ```

use super::read::Cursor;
use crate::error::{Error, Result};
use crate::units::{Offset, Ticket};

const MAGIC: [u8; 4] = *b"iceL";
const VERSION: u8 = 1;

const SEGMENT: usize = MAGIC.len() + size_of::<u8>() + 2 * size_of::<u32>();
const FIRST: usize = SEGMENT + size_of::<u64>();
const HEADER_CRC: usize = FIRST + size_of::<u64>();
/// Bytes in front of the first record.
pub(crate) const HEADER_LEN: usize = HEADER_CRC + size_of::<u32>();
const _: () = assert!(HEADER_LEN == 33, "header of a segment, version 1");

/// No byte of it is zero: a hole is no record.
const MARKER: [u8; 3] = [0xd7, 0x69, 0x6c];

const BODY_LEN: usize = MARKER.len() + size_of::<u8>();
const NUMBER: usize = BODY_LEN + 2 * size_of::<u32>();
const HEAD_CRC: usize = NUMBER + 3 * size_of::<u64>();
/// Bytes of a record in front of its body.
pub(crate) const HEAD_LEN: usize = HEAD_CRC + size_of::<u32>();
const _: () = assert!(HEAD_LEN == 40, "head of a record, version 1");

/// Numbers from here on are in no file that was written: so that counting on from one in a file never overflows.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;

/// The kinds of records.
pub(crate) const POINTS: u8 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number in its name.
    pub(crate) segment: u64,
    /// The number of its first record: those from here on in earlier segments are void, those before it were synced.
    pub(crate) first: u64,
}

impl Header {
    /// The header at the start of `bytes`; `None` if there is none that is intact.
    ///
    /// # Errors
    /// `Version` and `Feature` for what this build does not read; `Corrupt` when an intact header has a number that no
    /// writer gives.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let mut cursor = Cursor::new(bytes, Offset::START);
        let Ok(magic) = cursor.array::<{ MAGIC.len() }>("") else { return Ok(None) };
        let (at, version) = (cursor.at(), cursor.u8(""));
        match version {
            _ if magic != MAGIC => return Ok(None),
            Ok(VERSION) => {}
            Ok(0) | Err(_) => return Ok(None), // a header that was not written to its end
            Ok(unknown) => return Err(Error::version(unknown, at)),
        }
        let Some((checked, rest)) = bytes.split_at_checked(HEADER_CRC) else { return Ok(None) };
        if rest.first_chunk().copied().map(u32::from_be_bytes) != Some(crc32fast::hash(checked)) {
            return Ok(None);
        }
        const SHORT: &str = "the header of a segment is cut off"; // was seen to be there
        let (at, must) = (cursor.at(), cursor.u32(SHORT)?);
        if must != 0 {
            return Err(Error::feature(must.trailing_zeros(), at));
        }
        let _may = cursor.u32(SHORT)?;
        let segment = cursor.u64(SHORT)?;
        let (at, first) = (cursor.at(), cursor.u64(SHORT)?);
        if !(1..=NUMBER_MAX).contains(&first) {
            return Err(Error::corrupt("the first record of a segment has no possible number", at));
        }
        Ok(Some(Self { segment, first }))
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, MAGIC.len(), &[VERSION]);
        put(&mut bytes, SEGMENT, &self.segment.to_be_bytes());
        put(&mut bytes, FIRST, &self.first.to_be_bytes());
        let crc = bytes.split_at_checked(HEADER_CRC).map_or(0, |(checked, _)| crc32fast::hash(checked));
        put(&mut bytes, HEADER_CRC, &crc.to_be_bytes());
        bytes
    }

    /// Where `first` lies.
    pub(crate) fn at_first() -> Offset {
        Offset::START.forward(FIRST)
    }

    /// Where the segment's number lies.
    pub(crate) fn at_segment() -> Offset {
        Offset::START.forward(SEGMENT)
    }
}

/// Where a record stands; part of the checksum of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// Of the first byte of the record in its file.
    pub(crate) at: Offset,
}

/// What stands in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// What the body is.
    pub(crate) kind: u8,
    /// Length of the body.
    pub(crate) len: u32,
    /// CRC of the body.
    pub(crate) body_crc: u32,
    /// Of this record; over all segments.
    pub(crate) number: u64,
    /// The highest number known to be durable when this record was written.
    pub(crate) synced: u64,
    /// Of the write that the record is.
    pub(crate) ticket: Ticket,
}

impl Head {
    /// The head at the start of `bytes`, if it is intact and was written for this place.
    pub(crate) fn read(bytes: &[u8], place: Place) -> Option<Self> {
        let (checked, rest) = bytes.split_at_checked(HEAD_CRC)?;
        if !checked.starts_with(&MARKER) || u32::from_be_bytes(*rest.first_chunk()?) != crc(checked, place) {
            return None;
        }
        let mut cursor = Cursor::new(checked.get(MARKER.len()..)?, place.at);
        let mut read = || -> Result<Self> {
            let (kind, len, body_crc) = (cursor.u8("")?, cursor.u32("")?, cursor.u32("")?);
            let (number, synced, ticket) = (cursor.u64("")?, cursor.u64("")?, Ticket::new(cursor.u64("")?));
            Ok(Self { kind, len, body_crc, number, synced, ticket })
        };
        read().ok()
    }

    pub(crate) fn to_bytes(self, place: Place) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        put(&mut bytes, 0, &MARKER);
        put(&mut bytes, MARKER.len(), &[self.kind]);
        put(&mut bytes, BODY_LEN, &self.len.to_be_bytes());
        put(&mut bytes, BODY_LEN + size_of::<u32>(), &self.body_crc.to_be_bytes());
        for (nth, number) in [self.number, self.synced, self.ticket.get()].into_iter().enumerate() {
            put(&mut bytes, NUMBER + nth * size_of::<u64>(), &number.to_be_bytes());
        }
        let crc = bytes.split_at_checked(HEAD_CRC).map_or(0, |(checked, _)| crc(checked, place));
        put(&mut bytes, HEAD_CRC, &crc.to_be_bytes());
        bytes
    }

    /// Whether `body` is the one that this head was written with.
    pub(crate) fn fits(&self, body: &[u8]) -> bool {
        u32::try_from(body.len()) == Ok(self.len) && crc32fast::hash(body) == self.body_crc
    }

    /// How many bytes the record has.
    pub(crate) fn record_len(&self) -> Option<usize> {
        usize::try_from(self.len).ok()?.checked_add(HEAD_LEN)
    }
}

/// Where the next head may begin, at or behind `from`.
pub(crate) fn find_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MARKER.len()).position(|window| window == MARKER).map(|skip| from + skip)
}

fn crc(checked: &[u8], place: Place) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.segment.to_be_bytes());
    hasher.update(&place.at.get().to_be_bytes());
    hasher.update(checked);
    hasher.finalize()
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { kind: 1, len: 3, body_crc: 5, number: 7, synced: 6, ticket: Ticket::new(9) };
    const PLACE: Place = Place { segment: 2, at: Offset::new(33) };

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let header = Header { segment: 2, first: 258 };
        let bytes = header.to_bytes();
        let plain = b"iceL\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01\x02";
        assert_eq!(&bytes[..29], plain);
        assert_eq!(bytes[29..], crc32fast::hash(plain).to_be_bytes());
        assert_eq!(Header::read(&bytes).unwrap(), Some(header));

        let bytes = HEAD.to_bytes(PLACE);
        let plain =
            b"\xd7\x69\x6c\x01\0\0\0\x03\0\0\0\x05\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x09";
        assert_eq!(&bytes[..36], plain);
        let covered = [&b"\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x21"[..], plain].concat();
        assert_eq!(bytes[36..], crc32fast::hash(&covered).to_be_bytes());
        assert_eq!(Head::read(&bytes, PLACE), Some(HEAD));
    }

    #[test]
    fn a_head_counts_at_its_own_place_only() {
        let bytes = HEAD.to_bytes(PLACE);
        assert_eq!(Head::read(&bytes, Place { segment: 3, ..PLACE }), None);
        assert_eq!(Head::read(&bytes, Place { at: Offset::new(34), ..PLACE }), None);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_read() {
        let (header, head) = (Header { segment: 2, first: 258 }.to_bytes(), HEAD.to_bytes(PLACE));
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            match Header::read(&damaged) {
                Ok(found) => assert_eq!(found, None, "bit {bit}"),
                Err(error) => assert!(matches!(error.kind(), crate::ErrorKind::Version(_)), "bit {bit}"),
            }
        }
        for bit in 0..HEAD_LEN * 8 {
            let mut damaged = head;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::read(&damaged, PLACE), None, "bit {bit}");
        }
        assert!((0..HEADER_LEN).all(|len| Header::read(&header[..len]).unwrap().is_none()));
        assert!((0..HEAD_LEN).all(|len| Head::read(&head[..len], PLACE).is_none()));
    }

    #[test]
    fn what_another_version_wrote_is_refused_and_not_taken_for_damage_of_ours() {
        let mended = |at: usize, byte: u8| {
            let mut bytes = Header { segment: 2, first: 258 }.to_bytes();
            bytes[at] = byte;
            let crc = crc32fast::hash(&bytes[..HEADER_CRC]);
            bytes[HEADER_CRC..].copy_from_slice(&crc.to_be_bytes());
            Header::read(&bytes).map_err(|error| error.to_string())
        };
        assert_eq!(mended(4, 2).unwrap_err(), "unknown version 2 at byte 4");
        assert_eq!(mended(8, 8).unwrap_err(), "needs feature 3, which this version does not have, at byte 5");
        assert_eq!(mended(12, 8).unwrap(), Some(Header { segment: 2, first: 258 }), "may be ignored");
        assert!(mended(FIRST, 0x80).unwrap_err().ends_with("at byte 21"));
    }
}
