use std::iter::FusedIterator;
use std::slice;

use crate::fields::{Parsed, Slot, Text};
use crate::key::SEPARATOR;

/// One point with all its fields; it borrows from the batch and from the parser.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) measurement_len: usize,
    pub(crate) time_ns: i64,
    pub(crate) offset: usize,
    pub(crate) fields: Fields<'a>,
}

/// One field of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its name without escapes. It can be empty, `time`, or the same as another of the line, and it need not be UTF-8.
    pub key: &'a [u8],
    /// Its value.
    pub value: Value<'a>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Finite; −0.0 is kept.
    Float(f64),
    /// Signed, 64 bits.
    Integer(i64),
    /// Unsigned, 64 bits.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Without escapes; any bytes of any length.
    String(&'a [u8]),
}

/// The fields of a point, in the order of the line.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    pub(crate) slots: slice::Iter<'a, Slot>,
    pub(crate) line: &'a [u8],
    pub(crate) unescaped: &'a [u8],
}

impl<'a> Line<'a> {
    /// The series key as it is stored: measurement and tags with their escapes, tags sorted by their keys.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The measurement with its escapes: the start of [`key`](Self::key).
    pub fn measurement(&self) -> &'a [u8] {
        self.key.get(..self.measurement_len).unwrap_or_default()
    }

    /// Nanoseconds since 1970 UTC; between [`TIME_MIN`](crate::TIME_MIN) and [`TIME_MAX`](crate::TIME_MAX) unless it is
    /// the caller's "now".
    pub fn time_ns(&self) -> i64 {
        self.time_ns
    }

    /// Where the line starts in the batch, behind white space.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The fields, at least one.
    pub fn fields(&self) -> Fields<'a> {
        self.fields.clone()
    }

    /// The key of a TSM file for a field of this line, in a buffer that is used again: series key, `#!~#`, field.
    pub fn composite<'k>(&self, field: &[u8], buffer: &'k mut Vec<u8>) -> &'k [u8] {
        buffer.clear();
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(SEPARATOR);
        buffer.extend_from_slice(field);
        buffer
    }
}

impl<'a> Fields<'a> {
    fn text(&self, text: Text) -> &'a [u8] {
        match text {
            Text::Line { start, end } => self.line.get(start..end),
            Text::Unescaped { start, end } => self.unescaped.get(start..end),
        }
        .unwrap_or_default()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let slot = self.slots.next()?;
        let value = match slot.value {
            Parsed::Float(value) => Value::Float(value),
            Parsed::Integer(value) => Value::Integer(value),
            Parsed::Unsigned(value) => Value::Unsigned(value),
            Parsed::Boolean(value) => Value::Boolean(value),
            Parsed::String(text) => Value::String(self.text(text)),
        };
        Some(Field { key: self.text(slot.key), value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}
impl FusedIterator for Fields<'_> {}
