//! Cuts the time of overlapping blocks into slices that have few enough points to be merged at once.
//!
//! Invariant: slices follow each other without a gap and together cover the cluster. Each has at most `points_max` points,
//! as its blocks have them, unless it is a single moment, of which a block leaves one point.
//!
//! What is cut is validated first, block by block: a slice does not see damage outside it.

use super::cursor::Source;
use crate::error::Result;
use crate::units::TimeRange;

/// Gives the slices, by time; `None` for all of a cluster that need not be cut.
pub(super) enum Slices<'s, 'a> {
    Whole,
    Cut(Cut<'s, 'a>),
    End,
}

pub(super) struct Cut<'s, 'a> {
    cluster: &'s [Source<'a>],
    /// The number of points of each block.
    counts: Vec<usize>,
    points_max: usize,
    /// Where the next slice begins, and where the last one ends.
    left: TimeRange,
}

impl<'s, 'a> Slices<'s, 'a> {
    /// Decides whether a cluster is to be cut, by what its blocks claim.
    ///
    /// # Errors
    /// `Corrupt` names the file and the block.
    pub(super) fn of(cluster: &'s [Source<'a>], points_max: usize) -> Result<Self> {
        let (Some(first), true) = (cluster.first(), cluster.len() > 1) else { return Ok(Self::Whole) };
        let mut claimed = 0usize;
        for source in cluster {
            claimed = claimed.saturating_add(source.file.count_points(&source.entry, None)?);
        }
        if claimed <= points_max {
            return Ok(Self::Whole);
        }
        let mut plain = Vec::new();
        let validate =
            |source: &Source<'_>| source.file.validate_block(&source.key, &source.entry, &mut plain);
        let counts = cluster.iter().map(validate).collect::<Result<_>>()?;
        let max = cluster.iter().map(|source| source.entry.range.max()).max();
        let left = TimeRange::new(first.entry.range.min(), max.unwrap_or(i64::MAX))?;
        Ok(Self::Cut(Cut { cluster, counts, points_max, left }))
    }
}

impl Iterator for Slices<'_, '_> {
    type Item = Result<Option<TimeRange>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::End => None,
            Self::Whole => {
                *self = Self::End;
                Some(Ok(None))
            }
            Self::Cut(cut) => {
                let slice = cut.first();
                match slice.as_ref().ok().and_then(|slice| behind(*slice, cut.left)) {
                    Some(left) => cut.left = left,
                    None => *self = Self::End,
                }
                Some(slice.map(Some))
            }
        }
    }
}

impl Cut<'_, '_> {
    /// The next slice: what is left, halved until it has few enough points.
    fn first(&self) -> Result<TimeRange> {
        let mut slice = self.left;
        while slice.min() < slice.max() && self.has_many(slice)? {
            let way = slice.max().abs_diff(slice.min());
            slice = TimeRange::new(slice.min(), slice.min().wrapping_add_unsigned(way / 2))?;
        }
        Ok(slice)
    }

    /// Whether the blocks have more points within a slice than it may have.
    fn has_many(&self, slice: TimeRange) -> Result<bool> {
        let mut points = 0usize;
        for (source, count) in self.cluster.iter().zip(&self.counts) {
            let range = source.entry.range;
            points += match () {
                () if !range.overlaps(slice) => 0,
                () if slice.covers(range) => *count,
                () => source.file.count_points(&source.entry, Some(slice))?,
            };
            if points > self.points_max {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is left of `all` behind one of its slices.
fn behind(slice: TimeRange, all: TimeRange) -> Option<TimeRange> {
    slice.max().checked_add(1).and_then(|min| TimeRange::new(min, all.max()).ok())
}
