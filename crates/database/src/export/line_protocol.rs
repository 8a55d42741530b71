//! `series field=value time`, as influxd prints and parses it.

use std::io::{self, Write};

use icecore_tsm::Values;

use super::put;

/// What all lines of a key begin with. The series key is stored escaped, the field is not.
pub(super) fn prefix(series: &[u8], field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(series.len() + field.len() + 2);
    out.extend_from_slice(series);
    out.push(b' ');
    for byte in field {
        if matches!(byte, b',' | b'"' | b' ' | b'=') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'=');
    out
}

/// The value of the point at `at`, with the suffix of its type.
pub(super) fn put_value(values: &Values, at: usize, out: &mut Vec<u8>) -> io::Result<()> {
    match values {
        Values::Float(list) => put(list.get(at), |value| put_float(*value, out)),
        Values::Integer(list) => put(list.get(at), |value| write!(out, "{value}i")),
        Values::Unsigned(list) => put(list.get(at), |value| write!(out, "{value}u")),
        Values::Boolean(list) => put(list.get(at), |value| write!(out, "{value}")),
        Values::String(list) => put(list.get(at), |value| {
            out.push(b'"');
            for byte in value {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(*byte);
            }
            out.push(b'"');
            Ok(())
        }),
    }
}

/// The shortest digits that read back as the same number, in the form of Go's `'g'`: with an exponent from 1e+06 on
/// and below 1e-04. Influxd's own export prints floats so, and its parser reads them.
fn put_float(value: f64, out: &mut Vec<u8>) -> io::Result<()> {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return out.write_all(text.as_bytes()) };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => write!(out, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_as_the_same_bits() {
        let edges = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            1e20,
            1e21,
            123_456_789.125,
            1e-6,
            9.9e-7,
            5e-324,
            f64::MAX,
            f64::MIN,
        ];
        for value in edges {
            let mut out = Vec::new();
            put_float(value, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.len() <= 25, "{text}");
        }
    }

    #[test]
    fn floats_look_as_go_prints_them() {
        let pairs = [
            (0.0, "0"),
            (-0.0, "-0"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (123_456_789.125, "1.23456789125e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
        ];
        for (value, text) in pairs {
            let mut out = Vec::new();
            put_float(value, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn fields_are_escaped() {
        assert_eq!(prefix(b"m,t=a\\ b", b"f 1,=\""), b"m,t=a\\ b f\\ 1\\,\\=\\\"=");
    }
}
