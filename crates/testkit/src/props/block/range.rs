//! A part of a block is what all of it has within a range of times.

use icecore_tsm::{Column, TimeRange, Values, block};

use super::{AT, START_NS, is_about};

/// That ranges between the times of a sound block have what `whole`, its points, has in them.
pub(super) fn parts_agree(block: &[u8], whole: &Column, part: &mut Column) {
    let (first, second) =
        crc32fast::hash(block).to_be_bytes().split_at_checked(2).map_or((0, 0), |(a, b)| {
            let at = |pair: &[u8]| pair.iter().fold(0, |at, byte| at << 8 | usize::from(*byte)) % whole.len();
            (at(a), at(b))
        });
    let Some((first, second)) = whole.times.get(first).copied().zip(whole.times.get(second).copied()) else {
        return;
    };
    let (min, max) = (first.min(second), first.max(second));
    let ranges = [
        (i64::MIN, i64::MAX),
        (min, max),
        (min.saturating_add(1), max.saturating_sub(1)),
        (i64::MIN, min.saturating_sub(1)),
        (max, max),
    ];
    for range in ranges.into_iter().filter_map(|(min, max)| TimeRange::new(min, max).ok()) {
        block::decode_range(block, AT, range, part).expect("all of it was read");
        let mut found = 0;
        for (at, _) in whole.times.iter().enumerate().filter(|(_, time)| range.contains(**time)) {
            assert_eq!(whole.times.get(at), part.times.get(found), "{range:?}");
            assert!(is_same(&whole.values, at, &part.values, found), "{range:?} of {whole:?} is {part:?}");
            found += 1;
        }
        assert_eq!((part.len(), part.values.len()), (found, found), "no more than {range:?}");
        assert_eq!(block::count_within(block, AT, range).expect("all of it was read"), found, "{range:?}");
    }
}

/// That a part of a damaged block is damaged, or has only what was asked for.
pub(super) fn refuses_or_stays_inside(block: &[u8], part: &mut Column) {
    let range = TimeRange::new(START_NS, START_NS + 100).expect("a hundred nanoseconds");
    let outcome = block::decode_range(block, AT, range, part);
    is_about(&outcome, block);
    assert_eq!(part.len(), part.values.len(), "as many values as times");
    assert!(part.times.iter().all(|time| range.contains(*time)), "{part:?}");
    assert!(outcome.is_ok() || part.is_empty(), "nothing is left of what is damaged");
}

/// Whether two values are the same, floats by their bits.
fn is_same(a: &Values, at: usize, b: &Values, b_at: usize) -> bool {
    match (a, b) {
        (Values::Float(a), Values::Float(b)) => {
            a.get(at).map(|value| value.to_bits()) == b.get(b_at).map(|value| value.to_bits())
        }
        (Values::Integer(a), Values::Integer(b)) => a.get(at) == b.get(b_at),
        (Values::Unsigned(a), Values::Unsigned(b)) => a.get(at) == b.get(b_at),
        (Values::Boolean(a), Values::Boolean(b)) => a.get(at) == b.get(b_at),
        (Values::String(a), Values::String(b)) => a.get(at) == b.get(b_at),
        _ => false,
    }
}
