//! Floats passed over many at once, where nobody looks at them.
//!
//! Values that have the window of the one before take equally many bits, so eight of them take as many bytes as one has
//! bits: every eighth lies equally within its byte. The words of these can be combined before they are shifted, which
//! tells of all at once whether the two bits before each are `10`, and what they change together.
//!
//! Invariant: a batch is passed only when all its values have the window of the one before and none is the end marker.

use super::MARKER;
use super::read::{Frame, NARROW};

/// Ways to lie within a byte.
const LANES: usize = 8;
/// Values of a batch that lie equally.
const DEPTH: usize = 8;
const BATCH: usize = LANES * DEPTH;

/// Passes over batches of values that have the window `frame`, of the `left` that are expected: how many, with `position`
/// and `value` behind them. The next may have that window, too.
#[inline(never)]
pub(super) fn pass(
    stream: &[u8],
    frame: &Frame,
    position: &mut usize,
    value: &mut u64,
    left: usize,
) -> usize {
    // What lies around the window stays as it is. If the end marker has other bits there, no value is one.
    let stays = !(frame.mask >> frame.leading);
    if left < BATCH || (*value ^ MARKER) & stays == 0 {
        return 0;
    }
    let step = 2 + frame.significant as usize;
    let lanes: [Lane; LANES] = std::array::from_fn(|nth| Lane::new(*position + nth * step));
    let (passed, sums) = match frame.significant {
        ..=NARROW => batches::<false>(stream, &lanes, step, left),
        _ => batches::<true>(stream, &lanes, step, left),
    };
    for (lane, sum) in lanes.iter().zip(sums) {
        *value ^= (lane.behind_prefix(sum) & frame.mask) >> frame.leading;
    }
    *position += passed * step;
    passed
}

/// Where every eighth value lies.
struct Lane {
    /// The byte in which the first of them begins.
    byte: usize,
    /// How far into it.
    skip: u32,
    /// The two bits before a value, in a word that begins with that byte; read with the lowest byte first.
    prefix: u64,
    /// What they are.
    same: u64,
}

/// Words that begin where values of a lane do, XORed, as they lie; with those behind them where values reach so far.
#[derive(Clone, Copy, Default)]
struct Sum {
    word: u64,
    next: u64,
}

impl Lane {
    #[expect(clippy::cast_possible_truncation, reason = "below 8")]
    fn new(position: usize) -> Self {
        let skip = (position % 8) as u32;
        let at_skip = |bits: u64| (bits << 62 >> skip).swap_bytes();
        Self { byte: position / 8, skip, prefix: at_skip(0b11), same: at_skip(0b10) }
    }

    /// The 64 bits behind the prefix, of all values of a sum.
    fn behind_prefix(&self, sum: Sum) -> u64 {
        let used = self.skip + 2;
        sum.word.swap_bytes() << used | sum.next.swap_bytes() >> (64 - used)
    }
}

/// Goes on while batches have one window. How many values are passed, and the sum of each lane.
#[inline(always)]
fn batches<const WIDE: bool>(
    stream: &[u8],
    lanes: &[Lane; LANES],
    step: usize,
    left: usize,
) -> (usize, [Sum; LANES]) {
    let mut sums = [Sum::default(); LANES];
    let mut passed = 0;
    while passed + BATCH <= left {
        let rest = stream.get(passed / LANES * step..).unwrap_or_default();
        let Some(found) = batch::<WIDE>(rest, lanes, step) else { break };
        for (sum, found) in sums.iter_mut().zip(found) {
            sum.word ^= found.word;
            sum.next ^= found.next;
        }
        passed += BATCH;
    }
    (passed, sums)
}

/// The sums of the batch at the front of `stream`; `None` when one of its values has another window, or its end is near.
#[inline(always)]
fn batch<const WIDE: bool>(stream: &[u8], lanes: &[Lane; LANES], step: usize) -> Option<[Sum; LANES]> {
    let mut sums = [Sum::default(); LANES];
    for (lane, sum) in lanes.iter().zip(&mut sums) {
        let (mut odd, mut rest) = (0, stream.get(lane.byte..)?);
        for nth in 0..DEPTH {
            let (word, behind) = rest.split_first_chunk()?;
            let word = as_it_lies(word);
            odd |= word ^ lane.same;
            sum.word ^= word;
            if WIDE {
                sum.next ^= as_it_lies(behind.first_chunk()?);
            }
            if nth + 1 < DEPTH {
                rest = rest.get(step..)?;
            }
        }
        if odd & lane.prefix != 0 {
            return None;
        }
    }
    Some(sums)
}

/// Eight bytes for work bit by bit, in which their order does not count.
#[expect(
    clippy::little_endian_bytes,
    reason = "costs nothing on most processors; `swap_bytes` makes up for it"
)]
fn as_it_lies(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}
