//! Bits into floats.

use std::ops::Range;

use super::{MARKER, open, skim};
use crate::error::{Error, Result};
use crate::format::read::Cursor;

/// The most significant bits that lie in eight bytes together with the two bits before them, wherever in its byte the first
/// of all is; and the most that together with those two are a word.
pub(super) const NARROW: u32 = 64 - 7 - 2;
const WIDE: u32 = 64 - 2;

/// So many values that follow each other in one window make it likely that many more do.
const PROBE: usize = 16;

/// Bytes that one value may reach into: it begins in the first of them and takes at most 2 + 11 + 64 bits.
const REACH: usize = 16;

/// Becomes the values at `wanted` of a list of `count`. What lies behind them is not looked at.
pub(in super::super) fn decode(
    mut bytes: Cursor<'_>,
    count: usize,
    wanted: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<()> {
    let stream = Stream::open(&mut bytes, count)?;
    out.resize(wanted.end, 0.0);
    let Some((slot, others)) = out.split_first_mut() else { return Err(stream.mismatch()) };
    *slot = f64::from_bits(stream.first);
    let end = read(stream.bytes.rest(), stream.first, others);
    stream.accept(&end, wanted.end == count)?;
    out.drain(..wanted.start);
    Ok(())
}

/// That [`decode`] would become all values of a list of `count`: the same bits are read, and no value is kept.
pub(in super::super) fn validate(mut bytes: Cursor<'_>, count: usize) -> Result<()> {
    let stream = Stream::open(&mut bytes, count)?;
    let others = Forgotten(count.checked_sub(1).ok_or_else(|| stream.mismatch())?);
    let end = read(stream.bytes.rest(), stream.first, others);
    stream.accept(&end, true)
}

/// The bits behind the first value.
struct Stream<'a> {
    /// Where the list begins.
    start: Cursor<'a>,
    first: u64,
    bytes: Cursor<'a>,
}

impl<'a> Stream<'a> {
    /// Takes the first of `count` values, for which there must be bits enough.
    fn open(bytes: &mut Cursor<'a>, count: usize) -> Result<Self> {
        let start = bytes.clone();
        open(bytes)?;
        let first = bytes.u64("cut first float")?;
        let stream = Self { start, first, bytes: bytes.clone() };
        // Each value behind the first takes at least a bit, so this bounds the memory by the bytes at hand.
        if first == MARKER || count.div_ceil(8) > stream.bytes.rest().len() {
            return Err(stream.mismatch());
        }
        Ok(stream)
    }

    fn mismatch(&self) -> Error {
        self.start.corrupt("as many floats as times were expected")
    }

    /// Whether a list may end so, of which all or only the front was wanted.
    fn accept(&self, end: &End, is_whole: bool) -> Result<()> {
        let len = self.bytes.rest().len();
        let cut = || self.bytes.corrupt("floats without their end marker");
        let corrupt = |what, position: usize| Error::corrupt(what, self.bytes.at().forward(position / 8));
        match *end {
            End::Marker { position, missing } => {
                let used = position.div_ceil(8);
                if used > len {
                    return Err(cut());
                }
                if missing > 0 || !is_whole {
                    return Err(self.mismatch());
                }
                if used < len {
                    return Err(corrupt("bytes behind the end of the floats", position + 7));
                }
                Ok(())
            }
            End::Full { position } if position > len * 8 => Err(cut()),
            End::Full { .. } if is_whole => Err(self.mismatch()),
            End::Full { .. } => Ok(()),
            End::Cut => Err(cut()),
            End::Window { position } => Err(corrupt("window of a float", position)),
        }
    }
}

/// Places for the values behind the first.
trait Places {
    /// Whether anyone looks at them.
    const ARE_KEPT: bool;
    /// How many are left.
    fn left(&self) -> usize;
    /// Puts a value into one of those that are left, counted from 0.
    fn put(&mut self, at: usize, value: u64);
    /// Puts a value into each of the first `count`.
    fn fill(&mut self, count: usize, value: u64);
    /// The first `count` are not left any more.
    fn advance(&mut self, count: usize);
}

impl Places for &mut [f64] {
    const ARE_KEPT: bool = true;

