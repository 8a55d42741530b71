//! Points of one key brought into order: sorted by time, one per time, the later written one.

use super::column::Column;

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
    let (mut old, mut new) = (0, 0);
    while let (Some(old_time), Some(new_time)) = (older.times.get(old), newer.times.get(new)) {
        if old_time < new_time {
            let end = run_end(older, old, *new_time);
            out.extend_from(older, old..end);
            old = end;
        } else {
            old += usize::from(old_time == new_time); // overwritten
            let end = older.times.get(old).map_or(newer.len(), |limit| run_end(newer, new, *limit));
            let end = end.max(new + 1);
            out.extend_from(newer, new..end);
            new = end;
        }
    }
    out.extend_from(older, old..older.len());
    out.extend_from(newer, new..newer.len());
}

/// The end of the points from `start` on whose time lies before `limit`.
fn run_end(column: &Column, start: usize, limit: i64) -> usize {
    let rest = column.times.get(start..).unwrap_or_default();
    start + rest.partition_point(|time| *time < limit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::format::column::Values;

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
