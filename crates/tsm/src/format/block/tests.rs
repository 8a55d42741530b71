//! Blocks as a whole: those of a real influxd, those that proptest thinks of, and damaged ones.

use std::path::{Path, PathBuf};

use icecore_testkit::fixtures;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::column::{Bits, Strings};
use crate::{ErrorKind, TimeRange};

/// One block of a file, as its index finds it.
struct Found {
    key: Vec<u8>,
    kind: u8,
    min: i64,
    max: i64,
    at: u64,
    bytes: Vec<u8>,
}

/// Takes `N` bytes off the front.
fn next<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_first_chunk::<N>().unwrap();
    *bytes = rest;
    *head
}

/// All blocks of a TSM file, their CRCs compared: a reader of its own, so that nothing under test reads for the test.
fn blocks(path: &Path) -> Vec<Found> {
    let file = std::fs::read(path).unwrap();
    let (body, footer) = file.split_last_chunk::<8>().unwrap();
    let mut index = &body[usize::try_from(u64::from_be_bytes(*footer)).unwrap()..];
    let mut found = Vec::new();
    while !index.is_empty() {
        let key_len = usize::from(u16::from_be_bytes(next(&mut index)));
        let (key, rest) = index.split_at(key_len);
        index = rest;
        let [kind] = next(&mut index);
        for _ in 0..u16::from_be_bytes(next(&mut index)) {
            let [min, max] = [(); 2].map(|()| i64::from_be_bytes(next(&mut index)));
            let at = u64::from_be_bytes(next(&mut index));
            let start = usize::try_from(at).unwrap();
            let size = u32::from_be_bytes(next(&mut index)) as usize;
            let mut block = &file[start..start + size];
            let crc = u32::from_be_bytes(next(&mut block));
            assert_eq!(crc, crc32fast::hash(block), "{} at {at}", path.display());
            found.push(Found { key: key.to_vec(), kind, min, max, at: at + 4, bytes: block.to_vec() });
        }
    }
    found
}

fn tsm_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tsm_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "tsm") {
            files.push(path);
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    blocks: usize,
    points: usize,
    both: usize,
    batch_only: usize,
    stream_only: usize,
    strings: usize,
    strings_of_other_bytes: usize,
}

impl Tally {
    /// Decodes a block, holds it against its index entry, writes it again and compares the bytes.
    fn add(&mut self, found: &Found, column: &mut Column) {
        let what = || format!("{} at {}", String::from_utf8_lossy(&found.key), found.at);
        let at = Offset::new(found.at);
        decode(&found.bytes, at, column).unwrap();
        let mut times = Vec::new();
        assert_eq!(decode_times(&found.bytes, at, &mut times).unwrap(), column.kind());
        assert_eq!(times, column.times);
        assert_eq!(count(&found.bytes, at).unwrap(), column.len());
        let bounds = bounds(&found.bytes, at).unwrap();
        assert_eq!((bounds.first, bounds.last, bounds.ascending), (found.min, found.max, true));
        let shape = describe(&found.bytes, at).unwrap();
        assert_eq!((shape.kind.code(), shape.count), (found.kind, column.len()));
        assert_eq!(kind(&found.bytes, at).unwrap().code(), found.kind);
        assert_eq!(column.values.len(), column.len());
        assert_eq!((column.times.first(), column.times.last()), (Some(&found.min), Some(&found.max)));
        assert!(column.times.is_sorted_by(|before, time| before < time), "{}", what());
        let [batch, stream] = [Flavor::Batch, Flavor::Stream].map(|flavor| {
            let mut bytes = Vec::new();
            encode(column, 0..column.len(), flavor, &mut bytes).unwrap();
            let mut back = Column::new(BlockType::Boolean);
            decode(&bytes, Offset::START, &mut back).unwrap();
            assert!(back == *column, "{}", what());
            bytes == found.bytes
        });
        self.blocks += 1;
        self.points += column.len();
        self.strings += usize::from(column.kind() == BlockType::String);
        match (batch, stream) {
            (true, true) => self.both += 1,
            (true, false) => self.batch_only += 1,
            (false, true) => self.stream_only += 1,
            (false, false) => {
                assert_eq!(column.kind(), BlockType::String, "{}", what());
                self.strings_of_other_bytes += 1;
            }
        }
    }
}

