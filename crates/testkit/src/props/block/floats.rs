use std::cell::RefCell;

use icecore_tsm::{BlockType, Values};

use super::values_agree;

thread_local! {
    static MODEL: RefCell<Values> = const { RefCell::new(Values::Float(Vec::new())) };
}

/// The NaN behind the last value.
const END: u64 = 0x7ff8_0000_0000_0001;

/// Any bytes are the floats of a block, or damaged.
///
/// With as many times as there are floats they are decoded to what a second reader finds, other NaN among them; with other
/// times the block is damaged. What has no NaN is encoded to the same floats.
pub fn block_floats(bytes: &[u8]) {
    MODEL.with_borrow_mut(|model| {
        let Values::Float(floats) = model else { unreachable!("as it was made") };
        floats.clear();
        let outcome = read(bytes, floats);
        values_agree(bytes, outcome.map(|()| &*model), BlockType::Float);
    });
}

/// Appends the floats up to the end marker, which must end in the last byte.
fn read(bytes: &[u8], out: &mut Vec<f64>) -> Option<()> {
    let mut bits = Bits(bytes, 0);
    if bits.take(8)? != 0x10 {
        return None;
    }
    let mut value = bits.take(64)?;
    let (mut leading, mut trailing) = (0, 0);
    while value != END {
        out.push(f64::from_bits(value));
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                leading = bits.take(5)?;
                let significant = match bits.take(6)? {
                    0 => 64,
                    significant => significant,
                };
                trailing = (64 - leading).checked_sub(significant)?;
            }
            value ^= bits.take(64 - leading - trailing)? << trailing;
        }
    }
    (bits.1.div_ceil(8) == bytes.len() as u64).then_some(())
}

/// Bytes, and how many bits of them are taken.
struct Bits<'a>(&'a [u8], u64);

impl Bits<'_> {
    /// The next bits, the highest first.
    fn take(&mut self, count: u64) -> Option<u64> {
        let mut taken = 0;
        for _ in 0..count {
            let byte = self.0.get(usize::try_from(self.1 / 8).ok()?)?;
            taken = taken << 1 | u64::from(byte >> (7 - self.1 % 8) & 1);
            self.1 += 1;
        }
        Some(taken)
    }
}
