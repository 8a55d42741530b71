//! Line protocol as servers print it, read without Icecore's own parser.
//!
//! ```text
//! measurement,tag=value field=value,field=value nanoseconds\n
//! ```
//!
//! Series keys stay escaped, fields lose their escapes. Comments, missing times and needless spaces are not read:
//! `influxd inspect export-lp` and the generator of the fixture `fleet` print none.

use crate::values::{Value, Values};

/// Every value of a text, in which none comes twice.
///
/// # Panics
/// When one does, or the text is something else.
pub fn parse(text: &str) -> Values {
    let mut values = Values::default();
    each(text, |series, field, time_ns, value| values.insert(series, field, time_ns, value));
    values
}

/// Every value of a text, in which a later one replaces an earlier one, as it does for a server that is sent the text.
///
/// # Panics
/// When the text is something else.
pub fn parse_later_wins(text: &str) -> Values {
    let mut values = Values::default();
    each(text, |series, field, time_ns, value| values.replace(series, field, time_ns, value));
    values
}

fn each(text: &str, mut take: impl FnMut(&str, &str, i64, Value)) {
    let mut rest = Rest(text);
    while !rest.0.is_empty() {
        let series = rest.until(&[' ']);
        let mut fields = Vec::new();
        loop {
            let name = unescape(rest.until(&['=']));
            fields.push((name, value(&mut rest)));
            match rest.next() {
                ',' => {}
                ' ' => break,
                other => panic!("{other:?} after a value of {series}"),
            }
        }
        let time_ns = rest.until(&['\n']).parse().unwrap();
        for (name, value) in fields {
            take(series, &name, time_ns, value);
        }
    }
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// What comes before the first of `ends` that no backslash escapes; it is taken too.
    fn until(&mut self, ends: &[char]) -> &'a str {
        let at = self.find(ends);
        let (head, tail) = self.0.split_at(at);
        self.0 = &tail[1..];
        head
    }

    fn find(&self, ends: &[char]) -> usize {
        let mut escaped = false;
        for (at, c) in self.0.char_indices() {
            if !escaped && ends.contains(&c) {
                return at;
            }
            escaped = !escaped && c == '\\';
        }
        panic!("none of {ends:?} in {:?}", self.0.chars().take(100).collect::<String>());
    }

    fn next(&mut self) -> char {
        let c = self.0.chars().next().unwrap();
        self.0 = &self.0[c.len_utf8()..];
        c
    }
}

fn value(rest: &mut Rest<'_>) -> Value {
    if let Some(inside) = rest.0.strip_prefix('"') {
        rest.0 = inside;
        let text = rest.until(&['"']);
        return Value::String(text.replace("\\\"", "\"").replace("\\\\", "\\"));
    }
    let text;
    (text, rest.0) = rest.0.split_at(rest.find(&[',', ' ']));
    match text.as_bytes() {
        b"true" => Value::Boolean(true),
        b"false" => Value::Boolean(false),
        [.., b'i'] => Value::Integer(text.trim_end_matches('i').parse().unwrap()),
        [.., b'u'] => Value::Unsigned(text.trim_end_matches('u').parse().unwrap()),
        _ => Value::float(text),
    }
}

/// influxd's export escapes quotes too.
fn unescape(text: &str) -> String {
    text.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_escape_is_read() {
        let text = "m\\ x,a=b\\,\\\\ f\\ i\\,e\\=ld=-0,q\\\"=\"a\\\"b\\\\n\n ,=c\",i=-5i -7\nn u=18446744073709551615u,b=true 8\n";
        let tsv = "m\\\\ x,a=b\\\\,\\\\\\\\\tf i,e=ld\tf\t8000000000000000\t-7\n\
                   m\\\\ x,a=b\\\\,\\\\\\\\\tq\"\ts\t\"a\\\"b\\\\n\\n ,=c\"\t-7\n\
                   m\\\\ x,a=b\\\\,\\\\\\\\\ti\ti\t-5\t-7\n\
                   n\tu\tu\t18446744073709551615\t8\nn\tb\tb\ttrue\t8\n";
        parse(text).assert_equal(&Values::from_tsv(tsv), "line protocol");
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let found = parse_later_wins("m f=1,g=1i 5\nm f=2 5\n");
        found.assert_equal(&parse("m g=1i,f=2 5\n"), "line protocol");
    }
}
