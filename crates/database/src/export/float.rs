//! A float as Go's `strconv` prints it with the format `'g'` and the precision -1, which is what influxd prints.
//!
//! The fewest digits that read back as the same bits; of equally short ones the nearest, of equally near ones the even.
//! From 1e-4 to 1e6 they stand around a point, otherwise before an exponent of at least two digits: `1.5`, `-0`,
//! `999999.5`, `1e+06`, `1.25e-05`. The digits come from zmij; only their arrangement is made here.

use super::rows::Number;

/// From here on there is an exponent.
const EXPONENT_FROM: f64 = 1e6;
/// Below this too. Both are the floats nearest to their powers of ten, so that comparing numbers decides as comparing
/// digits does.
const EXPONENT_BELOW: f64 = 1e-4;

impl Number for f64 {
    type Buffer = zmij::Buffer;

    #[inline]
    fn digits(self, buffer: &mut zmij::Buffer) -> &[u8] {
        // Of what is not finite the text is not looked at.
        buffer.format_finite(self).as_bytes()
    }

    #[inline]
    fn put(self, digits: &[u8], out: &mut Vec<u8>) {
        let size = self.abs();
        if (EXPONENT_BELOW..EXPONENT_FROM).contains(&size) || size == 0.0 {
            out.extend_from_slice(digits.strip_suffix(b".0").unwrap_or(digits));
        } else if size.is_finite() {
            put_with_exponent(digits, out);
        } else if self.is_nan() {
            out.extend_from_slice(b"NaN");
        } else {
            out.extend_from_slice(if self > 0.0 { b"+Inf" } else { b"-Inf" });
        }
    }
}

/// Appends a number that is written like `1234567.5`, `-0.00001234`, `1e+16` or `1.234e-7`.
fn put_with_exponent(text: &[u8], out: &mut Vec<u8>) {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    out.extend_from_slice(text.get(..text.len() - unsigned.len()).unwrap_or_default());
    let text = unsigned;
    if let Some((digits, exponent)) = split_at_byte(text, b'e') {
        let (sign, exponent) = exponent.split_at_checked(1).unwrap_or_default();
        out.extend_from_slice(digits);
        out.push(b'e');
        out.extend_from_slice(sign);
        if exponent.len() < 2 {
            out.push(b'0');
        }
        out.extend_from_slice(exponent);
        return;
    }
    let (whole, fraction) = split_at_byte(text, b'.').unwrap_or((text, &[]));
    if whole == b"0" {
        let zeros = fraction.iter().take_while(|byte| **byte == b'0').count();
        put_digits(fraction.get(zeros..).unwrap_or_default(), &[], out);
        put_exponent(b'-', zeros + 1, out);
    } else {
        put_digits(whole, fraction, out);
        put_exponent(b'+', whole.len().saturating_sub(1), out);
    }
}

/// Appends the digits of both parts with a point behind the first, without zeros at the end.
fn put_digits(head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
    let (first, more) = head.split_at_checked(1).unwrap_or_default();
    out.extend_from_slice(first);
    out.push(b'.');
    out.extend_from_slice(more);
    out.extend_from_slice(tail);
    while out.pop_if(|last| *last == b'0').is_some() {}
    out.pop_if(|last| *last == b'.');
}

/// Appends an exponent of two digits: numbers that are written without one have none below -5 and none above 15.
fn put_exponent(sign: u8, exponent: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'e', sign]);
    out.extend([exponent / 10, exponent % 10].iter().filter_map(|digit| b"0123456789".get(*digit)));
}

/// What stands before and behind the first `byte`.
fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(value: f64) -> String {
        let mut out = b"before".to_vec();
        value.put(value.digits(&mut zmij::Buffer::new()), &mut out);
        String::from_utf8(out.split_off(b"before".len())).unwrap()
    }

    /// The same form made of the digits that the standard library finds. Those differ where two shortest numbers are
    /// equally near: there it takes the larger.
    fn by_the_standard_library(value: f64) -> String {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if (-4..6).contains(&exponent) {
            return value.to_string();
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
    }

    fn assert_printed(value: f64) {
        let text = printed(value);
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        let other = by_the_standard_library(value);
        assert_eq!(text.len(), other.len(), "{text} {other}");
        assert!(text == other || is_even_of_two_as_near(&text, &other, value), "{text} {other}");
    }

    /// Whether both texts are equally far from the number, whose digits end in 5 where theirs end, and the first is even.
    fn is_even_of_two_as_near(text: &str, other: &str, value: f64) -> bool {
        let digits = |text: &str| -> Vec<u8> {
            let number = text.split('e').next().unwrap_or_default();
            number.bytes().filter(u8::is_ascii_digit).skip_while(|byte| *byte == b'0').collect()
        };
        let (ours, theirs) = (digits(text), digits(other));
        let exact = digits(&format!("{value:.1100e}"));
        let (same, last) = ours.split_at(ours.len() - 1);
        let lower = last[0].min(theirs[ours.len() - 1]);
        exact.starts_with(same)
            && exact[same.len()] == lower
            && exact[ours.len()] == b'5'
            && exact[ours.len() + 1..].iter().all(|digit| *digit == b'0')
            && last[0] % 2 == 0
    }

    #[test]
    fn floats_look_as_go_prints_them() {
        let pairs = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (999_999.5, "999999.5"),
            (999_999.999_999_999_9, "999999.9999999999"),
            (1e6, "1e+06"),
            (-1e6, "-1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (12_000_000.0, "1.2e+07"),
            (123_456_789.125, "1.23456789125e+08"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (1e15, "1e+15"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_099_999_999_999_999_99, "9.999999999999999e-05"),
            (0.00001, "1e-05"),
            (0.000_012_34, "1.234e-05"),
            (-0.000_001_5, "-1.5e-06"),
            (1e-10, "1e-10"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            // Two shortest numbers are equally near: 64.072418212890625 lies in the middle.
            (2_099_525.0 / 32_768.0, "64.07241821289062"),
            (1_807_825.0 / 65_536.0, "27.585220336914062"),
            (-2e-323, "-2e-323"),
        ];
        for (value, text) in pairs {
            assert_eq!(printed(value), text);
        }
    }

    #[test]
    fn every_power_and_its_neighbours_read_back_and_are_short() {
        let powers_of_two = (0..2047u64).map(|exponent| f64::from_bits(exponent << 52));
        let powers_of_ten = (-323..=308).map(|exponent| format!("1e{exponent}").parse::<f64>().unwrap());
        for value in powers_of_two.chain(powers_of_ten) {
            let bits = value.to_bits();
            for near in bits.saturating_sub(3)..=bits + 3 {
                assert_printed(f64::from_bits(near));
                assert_printed(-f64::from_bits(near));
            }
        }
    }

    proptest! {
        #[test]
        fn any_float_reads_back_and_is_short(value in prop::num::f64::ANY.prop_filter("a number", |value| value.is_finite())) {
            assert_printed(value);
        }

        #[test]
        fn halves_of_the_last_digit_are_even(mantissa in 0u64..1 << 53, shift in 0i32..60) {
            assert_printed(mantissa as f64 / 2f64.powi(shift));
        }

        #[test]
        fn decimals_are_what_was_meant(digits in 0u32..1_000_000_000, decimals in 0i32..12) {
            assert_printed(f64::from(digits) / 10f64.powi(decimals));
        }
    }
}
