//! Timestamps: their unit, their range, and what stands in for a missing one.

use std::fmt;
use std::str::FromStr;

use crate::error::Reason;
use crate::number::signed;

/// The earliest time of a point, in nanoseconds since 1970 UTC; the two below are influxd's own marks.
pub const TIME_MIN: i64 = i64::MIN + 2;
/// The latest time of a point, in nanoseconds since 1970 UTC.
pub const TIME_MAX: i64 = i64::MAX - 1;

/// The unit of the timestamps of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `ns`
    #[default]
    Nanoseconds,
    /// `us`
    Microseconds,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
}

/// A text that names no [`Precision`]. Prints influxd's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPrecision;

impl Precision {
    /// The nanoseconds in one unit.
    pub const fn nanos(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
        }
    }

    /// The last whole unit not after `time_ns`.
    pub const fn truncate(self, time_ns: i64) -> i64 {
        time_ns.saturating_sub(time_ns.rem_euclid(self.nanos()))
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    /// Reads the parameter `precision` of the write API, which has `ns` for its default.
    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        Ok(match text {
            "ns" => Self::Nanoseconds,
            "us" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            _ => return Err(UnknownPrecision),
        })
    }
}

impl fmt::Display for UnknownPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid precision; valid precision units are ns, us, ms, and s")
    }
}

impl std::error::Error for UnknownPrecision {}

/// The time in what follows the fields, in nanoseconds; `None` when there is none.
///
/// A newline here (inside a string for the split, outside for the fields) ends the timestamp. In front of one it hides
/// whatever follows it.
pub(crate) fn parse(text: &[u8], precision: Precision) -> Result<Option<i64>, Reason<'_>> {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(text.len());
    let (stamp, behind) = text.split_at_checked(end).unwrap_or((text, &[]));
    if stamp.is_empty() {
        return Ok(None);
    }
    let digits = stamp.strip_prefix(b"-").unwrap_or(stamp);
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::BadTimestamp);
    }
    if digits.is_empty() {
        return Err(Reason::TimestampSyntax(stamp));
    }
    let units = signed(stamp).ok_or(Reason::TimestampRange(stamp))?;
    let time = units.checked_mul(precision.nanos()).filter(|time| (TIME_MIN..=TIME_MAX).contains(time));
    let time = time.ok_or(Reason::TimeOutsideRange)?;
    if behind.iter().any(|byte| *byte != b' ') {
        return Err(Reason::InvalidPoint);
    }
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_cut_towards_the_past() {
        assert_eq!(Precision::Nanoseconds.truncate(-1), -1);
        assert_eq!(Precision::Microseconds.truncate(-1), -1_000);
        assert_eq!(Precision::Milliseconds.truncate(1_999_999), 1_000_000);
        assert_eq!(Precision::Seconds.truncate(-1_000_000_000), -1_000_000_000);
        assert_eq!(Precision::Seconds.truncate(i64::MIN), i64::MIN);
    }
}
