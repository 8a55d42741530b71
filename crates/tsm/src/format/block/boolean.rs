//! Booleans: one bit each.
//!
//! ```text
//! | 10 | uvarint n | bytes ceil(n / 8), value i in bit 7 - i mod 8 of byte i / 8 |
//! ```

use std::ops::Range;

use super::{GIVEN, given};
use crate::error::Result;
use crate::format::column::Bits;
use crate::format::read::{Cursor, put_uvarint};

/// Takes the byte that names the encoding.
pub(super) fn open(bytes: &mut Cursor<'_>) -> Result<()> {
    given(bytes, "unknown encoding of booleans")
}

/// The bits of a list of `count`.
pub(super) fn bits<'a>(mut bytes: Cursor<'a>, count: usize) -> Result<&'a [u8]> {
    let start = bytes.clone();
    open(&mut bytes)?;
    if bytes.uvarint("number of booleans")? != count as u64 {
        return Err(start.corrupt("as many booleans as times were expected"));
    }
    if bytes.rest().len() != count.div_ceil(8) {
        return Err(bytes.corrupt("the bits of the booleans do not fit their number"));
    }
    Ok(bytes.rest())
}

/// Becomes the values at `wanted` of a list of `count`.
pub(super) fn decode(bytes: Cursor<'_>, count: usize, wanted: Range<usize>, out: &mut Bits) -> Result<()> {
    out.assign_msb_first(bits(bytes, count)?, wanted);
    Ok(())
}

/// Appends the values `range`.
pub(super) fn encode(values: &Bits, range: Range<usize>, out: &mut Vec<u8>) {
    out.push(GIVEN);
    put_uvarint(out, range.len() as u64);
    values.put_msb_first(range, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    fn refusal(bytes: &[u8], count: usize) -> String {
        decode(Cursor::new(bytes, Offset::new(7)), count, 0..count, &mut Bits::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_part_of_a_list_reads_back() {
        let values: Vec<bool> = (0..40u32).map(|index| index.wrapping_mul(0x9e37_79b9) >> 31 == 1).collect();
        let list: Bits = values.iter().copied().collect();
        for start in 0..values.len() {
            for end in start..=values.len() {
                let mut bytes = Vec::new();
                encode(&list, start..end, &mut bytes);
                let mut back: Bits = [true; 3].into_iter().collect();
                decode(Cursor::new(&bytes, Offset::START), end - start, 0..end - start, &mut back).unwrap();
                assert_eq!(back, values[start..end].iter().copied().collect());
            }
        }
    }

    #[test]
    fn the_first_value_is_the_highest_bit_and_unused_bits_are_zero() {
        let list: Bits = [true, false, true, true, true, true, true, true, true].into_iter().collect();
        let mut bytes = Vec::new();
        encode(&list, 0..9, &mut bytes);
        assert_eq!(bytes, [0x10, 9, 0xbf, 0x80]);
        bytes.clear();
        encode(&list, 1..4, &mut bytes);
        assert_eq!(bytes, [0x10, 3, 0x60]);
    }

    #[test]
    fn unused_bits_that_are_set_do_not_reach_the_column() {
        let mut list = Bits::default();
        decode(Cursor::new(&[0x10, 3, 0xff], Offset::START), 3, 0..3, &mut list).unwrap();
        assert_eq!(list.as_bytes(), [7]);
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(refusal(&[], 1), "damaged: a block without values at byte 7");
        assert_eq!(refusal(&[0, 1, 0x80], 1), "damaged: unknown encoding of booleans at byte 7");
        assert_eq!(
            refusal(&[0x10, 2, 0x80], 1),
            "damaged: as many booleans as times were expected at byte 7"
        );
        assert_eq!(
            refusal(&[0x10, 9, 0x80], 9),
            "damaged: the bits of the booleans do not fit their number at byte 9"
        );
        assert_eq!(
            refusal(&[0x10, 1, 0, 0], 1),
            "damaged: the bits of the booleans do not fit their number at byte 9"
        );
    }
}
