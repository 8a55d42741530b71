//! Small unsigned numbers packed into 64-bit words.
//!
//! Invariant: every word holds exactly as many values as its selector says; there is no padding value.
//!
//! ```text
//! word       | selector 4 bits | values 60 bits, the first in the lowest |     big-endian
//!
//! selector     0   1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
//! values     240 120 60 30 20 15 12 10  8  7  6  5  4  3  2  1
//! bits each    0   0  1  2  3  4  5  6  7  8 10 12 15 20 30 60
//! ```
//!
//! Selectors 0 and 1 stand for runs of ones, not zeros; their 60 bits are written as zeros and not read.

mod pack;
mod unpack;

#[cfg(test)]
mod tests;

pub(super) use self::pack::{Runs, encode};
pub(super) use self::unpack::{decode, for_each, reach, sum};

/// The largest value that a word can hold.
pub(super) const MAX: u64 = (1 << 60) - 1;

const COUNTS: [u8; 16] = [240, 120, 60, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1];
const WIDTHS: [u8; 16] = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60];

/// The words from the front that hold at least `wanted` values, and how many they hold; fewer when all hold fewer.
pub(super) fn prefix(words: &[[u8; 8]], wanted: usize) -> (&[[u8; 8]], usize) {
    let mut held = 0;
    let enough = words.iter().position(|word| {
        let enough = held >= wanted;
        held += if enough { 0 } else { count(std::slice::from_ref(word)) };
        enough
    });
    (enough.and_then(|enough| words.get(..enough)).unwrap_or(words), held)
}

/// How many values `words` hold: at most 240 for each.
pub(super) fn count(words: &[[u8; 8]]) -> usize {
    words.iter().map(|[head, ..]| COUNTS.get(usize::from(head >> 4)).copied().map_or(0, usize::from)).sum()
}
