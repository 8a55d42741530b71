use icecore_tsm::{BlockType, Values};

use super::model::uvarint;
use super::values_agree;

/// Any bytes are the booleans of a block, or damaged.
///
/// With as many times as there are booleans they are decoded to what a second reader finds; with other times the block is
/// damaged.
pub fn block_booleans(bytes: &[u8]) {
    values_agree(bytes, read(bytes).as_ref(), BlockType::Boolean);
}

fn read(bytes: &[u8]) -> Option<Values> {
    let mut rest = bytes.strip_prefix(&[0x10])?;
    let count = usize::try_from(uvarint(&mut rest)?).ok().filter(|count| rest.len() == count.div_ceil(8))?;
    let bits = rest.iter().flat_map(|byte| (0..8).map(move |at| byte << at & 0x80 != 0));
    Some(Values::Boolean(bits.take(count).collect()))
}
