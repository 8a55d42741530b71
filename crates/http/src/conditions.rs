//! Whether a client wants a body at all (RFC 9110, 13): it names the ones that it has, or that it goes on with.
//!
//! In this order; what has no tag is named by `*` alone. There are no dates here, so conditions on dates are ignored, as the
//! RFC has it for a body without one.
//!
//! | header | is it, compared | answer |
//! |---|---|---|
//! | `If-Match` | no, strongly | 412 |
//! | `If-None-Match` | yes, weakly | 304 |
//! | neither of these | | what [`range`](crate::range) says |

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};

/// What a request says of the bodies that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What follows for a body that would be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent, or a part of it.
    Wanted,
    /// The client has it: 304.
    Known,
    /// It is not the one that the client goes on with: 412.
    Another,
}

/// The value of a header, all its lines together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever there is.
    Any,
    /// Tags in their quotes, each with whether it is weak. What stands behind a mistake is not read.
    List(Vec<(bool, String)>),
}

impl Conditions {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { if_match: tags(headers, IF_MATCH), if_none_match: tags(headers, IF_NONE_MATCH) }
    }

    /// Of a body with this tag in its quotes, which is strong, or without one.
    pub(crate) fn verdict(&self, tag: Option<&str>) -> Verdict {
        let is_refused = self.if_match.as_ref().is_some_and(|tags| !tags.is_any() && !tags.names(tag, false));
        let is_known = self.if_none_match.as_ref().is_some_and(|tags| tags.is_any() || tags.names(tag, true));
        match (is_refused, is_known) {
            (true, _) => Verdict::Another,
            (false, true) => Verdict::Known,
            (false, false) => Verdict::Wanted,
        }
    }

    /// Whether the client said that it goes on with the body of this tag and no other.
    pub(crate) fn goes_on_with(&self, tag: &str) -> bool {
        self.if_match.as_ref().is_some_and(|tags| tags.names(Some(tag), false))
    }
}

impl Tags {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }

    /// Whether `tag` is in the list; a weak one in it counts where `weakly`.
    fn names(&self, tag: Option<&str>, weakly: bool) -> bool {
        let Self::List(list) = self else { return false };
        list.iter().any(|(is_weak, listed)| (weakly || !is_weak) && Some(&**listed) == tag)
    }
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Tags> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let lines: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if let [line] = &lines[..]
        && line.trim() == "*"
    {
        return Some(Tags::Any);
    }
    Some(Tags::List(lines.iter().flat_map(|line| list(line)).collect()))
}

/// The tags of a line, up to the first mistake. A tag may have commas in it.
fn list(line: &str) -> Vec<(bool, String)> {
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (is_weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let Some((tag, behind)) = quoted.strip_prefix('"').and_then(|tag| tag.split_once('"')) else {
            return tags;
        };
        tags.push((is_weak, format!("\"{tag}\"")));
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return tags;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const TAG: &str = "\"0123\"";

    fn conditions(lines: &[(HeaderName, &str)]) -> Conditions {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        Conditions::of(&headers)
    }

    fn verdict(lines: &[(HeaderName, &str)]) -> Verdict {
        conditions(lines).verdict(Some(TAG))
    }

    #[test]
    fn what_is_known_is_told_by_its_tag_weak_or_strong_or_by_a_star() {
        for (value, expected) in [
            ("\"0123\"", Verdict::Known),
            ("W/\"0123\"", Verdict::Known),
            ("\"9\", \"0123\"", Verdict::Known),
            ("\"9\",W/\"0123\" , \"8\"", Verdict::Known),
            ("\"a, b\", \"0123\"", Verdict::Known),
            (", , \"0123\"", Verdict::Known),
            ("*", Verdict::Known),
            (" * ", Verdict::Known),
            ("\"0124\"", Verdict::Wanted),
            ("\"0123", Verdict::Wanted),
            ("0123", Verdict::Wanted),
            ("\"a, \"0123\"", Verdict::Wanted),
            ("w/\"0123\"", Verdict::Wanted),
            ("\"9\"x, \"0123\"", Verdict::Wanted),
            ("*, \"9\"", Verdict::Wanted),
            ("\"\"", Verdict::Wanted),
            ("", Verdict::Wanted),
        ] {
            assert_eq!(verdict(&[(IF_NONE_MATCH, value)]), expected, "{value}");
        }
        assert_eq!(verdict(&[(IF_NONE_MATCH, "\"9\""), (IF_NONE_MATCH, TAG)]), Verdict::Known, "two lines");
        assert_eq!(verdict(&[]), Verdict::Wanted);
    }

    #[test]
    fn who_goes_on_with_a_body_names_it_strongly_or_gets_a_refusal() {
        for (value, expected) in [
            ("\"0123\"", Verdict::Wanted),
            ("\"9\", \"0123\"", Verdict::Wanted),
            ("*", Verdict::Wanted),
            ("W/\"0123\"", Verdict::Another),
            ("\"0124\"", Verdict::Another),
            ("*, \"9\"", Verdict::Another),
            ("0123", Verdict::Another),
            ("", Verdict::Another),
        ] {
            assert_eq!(verdict(&[(IF_MATCH, value)]), expected, "{value}");
            let goes_on = expected == Verdict::Wanted && value != "*";
            assert_eq!(conditions(&[(IF_MATCH, value)]).goes_on_with(TAG), goes_on, "{value}");
        }
    }

    #[test]
    fn what_it_goes_on_with_is_asked_before_what_it_has() {
        for (if_match, if_none_match, expected) in [
            (TAG, TAG, Verdict::Known),
            (TAG, "\"9\"", Verdict::Wanted),
            ("\"9\"", TAG, Verdict::Another),
            ("\"9\"", "\"9\"", Verdict::Another),
            ("*", "*", Verdict::Known),
        ] {
            assert_eq!(verdict(&[(IF_NONE_MATCH, if_none_match), (IF_MATCH, if_match)]), expected);
        }
    }

    #[test]
    fn what_has_no_tag_is_meant_by_a_star_alone() {
        for (name, value, expected) in [
            (IF_NONE_MATCH, "*", Verdict::Known),
            (IF_NONE_MATCH, TAG, Verdict::Wanted),
            (IF_MATCH, "*", Verdict::Wanted),
            (IF_MATCH, TAG, Verdict::Another),
        ] {
            assert_eq!(conditions(&[(name.clone(), value)]).verdict(None), expected, "{name}: {value}");
        }
    }
}
