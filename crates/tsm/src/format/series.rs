//! The series key: a measurement and its tags as one text, the first part of a composite key (see [`key`](super::key)).
//!
//! Invariant: what [`build`] appends is read back as the parts that were given, and is canonical.
//!
//! ```text
//! series key   | measurement | , key = value | , key = value | …      tags ascend by their keys as they are stored
//!
//! \ stands before  , and space           in a measurement
//!                  , and space and =     in the key and the value of a tag
//! ```
//!
//! A backslash before any other byte, another backslash too, stands for itself. There is no escape for it: a part that
//! ends in one cannot have a separator behind it.
//!
//! ```
//! use icecore_tsm::{key, series};
//!
//! let (text, field) = key::split(br"disk\ io,host=a,path=/mnt/a\,b#!~#reads").unwrap();
//! let series = series::SeriesKey::new(text);
//! assert_eq!(*series.measurement().unescape(), *b"disk io");
//! let paths: Vec<_> = series.tags().filter(|tag| tag.key.as_stored() == b"path").collect();
//! assert_eq!(*paths[0].value.unescape(), *b"/mnt/a,b");
//!
//! let mut built = Vec::new();
//! series::build(b"disk io", &[(b"path", b"/mnt/a,b"), (b"host", b"a")], &mut built)?;
//! assert_eq!(built, text);
//! assert!(series.is_canonical());
//! # Ok::<(), icecore_tsm::Error>(())
//! ```

use std::borrow::Cow;

use crate::error::{Error, Result};

const ESCAPE: u8 = b'\\';
const IN_MEASUREMENT: &[u8] = b", ";
const IN_TAG: &[u8] = b", =";

/// A series key taken apart as influxd does it; nothing is copied.
///
/// influxd takes any bytes for a series key: a bare space ends it, a tag without `=` ends its tags, and one without a
/// value is no tag. Texts as they should be are told by [`is_canonical`](Self::is_canonical).
#[derive(Clone, Copy, Debug)]
pub struct SeriesKey<'a> {
    text: &'a [u8],
    measurement: &'a [u8],
    tags: &'a [u8],
}

/// Key and value of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Its name; empty only in a text that is not canonical.
    pub key: Escaped<'a>,
    /// Never empty.
    pub value: Escaped<'a>,
}

/// A part of a series key with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a> {
    stored: &'a [u8],
    special: &'static [u8],
}

/// The tags of a series key, in the order of its text.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> SeriesKey<'a> {
    /// Finds the end of the measurement.
    pub fn new(text: &'a [u8]) -> Self {
        // The first byte is never a separator; a comma there leaves the measurement empty, and influxd looks no further.
        let end = match text.first() {
            None | Some(b',') => 0,
            Some(_) => bare(text, 1, IN_MEASUREMENT).unwrap_or(text.len()),
        };
        let (measurement, behind) = text.split_at_checked(end).unwrap_or((text, &[]));
        let tags = behind.strip_prefix(b",").filter(|_| end > 0).unwrap_or_default();
        Self { text, measurement, tags }
    }

    /// The measurement; empty only in a text that is not canonical.
    pub fn measurement(&self) -> Escaped<'a> {
        Escaped { stored: self.measurement, special: IN_MEASUREMENT }
    }

    /// The tags, by their stored keys where the key is canonical.
    pub fn tags(&self) -> Tags<'a> {
        Tags { rest: self.tags }
    }

    /// Whether [`build`] makes this very text of its parts: nothing is empty, repeated or left over, every separator
    /// inside a part is escaped, and tags ascend.
    ///
    /// That is what influxd's parser of line protocol stores, but for a value that begins with `=`: it keeps that one bare.
    /// Its other writers sort tags by their keys without the escapes, so that their texts need not be canonical where a
    /// key has one.
    pub fn is_canonical(&self) -> bool {
        let mut len = self.measurement.len();
        let mut before: &[u8] = &[];
        let tags = self.tags().all(|Tag { key, value }| {
            len += 1 + key.stored.len() + 1 + value.stored.len();
            let ascends = before < key.stored;
            before = key.stored;
            ascends && key.is_escaped() && value.is_escaped()
        });
        tags && len == self.text.len() && !self.measurement.is_empty() && self.measurement().is_escaped()
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (key, behind) = self.rest.split_at_checked(bare(self.rest, 0, b"=")?)?;
            let behind = behind.strip_prefix(b"=")?;
            let end = bare(behind, 0, b",").unwrap_or(behind.len());
            let (value, behind) = behind.split_at_checked(end)?;
            if !value.is_empty() {
                self.rest = behind.strip_prefix(b",").unwrap_or_default();
                let escaped = |stored| Escaped { stored, special: IN_TAG };
                return Some(Tag { key: escaped(key), value: escaped(value) });
            }
            self.rest = behind; // influxd leaves the comma behind an empty value to the key of the next tag
        }
    }
}

