//! Fields in any form, gone over twice as influxd does.
//!
//! The check takes a backslash and the next byte together, anywhere. The reading takes a byte for escaped when a
//! backslash stands before it, whatever stands before that; and a value lasts to the next comma outside quotes, so that
//! what follows the end of a string belongs to it, and its last byte is dropped in place of the quote. What is read may
//! therefore be something else than what was checked: `f="x"y` is the string `x"`.

use crate::error::Reason;
use crate::fields::{Parsed, Slot, Slots, Text, boolean, token};
use crate::key::{LEN_MAX, SEPARATOR};
use crate::number;

/// Checks the fields from `start` on; gives the place behind the last.
pub(crate) fn check(line: &[u8], start: usize) -> Result<usize, Reason<'_>> {
    let mut at = start;
    let mut quoted = false;
    let mut equals = 0usize;
    let mut commas = 0usize;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if at + 1 < line.len() => at += 1,
            b'"' if equals > commas => quoted = !quoted,
            _ if quoted => {}
            b'=' => {
                equals += 1;
                let (before, behind) = line.split_at_checked(at).unwrap_or((line, &[]));
                if matches!(before, [.., escape, b' ' | b','] if *escape != b'\\') {
                    return Err(Reason::MissingFieldKey);
                }
                at += check_value(behind.get(1..).unwrap_or_default())?;
            }
            b',' => commas += 1,
            b' ' => break,
            _ => {}
        }
        at += 1;
    }
    if quoted {
        return Err(Reason::UnbalancedQuotes);
    }
    if equals == 0 || equals - 1 != commas {
        return Err(Reason::InvalidFieldFormat);
    }
    Ok(at)
}

/// Checks the value at the start of `text` and gives its length; a string is left to the caller.
fn check_value(text: &[u8]) -> Result<usize, Reason<'_>> {
    match text.first() {
        None | Some(b',' | b' ') => Err(Reason::MissingFieldValue),
        Some(b'"') => Ok(0),
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => {
            number::parse(token(text)).map(|_| token(text).len())
        }
        Some(_) => boolean(token(text)).map(|_| token(text).len()).ok_or(Reason::InvalidBoolean),
    }
}

impl Slots {
    /// Reads the fields in `start..end`, which were checked.
    ///
    /// Gives the key of the first field whose value cannot be read: influxd finds it only when it stores the point, and
    /// everything else wrong with the line comes before.
    pub(crate) fn read<'l>(
        &mut self,
        line: &'l [u8],
        start: usize,
        end: usize,
        key_len: usize,
    ) -> Result<Option<&'l [u8]>, Reason<'l>> {
        let mut unreadable = None;
        let mut at = start;
        while at < end {
            let fields = line.get(at..end).unwrap_or_default();
            let (key, value) = split_field(fields).map_err(Reason::InvalidValue)?;
            let len = key_len + SEPARATOR.len() + key.len();
            if len > LEN_MAX {
                return Err(Reason::KeyTooLong(len));
            }
            let value_at = at + key.len() + 1;
            match self.value(value, value_at) {
                Some(parsed) => {
                    let key = self.key(key, at);
                    self.slots.push(Slot { key, value: parsed });
                }
                None => unreadable = unreadable.or(Some(key)),
            }
            at = value_at + value.len() + 1;
        }
        Ok(unreadable)
    }

    fn key(&mut self, key: &[u8], at: usize) -> Text {
        match memchr::memchr(b'\\', key) {
            None => Text::Line { start: at, end: at + key.len() },
            Some(_) => self.unescape(key, |byte| matches!(byte, b',' | b'"' | b' ' | b'=')),
        }
    }

    fn value(&mut self, value: &[u8], at: usize) -> Option<Parsed> {
        match value {
            [b'"', content @ .., _] => Some(Parsed::String(match memchr::memchr(b'\\', content) {
                None => Text::Line { start: at + 1, end: at + 1 + content.len() },
                Some(_) => self.unescape(content, |byte| matches!(byte, b'"' | b'\\')),
            })),
            [b'0'..=b'9' | b'-' | b'.', ..] => number::parse(value).ok(),
            _ => boolean(value).map(Parsed::Boolean),
        }
    }
}

/// Key and value of the first field; its key alone when nothing can be its value.
fn split_field(fields: &[u8]) -> Result<(&[u8], &[u8]), &[u8]> {
    let mut before = None;
    let is_bare_equals = |byte: &u8| before.replace(*byte) != Some(b'\\') && *byte == b'=';
    let end = fields.iter().position(is_bare_equals).unwrap_or(fields.len());
    let (key, behind) = fields.split_at_checked(end).unwrap_or((fields, &[]));
    match behind {
        [_, text @ ..] if !text.is_empty() => Ok((key, text.get(..value_len(text)).unwrap_or_default())),
        _ => Err(key),
    }
}

/// Where the value at the start of `text` ends: at a comma outside quotes.
fn value_len(text: &[u8]) -> usize {
    let mut at = 0;
    let mut quoted = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Pieces of which fields are made, and of which they are not.
    fn fields() -> impl Strategy<Value = Vec<u8>> {
        let value = select(vec![
            "1",
            "-1.5",
            "1e5",
            "7i",
            "7u",
            "t",
            "false",
            "\"\"",
            "\"a b\"",
            "\"a,=\"",
            r#""\"\\""#,
            r#""\x""#,
            "9007199254740993",
            "0.1000000000000000055511151231257827",
            "99999999999999999999i",
            "1x",
            "x",
            "",
            "\"",
            r"\",
            "1.2.3",
            "-",
            "123456789012345678i",
            "1234567890123456789",
            ".5",
            "5.",
            "1 ",
            "\"a\"b",
        ]);
        let key = select(vec!["f", "time", "long_name", "a\"b", r"a\,b", r"a\\", "", "\t", "=", " ", "a b"]);
        vec((key, value), 0..5).prop_map(|fields| {
            let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("m {}", fields.join(",")).into_bytes()
        })
    }

    fn content(slots: &Slots, line: &[u8]) -> String {
        let text = |text: &Text| match *text {
            Text::Line { start, end } => line[start..end].escape_ascii().to_string(),
            Text::Unescaped { start, end } => slots.unescaped[start..end].escape_ascii().to_string(),
        };
        let field = |slot: &Slot| match &slot.value {
            Parsed::String(value) => format!("{}={:?}", text(&slot.key), text(value)),
            value => format!("{}={value:?}", text(&slot.key)),
        };
        slots.slots.iter().map(field).collect::<Vec<_>>().join(",")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fields_in_their_usual_form_are_the_same_both_ways(line in fields()) {
            let (mut plain, mut read) = (Slots::default(), Slots::default());
            if let Some(end) = plain.plain(&line, 2, 1) {
                prop_assert_eq!(check(&line, 2), Ok(end));
                prop_assert_eq!(read.read(&line, 2, end, 1), Ok(None));
                prop_assert_eq!(content(&plain, &line), content(&read, &line));
            }
        }
    }
}
