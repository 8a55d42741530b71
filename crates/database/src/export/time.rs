//! The end of a line: separator, time, newline.
//!
//! Times of one column mostly have their first digits in common, and often their last nine. So those from 2001-09-09 on,
//! which have 19 digits, are kept as text, and only digits that changed are made anew:
//!
//! ```text
//! | separator 1, tens of thousands of seconds 6 | seconds 4 | nanoseconds 9, newline 1 |
//! ```

const NS: u64 = 1_000_000_000;
/// The first time of 19 digits; all later ones have as many.
const LONG_FROM: i64 = 1_000_000_000_000_000_000;

/// The text of the last time.
#[derive(Debug)]
pub(super) struct TimeText {
    separator: u8,
    upper: u32,
    upper_text: [u8; 7],
    nanoseconds: u32,
    nanoseconds_text: [u8; 10],
}

impl TimeText {
    pub(super) fn new(separator: u8) -> Self {
        let (upper, nanoseconds) = (0, 0);
        let (upper_text, nanoseconds_text) = (upper_text(separator, upper), nanoseconds_text(nanoseconds));
        Self { separator, upper, upper_text, nanoseconds, nanoseconds_text }
    }

    /// Appends separator, time and newline.
    #[inline]
    pub(super) fn put(&mut self, time: i64, out: &mut Vec<u8>) {
        let Some((upper, seconds, nanoseconds)) = parts(time) else {
            out.push(self.separator);
            out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
            out.push(b'\n');
            return;
        };
        if upper != self.upper {
            self.upper = upper;
            self.upper_text = upper_text(self.separator, upper);
        }
        if nanoseconds != self.nanoseconds {
            self.nanoseconds = nanoseconds;
            self.nanoseconds_text = nanoseconds_text(nanoseconds);
        }
        out.extend_from_slice(&self.upper_text);
        out.extend_from_slice(&four_digits(seconds));
        out.extend_from_slice(&self.nanoseconds_text);
    }
}

/// Tens of thousands of seconds, seconds and nanoseconds of a time that has 19 digits.
#[inline]
fn parts(time: i64) -> Option<(u32, u32, u32)> {
    let time = u64::try_from(time).ok().filter(|_| time >= LONG_FROM)?;
    let (seconds, nanoseconds) = (time / NS, time % NS);
    Some((
        u32::try_from(seconds / 10_000).ok()?,
        u32::try_from(seconds % 10_000).ok()?,
        u32::try_from(nanoseconds).ok()?,
    ))
}

fn upper_text(separator: u8, upper: u32) -> [u8; 7] {
    let [_, _, a, b, c, d, e, f] = eight_digits(upper);
    [separator, a, b, c, d, e, f]
}

fn nanoseconds_text(nanoseconds: u32) -> [u8; 10] {
    let [first, _, _, _] = four_digits(nanoseconds / 100_000_000 * 1000);
    let [a, b, c, d, e, f, g, h] = eight_digits(nanoseconds % 100_000_000);
    [first, a, b, c, d, e, f, g, h, b'\n']
}

/// A number below 100,000,000.
fn eight_digits(number: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (four_digits(number / 10_000), four_digits(number % 10_000));
    [a, b, c, d, e, f, g, h]
}

/// A number below 10,000. Its digits are made side by side in one word.
#[inline]
fn four_digits(number: u32) -> [u8; 4] {
    let pairs = (number / 100) | ((number % 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f;
    let ones = pairs - tens * 10;
    (tens | (ones << 8) | 0x3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_printed(times: &[i64]) {
        let (mut text, mut out) = (TimeText::new(b'\t'), Vec::new());
        times.iter().for_each(|time| text.put(*time, &mut out));
        let expected: String = times.iter().map(|time| format!("\t{time}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn times_on_both_sides_of_every_edge_are_printed() {
        let edges = [i64::MIN, -NS.cast_signed(), 0, LONG_FROM, LONG_FROM + 9_999_999_999_999, i64::MAX];
        let times: Vec<_> =
            edges.iter().flat_map(|edge| (-1..=1).map(|step| edge.saturating_add(step))).collect();
        assert_printed(&times);
        assert_printed(&times.iter().rev().copied().collect::<Vec<_>>());
    }

    #[test]
    fn every_number_of_four_digits_is_printed() {
        for number in 0..10_000 {
            assert_eq!(four_digits(number), *format!("{number:04}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_times_are_printed(times in prop::collection::vec(any::<i64>(), 0..20)) {
            assert_printed(&times);
        }

        #[test]
        fn steps_of_any_length_are_printed(
            first in 900_000_000_000_000_000i64..1_700_000_000_000_000_000,
            step in prop_oneof![1i64..2_000_000_000, (1i64..1_000_000).prop_map(|seconds| seconds * NS.cast_signed())],
        ) {
            assert_printed(&(0..50).map(|at| first + at * step).collect::<Vec<_>>());
        }
    }
}
