//! Floats: each value's bits, XORed with those of the value before, without the zeros around them.
//!
//! Invariant: a stream of n values ends with the end marker as value n + 1, in its last byte.
//!
//! ```text
//! | 10 | first value u64 | bits of the others and of the end marker, the highest first | zero bits up to a full byte |
//!
//! 0                                               the same value again
//! 10 significant                                  the window of zeros as before
//! 11 leading 5 | length 6 | significant           a new window; length 0 means 64
//! ```
//!
//! The end marker is one certain NaN; influxd writes no NaN at all, and reads any other as a value. The number of leading
//! zeros is stored modulo 32: 32 and more of them lose their upper part to the significant bits.

use super::GIVEN;
use crate::error::{Error, Result};
use crate::format::read::Cursor;

/// The bits behind the last value.
const MARKER: u64 = 0x7ff8_0000_0000_0001;

/// Bytes that one value may reach into: it begins in the first of them and takes at most 2 + 11 + 64 bits.
const REACH: usize = 16;

/// Appends `count` values.
pub(super) fn decode(mut bytes: Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<()> {
    let start = bytes.clone();
    if bytes.u8("a block without values")? != GIVEN {
        return Err(start.corrupt("unknown encoding of floats"));
    }
    let first = bytes.u64("cut first float")?;
    let stream = bytes.rest();
    let mismatch = || start.corrupt("as many floats as times were expected");
    // Each value behind the first takes at least a bit, so this bounds the memory by the bytes at hand.
    if first == MARKER || count.div_ceil(8) > stream.len() {
        return Err(mismatch());
    }
    let begin = out.len();
    out.resize(begin + count, f64::from_bits(first));
    let others = out.get_mut(begin + 1..).unwrap_or_default();
    let corrupt = |what, position: usize| Error::corrupt(what, bytes.at().forward(position / 8));
    match read(stream, first, others) {
        End::Marker { position, missing } => {
            let used = position.div_ceil(8);
            if used > stream.len() {
                return Err(bytes.corrupt("floats without their end marker"));
            }
            if missing > 0 {
                return Err(mismatch());
            }
            if used < stream.len() {
                return Err(corrupt("bytes behind the end of the floats", position + 7));
            }
            Ok(())
        }
        End::TooMany => Err(mismatch()),
        End::Cut => Err(bytes.corrupt("floats without their end marker")),
        End::Window { position } => Err(corrupt("window of a float", position)),
    }
}

/// Why a stream was read no further. Positions are in bits from its start.
enum End {
    /// Behind the end marker; so many values were expected still.
    Marker { position: usize, missing: usize },
    /// A value more than expected.
    TooMany,
    /// The stream is over.
    Cut,
    /// The window that begins here has more than 64 bits.
    Window { position: usize },
}

/// Fills `others` with the values behind the first.
#[inline(never)] // Alone it keeps its state in registers.
fn read(stream: &[u8], first: u64, others: &mut [f64]) -> End {
    let mut slots = others.iter_mut();
    let mut value = first;
    let mut position = 0;
    // As a reader that has seen no window takes it: all bits.
    let mut frame = Frame::new(0, 64);
    let mut tail;
    loop {
        let byte = position / 8;
        let window = match stream.get(byte..byte + REACH).and_then(|window| window.first_chunk::<REACH>()) {
            Some(window) => window,
            None => {
                tail = padded(stream, byte);
                match &tail {
                    Some(window) => window,
                    None => return End::Cut,
                }
            }
        };
        let skip = low_bits(position);
        // The next 57 bits at least; zeros behind them.
        let ahead = word::<0>(window) << skip;
        if ahead >> 63 == 0 {
            let equal = (ahead.leading_zeros().min(64 - skip) as usize).min(slots.len());
            if equal == 0 {
                return End::TooMany;
            }
            repeat(&mut slots, equal, value);
            position += equal;
            continue;
        }
        let (mut bits, prefix) = if ahead << 1 >> 63 == 0 {
            (ahead << 2, 2)
        } else {
            let leading = field::<5>(ahead, 57);
            let length = field::<6>(ahead, 51);
            let significant = if length == 0 { 64 } else { length };
            if leading + significant > 64 {
                return End::Window { position };
            }
            frame = Frame::new(leading, significant);
            (ahead << 13, 13)
        };
        if frame.significant + prefix > 57 {
            // What `ahead` does not reach.
            bits |= word::<8>(window) >> (64 - skip - prefix);
        }
        value ^= (bits & frame.mask) >> frame.leading;
        position += (prefix + frame.significant) as usize;
        if value == MARKER {
            return End::Marker { position, missing: slots.len() };
        }
        let Some(slot) = slots.next() else { return End::TooMany };
        *slot = f64::from_bits(value);
    }
}

/// Fills the next `count` slots. Apart from the loop above, which would pay for it with every value.
#[inline(never)]
fn repeat(slots: &mut std::slice::IterMut<'_, f64>, count: usize, value: u64) {
    slots.take(count).for_each(|slot| *slot = f64::from_bits(value));
}

/// The window of a float: which of its bits the stream has.
struct Frame {
    /// Zeros before them; together with their number at most 64.
    leading: u32,
    /// Their number, 1 to 64.
    significant: u32,
    /// As many ones, at the upper end.
    mask: u64,
}

impl Frame {
    fn new(leading: u32, significant: u32) -> Self {
        Self { leading: leading % 64, significant, mask: u64::MAX << (64 - significant) }
    }
}

/// The last bytes of a stream with zeros behind them; `None` when there is none.
#[cold]
#[inline(never)]
fn padded(stream: &[u8], byte: usize) -> Option<[u8; REACH]> {
    let rest = stream.get(byte..).filter(|rest| !rest.is_empty())?;
    let mut window = [0; REACH];
    window.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    Some(window)
}

/// The eight bytes at `AT`.
fn word<const AT: usize>(window: &[u8; REACH]) -> u64 {
    const { assert!(AT + 8 <= REACH) };
    window.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// How far into its byte a position is.
#[expect(clippy::cast_possible_truncation, reason = "below 8")]
fn low_bits(position: usize) -> u32 {
    (position % 8) as u32
}

/// `N` bits of `word`, the lowest of them `at` bits up.
#[expect(clippy::cast_possible_truncation, reason = "N is small")]
fn field<const N: u32>(word: u64, at: u32) -> u32 {
    const { assert!(N < 32) };
    (word >> at & ((1 << N) - 1)) as u32
}

/// Appends the values as influxd writes them.
///
/// # Errors
/// `Unfit` for a NaN: the format has no place for it, and influxd refuses it in both of its encoders.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) -> Result<()> {
    // Without a way out in the middle, so that several values are tested at once.
    if values.iter().fold(false, |found, value| found | value.is_nan()) {
        return Err(Error::unfit("a TSM block cannot hold NaN"));
    }
    let Some((first, others)) = values.split_first() else { return Ok(()) };
    out.push(GIVEN);
    out.extend_from_slice(&first.to_bits().to_be_bytes());
    let mut bits = BitWriter { out, word: 0, free: 64 };
    let mut before = first.to_bits();
    // No value has as many leading zeros: the first difference always opens a window.
    let mut window = (u32::MAX, 0);
    for value in others.iter().map(|value| value.to_bits()).chain([MARKER]) {
        let difference = value ^ before;
        before = value;
        if difference == 0 {
            bits.put(0, 1);
            continue;
        }
        let leading = difference.leading_zeros() % 32;
        let trailing = difference.trailing_zeros();
        if leading >= window.0 && trailing >= window.1 {
            bits.put(0b10, 2);
        } else {
            window = (leading, trailing);
            let length = u64::from((64 - leading - trailing) % 64);
            bits.put(0b11 << 11 | u64::from(leading) << 6 | length, 13);
        }
        bits.put(difference >> window.1, 64 - window.0 - window.1);
    }
    bits.finish();
    Ok(())
}

/// Bits on their way into bytes.
///
/// Invariant: the upper `64 - free` bits of `word` wait to be written, the others are zero; `free` is 1 to 64.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    free: u32,
}

