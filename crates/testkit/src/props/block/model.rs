//! Readers of the parts that several encodings have, as plain as they can be.

/// Values and bits of each, by selector.
const SIMPLE8B: [(usize, u32); 16] = [
    (240, 0),
    (120, 0),
    (60, 1),
    (30, 2),
    (20, 3),
    (15, 4),
    (12, 5),
    (10, 6),
    (8, 7),
    (7, 8),
    (6, 10),
    (5, 12),
    (4, 15),
    (3, 20),
    (2, 30),
    (1, 60),
];

/// Appends a number, seven bits to a byte and the lowest first.
pub(in crate::props) fn put_uvarint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f | 0x80).to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes what [`put_uvarint`] appended off the front; `None` when the bytes end first or the number has more than 64 bits.
pub(in crate::props) fn uvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u128;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return u64::try_from(number).ok();
        }
    }
    None
}

/// Takes eight bytes off the front.
pub(super) fn word(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*word))
}

/// All of `bytes` as words; `None` when they do not come out even.
pub(super) fn words(bytes: &[u8]) -> Option<impl Iterator<Item = u64> + Clone + '_> {
    let (words, rest) = bytes.as_chunks();
    rest.is_empty().then_some(words.iter().map(|word| u64::from_be_bytes(*word)))
}

/// How many values the simple8b words hold.
pub(super) fn packed_count(words: impl Iterator<Item = u64>) -> usize {
    words.map(|word| selector(word).0).sum()
}

/// The values in simple8b words.
pub(super) fn packed(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    words.flat_map(|word| {
        let (count, bits) = selector(word);
        let value = move |at: u32| match bits {
            0 => 1,
            _ => word >> (at * bits) & ((1 << bits) - 1),
        };
        (0..).map(value).take(count)
    })
}

fn selector(word: u64) -> (usize, u32) {
    let at = usize::try_from(word >> 60).unwrap_or_default();
    SIMPLE8B.get(at).copied().expect("four bits")
}
