//! Whether a block decodes, and what the index says about it, without its points.
//!
//! Invariant: [`validate`] accepts and refuses what [`decode`](super::decode) accepts and refuses, for any bytes, with the
//! same error. Both take a list apart by the same code; what is left out here cannot fail.

use super::time::Times;
use super::{Bounds, Parts, boolean, float, integer, string};
use crate::Offset;
use crate::error::Result;
use crate::format::column::BlockType;
use crate::format::read::Cursor;

/// That [`decode`](super::decode) would find all points of a block, without keeping one: of runs, booleans and packed integers
/// it is known from their number, the bits of floats are walked, times are added up. Strings are decompressed into
/// `plain`, whose memory is used again and whose content means nothing. `block` is without its CRC and begins at `at` in
/// its file.
///
/// ```
/// use icecore_tsm::block::{self, Flavor};
/// use icecore_tsm::{Column, Offset, Values};
///
/// let column = Column { times: vec![10, 20, 35], values: Values::Integer(vec![1, 2, 4]) };
/// let mut bytes = Vec::new();
/// block::encode(&column, 0..3, Flavor::Batch, &mut bytes)?;
///
/// let mut plain = Vec::new();
/// assert_eq!(block::validate(&bytes, Offset::START, &mut plain)?.count, 3);
/// bytes.pop();
/// assert!(block::validate(&bytes, Offset::START, &mut plain).is_err());
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
///
/// # Errors
/// `Corrupt`, with the place in the file, when the bytes are not a block.
pub fn validate(block: &[u8], at: Offset, plain: &mut Vec<u8>) -> Result<Bounds> {
    let parts = Parts::split(block, at)?;
    let times = Times::parse(parts.times)?;
    values(parts.kind, parts.values, times.count(), plain)?;
    Ok(Bounds::new(parts.kind, &times))
}

fn values(kind: BlockType, bytes: Cursor<'_>, count: usize, plain: &mut Vec<u8>) -> Result<()> {
    match kind {
        BlockType::Float => float::validate(bytes, count),
        BlockType::Integer | BlockType::Unsigned => integer::Integers::parse(bytes, count).map(drop),
        BlockType::Boolean => boolean::bits(bytes, count).map(drop),
        BlockType::String => string::validate(bytes, count, plain),
    }
}