impl<'a> Escaped<'a> {
    /// The text with its escapes.
    pub fn as_stored(&self) -> &'a [u8] {
        self.stored
    }

    /// The text without its escapes; borrowed when there are none.
    pub fn unescape(&self) -> Cow<'a, [u8]> {
        let is_escape = |pair: &[u8; 2]| matches!(pair, [ESCAPE, byte] if self.special.contains(byte));
        if !self.stored.array_windows().any(is_escape) {
            return Cow::Borrowed(self.stored);
        }
        let mut text = Vec::with_capacity(self.stored.len());
        let mut rest = self.stored;
        while let [byte, behind @ ..] = rest {
            // The byte behind an escape comes with the next round: it is no backslash.
            if !rest.first_chunk().is_some_and(is_escape) {
                text.push(*byte);
            }
            rest = behind;
        }
        Cow::Owned(text)
    }

    /// Whether a backslash stands before every byte that needs one.
    fn is_escaped(&self) -> bool {
        bare(self.stored, 0, self.special).is_none()
    }
}

/// The first byte from `from` on that is one of `special` without a backslash before it.
fn bare(text: &[u8], from: usize, special: &[u8]) -> Option<usize> {
    let mut before = from.checked_sub(1).and_then(|at| text.get(at)).copied();
    let found = text
        .get(from..)?
        .iter()
        .position(|byte| before.replace(*byte) != Some(ESCAPE) && special.contains(byte));
    found.map(|at| from + at)
}

