//! The list of deletes beside a TSM file.
//!
//! ```text
//! v1         | keys, one a line, each deleted for all time |                      no magic
//! v2         | 00001502 | records |
//! v3, v4     | 00001503 or 00001504 | gzip members of records, back to back |
//! per record | key len 4 | key n | min time i64 | max time i64 |                  big-endian, range closed
//! ```
//!
//! influxd commits a file by a rename, so a cut one is damage here, also where influxd would stop quietly.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::key;
use crate::error::{Error, Result};
use crate::units::{Offset, TimeRange};

const V2: [u8; 4] = [0, 0, 0x15, 0x02];
const V3: [u8; 4] = [0, 0, 0x15, 0x03];
const V4: [u8; 4] = [0, 0, 0x15, 0x04];
const MAGIC_LEN: usize = V4.len();

/// Calls `each` with every delete in the file, in order. Memory: one key, whatever the file claims.
///
/// # Errors
/// `Corrupt` with the place; inside a gzip member that is where the member begins. `each` may have seen the records
/// before it.
pub(crate) fn walk(file: &[u8], mut each: impl FnMut(&[u8], TimeRange)) -> Result<()> {
    match file.split_first_chunk::<MAGIC_LEN>() {
        Some((&V2, mut records)) => {
            let len = records.len();
            while !records.is_empty() {
                let at = Offset::START.forward(MAGIC_LEN + len - records.len());
                record(&mut records, at, &mut each)?;
            }
            Ok(())
        }
        Some((&(V3 | V4), members)) => walk_members(members, &mut each),
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

fn walk_members(mut rest: &[u8], each: &mut impl FnMut(&[u8], TimeRange)) -> Result<()> {
    let len = rest.len();
    while !rest.is_empty() {
        let at = Offset::START.forward(MAGIC_LEN + len - rest.len());
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
