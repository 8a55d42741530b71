//! Which part of a body a request wants (RFC 9110, 14.2; design D7).
//!
//! Invariant: a part is sent only to a client that named the whole it belongs to, by the body's `ETag` or by a cut. All others
//! get the whole, so that nobody glues two versions together.
//!
//! | request | answer |
//! |---|---|
//! | no `Range`, more than one range, another unit, not of this form | whole |
//! | `Range`, `If-Range` is not the `ETag` | whole |
//! | `Range`, no `If-Range`, neither the URL names a cut nor `If-Match` the `ETag` | whole |
//! | `Range`, `If-Range` is the `ETag`, or is absent and a cut or the `ETag` is named | the part, or 416 if it lies behind the end |
//!
//! That `If-Match` names another state, or `If-None-Match` this one, was asked before ([`conditions`](crate::conditions)).

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_RANGE, RANGE};

use crate::conditions::Conditions;

/// What a request says of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    range: Option<Range>,
    if_range: Option<Vec<u8>>,
    names_cut: bool,
    conditions: Conditions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// First and last byte.
    From(u64, Option<u64>),
    Last(u64),
}

/// What is sent of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// From a byte to before another, of so many.
    Some {
        start: u64,
        end: u64,
        of: u64,
    },
    /// Nothing: the part lies behind the end of a body of so many bytes.
    Unsatisfiable {
        of: u64,
    },
}

impl Ask {
    /// `names_cut`: whether the URL says of which state the body is.
    pub(crate) fn of(headers: &HeaderMap, names_cut: bool) -> Self {
        let only = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).map(|value| value.as_bytes())
        };
        Self {
            range: only(RANGE).and_then(|value| parse(std::str::from_utf8(value).ok()?)),
            // Any value that is not our tag means the whole, several too.
            if_range: headers.get(IF_RANGE).map(|value| value.as_bytes().to_vec()),
            names_cut,
            conditions: Conditions::of(headers),
        }
    }

    /// The part of a body of this tag and size; the whole while the size is not known.
    pub(crate) fn part(&self, etag: &str, size: Option<u64>) -> Part {
        let matches = match &self.if_range {
            Some(validator) => validator == etag.as_bytes(),
            None => self.names_cut || self.conditions.goes_on_with(etag),
        };
        let (Some(range), Some(of), true) = (self.range, size, matches) else { return Part::Whole };
        let (start, end) = match range {
            Range::From(first, last) => (first, last.map_or(of, |last| last.saturating_add(1)).min(of)),
            Range::Last(len) => (of.saturating_sub(len), of),
        };
        if start < end { Part::Some { start, end, of } } else { Part::Unsatisfiable { of } }
    }
}

/// One range of bytes.
fn parse(value: &str) -> Option<Range> {
    let (unit, set) = value.trim().split_once('=')?;
    if !unit.trim_end().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", len) => Some(Range::Last(number(len)?)),
        (first, "") => Some(Range::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

/// Digits only. What 64 bits cannot hold lies behind every end.
fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderValue, IF_MATCH};

    use super::*;

    const TAG: &str = "\"0123\"";

    fn part(range: &str, if_range: Option<&str>, names_cut: bool) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(validator) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_str(validator).unwrap());
        }
        Ask::of(&headers, names_cut).part(TAG, Some(1000))
    }

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=0-", Some((0, 1000))),
            ("Bytes = 10-19", Some((10, 20))),
            ("bytes=999-", Some((999, 1000))),
            ("bytes=990-5000", Some((990, 1000))),
            ("bytes=990-99999999999999999999999", Some((990, 1000))),
            ("bytes=-1", Some((999, 1000))),
            ("bytes=-5000", Some((0, 1000))),
            ("bytes=1000-", None),
            ("bytes=1000-2000", None),
            ("bytes=99999999999999999999999-", None),
            ("bytes=-0", None),
        ] {
            let expected = match expected {
                Some((start, end)) => Part::Some { start, end, of: 1000 },
                None => Part::Unsatisfiable { of: 1000 },
            };
            assert_eq!(part(range, Some(TAG), false), expected, "{range}");
            assert_eq!(part(range, None, true), expected, "{range}");
        }
    }

    #[test]
    fn all_else_is_the_whole() {
        for range in [
            "bytes=0-1,5-6",
            "bytes=0-1, 5-6",
            "bytes=5-4",
            "bytes=",
            "bytes=-",
            "bytes=+1-",
            "bytes=a-b",
            "bytes=1-2-3",
            "lines=1-2",
            "bytes",
            "",
        ] {
            assert_eq!(part(range, Some(TAG), true), Part::Whole, "{range}");
        }
        let mut twice = HeaderMap::new();
        twice.append(RANGE, HeaderValue::from_static("bytes=1-2"));
        twice.append(RANGE, HeaderValue::from_static("bytes=1-2"));
        assert_eq!(Ask::of(&twice, true).part(TAG, Some(1000)), Part::Whole);
        assert_eq!(Ask::of(&HeaderMap::new(), true).part(TAG, Some(1000)), Part::Whole);
    }

    #[test]
    fn a_client_that_names_no_version_or_another_gets_the_whole() {
        let range = "bytes=10-";
        assert_eq!(part(range, None, false), Part::Whole);
        for other in ["\"0124\"", "W/\"0123\"", "0123", "Sat, 28 Nov 2026 03:00:00 GMT", "", "*"] {
            assert_eq!(part(range, Some(other), false), Part::Whole, "{other}");
            assert_eq!(part(range, Some(other), true), Part::Whole, "{other}, although a cut is named");
        }
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static(range));
        assert_eq!(Ask::of(&headers, true).part(TAG, None), Part::Whole, "of no known size");
    }

    #[test]
    fn a_client_that_goes_on_with_the_tag_alone_has_named_the_version() {
        let part = |if_match: &str, if_range: Option<&str>| {
            let lines = [(RANGE, "bytes=10-"), (IF_MATCH, if_match)];
            let lines = lines.into_iter().chain(if_range.map(|validator| (IF_RANGE, validator)));
            let headers = lines.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect();
            Ask::of(&headers, false).part(TAG, Some(1000))
        };
        let rest = Part::Some { start: 10, end: 1000, of: 1000 };
        assert_eq!(part(TAG, None), rest);
        assert_eq!(part("\"9\", \"0123\"", Some(TAG)), rest);
        assert_eq!(part("*", None), Part::Whole, "any version is none");
        assert_eq!(part(TAG, Some("\"9\"")), Part::Whole, "If-Range decides");
    }
}
