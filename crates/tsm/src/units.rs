//! Types for the numbers that must not be mixed up.

use std::fmt;

use crate::error::{Error, Result};

/// Byte position in one file: not a length, not a slice index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The first byte of a file.
    pub const START: Self = Self(0);

    /// The position `bytes` behind the start.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes between the start of the file and here.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `None` on overflow: offsets come from disk and may lie.
    pub fn checked_add(self, len: u64) -> Option<Self> {
        self.0.checked_add(len).map(Self)
    }

    /// The position `len` bytes on, for lengths of bytes that are in memory.
    pub(crate) fn forward(self, len: usize) -> Self {
        Self(self.0.saturating_add(len as u64))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a write among all writes: drawn once for each request, and of two values of one time that with the higher
/// ticket counts. Tickets ascend over the life of an engine, and have gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A closed range of times: both ends belong to it, as on disk. Nanoseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    min: i64,
    max: i64,
}

impl TimeRange {
    /// All time.
    pub const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// # Errors
    /// `Unfit` when `min > max`.
    pub fn new(min: i64, max: i64) -> Result<Self> {
        if min > max {
            return Err(Error::unfit("a time range ends before it starts"));
        }
        Ok(Self { min, max })
    }

    /// First nanosecond in the range.
    pub const fn min(self) -> i64 {
        self.min
    }

    /// Last nanosecond in the range.
    pub const fn max(self) -> i64 {
        self.max
    }

    /// Whether `time` lies inside.
    pub const fn contains(self, time: i64) -> bool {
        self.min <= time && time <= self.max
    }

    /// Whether all of `other` lies inside.
    pub const fn covers(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    /// The smallest range that covers both.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        let min = if other.min < self.min { other.min } else { self.min };
        let max = if other.max > self.max { other.max } else { self.max };
        Self { min, max }
    }

    /// Whether the two share a nanosecond.
    pub const fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}
