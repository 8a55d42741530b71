//! Values into words: which selector, and the bits side by side.

use super::{COUNTS, MAX, WIDTHS};

/// The most values that one word can hold.
const LOOK_AHEAD: usize = 240;
/// The most values that one word can hold without being a run.
const MOST: usize = 60;

/// When a run of ones becomes a word of its own. influxd has one rule in each of its encoders; all three decode alike.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Runs {
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
    fn selector(self, ahead: &[u64], remaining: usize) -> Option<usize> {
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

/// Values on their way into words, made of each two that follow one another in a list.
///
/// Invariant: `buffer[head..len]` are the values ahead, at least [`LOOK_AHEAD`] of them unless `list` is down to one.
struct Ahead<'a, T, F, const SIZE: usize> {
    /// Its first is the second half of the last value in the buffer.
    list: &'a [T],
    make: F,
    buffer: [u64; SIZE],
    head: usize,
    len: usize,
}

/// Large enough that moving the values ahead to the front is rare.
const LARGE: usize = 1024;
/// For lists that fit as a whole: clearing the large buffer would take longer than to encode them.
const SMALL: usize = 32;
const _: () = assert!(LARGE > LOOK_AHEAD, "a refill makes progress");

/// Appends words that hold what `make` makes of each two values that follow one another in `list`.
///
/// # Panics
/// When one of them passes [`MAX`].
pub(in super::super) fn encode<T: Copy>(
    list: &[T],
    make: impl Fn(T, T) -> u64,
    runs: Runs,
    out: &mut Vec<u8>,
) {
    if list.len() <= SMALL {
        encode_in([0; SMALL], list, make, runs, out);
    } else {
        encode_in([0; LARGE], list, make, runs, out);
    }
}

fn encode_in<T: Copy, const SIZE: usize>(
    buffer: [u64; SIZE],
    list: &[T],
    make: impl Fn(T, T) -> u64,
    runs: Runs,
    out: &mut Vec<u8>,
) {
    let mut ahead = Ahead { list, make, buffer, head: 0, len: 0 };
    loop {
        let (values, remaining) = ahead.peek();
        if remaining == 0 {
            return;
        }
        let (count, word) = match runs.selector(values, remaining) {
            Some(selector) => (COUNTS.get(selector).copied().map_or(0, usize::from), (selector as u64) << 60),
            None => word(values),
        };
        out.extend_from_slice(&word.to_be_bytes());
        ahead.skip(count);
    }
}

impl<T: Copy, F: Fn(T, T) -> u64, const SIZE: usize> Ahead<'_, T, F, SIZE> {
    /// The values ahead, as many as the buffer has, and the number of all that remain.
    #[inline]
    fn peek(&mut self) -> (&[u64], usize) {
        if self.len - self.head < LOOK_AHEAD && self.list.len() > 1 {
            self.refill();
        }
        let ahead = &self.buffer[self.head..self.len];
        (ahead, ahead.len() + self.list.len().saturating_sub(1))
    }

    #[expect(clippy::indexing_slicing, reason = "head <= len <= SIZE, see the type")]
    fn refill(&mut self) {
        self.buffer.copy_within(self.head..self.len, 0);
        self.len -= self.head;
        self.head = 0;
        let free = &mut self.buffer[self.len..];
        let taken = free.len().min(self.list.len() - 1);
        for (slot, [before, value]) in free.iter_mut().zip(self.list.array_windows()) {
            *slot = (self.make)(*before, *value);
        }
        self.len += taken;
        self.list = &self.list[taken..];
    }

    #[inline]
    fn skip(&mut self, count: usize) {
        self.head += count;
        assert!(self.head <= self.len, "a word takes values that are there");
    }
}

