use std::cell::RefCell;
use std::iter::{once, repeat_n};

use icecore_tsm::{BlockType, block};

use super::model::{packed, packed_count, put_uvarint, uvarint, word, words};
use super::{AT, POINTS_MAX, SCRATCH, assemble, encodes_to_the_same, is_about, range, refused, shape_agrees};

thread_local! {
    static MODEL: RefCell<(Vec<i64>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Any bytes are the times of a block, or damaged.
///
/// In a block with as many booleans they are decoded to what a second reader finds, and encoded to the same times, in
/// whatever order they are; with one boolean more, or with bytes behind the booleans, the block is damaged.
pub fn block_times(bytes: &[u8]) {
    MODEL.with_borrow_mut(|(times, values)| {
        times.clear();
        let count = read(bytes, times);
        put_booleans(count.unwrap_or(1).min(POINTS_MAX), values);
        SCRATCH.with_borrow_mut(|scratch| {
            assemble(BlockType::Boolean, bytes, values, &mut scratch.block);
            let found = block::count(&scratch.block, AT);
            is_about(&found, &scratch.block);
            assert_eq!(found.ok(), count, "the second reader counts as many");
            let bounds = block::bounds(&scratch.block, AT);
            is_about(&bounds, &scratch.block);
            assert_eq!(bounds.ok().map(|bounds| bounds.count), count);
            let Some(..=POINTS_MAX) = count else {
                return refused(&scratch.block, &mut scratch.column);
            };
            block::decode(&scratch.block, AT, &mut scratch.column).expect("the second reader reads it");
            assert_eq!(scratch.column.times, *times);
            shape_agrees(scratch);
            range::parts_agree(&scratch.block, &scratch.column, &mut scratch.back);
            encodes_to_the_same(&scratch.column, &mut scratch.encoded, &mut scratch.back);
            scratch.block.push(0);
            refused(&scratch.block, &mut scratch.column);
            put_booleans(times.len() + 1, values);
            assemble(BlockType::Boolean, bytes, values, &mut scratch.block);
            refused(&scratch.block, &mut scratch.column);
        });
    });
}

/// Becomes the encoding of `count` booleans.
fn put_booleans(count: usize, out: &mut Vec<u8>) {
    out.clear();
    out.push(0x10);
    put_uvarint(count as u64, out);
    out.resize(out.len() + count.div_ceil(8), 0);
}

/// The number of times, and all of them in `out` if they are not too many to be decoded.
fn read(bytes: &[u8], out: &mut Vec<i64>) -> Option<usize> {
    let (header, mut rest) = bytes.split_first()?;
    let scale = 10u64.pow(u32::from(header & 0xf));
    let (count, differences): (usize, Box<dyn Iterator<Item = u64> + '_>) = match header >> 4 {
        0 if scale == 1 => {
            let words = words(rest)?;
            (words.clone().count(), Box::new(words))
        }
        1 => {
            let first = word(&mut rest)?;
            let words = words(rest)?;
            let differences = packed(words.clone()).map(move |value| value.wrapping_mul(scale));
            (1 + packed_count(words), Box::new(once(first).chain(differences)))
        }
        2 => {
            let first = word(&mut rest)?;
            let step = uvarint(&mut rest)?.wrapping_mul(scale);
            let count = usize::try_from(uvarint(&mut rest)?).ok().filter(|_| rest.is_empty())?;
            (count, Box::new(once(first).chain(repeat_n(step, count.saturating_sub(1)))))
        }
        _ => return None,
    };
    if !(1..=block::MAX_POINTS).contains(&count) {
        return None;
    }
    if count <= POINTS_MAX {
        out.extend(differences.scan(0u64, |time, difference| {
            *time = time.wrapping_add(difference);
            Some(time.cast_signed())
        }));
    }
    Some(count)
}