    #[inline(always)]
    fn left(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn put(&mut self, at: usize, value: u64) {
        if let Some(slot) = self.get_mut(at) {
            *slot = f64::from_bits(value);
        }
    }

    #[inline(always)]
    fn fill(&mut self, count: usize, value: u64) {
        if let Some(slots) = self.get_mut(..count) {
            slots.fill(f64::from_bits(value));
        }
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        *self = std::mem::take(self).get_mut(count..).unwrap_or_default();
    }
}

/// Places for so many values, which keep none.
struct Forgotten(usize);

impl Places for Forgotten {
    const ARE_KEPT: bool = false;

    #[inline(always)]
    fn left(&self) -> usize {
        self.0
    }

    #[inline(always)]
    fn put(&mut self, _: usize, _: u64) {}

    #[inline(always)]
    fn fill(&mut self, _: usize, _: u64) {}

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        self.0 -= count;
    }
}

/// Why a stream was read no further. Positions are in bits from its start.
enum End {
    /// Behind the end marker; so many values were expected still.
    Marker { position: usize, missing: usize },
    /// A value more than expected, which begins here.
    Full { position: usize },
    /// The stream is over.
    Cut,
    /// The window that begins here has more than 64 bits.
    Window { position: usize },
}

/// Fills `places` with the values behind the first.
#[inline(never)] // Alone it keeps its state in registers.
fn read<P: Places>(stream: &[u8], first: u64, mut places: P) -> End {
    let mut value = first;
    let mut position = 0;
    // As a reader that has seen no window takes it: all bits.
    let mut frame = Frame::new(0, 64);
    let mut tail;
    let mut is_probed = false;
    loop {
        // Where nobody looks, a few values in one window are read before many are passed over, and then the last of it.
        let probes = !P::ARE_KEPT && !is_probed;
        let limit = if probes { PROBE } else { usize::MAX };
        let read = read_within(stream, &frame, &mut position, &mut value, &mut places, limit);
        is_probed = probes && read == PROBE;
        if is_probed {
            let passed = skim::pass(stream, &frame, &mut position, &mut value, places.left());
            places.advance(passed);
            continue;
        }
        let byte = position / 8;
        let window = match stream.get(byte..byte + REACH).and_then(|window| window.first_chunk::<REACH>()) {
            Some(window) => window,
            None => {
                tail = padded(stream, byte);
                match &tail {
                    Some(window) => window,
                    None => return End::Cut,
                }
            }
        };
        let skip = low_bits(position);
        // The next 57 bits at least; zeros behind them.
        let ahead = word::<0>(window) << skip;
        if ahead >> 63 == 0 {
            let equal = ahead.leading_zeros().min(64 - skip) as usize;
            let filled = equal.min(places.left());
            if filled == 0 {
                return End::Full { position };
            }
            position += filled;
            places.fill(filled, value);
            places.advance(filled);
            continue;
        }
        let (mut bits, prefix) = if ahead << 1 >> 63 == 0 {
            (ahead << 2, 2)
        } else {
            let leading = field::<5>(ahead, 57);
            let length = field::<6>(ahead, 51);
            let significant = if length == 0 { 64 } else { length };
            if leading + significant > 64 {
                return End::Window { position };
            }
            frame = Frame::new(leading, significant);
            (ahead << 13, 13)
        };
        if frame.significant + prefix > 57 {
            // What `ahead` does not reach.
            bits |= word::<8>(window) >> (64 - skip - prefix);
        }
        value ^= (bits & frame.mask) >> frame.leading;
        if value == MARKER {
            position += (prefix + frame.significant) as usize;
            return End::Marker { position, missing: places.left() };
        }
        if places.left() == 0 {
            return End::Full { position };
        }
        position += (prefix + frame.significant) as usize;
        places.put(0, value);
        places.advance(1);
    }
}

/// Reads on as long as values have the window of the one before, which most do, at most `limit` of them; how many it
/// were. If fewer, what comes next is something else, or the end of places or of the stream.
#[inline(always)]
fn read_within<P: Places>(
    stream: &[u8],
    frame: &Frame,
    position: &mut usize,
    value: &mut u64,
    places: &mut P,
    limit: usize,
) -> usize {
    match frame.significant {
        bits if bits <= NARROW => read_within_bytes::<8, P>(stream, frame, position, value, places, limit),
        bits if bits <= WIDE => read_within_bytes::<9, P>(stream, frame, position, value, places, limit),
        _ => read_within_reach(stream, frame, position, value, places, limit),
    }
}

