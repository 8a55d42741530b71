//! What holds for the bytes of a block, one half at a time: the other half is made to match.
//!
//! Each property has a second reader of its encoding: slow, plain, and written from `docs/formats/tsm.md` alone. The engine
//! reads what that one reads, and refuses what that one refuses.

pub(super) mod booleans;
pub(super) mod floats;
pub(super) mod integers;
pub(super) mod model;
mod range;
pub(super) mod strings;
pub(super) mod times;

use std::cell::RefCell;

use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{BlockType, Column, Offset, Result, Values};

use super::shard::{is_same, is_unfit};

/// Blocks that claim more points are counted, not decoded.
const POINTS_MAX: usize = 1 << 11;

/// Where the blocks begin in their file, which an error must know.
const AT: Offset = Offset::new(1000);

/// The first time of blocks whose times are not what is tried.
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Memory that is used again by every input.
struct Scratch {
    block: Vec<u8>,
    column: Column,
    times: Vec<i64>,
    encoded: Vec<u8>,
    back: Column,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        block: Vec::new(),
        column: Column::new(BlockType::Float),
        times: Vec::new(),
        encoded: Vec::new(),
        back: Column::new(BlockType::Float),
    });
}

/// Puts a block into `out`, of these times and values.
fn assemble(kind: BlockType, times: &[u8], values: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(kind.code());
    model::put_uvarint(times.len() as u64, out);
    out.extend_from_slice(times);
    out.extend_from_slice(values);
}

/// Puts a block into `out`, of `count` points a nanosecond apart.
fn with_times(kind: BlockType, count: usize, values: &[u8], out: &mut Vec<u8>) {
    let mut times = vec![0x20];
    times.extend_from_slice(&START_NS.to_be_bytes());
    times.push(1);
    model::put_uvarint(count as u64, &mut times);
    assemble(kind, &times, values, out);
}

/// Tries `values` as the values of a block: with as many times as `model` read, where it must find the same, and with other
/// numbers of times, which must be damage. `None` when the model could not read them.
fn values_agree(bytes: &[u8], model: Option<&Values>, kind: BlockType) {
    SCRATCH.with_borrow_mut(|scratch| {
        let claimed = model.map(Values::len);
        if let Some((model, count @ 1..)) = model.zip(claimed) {
            with_times(kind, count, bytes, &mut scratch.block);
            block::decode(&scratch.block, AT, &mut scratch.column)
                .unwrap_or_else(|error| panic!("the model reads {model:?}: {error}"));
            let expected = (START_NS..).take(count);
            assert!(scratch.column.times.iter().copied().eq(expected), "the times are as they were put");
            assert!(is_same(&scratch.column.values, model), "{model:?} was read as {:?}", scratch.column);
            shape_agrees(scratch);
            range::parts_agree(&scratch.block, &scratch.column, &mut scratch.back);
            encodes_to_the_same(&scratch.column, &mut scratch.encoded, &mut scratch.back);
            scratch.block.push(0);
            refused(&scratch.block, &mut scratch.column);
        }
        let other = claimed.unwrap_or(0);
        for count in [1, 2, 240, other.saturating_sub(1), other + 1] {
            if count > 0 && Some(count) != claimed {
                with_times(kind, count, bytes, &mut scratch.block);
                refused(&scratch.block, &mut scratch.column);
            }
        }
    });
}

/// That a block is damage, which is named with its place, and leaves nothing behind.
fn refused(block: &[u8], column: &mut Column) {
    let error = block::decode(block, AT, column).expect_err("the model refuses it");
    let also = block::validate(block, AT, &mut Vec::new()).expect_err("what does not decode is not valid");
    assert_eq!((also.kind(), also.offset()), (error.kind(), error.offset()), "the same damage");
    assert!(column.is_empty() && column.values.is_empty(), "nothing is left of what is damaged");
    is_about(&Err::<(), _>(error), block);
    range::refuses_or_stays_inside(block, column);
}

/// That an error is about damage, inside or right behind a block.
fn is_about<T>(outcome: &Result<T>, block: &[u8]) {
    if let Err(error) = outcome {
        assert!(error.is_damage(), "not about damage: {error}");
        let end = AT.get() + block.len() as u64;
        let inside = error.offset().is_some_and(|at| (AT.get()..=end).contains(&at.get()));
        assert!(inside, "not in the block of {} bytes: {error}", block.len());
    }
}

/// That whatever can be asked about a block agrees with what was decoded of it.
fn shape_agrees(scratch: &mut Scratch) {
    let Scratch { block, column, times, .. } = scratch;
    let (kind, count) = (column.kind(), column.len());
    assert_eq!(count, column.values.len(), "as many values as times");
    assert_eq!(block::kind(block, AT).expect("it was read"), kind);
    assert_eq!(block::count(block, AT).expect("it was read"), count);
    assert_eq!(block::decode_times(block, AT, times).expect("it was read"), kind);
    assert_eq!(*times, column.times);
    bounds_agree(block, kind, times);
    let shape = block::describe(block, AT).expect("it was read");
    assert_eq!((shape.kind, shape.count), (kind, count));
    let prefix = block.len() - shape.times_len - shape.values_len;
    assert!((2..=4).contains(&prefix), "a type, a length, times and values: {shape:?}");
}

/// That the bounds of a block are those of its times.
fn bounds_agree(block: &[u8], kind: BlockType, times: &[i64]) {
    let bounds = block::bounds(block, AT).expect("it was read");
    assert_eq!(block::validate(block, AT, &mut Vec::new()).expect("it was read"), bounds);
    assert_eq!((bounds.kind, bounds.count), (kind, times.len()));
    assert_eq!((Some(&bounds.first), Some(&bounds.last)), (times.first(), times.last()));
    assert_eq!(bounds.ascending, times.is_sorted());
    assert_eq!(bounds.repeats, times.windows(2).any(|pair| pair.first() == pair.last()));
}

/// What was decoded is encoded, as both encoders do it, to a block that decodes to it; NaN alone has no encoding.
pub(super) fn encodes_to_the_same(column: &Column, encoded: &mut Vec<u8>, back: &mut Column) {
    let has_nan = match &column.values {
        Values::Float(values) => values.iter().any(|value| value.is_nan()),
        _ => false,
    };
    for flavor in [Flavor::Batch, Flavor::Stream] {
        encoded.clear();
        match block::encode(column, 0..column.len(), flavor, encoded) {
            Ok(()) => {
                assert!(!has_nan, "no block holds NaN");
                block::decode(encoded, AT, back).expect("our own block");
                let same = column.times == back.times && is_same(&column.values, &back.values);
                assert!(same, "{column:?} became {back:?}");
            }
            Err(error) => assert!(has_nan && is_unfit(&error) && encoded.is_empty(), "{error}"),
        }
    }
}
