//! Times into bytes.

use super::super::simple8b::{self, Runs};
use super::super::{Flavor, common_step, put_words};
use super::{EXPONENT_MAX, PACKED, RAW, RUN};
use crate::format::read::put_uvarint;

/// Appends the times as influxd writes them: one run where all differences are equal, else raw where one difference
/// passes what simple8b can hold even before it is divided, else packed.
pub(in super::super) fn encode(times: &[i64], flavor: Flavor, out: &mut Vec<u8>) {
    let Some(first) = times.first() else { return };
    let difference = |before: i64, time: i64| time.wrapping_sub(before).cast_unsigned();
    if let (2.., Some(step)) = (times.len(), common_step(times, difference)) {
        let exponent = common_exponent(&[0, step.cast_signed()]);
        out.push(RUN << 4 | exponent);
        out.extend_from_slice(&first.to_be_bytes());
        put_uvarint(out, divide(step, exponent));
        put_uvarint(out, times.len() as u64);
        return;
    }
    let all = times.array_windows().fold(0, |bits, [before, time]| bits | difference(*before, *time));
    if all > simple8b::MAX {
        out.push(RAW << 4);
        out.extend_from_slice(&first.to_be_bytes());
        put_words(times, difference, out);
        return;
    }
    let exponent = common_exponent(times);
    out.push(PACKED << 4 | exponent);
    out.extend_from_slice(&first.to_be_bytes());
    let runs = match flavor {
        Flavor::Batch => Runs::Ahead,
        Flavor::Stream => Runs::Window,
    };
    let (_, inverse) = five(exponent);
    simple8b::encode(
        times,
        move |before, time| (difference(before, time) >> exponent).wrapping_mul(inverse),
        runs,
        out,
    );
}

/// The largest exponent up to 12 whose power of ten divides all differences.
fn common_exponent(times: &[i64]) -> u8 {
    const AT_ONCE: usize = 32;
    let mut exponent = EXPONENT_MAX;
    let behind = times.get(1..).unwrap_or_default();
    for (before, behind) in times.chunks(AT_ONCE).zip(behind.chunks(AT_ONCE)) {
        let all_divided = |exponent| {
            let tests = before
                .iter()
                .zip(behind)
                .map(|(before, time)| divides(exponent, time.wrapping_sub(*before).cast_unsigned()));
            // Without a way out in the middle: no branch for each difference.
            tests.fold(true, |all, divided| all & divided)
        };
        while !all_divided(exponent) {
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
pub(super) fn divides(exponent: u8, value: u64) -> bool {
    let (power, inverse) = five(exponent);
    // A quotient by 2^e that is none carries its cut bits at the top, where no quotient by 10^e reaches.
    value.wrapping_mul(inverse).rotate_right(u32::from(exponent)) <= (u64::MAX / power) >> exponent
}

/// `value` / 10^exponent, which divides it.
pub(super) fn divide(value: u64, exponent: u8) -> u64 {
    (value >> exponent).wrapping_mul(five(exponent).1)
}
