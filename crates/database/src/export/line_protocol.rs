//! `series field=value time`, as influxd prints and parses it.

use icecore_tsm::{Column, Values};

use super::rows::{self, Layout, Prefix, boolean_text};

/// What all lines of a key begin with. The series key is stored escaped, the field is not.
pub(super) fn put_prefix(series: &[u8], field: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(series);
    out.push(b' ');
    for byte in field {
        if matches!(byte, b',' | b'"' | b' ' | b'=') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'=');
}

/// Appends lines of the points from `start` on, as [`rows::put`] does.
pub(super) fn put_rows(column: &Column, start: usize, prefix: &Prefix, out: &mut Vec<u8>) -> usize {
    let layout = Layout { prefix, separator: b' ' };
    let times = column.times.get(start..).unwrap_or_default();
    match &column.values {
        Values::Float(list) => {
            rows::put_numbers(layout, b"", times, list.get(start..).unwrap_or_default(), out)
        }
        Values::Integer(list) => {
            rows::put_numbers(layout, b"i", times, list.get(start..).unwrap_or_default(), out)
        }
        Values::Unsigned(list) => {
            rows::put_numbers(layout, b"u", times, list.get(start..).unwrap_or_default(), out)
        }
        Values::Boolean(list) => {
            let values = (start..).map_while(|at| list.get(at));
            rows::put(layout, times, values, out, |value, out| out.extend_from_slice(boolean_text(value)))
        }
        Values::String(list) => {
            let values = (start..).map_while(|at| list.get(at));
            rows::put(layout, times, values, out, put_string)
        }
    }
}

/// Appends a string in quotes.
fn put_string(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = value;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest)
        && let Some((plain, [escaped, behind @ ..])) = rest.split_at_checked(at)
    {
        out.extend_from_slice(plain);
        out.extend_from_slice(&[b'\\', *escaped]);
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use icecore_tsm::BlockType;

    use super::*;

    /// The lines of a column of three points.
    fn lines(values: Values) -> String {
        let column = Column { times: vec![-1, 0, i64::MAX], values };
        let (mut prefix, mut out) = (Prefix::default(), Vec::new());
        prefix.set(|prefix| put_prefix(b"m", b"f", prefix));
        assert_eq!(put_rows(&column, 1, &prefix, &mut out), 2);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_type_has_its_suffix() {
        let text = lines(Values::Float(vec![0.0, 1.5, -2e7]));
        assert_eq!(text, "m f=1.5 0\nm f=-2e+07 9223372036854775807\n");
        let text = lines(Values::Integer(vec![0, i64::MIN, 7]));
        assert_eq!(text, "m f=-9223372036854775808i 0\nm f=7i 9223372036854775807\n");
        let text = lines(Values::Unsigned(vec![0, u64::MAX, 7]));
        assert_eq!(text, "m f=18446744073709551615u 0\nm f=7u 9223372036854775807\n");
        let text = lines(Values::Boolean([true, true, false].into_iter().collect()));
        assert_eq!(text, "m f=true 0\nm f=false 9223372036854775807\n");
        let text = lines(Values::String(["", "\\a \"b\"\n", ""].into_iter().collect()));
        assert_eq!(text, "m f=\"\\\\a \\\"b\\\"\n\" 0\nm f=\"\" 9223372036854775807\n");
    }

    #[test]
    fn no_lines_are_left_behind_the_last_point() {
        let mut out = Vec::new();
        assert_eq!(put_rows(&Column::new(BlockType::String), 0, &Prefix::default(), &mut out), 0);
        assert!(out.is_empty());
    }

    #[test]
    fn fields_are_escaped() {
        let mut out = Vec::new();
        put_prefix(b"m,t=a\\ b", b"f 1,=\"", &mut out);
        assert_eq!(out, b"m,t=a\\ b f\\ 1\\,\\=\\\"=");
    }
}
