//! A block: the points of one key, encoded; what lies between its CRC and the next.
//!
//! Invariant: a block that decodes has as many values as times, at least one and at most [`MAX_POINTS`].
//!
//! ```text
//! | type 1 | uvarint n | times n | values: the rest |
//! ```
//!
//! Times and values each begin with a byte that names their encoding. Neither the CRC nor the order of the times is
//! looked at here.
//!
//! ```
//! use icecore_tsm::block::{self, Flavor};
//! use icecore_tsm::{BlockType, Column, Offset, Values};
//!
//! let column = Column { times: vec![10, 20, 30], values: Values::Integer(vec![-1, 0, 7]) };
//! let mut bytes = Vec::new();
//! block::encode(&column, 0..3, Flavor::Batch, &mut bytes)?;
//!
//! let mut back = Column::new(BlockType::Float);
//! block::decode(&bytes, Offset::START, &mut back)?;
//! assert_eq!(back, column);
//! # Ok::<(), icecore_tsm::Error>(())
//! ```

mod boolean;
mod bounds;
mod describe;
mod float;
mod integer;
mod range;
mod simple8b;
mod string;
mod time;
mod validate;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use self::bounds::{Bounds, bounds};
pub use self::describe::{Shape, TimesEncoding, ValuesEncoding, describe};
pub use self::range::decode_range;
use self::time::Times;
pub use self::validate::validate;
use crate::error::{Error, Result};
use crate::format::column::{BlockType, Column, Values};
use crate::format::read::{Cursor, put_uvarint};
use crate::{Offset, TimeRange};

/// The most points of a block that is read or written here: 2^20.
///
/// The format states no limit; influxd writes 1,000, and 10,000 when it compacts all. A few bytes can claim any number of
/// points at equal distances, so a reader needs one, and it is also what such bytes can cost: 16 MiB for times and
/// values. A hundred times what influxd ever writes is enough.
pub const MAX_POINTS: usize = 1 << 20;

/// The first byte of floats, booleans and strings, which have one encoding each.
const GIVEN: u8 = 0x10;

/// influxd has two encoders; both write the same values, but in rare cases not the same bytes.
///
/// They differ in when a run of ones is packed as a run (times, integers) and in whether a large first integer makes the
/// block raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// What a compaction writes.
    Batch,
    /// What a flush of the cache writes.
    Stream,
}

/// Decodes a block. `block` is without its CRC and begins at `at` in its file; what was in `out` is gone.
///
/// Memory is bounded by the length of the block, but for runs of points at equal distances; those are bounded by
/// [`MAX_POINTS`]. NaN, though never written, is read as it stands.
///
/// # Errors
/// `Corrupt`, with the place in the file, when the bytes are not a block; `out` is then empty.
pub fn decode(block: &[u8], at: Offset, out: &mut Column) -> Result<()> {
    let outcome = Parts::split(block, at).and_then(|parts| parts.decode(out));
    if outcome.is_err() {
        out.reset(out.kind());
    }
    outcome
}

/// Decodes the times of a block only, and says of which type its values are; what was in `out` is gone.
///
/// # Errors
/// `Corrupt`, with the place in the file, when the times are damaged; `out` is then empty.
pub fn decode_times(block: &[u8], at: Offset, out: &mut Vec<i64>) -> Result<BlockType> {
    let times = Parts::split(block, at).and_then(|parts| Ok((parts.kind, Times::parse(parts.times)?)));
    match times {
        Ok((kind, times)) => {
            times.decode(out);
            Ok(kind)
        }
        Err(error) => {
            out.clear();
            Err(error)
        }
    }
}

/// The number of points, found without decoding them: the times say it.
///
/// # Errors
/// `Corrupt`, with the place in the file, when the times are damaged.
pub fn count(block: &[u8], at: Offset) -> Result<usize> {
    Ok(Times::parse(Parts::split(block, at)?.times)?.count())
}

