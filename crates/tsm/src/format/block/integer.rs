//! Integers, signed and unsigned: zigzag differences, packed or as one run.
//!
//! Invariant: a list of integers is decoded only when it holds as many as the block has times; that is known before the
//! first is decoded.
//!
//! ```text
//! raw        | 00 | zigzag u64 * n |                                              big-endian
//! packed     | 10 | zigzag u64 of the first | simple8b words of the other zigzags |
//! run        | 20 | zigzag u64 of the first | uvarint zigzag | uvarint n - 1 |
//! ```
//!
//! Each value becomes its difference from the one before, the first from 0, wrapping around; zigzag puts the sign into
//! the lowest bit. Unsigned values are taken as the signed ones of the same bits.

use std::ops::Range;

use super::simple8b::{self, Runs};
use super::{Flavor, checked_count, common_step, put_words, raw_words, run};
use crate::error::Result;
use crate::format::read::{Cursor, put_uvarint};

const RAW: u8 = 0x00;
const PACKED: u8 = 0x10;
const RUN: u8 = 0x20;

/// The three encodings.
pub(super) enum Form {
    Raw,
    Packed,
    Run,
}

/// Takes the byte that names the encoding.
pub(super) fn open(bytes: &mut Cursor<'_>) -> Result<Form> {
    let start = bytes.clone();
    match bytes.u8("a block without values")? {
        RAW => Ok(Form::Raw),
        PACKED => Ok(Form::Packed),
        RUN => Ok(Form::Run),
        _ => Err(start.corrupt("unknown encoding of integers")),
    }
}

