//! The list of deletes beside a TSM file.
//!
//! ```text
//! v1         | keys, one a line, each deleted for all time |                      no magic
//! v2         | 00001502 | records |
//! v3, v4     | 00001503 or 00001504 | gzip members of records, back to back |
//! per record | key len 4 | key n | min time i64 | max time i64 |                  big-endian, range closed
//! ```
//!
//! influxd commits a file by a rename, so a cut one is damage here, also where influxd would stop quietly. Over a file of
//! less than four bytes influxd writes members without the magic, and takes them for lines when it reads them again;
//! here they are the deletes that they were meant to be.

mod write;

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

pub use self::write::{Member, carried};
use super::key;
use crate::error::{Error, Result};
use crate::units::{Offset, TimeRange};

const V2: [u8; 4] = [0, 0, 0x15, 0x02];
const V3: [u8; 4] = [0, 0, 0x15, 0x03];
const V4: [u8; 4] = [0, 0, 0x15, 0x04];
const MAGIC_LEN: usize = V4.len();
/// How a gzip member begins: its magic and the one method there is.
const MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// Calls `each` with every delete in the file, in order. Memory: one key, whatever the file claims.
///
/// # Errors
/// `Corrupt` with the place; inside a gzip member that is where the member begins. `each` may have seen the records
/// before it.
pub fn walk(file: &[u8], mut each: impl FnMut(&[u8], TimeRange)) -> Result<()> {
    match file.split_first_chunk::<MAGIC_LEN>() {
        Some((&V2, mut records)) => {
            let len = records.len();
            while !records.is_empty() {
                let at = Offset::START.forward(MAGIC_LEN + len - records.len());
                record(&mut records, at, &mut each)?;
            }
            Ok(())
        }
        Some((&(V3 | V4), members)) => walk_members(members, Offset::START.forward(MAGIC_LEN), &mut each),
        _ if file.starts_with(&MEMBER) => walk_members(file, Offset::START, &mut each),
        _ => walk_lines(file, &mut each),
    }
}

fn walk_lines(file: &[u8], each: &mut impl FnMut(&[u8], TimeRange)) -> Result<()> {
    let mut at = Offset::START;
    for line in file.split(|byte| *byte == b'\n') {
        let key = line.strip_suffix(b"\r").unwrap_or(line);
        if !key.is_empty() {
            if key.len() > key::LEN_MAX || key::split(key).is_none() {
                return Err(Error::corrupt("a line of a tombstone file is not a key", at));
            }
            each(key, TimeRange::ALL);
        }
        at = at.forward(line.len() + 1);
    }
    Ok(())
}

fn walk_members(members: &[u8], start: Offset, each: &mut impl FnMut(&[u8], TimeRange)) -> Result<()> {
    let mut rest = members;
    while !rest.is_empty() {
        let at = start.forward(members.len() - rest.len());
        let mut member = BufReader::new(GzDecoder::new(rest));
        while !member.fill_buf().map_err(|_| damaged_member(at))?.is_empty() {
            record(&mut member, at, each)?;
        }
        rest = member.into_inner().into_inner();
    }
    Ok(())
}

fn record(from: &mut impl Read, at: Offset, each: &mut impl FnMut(&[u8], TimeRange)) -> Result<()> {
    let key_len = u32::from_be_bytes(array(from, at)?);
    let key_len = usize::try_from(key_len)
        .ok()
        .filter(|len| *len <= key::LEN_MAX)
        .ok_or_else(|| Error::corrupt("a tombstone's key is longer than 65,535 bytes", at))?;
    let mut key = vec![0; key_len];
    from.read_exact(&mut key).map_err(|_| damaged_member(at))?;
    let min = i64::from_be_bytes(array(from, at)?);
    let max = i64::from_be_bytes(array(from, at)?);
    let range = TimeRange::new(min, max)
        .map_err(|_| Error::corrupt("a tombstone's range ends before it starts", at))?;
    each(&key, range);
    Ok(())
}

fn array<const N: usize>(from: &mut impl Read, at: Offset) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(|_| damaged_member(at))?;
    Ok(bytes)
}