/// The number of points whose times lie in `range`, found without memory: of a run by computation, of other times by adding
/// them up.
///
/// # Errors
/// `Corrupt`, with the place in the file, when the times are damaged.
pub fn count_within(block: &[u8], at: Offset, range: TimeRange) -> Result<usize> {
    Ok(Times::parse(Parts::split(block, at)?.times)?.count_within(range))
}

/// The type of the values.
///
/// # Errors
/// `Corrupt` when the block is empty or of a type that TSM does not know.
pub fn kind(block: &[u8], at: Offset) -> Result<BlockType> {
    read_kind(&mut Cursor::new(block, at))
}

/// Appends the points `range` as a block, without its CRC: byte for byte what influxd would write. For strings that holds
/// as far as two implementations of snappy find the same matches; in all blocks compared so far they did.
///
/// The times are written as they stand; a file wants them strictly ascending. Both infinities in one block are written,
/// although influxd's compaction takes their sum for NaN and refuses.
///
/// # Errors
/// `Unfit`, and nothing is appended, when the range is empty, larger than [`MAX_POINTS`] or passes the end of the times or
/// of the values, when it has a NaN, or when strings reach 4 GiB.
pub fn encode(column: &Column, range: Range<usize>, flavor: Flavor, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let outcome = encode_parts(column, range, flavor, out);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn encode_parts(column: &Column, range: Range<usize>, flavor: Flavor, out: &mut Vec<u8>) -> Result<()> {
    let times = part(&column.times, &range)?;
    if range.end > column.values.len() {
        return Err(Error::unfit("the points of a block pass the end of their column"));
    }
    match times.len() {
        0 => return Err(Error::unfit("a block needs at least one point")),
        1..=MAX_POINTS => {}
        _ => return Err(Error::unfit("more points than a block may have")),
    }
    out.push(column.kind().code());
    put_times(times, flavor, out);
    match &column.values {
        Values::Float(values) => float::encode(part(values, &range)?, out)?,
        Values::Integer(values) => integer::encode(part(values, &range)?, i64::cast_unsigned, flavor, out),
        Values::Boolean(values) => boolean::encode(values, range, out),
        Values::String(values) => string::encode(values, range, out)?,
        Values::Unsigned(values) => integer::encode(part(values, &range)?, |bits| bits, flavor, out),
    }
    Ok(())
}

/// The length stands before the times and takes one to four bytes: they are written first and moved.
fn put_times(times: &[i64], flavor: Flavor, out: &mut Vec<u8>) {
    let start = out.len();
    time::encode(times, flavor, out);
    let end = out.len();
    put_uvarint(out, (end - start) as u64);
    let prefix = out.len() - end;
    if let Some(all) = out.get_mut(start..) {
        all.rotate_right(prefix);
    }
}

fn part<'a, T>(list: &'a [T], range: &Range<usize>) -> Result<&'a [T]> {
    list.get(range.clone()).ok_or_else(|| Error::unfit("the points of a block pass the end of their column"))
}

/// A block taken apart: both cursors stand at the byte that names the encoding.
struct Parts<'a> {
    kind: BlockType,
    times: Cursor<'a>,
    values: Cursor<'a>,
}

impl<'a> Parts<'a> {
    fn split(block: &'a [u8], at: Offset) -> Result<Self> {
        let mut cursor = Cursor::new(block, at);
        let kind = read_kind(&mut cursor)?;
        let length_at = cursor.clone();
        let length = cursor.uvarint("length of the times")?;
        let start = cursor.at();
        let times = usize::try_from(length)
            .ok()
            .and_then(|length| cursor.take(length, "length of the times").ok())
            .ok_or_else(|| length_at.corrupt("length of the times"))?;
        Ok(Self { kind, times: Cursor::new(times, start), values: cursor })
    }

    fn decode(&self, out: &mut Column) -> Result<()> {
        let times = Times::parse(self.times.clone())?;
        // Values first: they compare their number with that of the times before they take memory.
        self.decode_values(times.count(), 0..times.count(), &mut out.values)?;
        times.decode(&mut out.times);
        Ok(())
    }

