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

/// The sum of all values, and whether one of them is zero; `None` when the sum passes 64 bits.
pub(in super::super) fn sum(words: &[[u8; 8]]) -> Option<(u64, bool)> {
    let (mut sum, mut has_zero) = (0u64, false);
    let mut add = |(of_some, zero)| {
        has_zero |= zero;
        sum = sum.checked_add(of_some)?;
        Some(())
    };
    let (few, rest) = words.as_chunks::<FEW>();
    for few in few {
        match have_one_selector(few) {
            true => add(sum_few(few))?,
            false => few.chunk_by(is_same).try_for_each(|same| add(sum_few(same)))?,
        }
    }
    rest.chunk_by(is_same).try_for_each(|same| add(sum_few(same)))?;
    Some((sum, has_zero))
}

/// As many words as can be added up without a look at the size of their sum. Neighbours mostly have the same form.
const FEW: usize = 8;
const _: () = assert!((MAX as u128 + 240) * FEW as u128 <= u64::MAX as u128, "the sum of few words fits");

#[inline(always)]
fn have_one_selector(words: &[[u8; 8]; FEW]) -> bool {
    let (all, any) = words.iter().fold((u8::MAX, 0), |(all, any), [head, ..]| (all & head, any | head));
    all >> 4 == any >> 4
}

fn is_same([a, ..]: &[u8; 8], [b, ..]: &[u8; 8]) -> bool {
    a >> 4 == b >> 4
}

/// The sum of the values of at most [`FEW`] words that have the same selector.
fn sum_few(words: &[[u8; 8]]) -> (u64, bool) {
    let ones = |count| (count * words.len() as u64, false);
    match words.first().map_or(0, |[head, ..]| head >> 4) {
        0 => ones(240),
        1 => ones(120),
        2 => sum_words::<60, 1>(words),
        3 => sum_words::<30, 2>(words),
        4 => sum_words::<20, 3>(words),
        5 => sum_words::<15, 4>(words),
        6 => sum_words::<12, 5>(words),
        7 => sum_words::<10, 6>(words),
        8 => sum_words::<8, 7>(words),
        9 => sum_words::<7, 8>(words),
        10 => sum_words::<6, 10>(words),
        11 => sum_words::<5, 12>(words),
        12 => sum_words::<4, 15>(words),
        13 => sum_words::<3, 20>(words),
        14 => sum_words::<2, 30>(words),
        _ => sum_words::<1, 60>(words),
    }
}

#[inline(always)]
fn sum_words<const N: usize, const BITS: usize>(words: &[[u8; 8]]) -> (u64, bool) {
    const { assert!(N * BITS <= 60, "the selector has the other four bits") };
    // Only zero less one has the highest bit.
    let (sum, less_one) = words.iter().fold((0, 0), |(mut sum, mut less_one), word| {
        let word = u64::from_be_bytes(*word);
        for index in 0..N {
            let value = word >> (index * BITS) & ((1 << BITS) - 1);
            sum += value;
            less_one |= value.wrapping_sub(1);
        }
        (sum, less_one)
    });
    (sum, less_one >> 63 == 1)
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
