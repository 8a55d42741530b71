//! Points in time as records and manifests hold them.
//!
//! Invariant: a [`Time`] can be written as a date: it comes from 64 bits of nanoseconds (1677 to 2262), from a bound of
//! a shard group (a little wider), or from a text that was one.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds since 1970 UTC, wider than 64 bits: shard groups may start before 1677, and records without a time
/// stand at year 1. Prints as RFC 3339 in UTC, with as many fraction digits as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i128);

impl Time {
    /// 0001-01-01T00:00:00Z: what Go calls the zero time, and what stands for "never" in records.
    pub const ZERO: Self = Self(-62_135_596_800 * 1_000_000_000);

    /// Any number of nanoseconds since 1970.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns as i128)
    }

    /// Nanoseconds since 1970; negative before.
    pub fn as_ns(self) -> i128 {
        self.0
    }

    /// For bounds of shard groups: at most 2⁶⁴ ns away from 64 bits.
    pub(crate) fn from_wide_ns(ns: i128) -> Self {
        Self(ns)
    }

    /// As influxd stores the bounds of a shard group: modulo 2⁶⁴.
    pub(crate) fn as_wrapped_ns(self) -> i64 {
        let bits = self.0.rem_euclid(1 << u64::BITS);
        u64::try_from(bits).expect("a remainder of 2^64").cast_signed()
    }

    /// The nearest time that 64 bits of nanoseconds hold.
    pub(crate) fn as_nearest_ns(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    pub(crate) fn plus(self, ns: i64) -> Self {
        Self(self.0 + i128::from(ns))
    }

    /// The last multiple of `length_ns`, counted from year 1 as Go does, that is not after this time.
    ///
    /// # Panics
    /// When `length_ns` is 0.
    pub(crate) fn truncate_from_year_one(self, length_ns: i64) -> Self {
        Self(self.0 - (self.0 - Self::ZERO.0).rem_euclid(i128::from(length_ns)))
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp::from_nanosecond(self.0).map_err(|_| fmt::Error)?.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = text.parse::<Timestamp>().map_err(serde::de::Error::custom)?;
        Ok(Self(time.as_nanosecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_print_as_influxd_prints_them() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (1_795_367_725_670_309_100, "2026-11-22T17:15:25.6703091Z"),
            (1_795_367_725_500_000_000, "2026-11-22T17:15:25.5Z"),
        ] {
            assert_eq!(Time::from_ns(ns).to_string(), text);
        }
        assert_eq!(Time::ZERO.to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn an_offset_is_read_and_not_kept() {
        let time: Time = serde_json::from_str("\"2026-11-22T18:15:25+01:00\"").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T17:15:25Z");
    }

    proptest! {
        #[test]
        fn every_nanosecond_of_64_bits_is_read_back(ns: i64) {
            let json = serde_json::to_string(&Time::from_ns(ns)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), Time::from_ns(ns));
        }
    }
}
