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

/// The largest value that a word can hold.
pub(super) const MAX: u64 = (1 << 60) - 1;

const COUNTS: [u8; 16] = [240, 120, 60, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1];
const WIDTHS: [u8; 16] = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60];

/// The most values that one word can hold.
const LOOK_AHEAD: usize = 240;
/// The most values that one word can hold without being a run.
const MOST: usize = 60;

/// How many values `words` hold: at most 240 for each.
pub(super) fn count(words: &[[u8; 8]]) -> usize {
    words.iter().map(|[head, ..]| COUNTS.get(usize::from(head >> 4)).copied().map_or(0, usize::from)).sum()
}

/// Appends what `each` makes of each value, in order.
pub(super) fn decode<T>(words: &[[u8; 8]], out: &mut Vec<T>, mut each: impl FnMut(u64) -> T) {
    for word in words {
        let word = u64::from_be_bytes(*word);
        match word >> 60 {
            0 => out.extend((0..240).map(|_| each(1))),
            1 => out.extend((0..120).map(|_| each(1))),
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
            _ => out.push(each(word & MAX)),
        }
    }
}

/// One word of `N` values of `BITS` bits; both constant, so that the loop is unrolled.
#[inline(always)]
fn unpack<const N: u32, const BITS: u32, T>(word: u64, out: &mut Vec<T>, each: &mut impl FnMut(u64) -> T) {
    const { assert!(N * BITS <= 60, "the selector has the other four bits") };
    out.extend((0..N).map(|index| each(word >> (index * BITS) & ((1 << BITS) - 1))));
}

/// When a run of ones becomes a word of its own. influxd has one rule in each of its encoders; all three decode alike.
#[derive(Clone, Copy, Debug)]
pub(super) enum Runs {
    /// The values ahead begin with 240 ones, or with 120.
    Ahead,
    /// All values ahead are ones, looking 240 far: 240 of them, or at least 120 when the list ends there.
    Window,
    /// All values up to the end of the list are ones, and they are at least 240, or 120. The field is the number of ones
    /// at the end of the list.
    Tail(usize),
}

impl Runs {
    /// The selector of a run that begins `ahead`, when `remaining` values are left.
    fn selector(self, ahead: &[u64], remaining: usize) -> Option<u64> {
        let reach = remaining.min(LOOK_AHEAD);
        if reach < 120 || ahead.first() != Some(&1) {
            return None;
        }
        let ones = match self {
            Self::Tail(ones) if ones < remaining => return None,
            Self::Tail(_) => reach,
            Self::Ahead | Self::Window => ahead.iter().take(reach).take_while(|value| **value == 1).count(),
        };
        match (self, ones) {
            (_, 240) => Some(0),
            (Self::Window, _) if ones < reach => None,
            (_, 120..) => Some(1),
            _ => None,
        }
    }
}

/// Appends words that hold `values`.
///
/// # Panics
/// When a value passes [`MAX`].
pub(super) fn encode(values: impl ExactSizeIterator<Item = u64>, runs: Runs, out: &mut Vec<u8>) {
    let mut ahead = Ahead::new(values);
    loop {
        let (values, remaining) = ahead.peek();
        if remaining == 0 {
            return;
        }
        let selector = runs.selector(values, remaining).unwrap_or_else(|| choose(values));
        let (count, word) = pack(selector, values);
        out.extend_from_slice(&word.to_be_bytes());
        ahead.skip(count);
    }
}

/// The selector that takes most of the values ahead, runs aside.
fn choose(ahead: &[u64]) -> u64 {
    let mut seen = 0;
    let mut fit = 0;
    for (before, value) in ahead.iter().take(MOST).enumerate() {
        seen |= value;
        let width = 64 - seen.leading_zeros() as usize;
        if before >= MOST_OF_WIDTH.get(width).copied().map_or(0, usize::from) {
            break;
        }
        fit = before + 1;
    }
    assert!(fit > 0, "values are compared with MAX before they are packed");
    SELECTOR_OF_COUNT.get(fit).copied().map_or(0, u64::from)
}

/// The number of values taken, and their word.
fn pack(selector: u64, ahead: &[u64]) -> (usize, u64) {
    let at = usize::try_from(selector).unwrap_or(usize::MAX);
    let count = COUNTS.get(at).copied().map_or(0, usize::from);
    let width = WIDTHS.get(at).copied().unwrap_or(0);
    let values = if width == 0 { &[] } else { ahead.get(..count).unwrap_or_default() };
    (count, selector << 60 | values.iter().rev().fold(0, |word, value| word << width | value))
}

/// For each width in bits, how many such values one word holds.
#[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
const MOST_OF_WIDTH: [u8; 61] = {
    let mut table = [0; 61];
    let mut selector = 15;
    let mut width = 61;
    while width > 0 {
        width -= 1;
        while selector > 2 && WIDTHS[selector - 1] as usize >= width {
            selector -= 1;
        }
        table[width] = COUNTS[selector];
    }
    table
};

/// For each number of values that would fit, the selector that takes most of them.
#[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
const SELECTOR_OF_COUNT: [u8; MOST + 1] = {
    let mut table = [15; MOST + 1];
    let mut selector = 15;
    while selector >= 2 {
        let mut count = COUNTS[selector as usize] as usize;
        while count <= MOST {
            table[count] = selector;
            count += 1;
        }
        selector -= 1;
    }
    table
};

