//! The deletes of one TSM file, resolved against its index.
//!
//! Invariant: the ranges of a key are sorted and lie apart: neither overlapping nor touching.

use std::collections::HashMap;

use crate::format::column::Column;
use crate::units::TimeRange;

/// Ranges of a key that are collected before they are first joined.
const JOIN_AT: usize = 1024;

/// Which times of which keys (by ordinal) are deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletes(HashMap<u32, Vec<TimeRange>>);

/// Collects the deletes of a file in any order.
#[derive(Debug, Default)]
pub(crate) struct Collector(HashMap<u32, Collected>);

#[derive(Debug, Default)]
struct Collected {
    ranges: Vec<TimeRange>,
    /// So many of the first ones are sorted and apart.
    joined: usize,
}

impl Collector {
    pub(crate) fn add(&mut self, ordinal: u32, range: TimeRange) {
        let collected = self.0.entry(ordinal).or_default();
        collected.ranges.push(range);
        // Joined now and then, so that memory stays near that of the distinct ranges.
        if collected.ranges.len() > 2 * collected.joined + JOIN_AT {
            join(&mut collected.ranges);
            collected.joined = collected.ranges.len();
        }
    }

    pub(crate) fn finish(self) -> Deletes {
        Deletes(
            self.0
                .into_iter()
                .map(|(ordinal, Collected { mut ranges, .. })| {
                    join(&mut ranges);
                    (ordinal, ranges)
                })
                .collect(),
        )
    }
}

/// Sorts ranges and joins those that overlap or touch.
pub(crate) fn join(ranges: &mut Vec<TimeRange>) {
    ranges.sort_by_key(|range| range.min());
    ranges.dedup_by(|next, held| {
        let joins = next.min() <= held.max().saturating_add(1);
        if joins {
            *held = held.join(*next);
        }
        joins
    });
}

impl Deletes {
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
    first_behind(deleted, range.min()).is_some_and(|delete| delete.covers(range))
}

/// Whether one of the ranges shares a time with `range`.
pub(crate) fn touch(deleted: &[TimeRange], range: TimeRange) -> bool {
    first_behind(deleted, range.min()).is_some_and(|delete| delete.overlaps(range))
}

/// The first range that ends at `time` or later.
fn first_behind(deleted: &[TimeRange], time: i64) -> Option<&TimeRange> {
    deleted.get(deleted.partition_point(|delete| delete.max() < time))
}

/// Appends to `out` the points of `column` that no range covers. Types must be equal.
pub(crate) fn copy_undeleted(column: &Column, deleted: &[TimeRange], out: &mut Column) {
    let is_deleted = |time: &i64| first_behind(deleted, *time).is_some_and(|range| range.contains(*time));
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

    fn collected(ranges: &[(i64, i64)]) -> Vec<TimeRange> {
        let mut collector = Collector::default();
        ranges.iter().for_each(|(min, max)| collector.add(7, range(*min, *max)));
        let deletes = collector.finish();
        assert!(deletes.of(8).is_empty());
        deletes.of(7).to_vec()
    }

    #[test]
    fn ranges_join_when_they_touch_and_stay_apart_otherwise() {
        let mut ranges = vec![(10, 20), (30, 40), (0, 5), (21, 22), (43, 50), (41, 41)];
        assert_eq!(collected(&ranges), [range(0, 5), range(10, 22), range(30, 41), range(43, 50)]);
        ranges.push((4, 42));
        assert_eq!(collected(&ranges), [range(0, 50)]);
        ranges.push((i64::MIN, i64::MAX));
        assert_eq!(collected(&ranges), [TimeRange::ALL]);
        let many: Vec<_> = (0..5000).rev().map(|at| (at * 3, at * 3 + 1)).collect();
        let found = collected(&many);
        assert_eq!((found.len(), found[0], found[4999]), (5000, range(0, 1), range(14_997, 14_998)));
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
