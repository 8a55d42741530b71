//! `series key ⇥ field ⇥ type ⇥ value ⇥ nanoseconds`, the layout of the fixtures' expected values.
//!
//! Types are `f i u b s`; floats are the 16 hex digits of their bits, strings are JSON in ASCII.

use std::io::{self, Write};

use icecore_tsm::Values;

use super::put;

/// What all lines of a key begin with.
pub(super) fn prefix(series: &[u8], field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(series.len() + field.len() + 2);
    put_escaped(series, &mut out);
    out.push(b'\t');
    put_escaped(field, &mut out);
    out.push(b'\t');
    out
}

fn put_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(*other),
        }
    }
}

/// Type and value of the point at `at`.
pub(super) fn put_value(values: &Values, at: usize, out: &mut Vec<u8>) -> io::Result<()> {
    match values {
        Values::Float(list) => {
            put(list.get(at).map(|value| value.to_bits()), |bits| write!(out, "f\t{bits:016x}"))
        }
        Values::Integer(list) => put(list.get(at), |value| write!(out, "i\t{value}")),
        Values::Unsigned(list) => put(list.get(at), |value| write!(out, "u\t{value}")),
        Values::Boolean(list) => put(list.get(at), |value| write!(out, "b\t{value}")),
        Values::String(list) => put(list.get(at), |value| {
            out.extend_from_slice(b"s\t");
            put_json_string(&String::from_utf8_lossy(value), out)
        }),
    }
}

fn put_json_string(text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    out.push(b'"');
    for unit in text.chars() {
        match unit {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            ' '..='~' => write!(out, "{unit}")?,
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_json_in_ascii() {
        let mut out = Vec::new();
        put_json_string("a\"\\\n\t\u{1}\u{7f}é\u{1F9CA}", &mut out).unwrap();
        assert_eq!(out, br#""a\"\\\n\t\u0001\u007f\u00e9\ud83e\uddca""#);
    }

    #[test]
    fn keys_are_escaped_once_more() {
        assert_eq!(prefix(b"m\\ x,a=\\,", b"f\t\n\\"), b"m\\\\ x,a=\\\\,\tf\\t\\n\\\\\t");
    }
}
