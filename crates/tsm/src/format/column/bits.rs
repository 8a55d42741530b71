//! A list of bits, as an Arrow boolean array has it.

use std::ops::Range;

/// A list of bits, eight to a byte, the first in the lowest bit. Bits behind the end are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// Appends a bit.
    pub fn push(&mut self, bit: bool) {
        let mask = 1u8 << (self.len % 8);
        match self.bytes.last_mut() {
            Some(last) if !self.len.is_multiple_of(8) => *last |= if bit { mask } else { 0 },
            _ => self.bytes.push(u8::from(bit)),
        }
        self.len += 1;
    }

    /// The bit at `index`; `None` behind the end.
    pub fn get(&self, index: usize) -> Option<bool> {
        if index >= self.len {
            return None;
        }
        self.bytes.get(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that hold the bits, as an Arrow boolean array has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).filter_map(|index| self.get(index))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    /// Becomes the bits `range` of `bytes`, which hold eight each and the first in the highest bit, as a block has them.
    /// What lies behind the end of the bytes is left out.
    pub(crate) fn assign_msb_first(&mut self, bytes: &[u8], range: Range<usize>) {
        self.bytes.clear();
        self.len = put_eights(bytes, range, u8::reverse_bits, &mut self.bytes);
    }

    /// Appends the bits `range` to `out`, eight to a byte and the first in the highest bit; the last byte is filled with
    /// zeros. What lies behind the end of the list is left out.
    pub(crate) fn put_msb_first(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let start = out.len();
        put_eights(&self.bytes, range.start..range.end.min(self.len), |byte| byte, out);
        out.iter_mut().skip(start).for_each(|byte| *byte = byte.reverse_bits());
    }

    /// Appends the bits `range` of another list.
    pub(super) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        assert!(range.end <= other.len, "bits inside the list");
        let to_full_byte = self.len.wrapping_neg() % 8;
        let middle = range.end.min(range.start + to_full_byte);
        (range.start..middle).filter_map(|index| other.get(index)).for_each(|bit| self.push(bit));
        self.len += put_eights(&other.bytes, middle..range.end, |byte| byte, &mut self.bytes);
    }
}

/// Appends the bits `range` of `bytes`, eight to a byte and the first in the lowest bit; the last byte is filled with
/// zeros. What lies behind the end of the bytes is left out. `turn` turns a byte of them so that its first bit is the
/// lowest. Gives the number of bits.
fn put_eights(bytes: &[u8], range: Range<usize>, turn: impl Fn(u8) -> u8, out: &mut Vec<u8>) -> usize {
    let end = range.end.min(bytes.len() * 8);
    let count = end.saturating_sub(range.start);
    let source = bytes.get(range.start / 8..end.div_ceil(8)).unwrap_or_default();
    match range.start % 8 {
        _ if count == 0 => return 0,
        0 => out.extend(source.iter().map(|byte| turn(*byte))),
        shift => {
            let next = source.iter().skip(1).chain([&0]);
            let both =
                source.iter().zip(next).map(|(low, high)| u16::from_le_bytes([turn(*low), turn(*high)]));
            out.extend(both.map(|both| (both >> shift).to_le_bytes()[0]).take(count.div_ceil(8)));
        }
    }
    if let (Some(last), filled @ 1..) = (out.last_mut(), count % 8) {
        *last &= (1 << filled) - 1;
    }
    count
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(iter: I) -> Self {
        let mut bits = Self::default();
        iter.into_iter().for_each(|bit| bits.push(bit));
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(len: usize) -> Vec<bool> {
        (0..len as u64).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1).collect()
    }

    #[test]
    fn any_stretch_of_bits_is_appended_at_any_place() {
        let all = bits(40);
        let list: Bits = all.iter().copied().collect();
        for before in 0..18 {
            for start in 0..all.len() {
                for end in start..=all.len() {
                    let mut longer: Bits = all.iter().copied().take(before).collect();
                    longer.extend_from(&list, start..end);
                    let expected: Bits = all[..before].iter().chain(&all[start..end]).copied().collect();
                    assert_eq!(longer, expected, "{before} and {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn any_stretch_of_the_bits_of_a_block_is_taken() {
        let bytes = [0x5c, 0x31, 0xf7];
        let all: Vec<bool> = (0..24).map(|index| bytes[index / 8] << (index % 8) & 0x80 != 0).collect();
        let mut list: Bits = [true; 50].into_iter().collect();
        for start in 0..=24 {
            for end in start..=24 {
                list.assign_msb_first(&bytes, start..end);
                assert_eq!(list, all[start..end].iter().copied().collect());
            }
        }
        list.assign_msb_first(&bytes, 20..90);
        assert_eq!(list.len(), 4);
    }

    #[test]
    #[should_panic(expected = "inside the list")]
    fn a_stretch_behind_the_end_is_the_callers_fault() {
        let list: Bits = [true; 3].into_iter().collect();
        Bits::default().extend_from(&list, 1..4);
    }
}
