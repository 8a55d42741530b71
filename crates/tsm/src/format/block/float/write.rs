//! Floats into bits.

use super::{GIVEN, MARKER};
use crate::error::{Error, Result};

/// Appends the values as influxd writes them.
///
/// # Errors
/// `Unfit` for a NaN: the format has no place for it, and influxd refuses it in both of its encoders.
pub(in super::super) fn encode(values: &[f64], out: &mut Vec<u8>) -> Result<()> {
    // Without a way out in the middle, so that several values are tested at once.
    if values.iter().fold(false, |found, value| found | value.is_nan()) {
        return Err(Error::unfit("a TSM block cannot hold NaN"));
    }
    let Some((first, others)) = values.split_first() else { return Ok(()) };
    out.push(GIVEN);
    out.extend_from_slice(&first.to_bits().to_be_bytes());
    let mut bits = BitWriter { out, word: 0, free: 64 };
    let mut before = first.to_bits();
    // No value has as many leading zeros: the first difference always opens a window.
    let mut window = (u32::MAX, 0);
    for value in others.iter().map(|value| value.to_bits()).chain([MARKER]) {
        let difference = value ^ before;
        before = value;
        if difference == 0 {
            bits.put(0, 1);
            continue;
        }
        let leading = difference.leading_zeros() % 32;
        let trailing = difference.trailing_zeros();
        if leading >= window.0 && trailing >= window.1 {
            bits.put(0b10, 2);
        } else {
            window = (leading, trailing);
            let length = u64::from((64 - leading - trailing) % 64);
            bits.put(0b11 << 11 | u64::from(leading) << 6 | length, 13);
        }
        bits.put(difference >> window.1, 64 - window.0 - window.1);
    }
    bits.finish();
    Ok(())
}

/// Bits on their way into bytes.
///
/// Invariant: the upper `64 - free` bits of `word` wait to be written, the others are zero; `free` is 1 to 64.
pub(super) struct BitWriter<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) word: u64,
    pub(super) free: u32,
}

impl BitWriter<'_> {
    /// Appends the lowest `len` bits of `bits`, 1 to 64; the others are zero.
    pub(super) fn put(&mut self, bits: u64, len: u32) {
        if len < self.free {
            self.free -= len;
            self.word |= bits << self.free;
            return;
        }
        let behind = len - self.free;
        self.out.extend_from_slice(&(self.word | bits >> behind).to_be_bytes());
        self.free = 64 - behind;
        self.word = bits.checked_shl(self.free).unwrap_or(0);
    }

    pub(super) fn finish(self) {
        let used = (64 - self.free).div_ceil(8) as usize;
        self.out.extend(self.word.to_be_bytes().iter().take(used));
    }
}
