//! Strings: lengths and bytes, compressed together.
//!
//! Invariant: nothing is decompressed whose stated size the compressed bytes could not give.
//!
//! ```text
//! | 10 | one raw snappy block of: | uvarint length | bytes | for each string |
//! ```

use std::ops::Range;

use super::GIVEN;
use crate::error::{Error, Result};
use crate::format::column::Strings;
use crate::format::read::{Cursor, put_uvarint};

/// The densest snappy element is a copy: three bytes stand for 64.
const EXPANSION: (usize, usize) = (64, 3);

/// What influxd refuses to write: all strings and their lengths together stay below this.
const PLAIN_MAX: usize = u32::MAX as usize;

/// Becomes `count` strings.
pub(super) fn decode(mut bytes: Cursor<'_>, count: usize, out: &mut Strings) -> Result<()> {
    let start = bytes.clone();
    if bytes.u8("a block without values")? != GIVEN {
        return Err(start.corrupt("unknown encoding of strings"));
    }
    let packed = bytes.rest();
    let plain = snap::raw::decompress_len(packed).map_err(|_| bytes.corrupt("size of the snappy block"))?;
    if plain / EXPANSION.0 > packed.len() / EXPANSION.1 {
        return Err(bytes.corrupt("a snappy block larger than its bytes can give"));
    }
    if plain < count {
        return Err(start.corrupt("as many strings as times were expected"));
    }
    let (ends, buffer) = out.parts_mut();
    ends.clear();
    buffer.clear();
    buffer.resize(plain, 0);
    snap::raw::Decoder::new().decompress(packed, buffer).map_err(|_| bytes.corrupt("snappy block"))?;
    ends.reserve(count);
    split(ends, buffer, count, &bytes)
}

/// Takes the lengths out of `buffer`, so that strings stand one behind the other: each moves forward over bytes that have
/// been read already.
fn split(ends: &mut Vec<u32>, buffer: &mut Vec<u8>, count: usize, at: &Cursor<'_>) -> Result<()> {
    let mut read = 0;
    let mut written = 0;
    for _ in 0..count {
        let Some((start, end)) = next(buffer, read) else {
            return Err(at.corrupt("a string passes the end of its block"));
        };
        buffer.copy_within(start..end, written);
        written += end - start;
        read = end;
        // Below the size of the snappy block, which is stated in 32 bits.
        ends.push(u32::try_from(written).map_err(|_| at.corrupt("size of the snappy block"))?);
    }
    if read != buffer.len() {
        return Err(at.corrupt("as many strings as times were expected"));
    }
    buffer.truncate(written);
    Ok(())
}

/// Where the string lies whose length stands at `at`; `None` when it passes the end.
fn next(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = buffer.get(at..)?;
    let (prefix, len) = match rest {
        [len @ 0..=0x7f, ..] => (1, usize::from(*len)),
        _ => {
            let mut cursor = Cursor::new(rest, crate::Offset::START);
            let len = cursor.uvarint("length").ok()?;
            (rest.len() - cursor.rest().len(), usize::try_from(len).ok()?)
        }
    };
    let start = at + prefix;
    let end = start.checked_add(len)?;
    (end <= buffer.len()).then_some((start, end))
}

