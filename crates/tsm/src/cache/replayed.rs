//! What a log of influxd was replayed into, in the order of the log, until it is sorted for a flush.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::column::{BlockType, Column};
use crate::format::merge;
use crate::format::wal::Entry;
use crate::units::TimeRange;

/// Points by composite key, as they were written: unsorted, times may repeat.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    keys: BTreeMap<Vec<u8>, Column>,
}

/// Points in the order of a file. Invariant: every column is sorted, without repetition, and not empty.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    keys: BTreeMap<Vec<u8>, Column>,
}

/// Why points were not taken. Others may have been taken of the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A key has another type.
    Type,
    /// The strings of a key would pass what a column can hold.
    TooLong,
}

impl Refused {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Type => "a log entry gives a key another type than before",
            Self::TooLong => "the log has more than 4 GiB of strings for one key",
        }
    }
}

impl Replayed {
    /// Applies a log entry.
    pub(crate) fn apply(&mut self, entry: Entry) -> std::result::Result<(), Refused> {
        match entry {
            Entry::Write(groups) => self.write(groups),
            Entry::Delete { range, keys } => {
                keys.iter().for_each(|key| self.delete(key, range));
                Ok(())
            }
        }
    }

    fn write(&mut self, groups: Vec<(Vec<u8>, Column)>) -> std::result::Result<(), Refused> {
        for (key, column) in groups {
            match self.keys.get_mut(&key) {
                Some(held) if held.kind() != column.kind() => return Err(Refused::Type),
                Some(held) if !held.can_extend(&column) => return Err(Refused::TooLong),
                Some(held) => held.extend_from(&column, 0..column.len()),
                None => {
                    self.keys.insert(key, column);
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8], range: TimeRange) {
        let Some(held) = self.keys.get_mut(key) else { return };
        let mut kept = Column::new(held.kind());
        crate::file::deletes::copy_undeleted(held, &[range], &mut kept);
        if kept.is_empty() {
            self.keys.remove(key);
        } else {
            *held = kept;
        }
    }

    /// Sorts every column; of equal times the last written stays.
    pub(crate) fn sort(mut self) -> Sorted {
        self.keys.values_mut().for_each(merge::sort_last_wins);
        Sorted { keys: self.keys }
    }
}

impl Sorted {
    /// Calls `each` with every composite key and its points, ascending.
    ///
    /// # Errors
    /// What `each` returned.
    pub(crate) fn columns(&self, each: &mut dyn FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
        self.keys.iter().try_for_each(|(key, column)| each(key, column))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys with the types of their points, ascending.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&[u8], BlockType)> {
        self.keys.iter().map(|(key, column)| (key.as_slice(), column.kind()))
    }

    #[cfg(test)]
    pub(crate) fn column(&self, key: &[u8]) -> Option<&Column> {
        self.keys.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::column::Values;

    fn write(points: &[(i64, i64)]) -> Entry {
        let (times, values) = points.iter().copied().unzip();
        Entry::Write(vec![(b"m#!~#f".to_vec(), Column { times, values: Values::Integer(values) })])
    }

    #[test]
    fn later_points_win_and_deletes_hit_only_what_was_written_before() {
        let mut cache = Replayed::default();
        cache.apply(write(&[(5, 1), (3, 1), (5, 2)])).unwrap();
        let range = TimeRange::new(3, 4).unwrap();
        cache.apply(Entry::Delete { range, keys: vec![b"m#!~#f".to_vec(), b"other#!~#f".to_vec()] }).unwrap();
        cache.apply(write(&[(4, 7)])).unwrap();
        let frozen = cache.sort();
        let column = &frozen.keys[&b"m#!~#f"[..]];
        assert_eq!(*column, Column { times: vec![4, 5], values: Values::Integer(vec![7, 2]) });
    }

    #[test]
    fn a_key_keeps_its_type() {
        let mut cache = Replayed::default();
        cache.apply(write(&[(1, 1)])).unwrap();
        let column = Column { times: vec![2], values: Values::Float(vec![2.0]) };
        let refused = cache.apply(Entry::Write(vec![(b"m#!~#f".to_vec(), column)])).unwrap_err();
        assert_eq!(refused, Refused::Type);
        assert_eq!(cache.keys[&b"m#!~#f"[..]].len(), 1);
    }
}
