//! Lines of a column: `prefix value suffix separator time`, one for each point.
//!
//! What a line costs is mostly copying a few bytes at a time, so here is done what a processor wants. Text is appended in
//! steps of constant length, which are a few instructions, and what is too much is cut off; an append of variable length
//! is a call. And the digits of numbers are made some lines ahead: bytes that were just written one by one cannot be read as
//! one word for a while.

use std::array;

use super::time::TimeText;

/// When the output of a caller is handed on; a few lines may pass it.
pub(super) const FULL: usize = 256 << 10;

/// Bytes that are appended at once.
const STEP: usize = 32;

/// Numbers whose digits are made ahead.
const AHEAD: usize = 16;

/// What all lines of a key begin with.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// Filled up with zeros to whole steps.
    steps: Vec<u8>,
    len: usize,
}

impl Prefix {
    /// Becomes what `put` appends. Memory is kept.
    pub(super) fn set(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        self.steps.clear();
        put(&mut self.steps);
        self.len = self.steps.len();
        self.steps.resize(self.len.next_multiple_of(STEP), 0);
    }

    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        let (steps, _) = self.steps.as_chunks::<STEP>();
        for step in steps {
            out.extend_from_slice(step);
        }
        out.truncate(end);
    }
}

/// How the lines of a column look, but for their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    pub(super) prefix: &'a Prefix,
    /// Between value and time.
    pub(super) separator: u8,
}

/// A number that is made text in two steps, between which some time should pass.
pub(super) trait Number: Copy {
    /// Memory for the digits.
    type Buffer: Default;

    /// The digits of the number.
    fn digits(self, buffer: &mut Self::Buffer) -> &[u8];

    /// Appends the text of the number, made of its digits; of an integer they are all of it.
    #[inline]
    fn put(self, digits: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(digits);
    }
}

impl Number for i64 {
    type Buffer = itoa::Buffer;

    #[inline]
    fn digits(self, buffer: &mut itoa::Buffer) -> &[u8] {
        buffer.format(self).as_bytes()
    }
}

impl Number for u64 {
    type Buffer = itoa::Buffer;

    #[inline]
    fn digits(self, buffer: &mut itoa::Buffer) -> &[u8] {
        buffer.format(self).as_bytes()
    }
}

/// Appends lines of points until there are none left or `out` is [`FULL`]. Returns their number; it is 0 only where there
/// are no points.
pub(super) fn put<T>(
    layout: Layout<'_>,
    times: &[i64],
    values: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    put_value: impl Fn(T, &mut Vec<u8>),
) -> usize {
    let mut time_text = TimeText::new(layout.separator);
    let mut lines = 0;
    for (time, value) in times.iter().zip(values) {
        layout.prefix.put(out);
        put_value(value, out);
        time_text.put(*time, out);
        lines += 1;
        if out.len() >= FULL {
            break;
        }
    }
    lines
}

/// As [`put`], for numbers, with `suffix` behind each.
pub(super) fn put_numbers<T: Number>(
    layout: Layout<'_>,
    suffix: &[u8],
    times: &[i64],
    values: &[T],
    out: &mut Vec<u8>,
) -> usize {
    let mut time_text = TimeText::new(layout.separator);
    let mut buffers: [T::Buffer; AHEAD] = array::from_fn(|_| T::Buffer::default());
    let mut lines = 0;
    for (times, values) in times.chunks(AHEAD).zip(values.chunks(AHEAD)) {
        let mut texts: [&[u8]; AHEAD] = [&[]; AHEAD];
        for ((text, buffer), value) in texts.iter_mut().zip(&mut buffers).zip(values) {
            *text = value.digits(buffer);
        }
        for ((text, value), time) in texts.iter().zip(values).zip(times) {
            layout.prefix.put(out);
            value.put(text, out);
            out.extend_from_slice(suffix);
            time_text.put(*time, out);
            lines += 1;
        }
        if out.len() >= FULL {
            break;
        }
    }
    lines
}

/// `true` or `false`.
pub(super) fn boolean_text(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}