/// Appends the strings `range`, or nothing when they are too large together.
///
/// # Errors
/// `Unfit` when strings and lengths reach 4 GiB.
pub(super) fn encode(values: &Strings, range: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    let refused = || Error::unfit("the strings of a block reach 4 GiB");
    let start = out.len();
    out.push(GIVEN);
    let plain_start = out.len();
    // Uncompressed first, at the place where the compressed bytes will be: the buffer serves twice.
    for index in range {
        let string = values.get(index).unwrap_or_default();
        put_uvarint(out, string.len() as u64);
        out.extend_from_slice(string);
    }
    let plain_end = out.len();
    let most = snap::raw::max_compress_len(plain_end - plain_start);
    if plain_end - plain_start >= PLAIN_MAX || most == 0 {
        out.truncate(start);
        return Err(refused());
    }
    out.resize(plain_end + most, 0);
    let outcome = match out
        .get_mut(plain_start..)
        .and_then(|tail| tail.split_at_mut_checked(plain_end - plain_start))
    {
        Some((plain, packed)) => snap::raw::Encoder::new().compress(plain, packed).map_err(|_| refused()),
        None => Err(refused()),
    };
    match outcome {
        Ok(len) => {
            out.copy_within(plain_end..plain_end + len, plain_start);
            out.truncate(plain_start + len);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    fn written(strings: &[&[u8]]) -> Vec<u8> {
        let list: Strings = strings.iter().collect();
        let mut bytes = vec![0xee];
        encode(&list, 0..strings.len(), &mut bytes).unwrap();
        assert_eq!(bytes.remove(0), 0xee);
        let mut back: Strings = [b"old"].iter().collect();
        decode(Cursor::new(&bytes, Offset::START), strings.len(), &mut back).unwrap();
        assert_eq!(back, list);
        bytes
    }

    /// The block of these uncompressed bytes, whatever they are.
    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut bytes = vec![GIVEN];
        bytes.extend(snap::raw::Encoder::new().compress_vec(plain).unwrap());
        bytes
    }

    fn refusal(bytes: &[u8], count: usize) -> String {
        decode(Cursor::new(bytes, Offset::new(7)), count, &mut Strings::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_format_comes_out_byte_for_byte() {
        assert_eq!(
            written(&[b"hi \"x\"", b"yo"]),
            [0x10, 0x0a, 0x24, 6, 0x68, 0x69, 0x20, 0x22, 0x78, 0x22, 2, 0x79, 0x6f]
        );
    }

    #[test]
    fn empty_and_long_strings_read_back() {
        let long: Vec<u8> =
            (0..65_536u32).map(|index| (index.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        written(&[b""]);
        written(&[b"", b"", b""]);
        written(&[b"", &long, b"", &[0xff; 127], &[0xff; 128], &long]);
        written(&[&vec![b'a'; 1 << 20]]);
    }

    #[test]
    fn a_part_of_a_list_is_written_alone() {
        let list: Strings = ["a", "bc", "", "def"].iter().collect();
        let mut bytes = Vec::new();
        encode(&list, 1..3, &mut bytes).unwrap();
        assert_eq!(bytes, packed(b"\x02bc\x00"));
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(refusal(&[], 1), "damaged: a block without values at byte 7");
        assert_eq!(refusal(&[0], 1), "damaged: unknown encoding of strings at byte 7");
        assert_eq!(refusal(&[0x10, 0xff], 1), "damaged: size of the snappy block at byte 8");
        assert_eq!(refusal(&[0x10, 0], 1), "damaged: as many strings as times were expected at byte 7");
        assert_eq!(refusal(&[0x10, 4, 0], 1), "damaged: snappy block at byte 8");
        assert_eq!(
            refusal(&packed(b"\x01a\x01b"), 1),
            "damaged: as many strings as times were expected at byte 8"
        );
        assert_eq!(
            refusal(&packed(b"\x01a\x01b"), 3),
            "damaged: a string passes the end of its block at byte 8"
        );
        assert_eq!(
            refusal(&packed(b"\x05abc"), 1),
            "damaged: a string passes the end of its block at byte 8"
        );
        assert_eq!(
            refusal(&packed(&[0xff; 12]), 1),
            "damaged: a string passes the end of its block at byte 8"
        );
    }

    #[test]
    fn a_size_that_the_bytes_cannot_give_is_refused_before_memory_is_taken() {
        let mut out = Strings::default();
        let bytes = [0x10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe, 1, 0];
        let error = decode(Cursor::new(&bytes, Offset::START), 1, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "damaged: a snappy block larger than its bytes can give at byte 1");
        assert_eq!(out.parts_mut().1.capacity(), 0);
        written(&[&[b'x'; 10_000]]);
    }
}