    /// The values at `wanted`, of the `count` that the times say there are.
    fn decode_values(&self, count: usize, wanted: Range<usize>, out: &mut Values) -> Result<()> {
        let values = self.values.clone();
        out.retype(self.kind);
        match out {
            Values::Float(list) => float::decode(values, count, wanted, list),
            Values::Integer(list) => integer::decode(values, count, wanted, list, u64::cast_signed),
            Values::Boolean(list) => boolean::decode(values, count, wanted, list),
            Values::String(list) => string::decode(values, count, wanted, list),
            Values::Unsigned(list) => integer::decode(values, count, wanted, list, |bits| bits),
        }
    }
}

/// Takes the byte that names the encoding, where a type has only one.
fn given(bytes: &mut Cursor<'_>, what: &'static str) -> Result<()> {
    let start = bytes.clone();
    match bytes.u8("a block without values")? {
        GIVEN => Ok(()),
        _ => Err(start.corrupt(what)),
    }
}

fn read_kind(cursor: &mut Cursor<'_>) -> Result<BlockType> {
    let at = cursor.clone();
    BlockType::from_code(cursor.u8("an empty block")?).ok_or_else(|| at.corrupt("unknown type of block"))
}

/// The words up to the end of the bytes. Each holds at least one value, so there cannot be more than [`MAX_POINTS`]; with
/// that the number of their values fits 32 bits.
fn raw_words<'a>(bytes: &Cursor<'a>) -> Result<&'a [[u8; 8]]> {
    let (words, rest) = bytes.rest().as_chunks::<8>();
    if words.len() > MAX_POINTS {
        return Err(bytes.corrupt("more points than a block may have"));
    }
    if rest.is_empty() {
        return Ok(words);
    }
    Err(Error::corrupt("cut word", bytes.at().forward(bytes.rest().len() - rest.len())))
}

/// A number of points as memory counts them; `at` is where the list begins that claims it.
fn checked_count(count: u64, at: &Cursor<'_>) -> Result<usize> {
    match usize::try_from(count) {
        Ok(count) if count <= MAX_POINTS => Ok(count),
        _ => Err(at.corrupt("more points than a block may have")),
    }
}

/// The numbers at `wanted` of a list at equal distances, wrapping around.
fn run(first: u64, step: u64, wanted: Range<usize>) -> impl Iterator<Item = u64> {
    let mut next = first.wrapping_add(step.wrapping_mul(wanted.start as u64));
    wanted.map(move |_| {
        let number = next;
        next = number.wrapping_add(step);
        number
    })
}

/// What `make` says of each two values that follow one another, if it is the same everywhere; 0 for a single value.
fn common_step<T: Copy>(values: &[T], make: impl Fn(T, T) -> u64) -> Option<u64> {
    const AT_ONCE: usize = 32;
    let step = values.array_windows().next().map_or(0, |[before, value]| make(*before, *value));
    let behind = values.get(1..).unwrap_or_default();
    // Without a way out in the middle of a chunk, so that several values are compared at once.
    let same = |before: &[T], behind: &[T]| {
        before.iter().zip(behind).fold(0, |odd, (before, value)| odd | (make(*before, *value) ^ step)) == 0
    };
    values
        .chunks(AT_ONCE)
        .zip(behind.chunks(AT_ONCE))
        .all(|(before, behind)| same(before, behind))
        .then_some(step)
}

/// Appends what `make` makes of each two values that follow one another, eight bytes each.
fn put_words<T: Copy>(values: &[T], make: impl Fn(T, T) -> u64, out: &mut Vec<u8>) {
    const AT_ONCE: usize = 64;
    let behind = values.get(1..).unwrap_or_default();
    out.reserve(behind.len() * 8);
    for (before, behind) in values.chunks(AT_ONCE).zip(behind.chunks(AT_ONCE)) {
        let mut words = [[0; 8]; AT_ONCE];
        for (word, (before, value)) in words.iter_mut().zip(before.iter().zip(behind)) {
            *word = make(*before, *value).to_be_bytes();
        }
        out.extend_from_slice(words.get(..behind.len()).unwrap_or_default().as_flattened());
    }
}
