use super::write::BitWriter;
use super::*;
use crate::Offset;

fn written(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(values, &mut bytes).unwrap();
    let mut back = Vec::new();
    decode(Cursor::new(&bytes, Offset::START), values.len(), 0..values.len(), &mut back).unwrap();
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back), bits(values));
    bytes
}

fn refusal(bytes: &[u8], count: usize) -> String {
    decode(Cursor::new(bytes, Offset::new(7)), count, 0..count, &mut Vec::new()).unwrap_err().to_string()
}

#[test]
fn the_example_of_the_format_comes_out_byte_for_byte() {
    assert_eq!(
        written(&[1.0]),
        [0x10, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc3, 0xfc, 0x00, 0x80, 0, 0, 0, 0, 0, 0x10]
    );
}

#[test]
fn zeros_subnormals_and_infinities_keep_their_bits() {
    let tiny = f64::from_bits(1);
    written(&[0.0, -0.0, 0.0, tiny, -tiny, f64::MIN_POSITIVE, f64::MAX, f64::MIN]);
    written(&[f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY]);
    written(&[f64::from_bits(u64::MAX >> 13), f64::from_bits(0x7ff7_ffff_ffff_ffff & !(0x7ff << 52))]);
}

#[test]
fn differences_of_every_width_and_place_read_back() {
    for low in 0..52 {
        for high in low..64 {
            let set = f64::from_bits((1u64 << low | 1u64 << high) & !(1 << 62));
            written(&[0.0, set, 0.0, set, set, 1.0]);
        }
    }
}

#[test]
fn many_values_in_a_window_of_every_width_and_place_read_back() {
    for low in 0..62 {
        for high in low..62 {
            let window = u64::MAX << low & u64::MAX >> (63 - high);
            let noise = (1..70u64).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) & window);
            let values: Vec<f64> =
                [0, 1 << low | 1 << high].into_iter().chain(noise).map(f64::from_bits).collect();
            written(&values);
        }
    }
}

#[test]
fn equal_values_take_a_bit_each() {
    for count in 1..300 {
        let bytes = written(&vec![-12.5; count]);
        assert_eq!(bytes.len(), 9 + (count - 1 + 13 + 64).div_ceil(8));
    }
}

#[test]
fn nan_is_refused_and_nothing_is_written() {
    for nan in [f64::NAN, f64::from_bits(MARKER), -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)] {
        for values in [&[nan][..], &[1.0, nan], &[1.0, nan, 2.0]] {
            let mut bytes = vec![1, 2];
            let error = encode(values, &mut bytes).unwrap_err();
            assert_eq!(error.to_string(), "a TSM block cannot hold NaN");
            assert_eq!(bytes, [1, 2]);
        }
    }
}

/// The stream of these bits; they may be NaN.
fn foreign(values: &[u64]) -> Vec<u8> {
    let mut bytes = vec![GIVEN];
    bytes.extend_from_slice(&values[0].to_be_bytes());
    let mut bits = BitWriter { out: &mut bytes, word: 0, free: 64 };
    for pair in values.windows(2) {
        bits.put(0b11 << 11, 13);
        bits.put(pair[0] ^ pair[1], 64);
    }
    bits.finish();
    bytes
}

#[test]
fn any_nan_but_the_end_marker_is_read_as_a_value() {
    let nans = [0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, u64::MAX, 0xfff8_0000_0000_0001];
    for first in nans {
        for second in nans {
            let bytes = foreign(&[first, second, second, 0, MARKER]);
            let mut back = Vec::new();
            decode(Cursor::new(&bytes, Offset::START), 4, 0..4, &mut back).unwrap();
            let back: Vec<u64> = back.iter().map(|value| value.to_bits()).collect();
            assert_eq!(back, [first, second, second, 0]);
        }
    }
}