/// A list of integers that is known to have as many as were expected, and nothing behind them; not decoded.
pub(super) enum Integers<'a> {
    Raw(&'a [[u8; 8]]),
    Packed { first: u64, words: &'a [[u8; 8]] },
    Run { first: u64, step: u64 },
}

impl<'a> Integers<'a> {
    /// Takes apart a list of `count`.
    pub(super) fn parse(mut bytes: Cursor<'a>, count: usize) -> Result<Self> {
        let start = bytes.clone();
        let (list, found) = match open(&mut bytes)? {
            Form::Raw => {
                let words = raw_words(&bytes)?;
                (Self::Raw(words), words.len())
            }
            Form::Packed => {
                let first = unzigzag(bytes.u64("cut first integer")?);
                let words = raw_words(&bytes)?;
                (Self::Packed { first, words }, simple8b::count(words) + 1)
            }
            Form::Run => {
                let first = unzigzag(bytes.u64("cut first integer")?);
                let step = unzigzag(bytes.uvarint("step of a run of integers")?);
                let repeats = checked_count(bytes.uvarint("length of a run of integers")?, &start)?;
                if !bytes.is_empty() {
                    return Err(bytes.corrupt("bytes behind a run of integers"));
                }
                (Self::Run { first, step }, repeats + 1)
            }
        };
        if found == count { Ok(list) } else { Err(start.corrupt("as many integers as times were expected")) }
    }
}

/// Becomes the values at `wanted` of a list of `count`, each made from its bits by `make`. What lies behind them is not
/// looked at.
pub(super) fn decode<T: Copy + Default>(
    bytes: Cursor<'_>,
    count: usize,
    wanted: Range<usize>,
    out: &mut Vec<T>,
    make: impl Fn(u64) -> T,
) -> Result<()> {
    match Integers::parse(bytes, count)? {
        Integers::Raw(words) => {
            let mut add = sums(0, make);
            out.clear();
            out.extend(words.iter().take(wanted.end).map(|word| add(u64::from_be_bytes(*word))));
            out.drain(..wanted.start);
        }
        Integers::Packed { first, words } => {
            let (words, held) = match wanted.end {
                end if end == count => (words, count - 1),
                end => simple8b::prefix(words, end.saturating_sub(1)),
            };
            out.resize(1 + held, T::default());
            if let Some((slot, others)) = out.split_first_mut() {
                *slot = make(first);
                simple8b::decode(words, others, sums(first, make));
            }
            out.truncate(wanted.end);
            out.drain(..wanted.start);
        }
        Integers::Run { first, step } => {
            out.clear();
            out.extend(run(first, step, wanted).map(make));
        }
    }
    Ok(())
}

/// Makes values of zigzag differences, the first of which is from `start`. It owns its sum, so that a loop can keep it in
/// a register.
fn sums<T>(start: u64, make: impl Fn(u64) -> T) -> impl FnMut(u64) -> T {
    let mut sum = start;
    move |zigzag| {
        sum = sum.wrapping_add(unzigzag(zigzag));
        make(sum)
    }
}

/// Appends the values as influxd writes them: one run where there are three or more at equal distances, else raw where a
/// zigzag passes what simple8b can hold, else packed. The first value counts for that limit in [`Flavor::Stream`] only.
pub(super) fn encode<T: Copy>(
    values: &[T],
    bits: impl Fn(T) -> u64 + Copy,
    flavor: Flavor,
    out: &mut Vec<u8>,
) {
    let Some(first) = values.first().map(|first| zigzag(bits(*first))) else { return };
    let make = move |before, value| bits(value).wrapping_sub(bits(before));
    if let (3.., Some(step)) = (values.len(), common_step(values, make)) {
        out.push(RUN);
        out.extend_from_slice(&first.to_be_bytes());
        put_uvarint(out, zigzag(step));
        put_uvarint(out, values.len() as u64 - 1);
        return;
    }
    let zigzags = move |before, value| zigzag(make(before, value));
    if passes(values, make) || flavor == Flavor::Stream && first > simple8b::MAX {
        out.push(RAW);
        out.extend_from_slice(&first.to_be_bytes());
        put_words(values, zigzags, out);
        return;
    }
    out.push(PACKED);
    out.extend_from_slice(&first.to_be_bytes());
    let runs = match flavor {
        Flavor::Batch => Runs::Ahead,
        Flavor::Stream => Runs::Tail(
            values.array_windows().rev().take_while(|[before, value]| zigzags(*before, *value) == 1).count(),
        ),
    };
    simple8b::encode(values, zigzags, runs, out);
}

/// Whether the zigzag of a difference passes what simple8b can hold: those of the differences from -2^59 on and below 2^59
/// do not.
fn passes<T: Copy>(values: &[T], make: impl Fn(T, T) -> u64) -> bool {
    const HALF: u64 = (simple8b::MAX >> 1) + 1;
    let shifted = values.array_windows().map(|[before, value]| make(*before, *value).wrapping_add(HALF));
    shifted.fold(0, |bits, shifted| bits | shifted) > simple8b::MAX
}

fn zigzag(difference: u64) -> u64 {
    let sign = (difference.cast_signed() >> 63).cast_unsigned();
    difference << 1 ^ sign
}

fn unzigzag(zigzag: u64) -> u64 {
    zigzag >> 1 ^ (zigzag & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    fn written(values: &[i64], flavor: Flavor) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, i64::cast_unsigned, flavor, &mut bytes);
        let mut back = Vec::new();
        let bytes_at = Cursor::new(&bytes, Offset::START);
        decode(bytes_at, values.len(), 0..values.len(), &mut back, u64::cast_signed).unwrap();
        assert_eq!(back, values);
        bytes
    }

    fn refusal(bytes: &[u8], count: usize) -> String {
        let mut out: Vec<u64> = Vec::new();
        let error =
            decode(Cursor::new(bytes, Offset::new(7)), count, 0..count, &mut out, |bits| bits).unwrap_err();
        assert_eq!(out.capacity(), 0);
        error.to_string()
    }

    #[test]
    fn the_examples_of_the_format_come_out_byte_for_byte() {
        let expected = [0x10, 0, 0, 0, 0, 0, 0, 0, 5, 0xf0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(written(&[-3, -2], Flavor::Batch), expected);
        assert_eq!(written(&[-3, -2], Flavor::Stream), expected);
    }

    #[test]
    fn the_selectors_seen_before_and_after_a_compaction_come_out() {
        let mut value = 0;
        let mut values = vec![value];
        for step in std::iter::repeat_n(-1, 300).chain([-3]).chain(std::iter::repeat_n(-1, 298)) {
            value += step;
            values.push(value);
        }
        let selectors = |bytes: &[u8]| bytes[9..].chunks(8).map(|word| word[0] >> 4).collect::<Vec<_>>();
        assert_eq!(selectors(&written(&values, Flavor::Stream)), [2, 2, 2, 2, 2, 4, 0, 3, 8, 15]);
        values.pop();
        assert_eq!(selectors(&written(&values, Flavor::Batch)), [0, 2, 4, 0, 3, 8]);
    }

    #[test]
    fn two_values_are_never_a_run() {
        assert_eq!(written(&[4, 4], Flavor::Batch)[0], PACKED);
        assert_eq!(written(&[4, 4, 4], Flavor::Batch), [RUN, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2]);
        assert_eq!(written(&[i64::MIN, i64::MAX, i64::MAX - 1, 0], Flavor::Batch)[0], RAW);
    }

    #[test]
    fn a_large_first_value_is_raw_only_from_the_stream_encoder() {
        for first in [i64::MAX, i64::MIN, 1 << 59] {
            for tail in [&[][..], &[first ^ 1], &[first ^ 1, first ^ 3]] {
                let values: Vec<i64> = std::iter::once(first).chain(tail.iter().copied()).collect();
                assert_eq!(written(&values, Flavor::Batch)[0], PACKED);
                assert_eq!(written(&values, Flavor::Stream)[0], RAW);
            }
        }
        assert_eq!(written(&[(1 << 59) - 1], Flavor::Stream)[0], PACKED);
    }

    #[test]
    fn damage_is_named_and_costs_no_memory() {
        assert_eq!(refusal(&[], 1), "damaged: a block without values at byte 7");
        assert_eq!(refusal(&[0x30], 1), "damaged: unknown encoding of integers at byte 7");
        assert_eq!(
            refusal(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0], 1),
            "damaged: unknown encoding of integers at byte 7"
        );
        assert_eq!(refusal(&[0x10, 0], 1), "damaged: cut first integer at byte 8");
        assert_eq!(refusal(&[0; 9], 2), "damaged: as many integers as times were expected at byte 7");
        assert_eq!(
            refusal(&[0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 240),
            "damaged: as many integers as times were expected at byte 7"
        );
        let run = [0x20, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0x3f];
        assert_eq!(refusal(&run, 1000), "damaged: as many integers as times were expected at byte 7");
        assert_eq!(refusal(&run[..12], 1000), "damaged: length of a run of integers at byte 19");
    }
}
