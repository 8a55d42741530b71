//! The times of a block: differences, packed or as one run.
//!
//! Invariant: a list of times that parses has at least one and at most [`MAX_POINTS`], and its number is known before the
//! first is decoded.
//!
//! ```text
//! raw        | 00 | first u64 | difference u64 * (n - 1) |                        big-endian
//! packed     | 1e | first u64 | simple8b words of difference / 10^e |
//! run        | 2e | first u64 | uvarint difference / 10^e | uvarint n |
//! ```
//!
//! The low half of the first byte is the exponent e, 0 to 15; influxd writes 0 to 12. Differences wrap around: times that
//! go backwards are huge differences.

use super::simple8b::{self, Runs};
use super::{Flavor, MAX_POINTS, checked_count, raw_words, run};
use crate::error::Result;
use crate::format::read::{Cursor, put_uvarint};

const RAW: u8 = 0;
const PACKED: u8 = 1;
const RUN: u8 = 2;

/// The largest exponent that influxd writes.
const EXPONENT_MAX: u8 = 12;

/// Times that are parsed and counted, not decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times<'a> {
    Raw(&'a [[u8; 8]]),
    Packed { first: u64, scale: u64, words: &'a [[u8; 8]], count: usize },
    Run { first: u64, step: u64, count: usize },
}

impl<'a> Times<'a> {
    pub(super) fn parse(mut bytes: Cursor<'a>) -> Result<Self> {
        let start = bytes.clone();
        let header = bytes.u8("a block without times")?;
        let scale = 10u64.pow(u32::from(header & 0xf));
        let times = match header >> 4 {
            RAW if header & 0xf == 0 => Self::Raw(raw_words(&bytes)?),
            PACKED => {
                let first = bytes.u64("cut first time")?;
                let words = raw_words(&bytes)?;
                Self::Packed { first, scale, words, count: simple8b::count(words) + 1 }
            }
            RUN => {
                let first = bytes.u64("cut first time")?;
                let step = bytes.uvarint("step of a run of times")?.wrapping_mul(scale);
                let count = checked_count(bytes.uvarint("length of a run of times")?, &start)?;
                if !bytes.is_empty() {
                    return Err(bytes.corrupt("bytes behind a run of times"));
                }
                Self::Run { first, step, count }
            }
            _ => return Err(start.corrupt("unknown encoding of times")),
        };
        match times.count() {
            0 => Err(start.corrupt("a block without times")),
            1..=MAX_POINTS => Ok(times),
            _ => Err(start.corrupt("more points than a block may have")),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Raw(words) => words.len(),
            Self::Packed { count, .. } | Self::Run { count, .. } => *count,
        }
    }

    /// Appends all times.
    pub(super) fn decode(&self, out: &mut Vec<i64>) {
        out.reserve(self.count());
        match *self {
            Self::Raw(words) => {
                let mut time = 0u64;
                out.extend(words.iter().map(|word| {
                    time = time.wrapping_add(u64::from_be_bytes(*word));
                    time.cast_signed()
                }));
            }
            Self::Packed { first, scale, words, .. } => {
                out.push(first.cast_signed());
                let mut time = first;
                // The closure owns its sum, so that the loop can keep it in a register.
                simple8b::decode(words, out, move |difference| {
                    time = time.wrapping_add(difference.wrapping_mul(scale));
                    time.cast_signed()
                });
            }
            Self::Run { first, step, count } => {
                out.extend(run(first, step, count).map(u64::cast_signed));
            }
        }
    }
}

/// Appends the times as influxd writes them: one run where all differences are equal, else raw where one difference
/// passes what simple8b can hold even before it is divided, else packed.
pub(super) fn encode(times: &[i64], flavor: Flavor, out: &mut Vec<u8>) {
    let Some(first) = times.first() else { return };
    let mut summary = differences(times);
    let step = summary.next().unwrap_or(0);
    let (largest, equal) = summary.fold((step, true), |(largest, equal), difference| {
        (largest.max(difference), equal & (difference == step))
    });
    if times.len() > 1 && equal {
        let exponent = common_exponent(std::iter::once(step));
        out.push(RUN << 4 | exponent);
        out.extend_from_slice(&first.to_be_bytes());
        put_uvarint(out, divide(step, exponent));
        put_uvarint(out, times.len() as u64);
    } else if largest > simple8b::MAX {
        out.push(RAW << 4);
        out.extend_from_slice(&first.to_be_bytes());
        differences(times).for_each(|difference| out.extend_from_slice(&difference.to_be_bytes()));
    } else {
        let exponent = common_exponent(differences(times));
        out.push(PACKED << 4 | exponent);
        out.extend_from_slice(&first.to_be_bytes());
        let runs = match flavor {
            Flavor::Batch => Runs::Ahead,
            Flavor::Stream => Runs::Window,
        };
        simple8b::encode(differences(times).map(|difference| divide(difference, exponent)), runs, out);
    }
}

fn differences(times: &[i64]) -> impl ExactSizeIterator<Item = u64> + '_ {
    times.array_windows().map(|[before, time]| time.wrapping_sub(*before).cast_unsigned())
}

