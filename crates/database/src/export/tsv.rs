//! `series key ⇥ field ⇥ type ⇥ value ⇥ nanoseconds`, the layout of the fixtures' expected values.
//!
//! Types are `f i u b s`; floats are the 16 hex digits of their bits, strings are JSON in ASCII.

use icecore_tsm::{BlockType, Column, Values};

use super::rows::{self, Layout, Prefix, boolean_text};

/// What all lines of a key begin with.
pub(super) fn put_prefix(series: &[u8], field: &[u8], kind: BlockType, out: &mut Vec<u8>) {
    put_escaped(series, out);
    out.push(b'\t');
    put_escaped(field, out);
    out.extend_from_slice(match kind {
        BlockType::Float => b"\tf\t",
        BlockType::Integer => b"\ti\t",
        BlockType::Unsigned => b"\tu\t",
        BlockType::Boolean => b"\tb\t",
        BlockType::String => b"\ts\t",
    });
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

/// Appends lines of the points from `start` on, as [`rows::put`] does.
pub(super) fn put_rows(column: &Column, start: usize, prefix: &Prefix, out: &mut Vec<u8>) -> usize {
    let layout = Layout { prefix, separator: b'\t' };
    let times = column.times.get(start..).unwrap_or_default();
    match &column.values {
        Values::Float(list) => rows::put(layout, times, list.iter().skip(start), out, |value, out| {
            put_hex(value.to_bits().to_be_bytes(), out);
        }),
        Values::Integer(list) => {
            rows::put_numbers(layout, b"", times, list.get(start..).unwrap_or_default(), out)
        }
        Values::Unsigned(list) => {
            rows::put_numbers(layout, b"", times, list.get(start..).unwrap_or_default(), out)
        }
        Values::Boolean(list) => {
            let values = (start..).map_while(|at| list.get(at));
            rows::put(layout, times, values, out, |value, out| out.extend_from_slice(boolean_text(value)))
        }
        Values::String(list) => {
            let values = (start..).map_while(|at| list.get(at));
            rows::put(layout, times, values, out, |value, out| {
                put_json_string(&String::from_utf8_lossy(value), out);
            })
        }
    }
}

/// Appends two lower-case hex digits for each byte.
fn put_hex<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend_from_slice(bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]).as_flattened());
}

fn put_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) =
        rest.bytes().position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))
        && let Some((plain, behind)) = rest.split_at_checked(at)
    {
        out.extend_from_slice(plain.as_bytes());
        let mut units = behind.chars();
        if let Some(unit) = units.next() {
            put_json_escape(unit, out);
        }
        rest = units.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Appends the short escape of a character if it has one, else its UTF-16 units in hex.
fn put_json_escape(unit: char, out: &mut Vec<u8>) {
    let short = match unit {
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '"' => b'"',
        '\\' => b'\\',
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                put_hex(unit.to_be_bytes(), out);
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_json_in_ascii() {
        let mut out = Vec::new();
        put_json_string("a\"\\\n\t\u{1}\u{7f}é\u{1F9CA}", &mut out);
        assert_eq!(out, br#""a\"\\\n\t\u0001\u007f\u00e9\ud83e\uddca""#);
    }

    #[test]
    fn keys_are_escaped_once_more() {
        let mut out = Vec::new();
        put_prefix(b"m\\ x,a=\\,", b"f\t\n\\", BlockType::Unsigned, &mut out);
        assert_eq!(out, b"m\\\\ x,a=\\\\,\tf\\t\\n\\\\\tu\t");
    }
}