fn damaged_member(at: Offset) -> Error {
    Error::corrupt("a tombstone record is cut off or its checksum is wrong", at)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    type Deletes = Vec<(Vec<u8>, TimeRange)>;

    fn read(file: &[u8]) -> Result<Deletes> {
        let mut deletes = Vec::new();
        walk(file, |key, range| deletes.push((key.to_vec(), range)))?;
        Ok(deletes)
    }

    fn records(deletes: &[(Vec<u8>, TimeRange)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, range) in deletes {
            out.extend_from_slice(&u32::try_from(key.len()).unwrap().to_be_bytes());
            out.extend_from_slice(key);
            out.extend_from_slice(&range.min().to_be_bytes());
            out.extend_from_slice(&range.max().to_be_bytes());
        }
        out
    }

    fn member(content: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    fn sample() -> Deletes {
        vec![
            (b"cpu,host=a#!~#user".to_vec(), TimeRange::new(-5, 9).unwrap()),
            (b"cpu,host=b#!~#user".to_vec(), TimeRange::ALL),
            (b"m#!~#f".to_vec(), TimeRange::new(7, 7).unwrap()),
        ]
    }

    #[test]
    fn all_four_versions_say_the_same() {
        let all: Deletes = sample().into_iter().map(|(key, _)| (key, TimeRange::ALL)).collect();
        assert_eq!(read(b"cpu,host=a#!~#user\n\ncpu,host=b#!~#user\r\nm#!~#f\n").unwrap(), all);
        let sample = sample();
        let content = records(&sample);
        assert_eq!(read(&[&V2[..], &content].concat()).unwrap(), sample);
        assert_eq!(read(&[&V3[..], &member(&content)].concat()).unwrap(), sample);
        let border = records(&sample[..1]).len();
        let two = [&V4[..], &member(&content[..border]), &member(&content[border..])].concat();
        assert_eq!(read(&two).unwrap(), sample);
    }

    #[test]
    fn members_without_the_magic_are_deletes_and_damaged_ones_are_damage() {
        let member = member(&records(&sample()));
        assert_eq!(read(&member).unwrap(), sample());
        for len in MEMBER.len()..member.len() {
            assert_eq!(read(&member[..len]).unwrap_err().offset(), Some(Offset::START), "cut at {len}");
        }
    }

    #[test]
    fn a_new_member_comes_behind_what_an_older_file_says() {
        let sample = sample();
        let content = records(&sample[..2]);
        let all: Deletes = sample[..2].iter().map(|(key, _)| (key.clone(), TimeRange::ALL)).collect();
        let v4 = [&V4[..], &member(&content)].concat();
        let others: [(Vec<u8>, &[_]); 6] = [
            (v4.clone(), &sample[..2]),
            (b"cpu,host=a#!~#user\ncpu,host=b#!~#user".to_vec(), &all),
            ([&V2[..], &content].concat(), &sample[..2]),
            ([&V3[..], &member(&content)].concat(), &sample[..2]),
            (member(&content), &sample[..2]),
            (Vec::new(), &[]),
        ];
        for (old, before) in others {
            let mut added = Member::new();
            added.push(&sample[2].0, sample[2].1).unwrap();
            let added = added.finish().unwrap();
            let file = [&carried(&old).unwrap()[..], &added].concat();
            assert_eq!(read(&file).unwrap(), [before, &sample[2..]].concat());
            assert!(file.starts_with(&V4) && file.ends_with(&added));
            // As Go writes it: no time, no level, no system.
            assert_eq!(added[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        }
        assert_eq!(carried(&v4).unwrap(), v4, "as it stands");
        assert!(carried(b"not a key").unwrap_err().is_damage());
    }

    #[test]
    fn a_key_that_no_file_can_have_is_not_recorded() {
        let mut member = Member::new();
        assert!(member.push(&vec![b'k'; key::LEN_MAX + 1], TimeRange::ALL).is_err());
        member.push(&vec![b'k'; key::LEN_MAX], TimeRange::ALL).unwrap();
        let file = [&V4[..], &member.finish().unwrap()].concat();
        assert_eq!(read(&file).unwrap(), [(vec![b'k'; key::LEN_MAX], TimeRange::ALL)]);
    }

    #[test]
    fn an_empty_file_deletes_nothing() {
        assert!(
            read(b"").unwrap().is_empty() && read(&V4).unwrap().is_empty() && read(&V2).unwrap().is_empty()
        );
    }

    #[test]
    fn a_cut_or_flipped_file_is_damage_with_the_place_of_its_member() {
        let content = records(&sample());
        let border = records(&sample()[..1]).len();
        let first = member(&content[..border]);
        let file = [&V4[..], &first, &member(&content[border..])].concat();
        for len in MAGIC_LEN + 1..file.len() {
            if len != MAGIC_LEN + first.len() {
                assert!(read(&file[..len]).is_err(), "cut at {len}");
            }
        }
        let mut damaged = file.clone();
        let last = damaged.len() - 1;
        damaged[last - 5] ^= 1; // in the checksum of the second member
        let at = Offset::START.forward(MAGIC_LEN + first.len());
        assert_eq!(read(&damaged).unwrap_err().offset(), Some(at));
    }

    #[test]
    fn absurd_lengths_are_refused_before_anything_is_allocated() {
        let file = [&V2[..], &u32::MAX.to_be_bytes(), b"key"].concat();
        let error = read(&file).unwrap_err().to_string();
        assert_eq!(error, "damaged: a tombstone's key is longer than 65,535 bytes at byte 4");
    }
}