/// Appends the series key of a measurement and its tags, given without escapes and in any order.
///
/// A tag without a value is left out, as influxd does. Every byte of a part is taken as it is; influxd takes escapes in
/// the name of a measurement for its own when it builds a key.
///
/// # Errors
/// `Unfit`, and nothing is appended, when the measurement or the key of a tag is empty, when two tags have one key, or
/// when a part ends in a backslash and another follows: it would be read as an escape.
pub fn build(measurement: &[u8], tags: &[(&[u8], &[u8])], out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let outcome = build_parts(measurement, tags, out);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn build_parts(measurement: &[u8], tags: &[(&[u8], &[u8])], out: &mut Vec<u8>) -> Result<()> {
    if measurement.is_empty() {
        return Err(Error::unfit("a series without a measurement"));
    }
    out.extend(escaped(measurement, IN_MEASUREMENT));
    let mut sorted: Vec<_> = tags.iter().filter(|(_, value)| !value.is_empty()).collect();
    sorted.sort_by(|(a, _), (b, _)| escaped(a, IN_TAG).cmp(escaped(b, IN_TAG)));
    let mut before: Option<&[u8]> = None;
    for (key, value) in sorted {
        if key.is_empty() {
            return Err(Error::unfit("a tag without a key"));
        }
        if before.replace(key) == Some(key) {
            return Err(Error::unfit("two tags of a series have one key"));
        }
        put_separator(b',', out)?;
        out.extend(escaped(key, IN_TAG));
        put_separator(b'=', out)?;
        out.extend(escaped(value, IN_TAG));
    }
    Ok(())
}

fn put_separator(separator: u8, out: &mut Vec<u8>) -> Result<()> {
    if out.last() == Some(&ESCAPE) {
        return Err(Error::unfit("a backslash at the end of a part of a series key"));
    }
    out.push(separator);
    Ok(())
}

fn escaped<'a>(text: &'a [u8], special: &'static [u8]) -> impl Iterator<Item = u8> + 'a {
    text.iter().flat_map(move |byte| {
        special.contains(byte).then_some(ESCAPE).into_iter().chain(std::iter::once(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

    fn parts(text: &str) -> Parts {
        let series = SeriesKey::new(text.as_bytes());
        let text = |part: Escaped<'_>| part.unescape().into_owned();
        (text(series.measurement()), series.tags().map(|tag| (text(tag.key), text(tag.value))).collect())
    }

    fn expected(measurement: &str, tags: &[(&str, &str)]) -> Parts {
        let bytes = |text: &str| text.as_bytes().to_vec();
        (bytes(measurement), tags.iter().map(|(key, value)| (bytes(key), bytes(value))).collect())
    }

    fn build_behind(before: &[u8], measurement: &str, tags: &[(&str, &str)]) -> (Vec<u8>, Result<()>) {
        let tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        let mut out = before.to_vec();
        let outcome = build(measurement.as_bytes(), &tags, &mut out);
        (out, outcome)
    }

    fn built(measurement: &str, tags: &[(&str, &str)]) -> String {
        let (out, outcome) = build_behind(b"", measurement, tags);
        outcome.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn canonical_texts_are_taken_apart_and_built_again() {
        for (text, measurement, tags) in [
            ("cpu", "cpu", &[][..]),
            ("cpu,host=a,rack=7", "cpu", &[("host", "a"), ("rack", "7")]),
            (r"a\ b\,c=d,k\=\,\ =v\=\,\ ", "a b,c=d", &[("k=, ", "v=, ")]),
            (r"\,m,\ =\,", ",m", &[(" ", ",")]),
            (r"m\\,x", r"m\,x", &[]),
            (r"m\x,k\y=v\z\", r"m\x", &[(r"k\y", r"v\z\")]),
            (r"m\", r"m\", &[]),
            ("m,a0=1,a\\,b=2", "m", &[("a0", "1"), ("a,b", "2")]),
        ] {
            assert_eq!(parts(text), expected(measurement, tags), "{text}");
            assert!(SeriesKey::new(text.as_bytes()).is_canonical(), "{text}");
            let reversed: Vec<_> = tags.iter().copied().rev().collect();
            assert_eq!(built(measurement, &reversed), text);
        }
    }

    #[test]
    fn other_texts_are_taken_apart_as_influxd_does() {
        for (text, measurement, tags) in [
            ("", "", &[][..]),
            (",a=b", "", &[]),
            (" m", " m", &[]),
            ("m x,a=b", "m", &[]),
            ("m,", "m", &[]),
            ("m,a", "m", &[]),
            ("m,a=", "m", &[]),
            ("m,=b", "m", &[("", "b")]),
            ("m,a=,b=c", "m", &[(",b", "c")]),
            ("m,a=b=c", "m", &[("a", "b=c")]),
            ("m,a=b c,d", "m", &[("a", "b c")]),
            (r"m,a=b\,c=d", "m", &[("a", "b,c=d")]),
            ("m,b=1,a=2", "m", &[("b", "1"), ("a", "2")]),
            ("m,a=1,a=2", "m", &[("a", "1"), ("a", "2")]),
        ] {
            assert_eq!(parts(text), expected(measurement, tags), "{text}");
            assert!(!SeriesKey::new(text.as_bytes()).is_canonical(), "{text}");
        }
    }

    #[test]
    fn a_text_that_would_read_differently_is_not_built() {
        let refusal = |measurement, tags: &[_]| {
            let (out, outcome) = build_behind(b"before", measurement, tags);
            assert_eq!(out, b"before");
            outcome.unwrap_err().to_string()
        };
        let backslash = "a backslash at the end of a part of a series key";
        assert_eq!(refusal("", &[]), "a series without a measurement");
        assert_eq!(refusal("m", &[("", "v")]), "a tag without a key");
        assert_eq!(refusal("m", &[("k", "1"), ("a", "2"), ("k", "3")]), "two tags of a series have one key");
        assert_eq!(refusal("m\\", &[("k", "v")]), backslash);
        assert_eq!(refusal("m", &[("k\\", "v")]), backslash);
        assert_eq!(refusal("m", &[("a", "v\\"), ("b", "v")]), backslash);
        assert_eq!(built("m", &[("a", ""), ("a", "1"), ("", "")]), "m,a=1");
    }
}