#[test]
fn a_stretch_reads_back_alone_and_a_cut_stream_is_damage() {
    let values: Vec<f64> = (0..50).map(|index| f64::from(index / 3) * 0.25).collect();
    let bytes = written(&values);
    for end in 1..=values.len() {
        for start in 0..end {
            let mut part = vec![7.0; 60];
            decode(Cursor::new(&bytes, Offset::START), values.len(), start..end, &mut part).unwrap();
            assert_eq!(part, values[start..end]);
        }
        for len in 0..bytes.len() {
            let mut part = Vec::new();
            if decode(Cursor::new(&bytes[..len], Offset::START), values.len(), 0..end, &mut part).is_ok() {
                assert_eq!(part, values[..end], "cut to {len} bytes");
            }
        }
    }
}

/// Whether a list is valid: exactly when it decodes, and refused for the same damage.
fn is_valid(bytes: &[u8], count: usize) -> bool {
    let at = || Cursor::new(bytes, Offset::new(7));
    let decoded = decode(at(), count, 0..count, &mut Vec::new());
    let valid = validate(at(), count);
    let text = |outcome: &Result<()>| outcome.as_ref().map_err(ToString::to_string).copied();
    assert_eq!(text(&valid), text(&decoded));
    valid.is_ok()
}

#[test]
fn what_is_passed_over_is_what_decodes() {
    let mut refused = 0;
    for low in 0..64 {
        for high in low..64 {
            let no_nan = !(1 << 60);
            let window = u64::MAX << low & u64::MAX >> (63 - high) & no_nan;
            let noise = (1..310u64).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) & window);
            let values: Vec<f64> =
                [0, 1 << low | 1 << high].into_iter().chain(noise).map(f64::from_bits).collect();
            let mut bytes = written(&values);
            assert!(is_valid(&bytes, values.len()) && !is_valid(&bytes, values.len() - 1));
            for bit in (72..bytes.len() * 8).step_by(157) {
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
                refused += u32::from(!is_valid(&bytes, values.len()));
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
            }
        }
    }
    assert!(refused > 10_000, "only {refused} of the changed lists were refused");
}

#[test]
fn an_end_marker_among_many_values_of_one_window_ends_the_list() {
    const WINDOW: u64 = 0x3ff;
    let noise = |index: u64| index.wrapping_mul(0x9e37_79b9) & WINDOW | 2;
    let list = |marker_at: Option<u64>| {
        let mut bytes = vec![GIVEN];
        let mut before = MARKER ^ WINDOW;
        bytes.extend_from_slice(&before.to_be_bytes());
        let mut bits = BitWriter { out: &mut bytes, word: 0, free: 64 };
        for index in 0..=400 {
            let value = if index == 400 || Some(index) == marker_at { MARKER } else { MARKER ^ noise(index) };
            match index {
                0 => bits.put(0b11 << 11 | 31 << 6 | 33, 13),
                _ => bits.put(0b10, 2),
            }
            bits.put(before ^ value, 33);
            before = value;
        }
        bits.finish();
        bytes
    };
    assert!(is_valid(&list(None), 401));
    for index in 1..400 {
        assert!(!is_valid(&list(Some(index)), 401), "at {index}");
    }
}

#[test]
fn damage_is_named() {
    assert_eq!(refusal(&[], 1), "damaged: a block without values at byte 7");
    assert_eq!(refusal(&[0x20], 1), "damaged: unknown encoding of floats at byte 7");
    assert_eq!(refusal(&[0x10, 1], 1), "damaged: cut first float at byte 8");
    let good = written(&[1.0, 2.0, 2.0, 4.5]);
    for count in [0, 1, 3, 5, 100, 1 << 20] {
        assert_eq!(refusal(&good, count), "damaged: as many floats as times were expected at byte 7");
    }
    for len in 9..good.len() {
        assert!(refusal(&good[..len], 4).starts_with("damaged: "), "cut to {len} bytes");
    }
    let mut longer = good.clone();
    longer.push(0);
    let end = 7 + good.len();
    assert_eq!(refusal(&longer, 4), format!("damaged: bytes behind the end of the floats at byte {end}"));
    let wide = [0x10, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0];
    assert_eq!(refusal(&wide, 2), "damaged: window of a float at byte 16");
}
