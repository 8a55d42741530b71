//! The times of a block: differences, packed or as one run.
//!
//! Invariant: a list of times that parses has at least one and at most [`MAX_POINTS`], and its number is known before the
//! first is decoded.
//!
//! ```text
//! raw        | 00 | first u64 | difference u64 * (n - 1) |                        big-endian
//! packed     | 1e | first u64 | simple8b words of difference / 10^e |
//! run        | 2e | first u64 | uvarint difference / 10^e | uvarint n |
//! ```
//!
//! The low half of the first byte is the exponent e, 0 to 15; influxd writes 0 to 12. Differences wrap around: times that
//! go backwards are huge differences.

mod write;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub(super) use self::write::encode;

use super::range::Within;
use super::simple8b;
use super::{MAX_POINTS, checked_count, raw_words, run};
use crate::TimeRange;
use crate::error::Result;
use crate::format::read::Cursor;

const RAW: u8 = 0;
const PACKED: u8 = 1;
const RUN: u8 = 2;

/// The largest exponent that influxd writes.
const EXPONENT_MAX: u8 = 12;

/// Times that are parsed and counted, not decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times<'a> {
    Raw(&'a [[u8; 8]]),
    Packed { first: u64, scale: u64, words: &'a [[u8; 8]], count: usize },
    Run { first: u64, step: u64, count: usize },
}

impl<'a> Times<'a> {
    pub(super) fn parse(mut bytes: Cursor<'a>) -> Result<Self> {
        let start = bytes.clone();
        let header = bytes.u8("a block without times")?;
        let scale = 10u64.pow(u32::from(header & 0xf));
        let times = match header >> 4 {
            RAW if header & 0xf == 0 => Self::Raw(raw_words(&bytes)?),
            PACKED => {
                let first = bytes.u64("cut first time")?;
                let words = raw_words(&bytes)?;
                Self::Packed { first, scale, words, count: simple8b::count(words) + 1 }
            }
            RUN => {
                let first = bytes.u64("cut first time")?;
                let step = bytes.uvarint("step of a run of times")?.wrapping_mul(scale);
                let count = checked_count(bytes.uvarint("length of a run of times")?, &start)?;
                if !bytes.is_empty() {
                    return Err(bytes.corrupt("bytes behind a run of times"));
                }
                Self::Run { first, step, count }
            }
            _ => return Err(start.corrupt("unknown encoding of times")),
        };
        match times.count() {
            0 => Err(start.corrupt("a block without times")),
            1..=MAX_POINTS => Ok(times),
            _ => Err(start.corrupt("more points than a block may have")),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Raw(words) => words.len(),
            Self::Packed { count, .. } | Self::Run { count, .. } => *count,
        }
    }

    /// The times at both ends, and whether they ascend in between.
    pub(super) fn walk(&self) -> Walk {
        match *self {
            Self::Raw(words) => {
                let mut differences = words.iter().map(|word| u64::from_be_bytes(*word));
                let mut walk = Walk::from(differences.next().unwrap_or(0));
                differences.for_each(|difference| walk.step(difference));
                walk
            }
            Self::Packed { first, scale, words, .. } => {
                if let Some(walk) = Walk::of_sum(first, scale, words) {
                    return walk;
                }
                let mut walk = Walk::from(first);
                simple8b::for_each(words, |difference| walk.step(difference.wrapping_mul(scale)));
                walk
            }
            Self::Run { first, step, count } => {
                // What lies between two times that ascend is below 2^64 and therefore the step itself, not a multiple of
                // 2^64 less: they ascend if the whole way fits.
                let way = u128::from(step) * (count as u128 - 1);
                let [first, last] =
                    [first, first.wrapping_add(step.wrapping_mul(count as u64 - 1))].map(u64::cast_signed);
                let ascending = way <= way_left(first);
                Walk { first, last, ascending, repeats: step == 0 && count > 1 }
            }
        }
    }

    /// How many times lie within `range`.
    pub(super) fn count_within(&self, range: TimeRange) -> usize {
        let mut found = 0;
        let mut time = 0u64;
        let mut step = |difference| {
            time = time.wrapping_add(difference);
            found += usize::from(range.contains(time.cast_signed()));
        };
        match *self {
            Self::Run { first, step, count } if self.walk().ascending => {
                return cut_run(range, first.cast_signed(), step, count).len();
            }
            Self::Run { first, step: difference, count } => {
                step(first);
                (1..count).for_each(|_| step(difference));
            }
            Self::Raw(words) => words.iter().for_each(|word| step(u64::from_be_bytes(*word))),
            Self::Packed { first, scale, words, .. } => {
                step(first);
                simple8b::for_each(words, |difference| step(difference.wrapping_mul(scale)));
            }
        }
        found
    }

    /// Which points have times within `range`. Times that have to be decoded for that are left in `out`, if they are
    /// wanted; no more of them are decoded than needed.
    pub(super) fn within(&self, range: TimeRange, out: &mut Vec<i64>) -> Within {
        if !self.ascend() {
            return Within::Unordered;
        }
        match *self {
            Self::Run { first, step, count } => Within::Run(cut_run(range, first.cast_signed(), step, count)),
            Self::Raw(_) => {
                self.decode(out);
                Within::Points(cut(range, out))
            }
            Self::Packed { first, scale, words, .. } => {
                unpack_until(words, first, scale, range.max(), out);
                Within::Points(cut(range, out))
            }
        }
    }

    /// Whether no time is before the one in front of it.
    fn ascend(&self) -> bool {
        let surely = match *self {
            // Of nearly all blocks it is known from what their words can hold at most.
            Self::Packed { first, scale, words, .. } => {
                u128::from(scale) * simple8b::reach(words) <= way_left(first.cast_signed())
            }
            Self::Raw(_) | Self::Run { .. } => false,
        };
        surely || self.walk().ascending
    }

    /// Becomes the times at `wanted` of a run.
    pub(super) fn decode_run(&self, wanted: Range<usize>, out: &mut Vec<i64>) {
        if let Self::Run { first, step, .. } = *self {
            out.clear();
            out.extend(run(first, step, wanted).map(u64::cast_signed));
        }
    }

    /// Becomes all times.
    pub(super) fn decode(&self, out: &mut Vec<i64>) {
        match *self {
            Self::Raw(words) => {
                let mut time = 0u64;
                out.clear();
                out.extend(words.iter().map(|word| {
                    time = time.wrapping_add(u64::from_be_bytes(*word));
                    time.cast_signed()
                }));
            }
            Self::Packed { first, scale, words, count } => {
                out.resize(count, 0);
                if let Some((slot, others)) = out.split_first_mut() {
                    *slot = first.cast_signed();
                    unpack(words, first, scale, others);
                }
            }
            Self::Run { count, .. } => self.decode_run(0..count, out),
        }
    }
}

/// Becomes the times from `first` on, up to one that passes `last` or the end; some more may follow.
fn unpack_until(words: &[[u8; 8]], first: u64, scale: u64, last: i64, out: &mut Vec<i64>) {
    const AT_ONCE: usize = 16;
    out.clear();
    out.push(first.cast_signed());
    for words in words.chunks(AT_ONCE) {
        let (done, time) = (out.len(), out.last().copied().unwrap_or_default());
        if time > last {
            return;
        }
        out.resize(done + simple8b::count(words), 0);
        unpack(words, time.cast_unsigned(), scale, out.get_mut(done..).unwrap_or_default());
    }
}

/// How far time can go on from here.
fn way_left(time: i64) -> u128 {
    u128::from(i64::MAX.abs_diff(time))
}

/// Which points of a run that ascends lie within a range.
fn cut_run(range: TimeRange, first: i64, step: u64, count: usize) -> Range<usize> {
    if step == 0 {
        return if range.contains(first) { 0..count } else { 0..0 };
    }
    // How many points lie before a time, which may be one that i64 cannot hold.
    let before = |time: i128| {
        let way = u128::try_from(time - i128::from(first)).unwrap_or(0);
        usize::try_from(way.div_ceil(u128::from(step))).map_or(count, |points| points.min(count))
    };
    before(i128::from(range.min()))..before(i128::from(range.max()) + 1)
}

/// Keeps the times within a range, which ascend, and says which they were.
fn cut(range: TimeRange, times: &mut Vec<i64>) -> Range<usize> {
    let start = times.partition_point(|time| *time < range.min());
    let end = times.partition_point(|time| *time <= range.max());
    times.truncate(end);
    times.drain(..start);
    start..end
}

/// Fills `out` with the times behind `time`.
fn unpack(words: &[[u8; 8]], mut time: u64, scale: u64, out: &mut [i64]) {
    // The closure owns its sum, so that the loop can keep it in a register.
    simple8b::decode(words, out, move |difference| {
        time = time.wrapping_add(difference.wrapping_mul(scale));
        time.cast_signed()
    });
}

/// From the first time to the last.
pub(super) struct Walk {
    pub(super) first: i64,
    pub(super) last: i64,
    /// No step went back.
    pub(super) ascending: bool,
    /// A step went nowhere.
    pub(super) repeats: bool,
}

impl Walk {
    fn from(first: u64) -> Self {
        let first = first.cast_signed();
        Self { first, last: first, ascending: true, repeats: false }
    }

    /// The walk over packed times whose whole way fits into time: no step goes back then. `None` when it does not.
    fn of_sum(first: u64, scale: u64, words: &[[u8; 8]]) -> Option<Self> {
        let (way, has_zero) = simple8b::sum(words)?;
        let (first, way) = (first.cast_signed(), u128::from(way) * u128::from(scale));
        let last = u64::try_from(way).ok().and_then(|way| first.checked_add_unsigned(way))?;
        Some(Self { first, last, ascending: true, repeats: has_zero })
    }

    fn step(&mut self, difference: u64) {
        let next = self.last.wrapping_add_unsigned(difference);
        self.ascending &= next >= self.last;
        self.repeats |= next == self.last;
        self.last = next;
    }
}
