use std::cell::RefCell;
use std::iter::{once, repeat_n};

use icecore_tsm::{BlockType, Values, block};

use super::model::{packed, packed_count, uvarint, word, words};
use super::{POINTS_MAX, values_agree};

thread_local! {
    static MODEL: RefCell<[Values; 2]> =
        const { RefCell::new([Values::Integer(Vec::new()), Values::Unsigned(Vec::new())]) };
}

/// Any bytes are the integers of a block, signed and unsigned alike, or damaged.
///
/// With as many times as there are integers they are decoded to what a second reader finds; with other times the block is
/// damaged.
pub fn block_integers(bytes: &[u8]) {
    MODEL.with_borrow_mut(|model| {
        let [Values::Integer(signed), Values::Unsigned(unsigned)] = model else {
            unreachable!("as it was made")
        };
        unsigned.clear();
        let Some(is_whole) = read(bytes, unsigned) else {
            values_agree(bytes, None, BlockType::Integer);
            return values_agree(bytes, None, BlockType::Unsigned);
        };
        if is_whole {
            signed.clear();
            signed.extend(unsigned.iter().map(|value| value.cast_signed()));
            model.iter().for_each(|values| values_agree(bytes, Some(values), values.kind()));
        }
    });
}

/// Appends the integers to `out`, as unsigned ones. `Some(false)`: there are too many of them to be decoded.
fn read(bytes: &[u8], out: &mut Vec<u64>) -> Option<bool> {
    let (header, mut rest) = bytes.split_first()?;
    let (count, zigzags): (usize, Box<dyn Iterator<Item = u64> + '_>) = match header {
        0x00 => {
            let words = words(rest)?;
            (words.clone().count(), Box::new(words))
        }
        0x10 => {
            let first = word(&mut rest)?;
            let words = words(rest)?;
            (1 + packed_count(words.clone()), Box::new(once(first).chain(packed(words))))
        }
        0x20 => {
            let first = word(&mut rest)?;
            let step = uvarint(&mut rest)?;
            let repeats = usize::try_from(uvarint(&mut rest)?).ok().filter(|_| rest.is_empty())?;
            (repeats.checked_add(1)?, Box::new(once(first).chain(repeat_n(step, repeats))))
        }
        _ => return None,
    };
    if count > block::MAX_POINTS {
        return None;
    }
    if count > POINTS_MAX {
        return Some(false);
    }
    out.extend(zigzags.scan(0u64, |value, zigzag| {
        *value = value.wrapping_add(if zigzag % 2 == 0 { zigzag / 2 } else { !(zigzag / 2) });
        Some(*value)
    }));
    Some(true)
}