#[test]
fn blocks_of_a_real_influxd_come_out_byte_for_byte() {
    let mut column = Column::new(BlockType::Float);
    for name in ["kitchen-sink", "layers", "fleet"] {
        let dir = fixtures::unpack(name);
        let mut files = Vec::new();
        tsm_files(dir.path(), &mut files);
        let mut tally = Tally::default();
        for found in files.iter().flat_map(|file| blocks(file)) {
            tally.add(&found, &mut column);
        }
        println!("{name}: {} files, {tally:?}", files.len());
        assert!(tally.blocks > 20, "{name}");
        assert_eq!(tally.strings_of_other_bytes, 0, "{name}");
    }
}

fn time_lists() -> impl Strategy<Value = Vec<i64>> {
    let length = prop_oneof![4 => 1..300usize, 1 => Just(1), 1 => Just(10_000)];
    let step = prop_oneof![
        Just(vec![1i64]),
        Just(vec![10_000_000_000]),
        Just(vec![0]),
        Just(vec![-1_000_000]),
        vec(prop_oneof![9 => Just(1i64), 1 => 0..100i64], 1..400),
        vec((0..20_000i64).prop_map(|step| step * 1_000_000), 1..50),
        vec(any::<i64>(), 1..50),
        vec(0..1i64 << 61, 1..50),
    ];
    (any::<i64>(), step, length).prop_map(|(first, steps, length)| {
        let steps = steps.iter().cycle();
        steps
            .scan(first, |time, step| Some(std::mem::replace(time, time.wrapping_add(*step))))
            .take(length)
            .collect()
    })
}

fn float_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<f64>().prop_map(f64::to_bits),
        (-1000i32..1000).prop_map(|value| f64::from(value).to_bits()),
        Just(0u64),
        Just(1 << 63),
        0..1000u64,
        (0..5usize).prop_map(|index| {
            [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE][index].to_bits()
        }),
        // Subnormals of either sign.
        (1..1u64 << 52, any::<bool>()).prop_map(|(bits, negative)| bits | u64::from(negative) << 63),
        (0..64u32, any::<bool>()).prop_map(|(shift, one)| 1 << shift | u64::from(one)),
    ]
    .prop_filter("NaN cannot be written", |bits| !f64::from_bits(*bits).is_nan())
}

/// As many values as there are times, from a few that repeat in order.
fn columns() -> impl Strategy<Value = Column> {
    let integers = prop_oneof![
        vec(any::<i64>(), 1..50),
        vec(-1000..1000i64, 1..50),
        vec(
            prop_oneof![
                Just(i64::MIN),
                Just(i64::MAX),
                Just(0),
                Just(-1),
                Just((1 << 59) - 1),
                Just(1 << 59)
            ],
            1..20
        ),
    ];
    // Differences of -1 are the ones that simple8b packs as runs.
    let falling =
        (118..245usize, 0..250usize, -5..5i64, any::<bool>()).prop_map(|(before, behind, odd, far)| {
            let first = if far { i64::MAX } else { 0 };
            let steps = std::iter::repeat_n(-1, before).chain([odd]).chain(std::iter::repeat_n(-1, behind));
            steps
                .scan(first, |value: &mut i64, step| Some(std::mem::replace(value, value.wrapping_add(step))))
                .collect()
        });
    let strings =
        vec(prop_oneof![8 => vec(any::<u8>(), 0..20), 4 => Just(Vec::new()), 1 => vec(0..3u8, 65_536)], 1..8);
    let values = prop_oneof![
        vec(float_bits(), 1..50)
            .prop_map(|bits| Values::Float(bits.into_iter().map(f64::from_bits).collect())),
        integers.prop_map(Values::Integer),
        falling.prop_map(Values::Integer),
        vec(any::<u64>(), 1..50).prop_map(Values::Unsigned),
        vec(any::<bool>(), 1..50).prop_map(|bits| Values::Boolean(bits.into_iter().collect())),
        strings.prop_map(|strings| Values::String(strings.into_iter().collect())),
    ];
    (time_lists(), values).prop_map(|(mut times, few)| {
        if few.kind() == BlockType::String {
            times.truncate(400);
        }
        let order = || (0..times.len()).map(|index| index % few.len());
        let values = match &few {
            Values::Float(list) => Values::Float(order().map(|index| list[index]).collect()),
            Values::Integer(list) => Values::Integer(order().map(|index| list[index]).collect()),
            Values::Unsigned(list) => Values::Unsigned(order().map(|index| list[index]).collect()),
            Values::Boolean(list) => {
                Values::Boolean(order().filter_map(|index| list.get(index)).collect::<Bits>())
            }
            Values::String(list) => {
                Values::String(order().filter_map(|index| list.get(index)).collect::<Strings>())
            }
        };
        Column { times, values }
    })
}

