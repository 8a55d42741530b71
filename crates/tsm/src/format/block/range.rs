//! The points of a block within a range of times, with as little work as the encodings allow.

use std::ops::Range;

use super::Parts;
use super::time::Times;
use crate::error::Result;
use crate::format::column::Column;
use crate::{Offset, TimeRange};

/// Decodes the points whose times lie in `range`; what was in `out` is gone. Gives what [`decode`](super::decode) and a
/// filter give, for less: a run of times is cut by computation and packed times are unpacked only up to the end of the
/// range. Of the values, runs and booleans are cut, integers and floats are decoded up to the last that is wanted; strings
/// are decompressed as a whole, and copied where they are wanted. When no time lies in the range, the values are not
/// touched.
///
/// When the times do not ascend, all is decoded and filtered.
///
/// ```
/// use icecore_tsm::block::{self, Flavor};
/// use icecore_tsm::{BlockType, Column, Offset, TimeRange, Values};
///
/// let column = Column { times: vec![10, 20, 30, 45], values: Values::Integer(vec![-1, 0, 7, 9]) };
/// let mut bytes = Vec::new();
/// block::encode(&column, 0..4, Flavor::Batch, &mut bytes)?;
///
/// let mut part = Column::new(BlockType::Integer);
/// block::decode_range(&bytes, Offset::START, TimeRange::new(20, 40)?, &mut part)?;
/// assert_eq!(part, Column { times: vec![20, 30], values: Values::Integer(vec![0, 7]) });
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
///
/// # Errors
/// `Corrupt`, with the place in the file, when what had to be read is not a block; `out` is then empty. Damage behind the
/// range may go unnoticed: a block is checked as a whole by [`decode`](super::decode) only.
pub fn decode_range(block: &[u8], at: Offset, range: TimeRange, out: &mut Column) -> Result<()> {
    let outcome = Parts::split(block, at).and_then(|parts| parts.decode_range(range, out));
    if outcome.is_err() {
        out.reset(out.kind());
    }
    outcome
}

impl Parts<'_> {
    fn decode_range(&self, range: TimeRange, out: &mut Column) -> Result<()> {
        let times = Times::parse(self.times.clone())?;
        let count = times.count();
        match times.within(range, &mut out.times) {
            Within::Points(wanted) if wanted.is_empty() => out.reset(self.kind),
            Within::Points(wanted) => self.decode_values(count, wanted, &mut out.values)?,
            Within::Run(wanted) if wanted.is_empty() => out.reset(self.kind),
            Within::Run(wanted) => {
                // Values first, as for a whole block: a run of times takes memory that no byte vouches for.
                self.decode_values(count, wanted.clone(), &mut out.values)?;
                times.decode_run(wanted, &mut out.times);
            }
            Within::Unordered => {
                self.decode(out)?;
                filter(range, out);
            }
        }
        Ok(())
    }
}

/// Which points of a block have times within a range.
pub(super) enum Within {
    /// These; their times have been decoded.
    Points(Range<usize>),
    /// These; their times are part of a run and have not been decoded.
    Run(Range<usize>),
    /// Not one stretch: the times do not ascend.
    Unordered,
}

/// Keeps the points within a range, one stretch of them after the other.
fn filter(range: TimeRange, out: &mut Column) {
    let mut kept = Column::new(out.kind());
    let mut at = 0;
    for stretch in out.times.chunk_by(|a, b| range.contains(*a) == range.contains(*b)) {
        let next = at + stretch.len();
        if stretch.first().is_some_and(|time| range.contains(*time)) {
            kept.extend_from(out, at..next);
        }
        at = next;
    }
    *out = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Flavor, decode, encode};
    use crate::format::column::{BlockType, Values};

    fn block(times: &[i64], values: Values) -> Vec<u8> {
        let column = Column { times: times.to_vec(), values };
        let mut bytes = Vec::new();
        encode(&column, 0..column.len(), Flavor::Batch, &mut bytes).unwrap();
        bytes
    }

    fn times_within(bytes: &[u8], min: i64, max: i64) -> Vec<i64> {
        let mut out = Column { times: vec![7; 3], values: Values::Unsigned(vec![7; 3]) };
        decode_range(bytes, Offset::START, TimeRange::new(min, max).unwrap(), &mut out).unwrap();
        assert_eq!(out.values.len(), out.times.len());
        let mut all = Column::new(BlockType::Float);
        decode(bytes, Offset::START, &mut all).unwrap();
        filter(TimeRange::new(min, max).unwrap(), &mut all);
        assert_eq!(all, out);
        out.times
    }

    #[test]
    fn a_run_is_cut_by_computation_up_to_the_ends_of_time() {
        let values = || Values::Integer(vec![1, 2, 4, 8]);
        let bytes = block(&[10, 20, 30, 40], values());
        assert_eq!(times_within(&bytes, 20, 30), [20, 30]);
        assert_eq!(times_within(&bytes, 11, 39), [20, 30]);
        assert_eq!(times_within(&bytes, 11, 19), [0i64; 0]);
        assert_eq!(times_within(&bytes, i64::MIN, 9), [0i64; 0]);
        assert_eq!(times_within(&bytes, 41, i64::MAX), [0i64; 0]);
        assert_eq!(times_within(&bytes, i64::MIN, i64::MAX), [10, 20, 30, 40]);
        let third = i64::MAX / 3 * 2;
        let bytes = block(
            &[i64::MIN + 1, i64::MIN + 1 + third, i64::MIN + 1 + third + third, i64::MAX - 1],
            values(),
        );
        assert_eq!(times_within(&bytes, i64::MAX - 1, i64::MAX).len(), 1);
        assert_eq!(times_within(&bytes, i64::MIN, i64::MIN), [0i64; 0]);
        let bytes = block(&[5; 4], values());
        assert_eq!(times_within(&bytes, 5, 5), [5; 4]);
        assert_eq!(times_within(&bytes, 6, 6), [0i64; 0]);
    }

    #[test]
    fn times_in_no_order_are_filtered() {
        let values = || Values::Boolean([true, true, false, true].into_iter().collect());
        assert_eq!(times_within(&block(&[40, 30, 20, 10], values()), 15, 35), [30, 20]);
        assert_eq!(times_within(&block(&[1, 50, 2, 51], values()), 1, 2), [1, 2]);
        assert_eq!(
            times_within(&block(&[i64::MAX - 1, i64::MAX, i64::MIN, 0], values()), 0, i64::MAX).len(),
            3
        );
    }

    #[test]
    fn damage_behind_the_range_is_left_to_those_who_read_it() {
        let mut bytes = block(&[1, 2, 3, 5], Values::Float(vec![1.0, 2.0, 3.0, 4.0]));
        let mut out = Column::new(BlockType::Float);
        bytes.truncate(bytes.len() - 9);
        let first = TimeRange::new(1, 1).unwrap();
        decode_range(&bytes, Offset::START, first, &mut out).unwrap();
        assert_eq!(out, Column { times: vec![1], values: Values::Float(vec![1.0]) });
        assert!(decode_range(&bytes, Offset::START, TimeRange::ALL, &mut out).is_err());
        assert!(out.is_empty() && out.values.is_empty());
    }
}