impl BitWriter<'_> {
    /// Appends the lowest `len` bits of `bits`, 1 to 64; the others are zero.
    fn put(&mut self, bits: u64, len: u32) {
        if len < self.free {
            self.free -= len;
            self.word |= bits << self.free;
            return;
        }
        let behind = len - self.free;
        self.out.extend_from_slice(&(self.word | bits >> behind).to_be_bytes());
        self.free = 64 - behind;
        self.word = bits.checked_shl(self.free).unwrap_or(0);
    }

    fn finish(self) {
        let used = (64 - self.free).div_ceil(8) as usize;
        self.out.extend(self.word.to_be_bytes().iter().take(used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    fn written(values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes).unwrap();
        let mut back = Vec::new();
        decode(Cursor::new(&bytes, Offset::START), values.len(), &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        bytes
    }

    fn refusal(bytes: &[u8], count: usize) -> String {
        decode(Cursor::new(bytes, Offset::new(7)), count, &mut Vec::new()).unwrap_err().to_string()
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
                decode(Cursor::new(&bytes, Offset::START), 4, &mut back).unwrap();
                let back: Vec<u64> = back.iter().map(|value| value.to_bits()).collect();
                assert_eq!(back, [first, second, second, 0]);
            }
        }
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(refusal(&[], 1), "damaged: a block without values at byte 7");
        assert_eq!(refusal(&[0x20], 1), "damaged: unknown encoding of floats at byte 7");
        assert_eq!(refusal(&[0x10, 1], 1), "damaged: cut first float at byte 8");
        let good = written(&[1.0, 2.0, 2.0, 4.5]);
        for count in [0, 1, 3, 5, 100, 1 << 24] {
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
}
