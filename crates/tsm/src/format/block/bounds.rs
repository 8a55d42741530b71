//! What a file's index says about a block, taken from the block itself: its type, its number of points, its first and its
//! last time.

use super::Parts;
use super::time::{Times, Walk};
use crate::Offset;
use crate::error::Result;
use crate::format::column::BlockType;

/// The points of a block without the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The type of the values.
    pub kind: BlockType,
    /// The number of points, at least one.
    pub count: usize,
    /// The first time, nanoseconds since 1970 UTC.
    pub first: i64,
    /// The last time.
    pub last: i64,
    /// Whether no time is before the one in front of it. Only then are `first` and `last` the earliest and the latest.
    pub ascending: bool,
    /// Whether a time is that of the point before it. Files of old versions have such blocks.
    pub repeats: bool,
}

impl Bounds {
    pub(super) fn new(kind: BlockType, times: &Times<'_>) -> Self {
        let Walk { first, last, ascending, repeats } = times.walk();
        Self { kind, count: times.count(), first, last, ascending, repeats }
    }
}

/// The type, the number and the times at both ends of a block, found without memory: a run is computed, other times are
/// added up. `block` is without its CRC and begins at `at` in its file; its values are not looked at.
///
/// ```
/// use icecore_tsm::block::{self, Flavor};
/// use icecore_tsm::{Column, Offset, Values};
///
/// let column = Column { times: vec![10, 20, 35], values: Values::Integer(vec![1, 2, 4]) };
/// let mut bytes = Vec::new();
/// block::encode(&column, 0..3, Flavor::Batch, &mut bytes)?;
///
/// let bounds = block::bounds(&bytes, Offset::START)?;
/// assert_eq!((bounds.first, bounds.last, bounds.ascending), (10, 35, true));
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
///
/// # Errors
/// `Corrupt`, with the place in the file, when the times are damaged.
pub fn bounds(block: &[u8], at: Offset) -> Result<Bounds> {
    let parts = Parts::split(block, at)?;
    Ok(Bounds::new(parts.kind, &Times::parse(parts.times)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Flavor, encode};
    use crate::format::column::{Column, Values};

    fn found(times: &[i64]) -> (i64, i64, bool) {
        let column =
            Column { times: times.to_vec(), values: Values::Boolean(times.iter().map(|_| true).collect()) };
        let mut bytes = Vec::new();
        encode(&column, 0..times.len(), Flavor::Batch, &mut bytes).unwrap();
        let bounds = bounds(&bytes, Offset::START).unwrap();
        assert_eq!((bounds.kind, bounds.count), (BlockType::Boolean, times.len()));
        assert_eq!(bounds.ascending, times.is_sorted(), "{times:?}");
        assert_eq!(bounds.repeats, times.array_windows().any(|[time, next]| time == next), "{times:?}");
        (bounds.first, bounds.last, bounds.ascending)
    }

    #[test]
    fn runs_are_computed_with_care_for_the_ends_of_time() {
        assert_eq!(found(&[7]), (7, 7, true));
        assert_eq!(found(&[7; 300]), (7, 7, true));
        assert_eq!(found(&[30, 20, 10]), (30, 10, false));
        assert_eq!(found(&[i64::MIN, i64::MAX]), (i64::MIN, i64::MAX, true));
        assert_eq!(found(&[i64::MAX, i64::MIN]), (i64::MAX, i64::MIN, false));
        assert_eq!(found(&[i64::MIN, -1, i64::MAX - 1]), (i64::MIN, i64::MAX - 1, true));
        // Wraps around, and the last is again behind the first.
        assert_eq!(found(&[0, 1 << 62, i64::MIN, -(1 << 62), 0, 1 << 62]), (0, 1 << 62, false));
        assert_eq!(found(&[-1, i64::MAX, -1]), (-1, -1, false));
    }

    #[test]
    fn other_times_are_added_up() {
        assert_eq!(found(&[1_000, 3_000, 4_000]), (1_000, 4_000, true));
        assert_eq!(found(&[5, 5, 6]), (5, 6, true));
        assert_eq!(found(&[30, 20, 11]), (30, 11, false));
        assert_eq!(found(&[i64::MIN, 0, i64::MAX]), (i64::MIN, i64::MAX, true));
        let far = [i64::MAX - 1, i64::MAX, i64::MIN, i64::MIN + 5];
        assert_eq!(found(&far), (i64::MAX - 1, i64::MIN + 5, false));
    }

    #[test]
    fn damaged_times_are_named() {
        assert_eq!(
            bounds(&[1, 1, 0x40], Offset::new(10)).unwrap_err().to_string(),
            "damaged: unknown encoding of times at byte 12"
        );
    }
}
