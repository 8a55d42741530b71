//! Times and durations as text.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// RFC 3339 in UTC with all nine digits, so that texts of equal length compare like the times.
pub(crate) fn rfc3339_ns(ns: i64) -> String {
    let moment = Timestamp::from_nanosecond(ns.into()).expect("64 bits of nanoseconds end in 2262");
    format!("{moment:.9}")
}

/// RFC 3339 in UTC without trailing zeros, as Go writes times in JSON.
pub(crate) fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into()).expect("64 bits of nanoseconds end in 2262").to_string()
}

/// The wall clock, ns since 1970. A clock set outside 1970 to 2262 counts as the nearest end.
pub(crate) fn now_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

/// Go's text of a duration: `22.246312059s`, `1h0m0.5s`, `1.5ms`, `0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(ns, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(ns, 6)),
        _ => {
            let minutes = ns / 60_000_000_000;
            let seconds = decimal(ns % 60_000_000_000, 9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `value` / 10^`places` without trailing zeros.
fn decimal(value: u128, places: u32) -> String {
    let unit = 10_u128.pow(places);
    let width = places as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (10_000_000, "10ms"),
            (22_246_312_059, "22.246312059s"),
            (60_000_000_000, "1m0s"),
            (3_600_500_000_000, "1h0m0.5s"),
            (363_601_000_000_000, "101h0m1s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(ns)), text);
        }
    }

    #[test]
    fn times_have_as_many_digits_as_asked() {
        assert_eq!(rfc3339_ns(1_500_000_000), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339_ns(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }
}