/// The largest exponent up to 12 whose power of ten divides all differences.
fn common_exponent(differences: impl Iterator<Item = u64>) -> u8 {
    let mut exponent = EXPONENT_MAX;
    for difference in differences {
        while !divides(exponent, difference) {
            exponent -= 1;
        }
        if exponent == 0 {
            break;
        }
    }
    exponent
}

/// Powers of five, and what they must be multiplied with to give 1 modulo 2^64.
///
/// A multiple of 5^e times that inverse is the exact quotient, and every other number comes out larger than any quotient
/// can be: one multiplication tests or divides, where the processor's division takes tens of cycles.
#[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
const FIVES: [(u64, u64); EXPONENT_MAX as usize + 1] = {
    const INVERSE: u64 = 0xcccc_cccc_cccc_cccd;
    assert!(INVERSE.wrapping_mul(5) == 1);
    let mut table = [(1u64, 1u64); EXPONENT_MAX as usize + 1];
    let mut exponent = 1;
    while exponent < table.len() {
        let (power, inverse) = table[exponent - 1];
        table[exponent] = (power * 5, inverse.wrapping_mul(INVERSE));
        exponent += 1;
    }
    table
};

fn five(exponent: u8) -> (u64, u64) {
    FIVES.get(usize::from(exponent)).copied().unwrap_or((1, 1))
}

/// Whether 10^exponent divides `value`.
fn divides(exponent: u8, value: u64) -> bool {
    let (power, inverse) = five(exponent);
    value.trailing_zeros() >= u32::from(exponent) && value.wrapping_mul(inverse) <= u64::MAX / power
}

