//! Points of one key brought into order: sorted by time, one per time, the later written one.

use std::ops::Range;

use super::column::{Column, Values};

/// Sorts `column` by time; of equal times the last in the list stays.
pub(crate) fn sort_last_wins(column: &mut Column) {
    if column.times.is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut order: Vec<usize> = (0..column.len()).collect();
    order.sort_by_key(|at| column.times.get(*at)); // stable: equal times stay in the order they were written
    let mut sorted = Column::new(column.kind());
    let mut rest = order.iter().peekable();
    while let Some(&at) = rest.next() {
        let again = rest.peek().is_some_and(|next| column.times.get(**next) == column.times.get(at));
        if !again {
            sorted.extend_from(column, at..at + 1);
        }
    }
    *column = sorted;
}

/// Appends to `out` the points of both columns by time; of equal times the one in `newer` stays.
///
/// Both must be sorted without repetition, and of the type of `out`.
pub(crate) fn merge(older: &Column, newer: &Column, out: &mut Column) {
    let times = (older.times.as_slice(), newer.times.as_slice());
    match (&older.values, &newer.values, &mut out.values) {
        (Values::Float(older), Values::Float(newer), Values::Float(values)) => {
            Lists { older, newer, times: &mut out.times, values }.merge(times);
        }
        (Values::Integer(older), Values::Integer(newer), Values::Integer(values)) => {
            Lists { older, newer, times: &mut out.times, values }.merge(times);
        }
        (Values::Unsigned(older), Values::Unsigned(newer), Values::Unsigned(values)) => {
            Lists { older, newer, times: &mut out.times, values }.merge(times);
        }
        _ => merge_runs(times, |is_newer, run| out.extend_from(if is_newer { newer } else { older }, run)),
    }
}

/// Calls `put` with the points of both lists by time: whether they are those of the newer one, and which.
fn merge_runs((older, newer): (&[i64], &[i64]), mut put: impl FnMut(bool, Range<usize>)) {
    let (mut old, mut new) = (0, 0);
    while let (Some(old_time), Some(new_time)) = (older.get(old), newer.get(new)) {
        if old_time < new_time {
            let end = run_end(older, old + 1, *new_time);
            put(false, old..end);
            old = end;
        } else {
            old += usize::from(old_time == new_time); // overwritten
            let end = older.get(old).map_or(newer.len(), |limit| run_end(newer, new + 1, *limit));
            put(true, new..end);
            new = end;
        }
    }
    put(false, old..older.len());
    put(true, new..newer.len());
}

/// Runs up to this length are looked for and copied point by point.
const SHORT: usize = 8;

/// The end of the points from `start` on whose time lies before `limit`.
fn run_end(times: &[i64], start: usize, limit: i64) -> usize {
    let rest = times.get(start..).unwrap_or_default();
    let near = rest.iter().take(SHORT).take_while(|time| **time < limit).count();
    start + if near < SHORT { near } else { rest.partition_point(|time| *time < limit) }
}

/// Values of one type on their way into one list.
struct Lists<'a, T> {
    older: &'a [T],
    newer: &'a [T],
    times: &'a mut Vec<i64>,
    values: &'a mut Vec<T>,
}

impl<T: Copy> Lists<'_, T> {
    fn merge(&mut self, times: (&[i64], &[i64])) {
        let most = times.0.len() + times.1.len();
        self.times.reserve(most);
        self.values.reserve(most);
        merge_runs(times, |is_newer, run| self.put(times, is_newer, run));
    }

    #[inline]
    fn put(&mut self, (older, newer): (&[i64], &[i64]), is_newer: bool, run: Range<usize>) {
        let (times, values) = if is_newer { (newer, self.newer) } else { (older, self.older) };
        copy(times.get(run.clone()).unwrap_or_default(), self.times);
        copy(values.get(run).unwrap_or_default(), self.values);
    }
}

/// Appends `part`.
#[inline]
fn copy<T: Copy>(part: &[T], out: &mut Vec<T>) {
    match part {
        [one] => out.push(*one),
        _ => out.extend_from_slice(part),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn column(points: &[(i64, i64)]) -> Column {
        let (times, values) = points.iter().copied().unzip();
        Column { times, values: Values::Integer(values) }
    }

    fn model(points: &[(i64, i64)]) -> Column {
        let map: BTreeMap<i64, i64> = points.iter().copied().collect();
        column(&map.into_iter().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn sorting_is_what_an_ordered_map_does(points in prop::collection::vec((-9i64..9, any::<i64>()), 0..60)) {
            let mut sorted = column(&points);
            sort_last_wins(&mut sorted);
            prop_assert_eq!(sorted, model(&points));
        }

        #[test]
        fn merging_is_what_an_ordered_map_does(
            older in prop::collection::vec((-9i64..9, any::<i64>()), 0..30),
            newer in prop::collection::vec((-9i64..9, any::<i64>()), 0..30),
        ) {
            let mut merged = column(&[]);
            merge(&model(&older), &model(&newer), &mut merged);
            prop_assert_eq!(merged, model(&[older, newer].concat()));
        }
    }
}