/// The word that takes most of the values ahead, runs aside, and how many it takes.
#[inline]
fn word(ahead: &[u64]) -> (usize, u64) {
    let selector = match ahead.first_chunk() {
        Some(many) => choose(many),
        None => choose_of_few(ahead),
    };
    match selector {
        2 => pack::<2, 60>(ahead),
        3 => pack::<3, 30>(ahead),
        4 => pack::<4, 20>(ahead),
        5 => pack::<5, 15>(ahead),
        6 => pack::<6, 12>(ahead),
        7 => pack::<7, 10>(ahead),
        8 => pack::<8, 8>(ahead),
        9 => pack::<9, 7>(ahead),
        10 => pack::<10, 6>(ahead),
        11 => pack::<11, 5>(ahead),
        12 => pack::<12, 4>(ahead),
        13 => pack::<13, 3>(ahead),
        14 => pack::<14, 2>(ahead),
        _ => pack::<15, 1>(ahead),
    }
}

/// The selector for values of which there are enough for each. Bits are gathered as long as they fit: what does not fit
/// one selector fits none that takes more values.
#[inline]
fn choose(ahead: &[u64; MOST]) -> usize {
    let four = gather::<0, 4>(0, ahead);
    if four > largest::<12>() {
        let two = gather::<0, 2>(0, ahead);
        return match () {
            () if gather::<2, 3>(two, ahead) <= largest::<13>() => 13,
            () if two <= largest::<14>() => 14,
            () => 15,
        };
    }
    let eight = gather::<4, 8>(four, ahead);
    if eight > largest::<8>() {
        let five = gather::<4, 5>(four, ahead);
        let six = gather::<5, 6>(five, ahead);
        return match () {
            () if five > largest::<11>() => 12,
            () if six > largest::<10>() => 11,
            () if gather::<6, 7>(six, ahead) > largest::<9>() => 10,
            () => 9,
        };
    }
    let twelve = gather::<8, 12>(eight, ahead);
    if twelve > largest::<6>() {
        return if gather::<8, 10>(eight, ahead) > largest::<7>() { 8 } else { 7 };
    }
    let fifteen = gather::<12, 15>(twelve, ahead);
    if fifteen > largest::<5>() {
        return 6;
    }
    let twenty = gather::<15, 20>(fifteen, ahead);
    if twenty > largest::<4>() {
        return 5;
    }
    let thirty = gather::<20, 30>(twenty, ahead);
    if thirty > largest::<3>() {
        return 4;
    }
    if gather::<30, MOST>(thirty, ahead) > largest::<2>() { 3 } else { 2 }
}

/// The selector for the last values of a list: the first, in order, that fits and has as many.
fn choose_of_few(ahead: &[u64]) -> usize {
    let fits = |selector: &usize| {
        let count = COUNTS.get(*selector).copied().map_or(0, usize::from);
        let width = WIDTHS.get(*selector).copied().unwrap_or(0);
        ahead.get(..count).is_some_and(|values| values.iter().all(|value| value >> width == 0))
    };
    (2..15).find(fits).unwrap_or(15)
}

/// `bits` and those of the values from one place to another.
#[inline(always)]
fn gather<const FROM: usize, const TO: usize>(bits: u64, ahead: &[u64; MOST]) -> u64 {
    const { assert!(FROM <= TO && TO <= MOST) };
    ahead.iter().take(TO).skip(FROM).fold(bits, |bits, value| bits | value)
}

/// The largest value of a selector.
const fn largest<const SELECTOR: usize>() -> u64 {
    #[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
    const {
        (1 << WIDTHS[SELECTOR]) - 1
    }
}

/// The word of the first `N` values and a selector that holds as many; both constant, so that the loop is unrolled.
#[inline(always)]
fn pack<const SELECTOR: usize, const N: usize>(ahead: &[u64]) -> (usize, u64) {
    #[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
    const {
        assert!(COUNTS[SELECTOR] as usize == N && N * WIDTHS[SELECTOR] as usize <= 60);
    };
    let values = ahead.first_chunk::<N>().expect("a word takes values that are there");
    let (word, _) = values.iter().fold((0, 0), |(word, place), value| {
        (word | value << place, place + largest::<SELECTOR>().count_ones())
    });
    assert!(N > 1 || word <= MAX, "values are compared with MAX before they are packed");
    (N, (SELECTOR as u64) << 60 | word)
}
