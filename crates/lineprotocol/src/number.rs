//! Numbers, as influxd's scanner takes them and Go's `strconv` reads them.
//!
//! ```text
//! integer   -? digit+ i        unsigned   digit+ u        float   -? digits with at most one point (e [+-]? digit+)?
//! ```

use crate::error::Reason;
use crate::fields::Parsed;

/// As many digits fit into an `i64`, and one more into a `u64`.
const SHORT: usize = 18;
/// Above this not every integer is a float.
const EXACT_MAX: u64 = 1 << 53;
/// Powers of ten, all of them floats.
const POWERS: [f64; SHORT + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The number at the start of `text` and its length, when it is short and followed by what ends a value.
pub(crate) fn short(text: &[u8]) -> Option<(Parsed, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (whole, end) = digits(text, start, 0);
    let is_short = (1..=SHORT).contains(&(end - start));
    let (parsed, len) = match text.get(end) {
        Some(b'i') if is_short => {
            let value = whole.cast_signed();
            (Parsed::Integer(if negative { -value } else { value }), end + 1)
        }
        Some(b'u') if is_short && !negative => (Parsed::Unsigned(whole), end + 1),
        Some(b'.') => {
            let (mantissa, len) = digits(text, end + 1, whole);
            let fraction = len - (end + 1);
            (Parsed::Float(short_float(negative, mantissa, end - start + fraction, fraction)?), len)
        }
        _ => (Parsed::Float(short_float(negative, whole, end - start, 0)?), end),
    };
    matches!(text.get(len), None | Some(b',' | b' ')).then_some((parsed, len))
}

/// The float of so many digits, `fraction` of them behind the point. Where mantissa and power of ten are floats
/// themselves, their quotient is rounded once and is the nearest there is.
fn short_float(negative: bool, mantissa: u64, count: usize, fraction: usize) -> Option<f64> {
    if !(1..=SHORT).contains(&count) || mantissa > EXACT_MAX {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(fraction)?;
    Some(if negative { -value } else { value })
}

/// Reads digits from `at` on behind those in `value`; wraps when there are too many, which the caller counts.
fn digits(text: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// Any number: `token` is all of a value.
pub(crate) fn parse(token: &[u8]) -> Result<Parsed, Reason<'_>> {
    let unsigned_token = token.strip_prefix(b"-").unwrap_or(token);
    let mut suffix = None;
    let mut decimal = false;
    let mut scientific = false;
    let mut before = None;
    for byte in unsigned_token {
        let first = before.is_none() && unsigned_token.len() == token.len();
        match byte {
            b'0'..=b'9' => {}
            b'i' | b'u' if !first && suffix.is_none() => suffix = Some(*byte),
            b'.' if !decimal => decimal = true,
            b'e' | b'E' if !first => scientific = true,
            b'+' | b'-' if matches!(before, Some(b'e' | b'E')) => {}
            _ => return Err(Reason::InvalidNumber),
        }
        before = Some(*byte);
    }
    let Some(suffix) = suffix else {
        return match unsigned_token {
            [] | [b'.'] => Err(Reason::InvalidNumber),
            _ => float(token).map(Parsed::Float).ok_or(Reason::InvalidFloat),
        };
    };
    let (Some((last, digits)), false) = (token.split_last(), decimal || scientific) else {
        return Err(Reason::InvalidNumber);
    };
    let negative = unsigned_token.len() < token.len();
    match suffix {
        _ if *last != suffix => Err(Reason::InvalidNumber),
        b'i' if digits != b"-" => signed(digits).map(Parsed::Integer).ok_or(Reason::IntegerRange(digits)),
        b'u' if !negative => unsigned(digits).map(Parsed::Unsigned).ok_or(Reason::UnsignedRange(digits)),
        _ => Err(Reason::InvalidNumber),
    }
}

/// `None` outside the range, or when digits are missing. Values too small become zero, as in Go.
///
/// Go misreads floats of more than 800 digits before the point, and exponents of more than five digits: it is off by
/// powers of ten. Here they are what they say.
fn float(token: &[u8]) -> Option<f64> {
    std::str::from_utf8(token).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Digits with an optional minus in front; `None` outside the range.
pub(crate) fn signed(token: &[u8]) -> Option<i64> {
    match token.strip_prefix(b"-") {
        None => i64::try_from(unsigned(token)?).ok(),
        Some(digits) => 0i64.checked_sub_unsigned(unsigned(digits)?),
    }
}

fn unsigned(digits: &[u8]) -> Option<u64> {
    let value = |byte: &u8| u64::from(byte.wrapping_sub(b'0'));
    if digits.len() > SHORT + 1 {
        return digits.iter().try_fold(0u64, |sum, byte| sum.checked_mul(10)?.checked_add(value(byte)));
    }
    let (eights, rest) = digits.as_chunks();
    let sum = eights.iter().fold(0, |sum, chunk| sum * 100_000_000 + eight(*chunk));
    Some(rest.iter().fold(sum, |sum, byte| sum * 10 + value(byte)))
}

/// The value of eight digits, which are joined to four pairs, two fours and one: a timestamp has nineteen.
fn eight(digits: [u8; 8]) -> u64 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = ones.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(parsed: Parsed) -> u64 {
        match parsed {
            Parsed::Float(value) => value.to_bits(),
            other => panic!("{other:?} is no float"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_short_float_is_the_nearest_there_is(text in "-?[0-9]{0,18}(\\.[0-9]{0,18})?") {
            if let Some((parsed, len)) = short(text.as_bytes()) {
                prop_assert_eq!(len, text.len());
                let nearest: f64 = text.parse().expect("a number");
                prop_assert_eq!(bits(parsed), nearest.to_bits());
            }
        }

        #[test]
        fn integers_are_read_or_out_of_range(value in any::<i128>(), shift in 0u32..128, zeros in 0usize..12) {
            let value = value >> shift;
            let sign = if value < 0 { "-" } else { "" };
            let digits = format!("{sign}{}{}", "0".repeat(zeros), value.unsigned_abs());
            prop_assert_eq!(signed(digits.as_bytes()), i64::try_from(value).ok());
            prop_assert_eq!(unsigned(value.unsigned_abs().to_string().as_bytes()), value.unsigned_abs().try_into().ok());
        }
    }
}
