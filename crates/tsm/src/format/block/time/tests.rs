use super::write::{divide, divides};
use super::*;
use crate::Offset;
use crate::format::block::Flavor;

fn both(times: &[i64]) -> Vec<u8> {
    let [mut batch, mut stream] = [Vec::new(), Vec::new()];
    encode(times, Flavor::Batch, &mut batch);
    encode(times, Flavor::Stream, &mut stream);
    assert_eq!(batch, stream);
    let parsed = Times::parse(Cursor::new(&batch, Offset::START)).unwrap();
    assert_eq!(parsed.count(), times.len());
    let mut back = Vec::new();
    parsed.decode(&mut back);
    assert_eq!(back, times);
    batch
}

fn refusal(bytes: &[u8]) -> String {
    Times::parse(Cursor::new(bytes, Offset::new(100))).unwrap_err().to_string()
}

#[test]
fn the_examples_of_the_format_come_out_byte_for_byte() {
    let base = 0x1797_9cfe_362a_0000;
    assert_eq!(both(&[base + 1000, base + 3000, base + 4000])[..1], [0x13]);
    assert_eq!(
        both(&[base + 0x3e8, base + 0x3e8 + 2000, base + 0x3e8 + 3000]),
        [0x13, 0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 3, 0xe8, 0xe0, 0, 0, 0, 0x40, 0, 0, 2]
    );
    assert_eq!(both(&[base, base + 10_000_000_000]), [0x2a, 0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 0, 0, 1, 2]);
    assert_eq!(both(&[-5_000_000_000]), [0x1c, 0xff, 0xff, 0xff, 0xfe, 0xd5, 0xfa, 0x0e, 0]);
}

#[test]
fn equal_times_are_a_run_without_step() {
    assert_eq!(both(&[7; 300])[8..], [7, 0, 0xac, 2]);
    assert_eq!(both(&[7; 300])[0], 0x2c);
}

#[test]
fn gaps_of_decades_are_raw_and_wrap_around() {
    assert_eq!(both(&[0, 1 << 60, (1 << 60) + 1])[0], 0);
    assert_eq!(both(&[0, (1 << 60) - 1, 1 << 60])[0], 0x10);
    assert_eq!(both(&[i64::MIN, i64::MAX, i64::MIN])[0], 0);
    assert_eq!(both(&[i64::MAX, 0])[0], 0x20);
    assert_eq!(both(&[30, 20, 10])[0] >> 4, RUN);
    assert_eq!(both(&[30, 20, 11])[0], 0);
}

#[test]
fn the_exponent_is_the_largest_that_divides_all_differences() {
    for exponent in 0..=15u32 {
        let unit = 10i64.pow(exponent);
        let packed = both(&[5, 5 + 3 * unit, 5 + 4 * unit, 5 + 4 * unit]);
        assert_eq!(u32::from(packed[0]), 0x10 + exponent.min(12));
        assert_eq!(u32::from(both(&[5, 5 + 7 * unit])[0]), 0x20 + exponent.min(12));
    }
    for value in [0, 1, 5, 10, 15, 1 << 40, 5u64.pow(27), 10u64.pow(19), u64::MAX, u64::MAX - 5] {
        for exponent in 0..=EXPONENT_MAX {
            let power = 10u64.pow(u32::from(exponent));
            assert_eq!(divides(exponent, value), value % power == 0, "{value} by 10^{exponent}");
            assert_eq!(divide(value - value % power, exponent), value / power);
        }
    }
}

#[test]
fn exponents_that_influxd_never_writes_are_read() {
    let mut bytes = vec![0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3];
    let mut out = Vec::new();
    Times::parse(Cursor::new(&bytes, Offset::START)).unwrap().decode(&mut out);
    assert_eq!(out, [1, 3_000_000_000_000_001, 6_000_000_000_000_001]);
    bytes[0] = 0x1f;
    bytes.truncate(9);
    bytes.extend_from_slice(&[0xf0, 0, 0, 0, 0, 0, 0, 2]);
    out.clear();
    Times::parse(Cursor::new(&bytes, Offset::START)).unwrap().decode(&mut out);
    assert_eq!(out, [1, 2_000_000_000_000_001]);
}

#[test]
fn damage_is_named_with_its_place() {
    assert_eq!(refusal(&[]), "damaged: a block without times at byte 100");
    assert_eq!(refusal(&[0]), "damaged: a block without times at byte 100");
    assert_eq!(refusal(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "damaged: unknown encoding of times at byte 100");
    assert_eq!(refusal(&[0x30]), "damaged: unknown encoding of times at byte 100");
    assert_eq!(refusal(&[0; 16]), "damaged: cut word at byte 109");
    assert_eq!(refusal(&[0x10, 1, 2]), "damaged: cut first time at byte 101");
    assert_eq!(refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), "damaged: a block without times at byte 100");
    assert_eq!(refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "damaged: length of a run of times at byte 110");
    assert_eq!(
        refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]),
        "damaged: bytes behind a run of times at byte 111"
    );
    assert_eq!(
        refusal(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        "damaged: more points than a block may have at byte 100"
    );
}
