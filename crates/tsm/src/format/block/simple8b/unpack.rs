//! Words into values.

use super::{COUNTS, MAX, WIDTHS};

/// Fills `out` with what `each` makes of the values, in order. It has as many places as `words` have values, as
/// [`count`](super::count) says; what is too much on either side is left.
pub(in super::super) fn decode<T>(words: &[[u8; 8]], mut out: &mut [T], mut each: impl FnMut(u64) -> T) {
    for word in words {
        let word = u64::from_be_bytes(*word);
        let rest = match word >> 60 {
            0 => ones::<240, T>(out, &mut each),
            1 => ones::<120, T>(out, &mut each),
            2 => unpack::<60, 1, T>(word, out, &mut each),
            3 => unpack::<30, 2, T>(word, out, &mut each),
            4 => unpack::<20, 3, T>(word, out, &mut each),
            5 => unpack::<15, 4, T>(word, out, &mut each),
            6 => unpack::<12, 5, T>(word, out, &mut each),
            7 => unpack::<10, 6, T>(word, out, &mut each),
            8 => unpack::<8, 7, T>(word, out, &mut each),
            9 => unpack::<7, 8, T>(word, out, &mut each),
            10 => unpack::<6, 10, T>(word, out, &mut each),
            11 => unpack::<5, 12, T>(word, out, &mut each),
            12 => unpack::<4, 15, T>(word, out, &mut each),
            13 => unpack::<3, 20, T>(word, out, &mut each),
            14 => unpack::<2, 30, T>(word, out, &mut each),
            _ => unpack::<1, 60, T>(word, out, &mut each),
        };
        let Some(rest) = rest else { return };
        out = rest;
    }
}

/// One word of `N` values of `BITS` bits; both constant, so that the loop is unrolled. What remains of `out`.
#[inline(always)]
fn unpack<'a, const N: usize, const BITS: usize, T>(
    word: u64,
    out: &'a mut [T],
    each: &mut impl FnMut(u64) -> T,
) -> Option<&'a mut [T]> {
    const { assert!(N * BITS <= 60, "the selector has the other four bits") };
    let (slots, rest) = out.split_first_chunk_mut::<N>()?;
    for (index, slot) in slots.iter_mut().enumerate() {
        *slot = each(word >> (index * BITS) & ((1 << BITS) - 1));
    }
    Some(rest)
}

#[inline(always)]
fn ones<'a, const N: usize, T>(out: &'a mut [T], each: &mut impl FnMut(u64) -> T) -> Option<&'a mut [T]> {
    let (slots, rest) = out.split_first_chunk_mut::<N>()?;
    slots.iter_mut().for_each(|slot| *slot = each(1));
    Some(rest)
}

/// Hands on all values in order.
pub(in super::super) fn for_each(words: &[[u8; 8]], mut each: impl FnMut(u64)) {
    for word in words {
        let word = u64::from_be_bytes(*word);
        let (count, width) = form(word);
        let mut left = word & MAX;
        match width {
            0 => (0..count).for_each(|_| each(1)),
            _ => (0..count).for_each(|_| {
                each(left & ((1 << width) - 1));
                left >>= width;
            }),
        }
    }
}

/// A number that the sum of all values does not pass, found without unpacking them.
pub(in super::super) fn reach(words: &[[u8; 8]]) -> u128 {
    let most = |word: &[u8; 8]| {
        let word = u64::from_be_bytes(*word);
        match form(word) {
            (1, _) => u128::from(word & MAX),
            (count, 0) => u128::from(count),
            (count, width) => u128::from(count) * ((1 << width) - 1),
        }
    };
    words.iter().map(most).sum()
}

/// The number of values of a word and the width of each.
fn form(word: u64) -> (u8, u8) {
    let selector = usize::try_from(word >> 60).unwrap_or(usize::MAX);
    (COUNTS.get(selector).copied().unwrap_or(0), WIDTHS.get(selector).copied().unwrap_or(0))
}