/// Equal by bits: -0.0 differs from 0.0.
fn same(a: &Column, b: &Column) -> bool {
    let bits = |list: &[f64]| list.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    match (&a.values, &b.values) {
        (Values::Float(x), Values::Float(y)) => a.times == b.times && bits(x) == bits(y),
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_reads_back_in_both_flavors(column in columns(), batch in any::<bool>()) {
        let flavor = if batch { Flavor::Batch } else { Flavor::Stream };
        let mut bytes = Vec::new();
        encode(&column, 0..column.len(), flavor, &mut bytes).unwrap();
        let mut back = Column { times: vec![7], values: Values::Integer(vec![7]) };
        decode(&bytes, Offset::START, &mut back).unwrap();
        prop_assert!(same(&back, &column));
        prop_assert_eq!(count(&bytes, Offset::START).unwrap(), column.len());
    }

    #[test]
    fn a_part_of_a_column_is_written_as_if_it_were_all(column in columns(), cut in any::<(u16, u16)>()) {
        let [a, b] = [cut.0, cut.1].map(|cut| usize::from(cut) % column.len());
        let range = a.min(b)..a.max(b) + 1;
        let mut part = Column::new(column.kind());
        part.extend_from(&column, range.clone());
        let [mut expected, mut found] = [Vec::new(), vec![1, 2, 3]];
        encode(&part, 0..part.len(), Flavor::Batch, &mut expected).unwrap();
        encode(&column, range, Flavor::Batch, &mut found).unwrap();
        prop_assert_eq!(&found[3..], expected);
    }

    #[test]
    fn a_range_of_times_gives_what_decoding_all_and_a_filter_give(
        column in columns(), batch in any::<bool>(), cut in any::<(u16, u16)>(), off in (-1..2i64, -1..2i64), ends in any::<(u8, i64)>()
    ) {
        let mut bytes = Vec::new();
        encode(&column, 0..column.len(), if batch { Flavor::Batch } else { Flavor::Stream }, &mut bytes).unwrap();
        // Mostly next to times of the column, now and then anywhere or open.
        let time = |cut: u16, off: i64| column.times[usize::from(cut) % column.len()].saturating_add(off);
        let (mut a, mut b) = (time(cut.0, off.0), time(cut.1, off.1));
        match ends.0 % 8 {
            0 => a = i64::MIN,
            1 => b = i64::MAX,
            2 => b = ends.1,
            3 => (a, b) = (i64::MIN, i64::MAX),
            _ => {}
        }
        let range = TimeRange::new(a.min(b), a.max(b)).unwrap();
        let mut expected = Column::new(column.kind());
        for (index, time) in column.times.iter().enumerate() {
            if range.contains(*time) {
                expected.extend_from(&column, index..index + 1);
            }
        }
        let mut part = Column { times: vec![7; 9], values: Values::Float(vec![7.0; 9]) };
        decode_range(&bytes, Offset::START, range, &mut part).unwrap();
        prop_assert!(same(&part, &expected));
        // Into what the first round left, as a reader does.
        decode_range(&bytes, Offset::START, range, &mut part).unwrap();
        prop_assert!(same(&part, &expected));
    }

    #[test]
    fn a_nan_is_refused_wherever_it_stands(bits in vec(float_bits(), 1..300), at in any::<u16>(), payload in any::<u64>(), batch in any::<bool>()) {
        let mut values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
        let at = usize::from(at) % values.len();
        let nan = f64::from_bits(payload | 0x7ff0_0000_0000_0001);
        values[at] = nan;
        let column = Column { times: (0..).take(values.len()).collect(), values: Values::Float(values) };
        let flavor = if batch { Flavor::Batch } else { Flavor::Stream };
        let mut out = vec![9];
        let error = encode(&column, 0..column.len(), flavor, &mut out).unwrap_err();
        prop_assert!(matches!(error.kind(), ErrorKind::Unfit(_)));
        prop_assert_eq!(&out, &[9]);
        if at > 0 {
            encode(&column, 0..at, flavor, &mut out).unwrap();
        }
    }

    #[test]
    fn damaged_blocks_decode_or_are_refused(column in columns(), damage in vec(any::<(u16, u8)>(), 1..4), cut in any::<u16>()) {
        let mut bytes = Vec::new();
        encode(&column, 0..column.len(), Flavor::Batch, &mut bytes).unwrap();
        for (place, value) in damage {
            // The first bytes decide most: half of the damage goes there.
            let reach = if place & 1 == 0 { bytes.len().min(30) } else { bytes.len() };
            bytes[usize::from(place / 2) % reach] = value;
        }
        bytes.truncate(bytes.len() - usize::from(cut) % 9 % bytes.len());
        holds_or_is_refused(&bytes);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(kind in 0..6u8, times in vec(any::<u8>(), 0..40), values in vec(any::<u8>(), 0..60)) {
        let mut bytes = vec![kind];
        put_uvarint(&mut bytes, times.len() as u64);
        bytes.extend(times);
        bytes.extend(values);
        holds_or_is_refused(&bytes);
        holds_or_is_refused(&bytes[2..]);
    }

    #[test]
    fn any_bytes_behind_good_headers_decode_or_are_refused(
        kind in 0..5u8, form in 0..3u8, words in vec(any::<u64>(), 1..20), count in 1..300u64, tail in vec(any::<u8>(), 0..80)
    ) {
        let mut bytes = vec![kind, 11, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        put_uvarint(&mut bytes, count);
        bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        bytes.push(if matches!(kind, 1 | 4) { form << 4 } else { GIVEN });
        if kind == 2 {
            put_uvarint(&mut bytes, count);
        }
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        bytes.extend(tail);
        holds_or_is_refused(&bytes);
    }
}

/// What decodes has as many values as times, and reads the same once written again; what does not leaves nothing behind.
fn holds_or_is_refused(bytes: &[u8]) {
    let mut column = Column::new(BlockType::Float);
    let mut times = Vec::new();
    let times_fine = decode_times(bytes, Offset::START, &mut times).is_ok();
    assert_eq!(count(bytes, Offset::START).is_ok(), times_fine);
    let bounds = bounds(bytes, Offset::START);
    assert_eq!(bounds.is_ok(), times_fine);
    if let Ok(bounds) = &bounds {
        assert_eq!((times.first(), times.last()), (Some(&bounds.first), Some(&bounds.last)));
        assert_eq!((bounds.count, bounds.ascending), (times.len(), times.is_sorted()));
    }
    for range in [TimeRange::ALL, TimeRange::new(0, i64::MAX).unwrap(), TimeRange::new(1, 5).unwrap()] {
        let mut part = Column::new(BlockType::Boolean);
        let outcome = decode_range(bytes, Offset::START, range, &mut part);
        assert_eq!(part.len(), part.values.len());
        assert!(outcome.is_ok() || part.is_empty());
        let Ok(()) = decode(bytes, Offset::START, &mut column) else { continue };
        outcome.unwrap();
        let inside = (0..column.len()).filter(|index| range.contains(column.times[*index]));
        let mut expected = Column::new(column.kind());
        inside.for_each(|index| expected.extend_from(&column, index..index + 1));
        assert!(same(&part, &expected));
    }
    let decoded = decode(bytes, Offset::START, &mut column).map_err(|error| error.to_string());
    let valid = validate(bytes, Offset::START, &mut Vec::new()).map_err(|error| error.to_string());
    assert_eq!(valid.as_ref().map(|_| &()), decoded.as_ref(), "valid is what decodes");
    if decoded.is_err() {
        assert!(column.is_empty() && column.values.is_empty());
        return;
    }
    assert_eq!(valid.ok(), bounds.ok());
    assert!(times_fine && !column.is_empty());
    let shape = describe(bytes, Offset::START).unwrap();
    assert_eq!((shape.kind, shape.count), (column.kind(), column.len()));
    assert_eq!(column.len(), column.values.len());
    assert_eq!(column.times, times);
    let mut again = Vec::new();
    if encode(&column, 0..column.len(), Flavor::Batch, &mut again).is_err() {
        let Values::Float(values) = &column.values else { panic!("only floats can be read and not written") };
        assert!(values.iter().any(|value| value.is_nan()));
        return;
    }
    let mut back = Column::new(BlockType::Float);
    decode(&again, Offset::START, &mut back).unwrap();
    assert!(same(&back, &column));
}

#[test]
fn every_flipped_bit_is_refused_or_costs_no_more_than_its_claim() {
    let times =
        [vec![1_000, 2_000, 3_000, 4_000], vec![1_000, 2_000, 4_000, 4_001], vec![i64::MIN, 0, 1, i64::MAX]];
    let values = [
        Values::Float(vec![1.0, 1.0, -2.5, 1e300]),
        Values::Integer(vec![3, 3, 3, 3]),
        Values::Integer(vec![1, -2, 3, i64::MAX]),
        Values::Unsigned(vec![0, 1, 9, 3]),
        Values::Boolean([true, false, true, true].into_iter().collect()),
        Values::String(["", "abc", "abcabcabcabcabcabc", "x"].iter().collect()),
    ];
    for (times, values) in times.iter().flat_map(|times| values.iter().map(move |values| (times, values))) {
        let column = Column { times: times.clone(), values: values.clone() };
        let mut bytes = Vec::new();
        encode(&column, 0..4, Flavor::Stream, &mut bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            holds_or_is_refused(&bytes);
            let mut out = Column::new(column.kind());
            let outcome = decode(&bytes, Offset::START, &mut out);
            let values_taken = match &out.values {
                Values::Float(list) => list.capacity() * 8,
                Values::Integer(list) => list.capacity() * 8,
                Values::Unsigned(list) => list.capacity() * 8,
                Values::Boolean(list) => list.as_bytes().len(),
                Values::String(list) => list.as_bytes().len(),
            };
            assert!(
                out.times.capacity() * 8 + values_taken <= 240 * 16 * bytes.len(),
                "bit {bit}: {outcome:?}"
            );
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert!(
                decode(&bytes[..len], Offset::START, &mut Column::new(column.kind())).is_err(),
                "{len} bytes"
            );
        }
    }
}

#[test]
fn an_error_names_the_byte_in_the_file_and_leaves_nothing_behind() {
    let mut column = Column::new(BlockType::Integer);
    let mut bytes = Vec::new();
    let points = Column { times: vec![1, 2, 4], values: Values::Integer(vec![1, 2, 4]) };
    encode(&points, 0..3, Flavor::Batch, &mut bytes).unwrap();
    let mut refusal = |bytes: &[u8]| {
        let error = decode(bytes, Offset::new(1000), &mut column).unwrap_err();
        assert!(error.is_damage() && column.is_empty() && column.values.is_empty());
        error.to_string()
    };
    assert_eq!(refusal(&[]), "damaged: an empty block at byte 1000");
    assert_eq!(refusal(&[5]), "damaged: unknown type of block at byte 1000");
    assert_eq!(refusal(&[1]), "damaged: length of the times at byte 1001");
    assert_eq!(refusal(&[1, 9, 0]), "damaged: length of the times at byte 1001");
    assert_eq!(refusal(&bytes[..bytes.len() - 1]), "damaged: cut word at byte 1028");
    let mut other = bytes.clone();
    other[19] = 0x40;
    assert_eq!(refusal(&other), "damaged: unknown encoding of integers at byte 1019");
    other[0] = 0;
    assert_eq!(refusal(&other), "damaged: unknown encoding of floats at byte 1019");
}

#[test]
fn a_run_that_claims_the_world_is_refused() {
    for claim in [MAX_POINTS as u64 + 1, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = vec![1, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        put_uvarint(&mut bytes, claim);
        bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        bytes.extend([0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        put_uvarint(&mut bytes, claim - 1);
        let mut times = Vec::new();
        assert!(decode_times(&bytes, Offset::START, &mut times).is_err());
        assert_eq!(times.capacity(), 0);
        assert!(decode(&bytes, Offset::START, &mut Column::new(BlockType::Float)).is_err());
    }
}

#[test]
fn what_does_not_fit_a_block_is_refused_and_nothing_is_appended() {
    let floats = Column { times: vec![1, 2, 3], values: Values::Float(vec![0.0, f64::NAN, 1.0]) };
    let short = Column { times: vec![1, 2, 3], values: Values::Boolean([true].into_iter().collect()) };
    let refusal = |column: &Column, range| {
        let mut out = vec![1];
        let error = encode(column, range, Flavor::Batch, &mut out).unwrap_err();
        assert_eq!(out, [1]);
        error.to_string()
    };
    assert_eq!(refusal(&floats, 0..3), "a TSM block cannot hold NaN");
    assert_eq!(refusal(&floats, 1..1), "a block needs at least one point");
    assert_eq!(refusal(&floats, 2..4), "the points of a block pass the end of their column");
    assert_eq!(refusal(&short, 0..3), "the points of a block pass the end of their column");
    assert!(encode(&floats, 2..3, Flavor::Batch, &mut Vec::new()).is_ok());
    let many = Column { times: vec![0; MAX_POINTS + 1], values: Values::Integer(vec![0; MAX_POINTS + 1]) };
    assert_eq!(refusal(&many, 0..MAX_POINTS + 1), "more points than a block may have");
}

#[test]
fn both_infinities_in_one_block_are_written() {
    let column =
        Column { times: vec![1, 2, 3], values: Values::Float(vec![0.0, f64::INFINITY, f64::NEG_INFINITY]) };
    let mut bytes = Vec::new();
    encode(&column, 0..3, Flavor::Batch, &mut bytes).unwrap();
    let mut back = Column::new(BlockType::Float);
    decode(&bytes, Offset::START, &mut back).unwrap();
    assert!(same(&back, &column));
}