/// An iterator seen through a buffer, so that the next values can be looked at before they are taken.
///
/// Invariant: `head <= len <= SIZE`, and `buffer[head..len]` are the values ahead, at least [`LOOK_AHEAD`] of them unless
/// the iterator has ended.
struct Ahead<I> {
    rest: I,
    buffer: [u64; SIZE],
    head: usize,
    len: usize,
}

/// Large enough that moving the values ahead to the front is rare.
const SIZE: usize = 1024;
const _: () = assert!(SIZE > LOOK_AHEAD, "a refill makes progress");

impl<I: ExactSizeIterator<Item = u64>> Ahead<I> {
    fn new(rest: I) -> Self {
        Self { rest, buffer: [0; SIZE], head: 0, len: 0 }
    }

    /// The values ahead, as many as the buffer has, and the number of all that remain.
    #[expect(clippy::indexing_slicing, reason = "head <= len <= SIZE, see the type")]
    fn peek(&mut self) -> (&[u64], usize) {
        if self.len - self.head < LOOK_AHEAD && self.rest.len() > 0 {
            self.buffer.copy_within(self.head..self.len, 0);
            self.len -= self.head;
            self.head = 0;
            for (slot, value) in self.buffer[self.len..].iter_mut().zip(&mut self.rest) {
                *slot = value;
                self.len += 1;
            }
        }
        let ahead = &self.buffer[self.head..self.len];
        (ahead, ahead.len() + self.rest.len())
    }

    fn skip(&mut self, count: usize) {
        self.head += count;
        assert!(self.head <= self.len, "a word takes values that are there");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectors(values: &[u64], runs: Runs) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values.iter().copied(), runs, &mut bytes);
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty());
        assert_eq!(count(words), values.len());
        let mut back = Vec::new();
        decode(words, &mut back, |value| value);
        assert_eq!(back, values);
        words.iter().map(|[head, ..]| head >> 4).collect()
    }

    fn ones(count: usize, then: &[u64]) -> Vec<u64> {
        let mut values = vec![1; count];
        values.extend_from_slice(then);
        values
    }

    #[test]
    fn each_selector_holds_its_largest_values() {
        for (selector, (count, width)) in COUNTS.iter().zip(WIDTHS).enumerate().skip(2) {
            let largest = vec![(1 << width) - 1; usize::from(*count)];
            for runs in [Runs::Ahead, Runs::Window, Runs::Tail(0)] {
                let found = selectors(&largest, runs);
                assert_eq!(found, [u8::try_from(selector).unwrap()], "{count} values of {width} bits");
            }
        }
    }

    #[test]
    fn a_tail_degrades_through_ever_smaller_words() {
        assert_eq!(selectors(&[0; 59], Runs::Ahead), [3, 4, 8, 15]);
        assert_eq!(selectors(&[MAX; 3], Runs::Ahead), [15, 15, 15]);
        assert_eq!(selectors(&[], Runs::Ahead), [0; 0]);
    }

    #[test]
    fn the_batch_encoder_sees_runs_that_end() {
        assert_eq!(selectors(&ones(240, &[7]), Runs::Ahead), [0, 15]);
        assert_eq!(selectors(&ones(239, &[7]), Runs::Ahead), [1, 2, 3, 4, 7]);
        assert_eq!(selectors(&ones(120, &[7]), Runs::Ahead), [1, 15]);
        assert_eq!(selectors(&ones(119, &[7]), Runs::Ahead), [2, 3, 4, 7]);
        assert_eq!(selectors(&ones(360, &[]), Runs::Ahead), [0, 1]);
        assert_eq!(selectors(&ones(119, &[]), Runs::Ahead), [2, 3, 4, 8, 15]);
    }

    #[test]
    fn the_stream_encoder_of_times_sees_full_windows_of_ones() {
        assert_eq!(selectors(&ones(240, &[7]), Runs::Window), [0, 15]);
        assert_eq!(selectors(&ones(241, &[7]), Runs::Window), [0, 14]);
        assert_eq!(selectors(&ones(120, &[7]), Runs::Window), [2, 2, 15]);
        assert_eq!(selectors(&ones(360, &[]), Runs::Window), [0, 1]);
        assert_eq!(selectors(&ones(239, &[]), Runs::Window)[0], 1);
    }

    #[test]
    fn the_stream_encoder_of_integers_sees_runs_up_to_the_end() {
        assert_eq!(selectors(&ones(240, &[7]), Runs::Tail(0)), [2, 2, 2, 2, 15]);
        let mut late = vec![7];
        late.extend(ones(361, &[]));
        assert_eq!(selectors(&late, Runs::Tail(361)), [4, 0, 2, 3, 6]);
    }

    #[test]
    fn long_lists_pass_through_the_buffer_whole() {
        let values: Vec<u64> =
            (0..10_000u64).map(|index| index.wrapping_mul(0x9e37_79b9) % (1 << (index % 61))).collect();
        for runs in [Runs::Ahead, Runs::Window, Runs::Tail(0)] {
            selectors(&values, runs);
        }
    }

    #[test]
    #[should_panic(expected = "compared with MAX")]
    fn a_value_too_large_is_the_callers_fault() {
        encode([MAX + 1].into_iter(), Runs::Ahead, &mut Vec::new());
    }
}
