//! The `since` of a shard download: RFC 3339, to nanoseconds since 1970.
//!
//! ```text
//! 2006-01-02T15:04:05[.fraction](Z|+hh:mm|-hh:mm| hh:mm|nothing)
//! ```
//!
//! Accepted beyond the letter: a missing offset means UTC (Python's naive datetimes), and a space where a sign belongs
//! is a `+` that was not escaped in the URL. Digits after the ninth of the fraction are dropped: the moment becomes
//! earlier by less than a nanosecond, and an earlier `since` sends more, never less. A moment that 64 bits of
//! nanoseconds cannot hold counts as the nearest one that they can, for the same reason.

use jiff::civil::DateTime;

use crate::problem::{Code, Problem};

/// `None` for an absent or empty value: everything.
pub(crate) fn parse(value: Option<&str>) -> Result<Option<i64>, Problem> {
    match value {
        None | Some("") => Ok(None),
        Some(text) => rfc3339(text).map(Some).ok_or_else(|| refusal(text)),
    }
}

fn refusal(text: &str) -> Problem {
    let quoted: String = text.chars().take(100).collect();
    Problem::new(
        Code::Invalid,
        format!("since: {quoted:?} is not a time in RFC 3339 format, for example \"2006-01-02T15:04:05Z\""),
    )
}

fn rfc3339(text: &str) -> Option<i64> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, "-", 2)?;
    let day = after(&mut rest, "-", 2)?;
    let hour = after(&mut rest, "T", 2)?;
    let minute = after(&mut rest, ":", 2)?;
    let second = after(&mut rest, ":", 2)?;
    let nanosecond = fraction(&mut rest)?;
    let offset_ns = offset_ns(rest)?;
    let local = DateTime::new(
        year,
        month.try_into().ok()?,
        day.try_into().ok()?,
        hour.try_into().ok()?,
        minute.try_into().ok()?,
        second.try_into().ok()?,
        nanosecond,
    )
    .ok()?;
    // Not through `Timestamp`, which ends a day before the year 9999 does.
    let moment = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_nanos() - offset_ns;
    Some(i64::try_from(moment).unwrap_or(if moment < 0 { i64::MIN } else { i64::MAX }))
}

/// `count` decimal digits (at most four).
fn digits(rest: &mut &str, count: usize) -> Option<i16> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    if head.bytes().all(|byte| byte.is_ascii_digit()) { head.parse().ok() } else { None }
}

fn after(rest: &mut &str, mark: &str, count: usize) -> Option<i16> {
    *rest = rest.strip_prefix(mark)?;
    digits(rest, count)
}

fn fraction(rest: &mut &str) -> Option<i32> {
    let Some(tail) = rest.strip_prefix('.') else { return Some(0) };
    let end = tail.find(|character: char| !character.is_ascii_digit()).unwrap_or(tail.len());
    let (digits, tail) = tail.split_at_checked(end)?;
    *rest = tail;
    let kept: String = digits.chars().chain("000000000".chars()).take(9).collect();
    if digits.is_empty() { None } else { kept.parse().ok() }
}

fn offset_ns(text: &str) -> Option<i128> {
    if matches!(text, "" | "Z") {
        return Some(0);
    }
    let (sign, mut rest) = match text.split_at_checked(1)? {
        ("+" | " ", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let hours = i128::from(digits(&mut rest, 2)?);
    let minutes = i128::from(after(&mut rest, ":", 2)?);
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 60 + minutes) * 60_000_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ns(text: &str) -> i64 {
        parse(Some(text)).unwrap_or_else(|problem| panic!("{problem:?}")).expect("not empty")
    }

    #[test]
    fn absent_and_empty_mean_everything() {
        assert_eq!(parse(None), Ok(None));
        assert_eq!(parse(Some("")), Ok(None));
    }

    #[test]
    fn the_forms_clients_send_are_understood() {
        assert_eq!(ns("1970-01-01T00:00:00Z"), 0);
        assert_eq!(ns("1970-01-01T00:00:01.5Z"), 1_500_000_000);
        assert_eq!(ns("1970-01-01T01:00:00.000000001+01:00"), 1);
        assert_eq!(ns("1970-01-01T01:00:00 01:00"), 0);
        assert_eq!(ns("1969-12-31T23:30:00-00:30"), 0);
        assert_eq!(ns("2026-11-22T17:15:31.123456"), 1_795_367_731_123_456_000);
        assert_eq!(ns("1970-01-01T00:00:00.0000000019Z"), 1);
    }

    #[test]
    fn moments_beyond_64_bits_count_as_the_nearest() {
        assert_eq!(ns("0001-01-01T00:00:00Z"), i64::MIN);
        assert_eq!(ns("0000-01-01T00:00:00+23:59"), i64::MIN);
        assert_eq!(ns("9999-12-31T23:59:59.999999999-23:59"), i64::MAX);
        assert_eq!(ns("2262-04-11T23:47:16.854775807Z"), i64::MAX);
    }

    #[test]
    fn everything_else_is_refused_and_quoted() {
        for text in [
            "yesterday",
            "2026-11-22",
            "2026-11-22 17:15:31Z",
            "2026-11-22t17:15:31z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T17:15:60Z",
            "2026-11-22T17:15:31.Z",
            "2026-11-22T17:15:31+1:00",
            "2026-11-22T17:15:31+24:00",
            "2026-11-22T17:15:31+01:00:00",
            "2026-11-22T17:15:31ZZ",
            "+026-11-22T17:15:31Z",
            "1700000000",
            "%zz",
            "é026-11-22T17:15:31Z",
        ] {
            let problem = parse(Some(text)).expect_err(text);
            assert_eq!(problem.code, Code::Invalid);
            assert!(problem.message.contains(&format!("{text:?}")), "{}", problem.message);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_refused(text in ".*") {
            let _ = parse(Some(&text));
        }

        #[test]
        fn what_the_answer_states_as_its_cut_is_read_back(cut in any::<i64>()) {
            prop_assert_eq!(parse(Some(&crate::clock::rfc3339_ns(cut))), Ok(Some(cut)));
        }
    }
}
