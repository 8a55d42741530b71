//! The deletes of one TSM file, resolved against its index.
//!
//! Invariant: the ranges of a key are sorted and lie apart: neither overlapping nor touching.

use std::collections::HashMap;

use crate::format::column::Column;
use crate::units::TimeRange;

/// Which times of which keys (by ordinal) are deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletes(HashMap<u32, Vec<TimeRange>>);

impl Deletes {
    /// Adds a range to a key's and joins what overlaps or touches, so that memory is bounded by the distinct gaps.
    pub(crate) fn add(&mut self, ordinal: u32, range: TimeRange) {
        let ranges = self.0.entry(ordinal).or_default();
        let first = ranges.partition_point(|held| held.max() < range.min().saturating_sub(1));
        let last = ranges.partition_point(|held| held.min() <= range.max().saturating_add(1));
        let mut joined = range;
        if first < last {
            let ends = ranges.get(first).zip(ranges.get(last - 1));
            if let Some((low, high)) = ends {
                let (min, max) = (low.min().min(range.min()), high.max().max(range.max()));
                joined = TimeRange::new(min, max).unwrap_or(range);
            }
        }
        ranges.splice(first..last, [joined]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The deleted ranges of a key, sorted and apart.
    pub(crate) fn of(&self, ordinal: u32) -> &[TimeRange] {
        self.0.get(&ordinal).map_or(&[], Vec::as_slice)
    }
}

/// Whether one of the ranges covers all of `range`.
pub(crate) fn cover(deleted: &[TimeRange], range: TimeRange) -> bool {
    deleted.iter().any(|delete| delete.covers(range))
}

/// Whether one of the ranges shares a time with `range`.
pub(crate) fn touch(deleted: &[TimeRange], range: TimeRange) -> bool {
    deleted.iter().any(|delete| delete.overlaps(range))
}

/// Appends to `out` the points of `column` that no range covers. Types must be equal.
pub(crate) fn copy_undeleted(column: &Column, deleted: &[TimeRange], out: &mut Column) {
    let is_deleted = |time: &i64| deleted.iter().any(|range| range.contains(*time));
    let mut rest = column.times.as_slice();
    let mut at = 0;
    while !rest.is_empty() {
        let gone = rest.iter().take_while(|time| is_deleted(time)).count();
        rest = rest.get(gone..).unwrap_or_default();
        let kept = rest.iter().take_while(|time| !is_deleted(time)).count();
        rest = rest.get(kept..).unwrap_or_default();
        out.extend_from(column, at + gone..at + gone + kept);
        at += gone + kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::column::Values;

    fn range(min: i64, max: i64) -> TimeRange {
        TimeRange::new(min, max).unwrap()
    }

    #[test]
    fn ranges_join_when_they_touch_and_stay_apart_otherwise() {
        let mut deletes = Deletes::default();
        for (min, max) in [(10, 20), (30, 40), (0, 5), (21, 22), (43, 50), (41, 41)] {
            deletes.add(7, range(min, max));
        }
        assert_eq!(deletes.of(7), [range(0, 5), range(10, 22), range(30, 41), range(43, 50)]);
        deletes.add(7, range(4, 42));
        assert_eq!(deletes.of(7), [range(0, 50)]);
        deletes.add(7, TimeRange::ALL);
        assert_eq!(deletes.of(7), [TimeRange::ALL]);
        assert!(deletes.of(8).is_empty());
    }

    #[test]
    fn both_ends_of_a_range_are_deleted() {
        let column = Column { times: (0..10).collect(), values: Values::Integer((0..10).collect()) };
        let mut out = Column::new(column.kind());
        copy_undeleted(&column, &[range(0, 1), range(4, 4), range(8, 100)], &mut out);
        assert_eq!(out.times, [2, 3, 5, 6, 7]);
        assert_eq!(out.values, Values::Integer(vec![2, 3, 5, 6, 7]));
    }
}
