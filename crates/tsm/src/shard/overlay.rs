//! Points of caches laid over those of files: of equal times the one of the cache counts.

use crate::error::{Error, Result};
use crate::format::column::Column;
use crate::format::merge;

/// The points of one key that no file has yet, and what of them was handed out.
///
/// Invariant: the points before `next` were given to a reader.
pub(crate) struct Overlay {
    points: Column,
    next: usize,
    merged: Column,
}

impl Overlay {
    /// `points` are sorted, without repetition.
    pub(crate) fn new(points: Column) -> Self {
        let kind = points.kind();
        Self { points, next: 0, merged: Column::new(kind) }
    }

    /// Calls `each` with the points of a file, sorted and not empty, which come behind all before them, and with those of
    /// the cache that lie before the last of them.
    ///
    /// # Errors
    /// `Unfit` when the cache has another type; what `each` returned.
    pub(crate) fn pass(
        &mut self,
        column: &Column,
        each: &mut dyn FnMut(&Column) -> Result<()>,
    ) -> Result<()> {
        let rest = self.points.times.get(self.next..).unwrap_or_default();
        let count = column.times.last().map_or(0, |last| rest.partition_point(|time| time <= last));
        if count == 0 {
            return each(column);
        }
        if self.points.kind() != column.kind() {
            return Err(Error::unfit("a key has another type in the log than in the files"));
        }
        let mut above = Column::new(column.kind());
        above.extend_from(&self.points, self.next..self.next + count);
        self.next += count;
        self.merged.reset(column.kind());
        merge::merge(column, &above, &mut self.merged);
        each(&self.merged)
    }

    /// Calls `each` with what is left.
    ///
    /// # Errors
    /// What `each` returned.
    pub(crate) fn finish(mut self, each: &mut dyn FnMut(&Column) -> Result<()>) -> Result<()> {
        let left = self.next..self.points.len();
        match left.is_empty() {
            true => Ok(()),
            false if left.start == 0 => each(&self.points),
            false => {
                self.merged.reset(self.points.kind());
                self.merged.extend_from(&self.points, left);
                each(&self.merged)
            }
        }
    }
}