/// `value` / 10^exponent, which divides it.
fn divide(value: u64, exponent: u8) -> u64 {
    (value >> exponent).wrapping_mul(five(exponent).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    fn both(times: &[i64]) -> Vec<u8> {
        let [mut batch, mut stream] = [Vec::new(), Vec::new()];
        encode(times, Flavor::Batch, &mut batch);
        encode(times, Flavor::Stream, &mut stream);
        assert_eq!(batch, stream);
        let parsed = Times::parse(Cursor::new(&batch, Offset::START)).unwrap();
        assert_eq!(parsed.count(), times.len());
        let mut back = Vec::new();
        parsed.decode(&mut back);
        assert_eq!(back, times);
        batch
    }

    fn refusal(bytes: &[u8]) -> String {
        Times::parse(Cursor::new(bytes, Offset::new(100))).unwrap_err().to_string()
    }

    #[test]
    fn the_examples_of_the_format_come_out_byte_for_byte() {
        let base = 0x1797_9cfe_362a_0000;
        assert_eq!(both(&[base + 1000, base + 3000, base + 4000])[..1], [0x13]);
        assert_eq!(
            both(&[base + 0x3e8, base + 0x3e8 + 2000, base + 0x3e8 + 3000]),
            [0x13, 0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 3, 0xe8, 0xe0, 0, 0, 0, 0x40, 0, 0, 2]
        );
        assert_eq!(
            both(&[base, base + 10_000_000_000]),
            [0x2a, 0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 0, 0, 1, 2]
        );
        assert_eq!(both(&[-5_000_000_000]), [0x1c, 0xff, 0xff, 0xff, 0xfe, 0xd5, 0xfa, 0x0e, 0]);
    }

    #[test]
    fn equal_times_are_a_run_without_step() {
        assert_eq!(both(&[7; 300])[8..], [7, 0, 0xac, 2]);
        assert_eq!(both(&[7; 300])[0], 0x2c);
    }

    #[test]
    fn gaps_of_decades_are_raw_and_wrap_around() {
        assert_eq!(both(&[0, 1 << 60, (1 << 60) + 1])[0], 0);
        assert_eq!(both(&[0, (1 << 60) - 1, 1 << 60])[0], 0x10);
        assert_eq!(both(&[i64::MIN, i64::MAX, i64::MIN])[0], 0);
        assert_eq!(both(&[i64::MAX, 0])[0], 0x20);
        assert_eq!(both(&[30, 20, 10])[0] >> 4, RUN);
        assert_eq!(both(&[30, 20, 11])[0], 0);
    }

    #[test]
    fn the_exponent_is_the_largest_that_divides_all_differences() {
        for exponent in 0..=15u32 {
            let unit = 10i64.pow(exponent);
            let packed = both(&[5, 5 + 3 * unit, 5 + 4 * unit, 5 + 4 * unit]);
            assert_eq!(u32::from(packed[0]), 0x10 + exponent.min(12));
            assert_eq!(u32::from(both(&[5, 5 + 7 * unit])[0]), 0x20 + exponent.min(12));
        }
        for value in [0, 1, 5, 10, 15, 1 << 40, 5u64.pow(27), 10u64.pow(19), u64::MAX, u64::MAX - 5] {
            for exponent in 0..=EXPONENT_MAX {
                let power = 10u64.pow(u32::from(exponent));
                assert_eq!(divides(exponent, value), value % power == 0, "{value} by 10^{exponent}");
                assert_eq!(divide(value - value % power, exponent), value / power);
            }
        }
    }

    #[test]
    fn exponents_that_influxd_never_writes_are_read() {
        let mut bytes = vec![0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3];
        let mut out = Vec::new();
        Times::parse(Cursor::new(&bytes, Offset::START)).unwrap().decode(&mut out);
        assert_eq!(out, [1, 3_000_000_000_000_001, 6_000_000_000_000_001]);
        bytes[0] = 0x1f;
        bytes.truncate(9);
        bytes.extend_from_slice(&[0xf0, 0, 0, 0, 0, 0, 0, 2]);
        out.clear();
        Times::parse(Cursor::new(&bytes, Offset::START)).unwrap().decode(&mut out);
        assert_eq!(out, [1, 2_000_000_000_000_001]);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        assert_eq!(refusal(&[]), "damaged: a block without times at byte 100");
        assert_eq!(refusal(&[0]), "damaged: a block without times at byte 100");
        assert_eq!(refusal(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "damaged: unknown encoding of times at byte 100");
        assert_eq!(refusal(&[0x30]), "damaged: unknown encoding of times at byte 100");
        assert_eq!(refusal(&[0; 16]), "damaged: cut word at byte 109");
        assert_eq!(refusal(&[0x10, 1, 2]), "damaged: cut first time at byte 101");
        assert_eq!(
            refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
            "damaged: a block without times at byte 100"
        );
        assert_eq!(
            refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            "damaged: length of a run of times at byte 110"
        );
        assert_eq!(
            refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]),
            "damaged: bytes behind a run of times at byte 111"
        );
        assert_eq!(
            refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            "damaged: more points than a block may have at byte 100"
        );
    }
}
