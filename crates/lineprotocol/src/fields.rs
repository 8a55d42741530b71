//! The fields of a line in their usual form.
//!
//! influxd goes over fields twice: one pass checks them, another reads them, and the two tell fields apart by different
//! rules. Where no field has a backslash in its key, and every value ends at a comma, a space or the end of the line,
//! both find the same, and [`plain`](Slots::plain) does both in one pass. All other lines, bad ones too, are left to
//! `careful`, which goes over them twice as influxd does.

use memchr::memchr2;

use crate::key::{LEN_MAX, SEPARATOR};
use crate::number;

/// Fields of one line; keeps its memory from line to line: 48 bytes a field, and the bytes of strings with escapes.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) slots: Vec<Slot>,
    pub(crate) unescaped: Vec<u8>,
}

const _: () = assert!(size_of::<Slot>() <= 48, "the memory of a field, as documented");

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) key: Text,
    pub(crate) value: Parsed,
}

/// Where a text lies: in the line, or unescaped in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    Line { start: usize, end: usize },
    Unescaped { start: usize, end: usize },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Parsed {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(Text),
}

impl Slots {
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.unescaped.clear();
    }

    /// Gives memory back above what usual lines need.
    pub(crate) fn shrink(&mut self) {
        self.clear();
        self.slots.shrink_to(1 << 10);
        self.unescaped.shrink_to(1 << 16);
    }

    /// Reads the fields from `start` on; gives the place behind the last. `None` when they are not in the usual form,
    /// and then some of them may have been added.
    pub(crate) fn plain(&mut self, line: &[u8], start: usize, key_len: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let text = line.get(at..)?;
            let len = text.iter().position(|byte| matches!(byte, b'=' | b',' | b' ' | b'\\'))?;
            if len == 0 || key_len + SEPARATOR.len() + len > LEN_MAX {
                return None;
            }
            let key = Text::Line { start: at, end: at + len };
            at += len + 1;
            let [b'=', text @ ..] = text.get(len..)? else { return None };
            let (value, len) = match text.first()? {
                b'"' => self.plain_string(text, at)?,
                b'0'..=b'9' | b'.' | b'-' => number::short(text).or_else(|| long_number(text))?,
                _ => plain_boolean(text)?,
            };
            self.slots.push(Slot { key, value });
            at += len;
            match line.get(at) {
                Some(b',') => at += 1,
                None | Some(b' ') => return Some(at),
                Some(_) => return None,
            }
        }
    }

    /// `text` starts with the quote, `at` in the line.
    fn plain_string(&mut self, text: &[u8], at: usize) -> Option<(Parsed, usize)> {
        let mut end = 1;
        let mut escaped = false;
        loop {
            end += memchr2(b'"', b'\\', text.get(end..)?)?;
            if text.get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        let content = text.get(1..end)?;
        let value = if escaped {
            self.unescape(content, |byte| matches!(byte, b'"' | b'\\'))
        } else {
            Text::Line { start: at + 1, end: at + end }
        };
        Some((Parsed::String(value), end + 1))
    }

    /// Copies `text` without the backslashes that stand before a byte of this kind.
    pub(crate) fn unescape(&mut self, text: &[u8], is_special: impl Fn(u8) -> bool) -> Text {
        let start = self.unescaped.len();
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.unescaped.extend_from_slice(plain);
            let (byte, taken) = match behind {
                [_, next, ..] if is_special(*next) => (*next, 2),
                _ => (b'\\', 1),
            };
            self.unescaped.push(byte);
            rest = behind.get(taken..).unwrap_or_default();
        }
        self.unescaped.extend_from_slice(rest);
        Text::Unescaped { start, end: self.unescaped.len() }
    }
}

fn long_number(text: &[u8]) -> Option<(Parsed, usize)> {
    let token = token(text);
    Some((number::parse(token).ok()?, token.len()))
}

fn plain_boolean(text: &[u8]) -> Option<(Parsed, usize)> {
    let token = token(text);
    Some((Parsed::Boolean(boolean(token)?), token.len()))
}

/// What is before the comma or the space that ends a value without quotes.
pub(crate) fn token(text: &[u8]) -> &[u8] {
    text.split(|byte| matches!(byte, b',' | b' ')).next().unwrap_or_default()
}

pub(crate) fn boolean(token: &[u8]) -> Option<bool> {
    match token {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}
