//! Strings: lengths and bytes, compressed together.
//!
//! Invariant: nothing is decompressed whose stated size the compressed bytes could not give.
//!
//! ```text
//! | 10 | one raw snappy block of: | uvarint length | bytes | for each string |
//! ```

use std::cell::RefCell;
use std::ops::Range;

use super::{GIVEN, given};
use crate::error::{Error, Result};
use crate::format::column::Strings;
use crate::format::read::{Cursor, put_uvarint};

/// The densest snappy element is a copy: three bytes stand for 64.
const EXPANSION: (usize, usize) = (64, 3);

/// What influxd refuses to write: all strings and their lengths together stay below this.
const PLAIN_MAX: usize = u32::MAX as usize;

/// Strings up to this length are copied as if all were of this length: such a copy takes neither a call nor a branch.
const STRIDE: usize = 64;

/// Takes the byte that names the encoding.
pub(super) fn open(bytes: &mut Cursor<'_>) -> Result<()> {
    given(bytes, "unknown encoding of strings")
}

/// Becomes the strings at `wanted` of a list of `count`. What lies behind them is decompressed, but not looked at.
pub(super) fn decode(
    mut bytes: Cursor<'_>,
    count: usize,
    wanted: Range<usize>,
    out: &mut Strings,
) -> Result<()> {
    let (ends, buffer) = out.parts_mut();
    decompress(&mut bytes, count, buffer)?;
    ends.resize(wanted.len(), 0);
    let whole = wanted.end == count;
    let (read, written) = split(ends, buffer, wanted.start).ok_or_else(|| passes_the_end(&bytes))?;
    if whole && read != buffer.len() {
        return Err(bytes.corrupt(OTHER_NUMBER));
    }
    buffer.truncate(written);
    Ok(())
}

/// That [`decode`] would become all strings of a list of `count`; `buffer` takes what is decompressed for that.
pub(super) fn validate(mut bytes: Cursor<'_>, count: usize, buffer: &mut Vec<u8>) -> Result<()> {
    decompress(&mut bytes, count, buffer)?;
    let mut read = 0;
    for _ in 0..count {
        read = next(buffer, read).ok_or_else(|| passes_the_end(&bytes))?.end;
    }
    if read == buffer.len() { Ok(()) } else { Err(bytes.corrupt(OTHER_NUMBER)) }
}

const OTHER_NUMBER: &str = "as many strings as times were expected";

fn passes_the_end(bytes: &Cursor<'_>) -> Error {
    bytes.corrupt("a string passes the end of its block")
}

/// Becomes lengths and strings of a list of `count`; `bytes` stands at the snappy block then.
fn decompress(bytes: &mut Cursor<'_>, count: usize, buffer: &mut Vec<u8>) -> Result<()> {
    let start = bytes.clone();
    open(bytes)?;
    let packed = bytes.rest();
    let plain = snap::raw::decompress_len(packed).map_err(|_| bytes.corrupt("size of the snappy block"))?;
    if plain / EXPANSION.0 > packed.len() / EXPANSION.1 {
        return Err(bytes.corrupt("a snappy block larger than its bytes can give"));
    }
    if plain < count {
        return Err(start.corrupt(OTHER_NUMBER));
    }
    // What is there already is not cleared first: all of it is overwritten.
    buffer.resize(plain, 0);
    snap::raw::Decoder::new().decompress(packed, buffer).map_err(|_| bytes.corrupt("snappy block"))?;
    Ok(())
}

/// Takes the lengths out of `buffer`, and the first `skipped` strings, so that the others stand one behind the other: each
/// moves forward over bytes that have been read already. As many as there are `ends`. Gives how many bytes were read and
/// how many of them are left, or `None` when a string passes the end.
fn split(ends: &mut [u32], buffer: &mut [u8], skipped: usize) -> Option<(usize, usize)> {
    let mut read = 0;
    for _ in 0..skipped {
        read = next(buffer, read)?.end;
    }
    let mut written = 0;
    for slot in ends {
        let string = next(buffer, read)?;
        read = string.end;
        let len = string.len();
        shift(buffer, string, written);
        written += len;
        // The size of a snappy block is stated in 32 bits, so none of its strings ends behind.
        *slot = u32::try_from(written).ok()?;
    }
    Some((read, written))
}

/// Where the string lies whose length stands at `at`; `None` when it passes the end.
#[inline]
fn next(buffer: &[u8], at: usize) -> Option<Range<usize>> {
    let (start, len) = match buffer.get(at)? {
        len @ 0..=0x7f => (at + 1, usize::from(*len)),
        _ => long_length(buffer, at)?,
    };
    let end = start.checked_add(len)?;
    (end <= buffer.len()).then_some(start..end)
}

/// A length of more than one byte, and where its string begins.
fn long_length(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(buffer.get(at..)?, crate::Offset::START);
    let len = cursor.uvarint("length").ok()?;
    Some((buffer.len() - cursor.rest().len(), usize::try_from(len).ok()?))
}

/// Moves bytes forward to `to`. Bytes between their new end and their old end are left undefined.
#[inline]
fn shift(buffer: &mut [u8], from: Range<usize>, to: usize) {
    // What a stride writes too much lies before the string that it was read from.
    if from.len() <= STRIDE
        && let Some((front, rest)) = buffer.split_at_mut_checked(from.start)
        && let Some(place) = front.get_mut(to..).and_then(|place| place.first_chunk_mut::<STRIDE>())
        && let Some(stride) = rest.first_chunk::<STRIDE>()
    {
        *place = *stride;
        return;
    }
    shift_exactly(buffer, from, to);
}