/// All bits of such a value lie in `BYTES`, eight or nine. They are turned so that the significant ones stand where they
/// belong; a mask takes them, and another the two bits before them.
#[inline(always)]
fn read_within_bytes<const BYTES: usize, P: Places>(
    stream: &[u8],
    frame: &Frame,
    position: &mut usize,
    value: &mut u64,
    places: &mut P,
    limit: usize,
) -> usize {
    let turn = 66 - frame.leading;
    let (prefix, same) = ((0b11u64 << 62).rotate_left(turn), (0b10u64 << 62).rotate_left(turn));
    let significant = frame.mask >> frame.leading;
    let change = |at: usize| {
        let bytes = stream.get(at / 8..at / 8 + BYTES)?;
        let (word, more) = bytes.split_first_chunk()?;
        let skip = low_bits(at);
        let word = u64::from_be_bytes(*word);
        let turned = match more.first() {
            Some(more) => (word << skip | u64::from(*more) >> (8 - skip)).rotate_left(turn),
            None => word.rotate_left(skip + turn),
        };
        (turned & prefix == same).then_some(turned & significant)
    };
    read_while(change, frame, position, value, places, limit)
}

/// The same for windows of nearly all bits.
#[inline(always)]
fn read_within_reach<P: Places>(
    stream: &[u8],
    frame: &Frame,
    position: &mut usize,
    value: &mut u64,
    places: &mut P,
    limit: usize,
) -> usize {
    let change = |at: usize| {
        let bytes = stream.get(at / 8..at / 8 + REACH)?.first_chunk()?;
        let (skip, [front, behind]) = (low_bits(at), [word::<0>(bytes), word::<8>(bytes)]);
        let bits = front << (skip + 2) | behind >> (62 - skip);
        (front << skip >> 62 == 0b10).then_some((bits & frame.mask) >> frame.leading)
    };
    read_while(change, frame, position, value, places, limit)
}

/// Reads values as long as `change` finds at a position what one changes of the value before.
#[inline(always)]
fn read_while<P: Places>(
    change: impl Fn(usize) -> Option<u64>,
    frame: &Frame,
    position: &mut usize,
    value: &mut u64,
    places: &mut P,
    limit: usize,
) -> usize {
    let step = 2 + frame.significant as usize;
    let (mut at, mut before) = (*position, *value);
    let limit = limit.min(places.left());
    let mut filled = 0;
    while filled < limit {
        let Some(next) = change(at).map(|change| before ^ change).filter(|next| *next != MARKER) else {
            break;
        };
        places.put(filled, next);
        filled += 1;
        before = next;
        at += step;
    }
    (*position, *value) = (at, before);
    places.advance(filled);
    filled
}

/// The window of a float: which of its bits the stream has.
pub(super) struct Frame {
    /// Zeros before them; together with their number at most 64.
    pub(super) leading: u32,
    /// Their number, 1 to 64.
    pub(super) significant: u32,
    /// As many ones, at the upper end.
    pub(super) mask: u64,
}

impl Frame {
    fn new(leading: u32, significant: u32) -> Self {
        Self { leading: leading % 64, significant, mask: u64::MAX << (64 - significant) }
    }
}

/// The last bytes of a stream with zeros behind them; `None` when there is none.
#[cold]
#[inline(never)]
fn padded(stream: &[u8], byte: usize) -> Option<[u8; REACH]> {
    let rest = stream.get(byte..).filter(|rest| !rest.is_empty())?;
    let mut window = [0; REACH];
    window.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    Some(window)
}

/// The eight bytes at `AT`.
fn word<const AT: usize>(window: &[u8; REACH]) -> u64 {
    const { assert!(AT + 8 <= REACH) };
    window.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// How far into its byte a position is.
#[expect(clippy::cast_possible_truncation, reason = "below 8")]
fn low_bits(position: usize) -> u32 {
    (position % 8) as u32
}

/// `N` bits of `word`, the lowest of them `at` bits up.
#[expect(clippy::cast_possible_truncation, reason = "N is small")]
fn field<const N: u32>(word: u64, at: u32) -> u32 {
    const { assert!(N < 32) };
    (word >> at & ((1 << N) - 1)) as u32
}