/// Apart from strides: together the two would become one copy of variable length.
#[inline(never)]
fn shift_exactly(buffer: &mut [u8], from: Range<usize>, to: usize) {
    buffer.copy_within(from, to);
}

/// What encoding needs besides its result, kept for the next block of the thread: snappy's table and both forms of a block,
/// which would be cleared anew each time.
struct Scratch {
    encoder: snap::raw::Encoder,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

/// Buffers above this are given back after the block that needed them.
const KEPT_MAX: usize = 1 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { encoder: snap::raw::Encoder::new(), plain: Vec::new(), packed: Vec::new() });
}

/// Appends the strings `range`, or nothing when they are too large together.
///
/// # Errors
/// `Unfit` when strings and lengths reach 4 GiB.
pub(super) fn encode(values: &Strings, range: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        let outcome = scratch.encode(values, range, out);
        for buffer in [&mut scratch.plain, &mut scratch.packed] {
            if buffer.len() > KEPT_MAX {
                *buffer = Vec::new();
            }
        }
        outcome
    })
}

impl Scratch {
    fn encode(&mut self, values: &Strings, range: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        let refused = || Error::unfit("the strings of a block reach 4 GiB");
        let len = join(values, range, &mut self.plain);
        let most = snap::raw::max_compress_len(len);
        let plain =
            self.plain.get(..len).filter(|plain| plain.len() < PLAIN_MAX && most > 0).ok_or_else(refused)?;
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        let len = self.encoder.compress(plain, &mut self.packed).map_err(|_| refused())?;
        out.push(GIVEN);
        out.extend_from_slice(self.packed.get(..len).unwrap_or_default());
        Ok(())
    }
}

/// The most bytes that the length of a string takes.
const LENGTH_MAX: usize = 5;

/// Writes lengths and strings to the front of `plain`, and says how many bytes that are.
fn join(values: &Strings, range: Range<usize>, plain: &mut Vec<u8>) -> usize {
    let ends = values.ends().get(range.clone()).unwrap_or_default();
    let before = range.start.checked_sub(1).and_then(|before| values.ends().get(before));
    let mut start = before.map_or(0, |end| *end as usize);
    let all = ends.last().map_or(0, |end| *end as usize) - start;
    let most = all + ends.len() * LENGTH_MAX + STRIDE;
    if plain.len() < most {
        plain.resize(most, 0);
    }
    let bytes = values.as_bytes();
    let mut written = 0;
    // By its index: taking each string off the front of what remains took half as long again for short strings.
    for end in ends {
        let end = *end as usize;
        let len = end - start;
        let stride = bytes.get(start..).and_then(|bytes| bytes.first_chunk::<STRIDE>());
        let place = plain.get_mut(written..).and_then(|place| place.first_chunk_mut::<{ 1 + STRIDE }>());
        written += match (u8::try_from(len), stride, place) {
            (Ok(short), Some(stride), Some([length, place @ ..])) if len <= STRIDE => {
                *length = short;
                *place = *stride;
                1 + len
            }
            _ => put_exactly(plain, written, bytes.get(start..end).unwrap_or_default()),
        };
        start = end;
    }
    written
}

/// Writes the length of a string and no byte more than the string at `at`, and says how many bytes that are. Apart from
/// strides: together the two would become one copy of variable length.
#[inline(never)]
fn put_exactly(plain: &mut [u8], at: usize, string: &[u8]) -> usize {
    let mut length = Vec::with_capacity(LENGTH_MAX);
    put_uvarint(&mut length, string.len() as u64);
    let len = length.len() + string.len();
    if let Some((first, rest)) =
        plain.get_mut(at..at + len).and_then(|place| place.split_at_mut_checked(length.len()))
    {
        first.copy_from_slice(&length);
        rest.copy_from_slice(string);
    }
    len
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
        decode(Cursor::new(&bytes, Offset::START), strings.len(), 0..strings.len(), &mut back).unwrap();
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
        decode(Cursor::new(bytes, Offset::new(7)), count, 0..count, &mut Strings::default())
            .unwrap_err()
            .to_string()
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
    fn strings_of_any_length_are_joined_as_the_format_says() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(20_000).collect();
        for len in (0..200).chain([255, 256, 16_383, 16_384]) {
            // Whether a stride has room decides how a string is copied: at the end it has none.
            for others in [0, 1, STRIDE - 1, STRIDE, STRIDE + 1] {
                let strings = [bytes.get(7..7 + len).unwrap(), bytes.get(..others).unwrap()];
                let mut joined = Vec::new();
                for string in strings {
                    put_uvarint(&mut joined, string.len() as u64);
                    joined.extend_from_slice(string);
                }
                assert_eq!(written(&strings), packed(&joined), "{len} and {others} bytes");
            }
        }
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
        let error = decode(Cursor::new(&bytes, Offset::START), 1, 0..1, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "damaged: a snappy block larger than its bytes can give at byte 1");
        assert_eq!(out.parts_mut().1.capacity(), 0);
        written(&[&[b'x'; 10_000]]);
    }
}
