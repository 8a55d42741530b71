//! Goes over a deflate stream without unpacking it: where its last block begins, where it ends, how much it unpacks to.
//!
//! Total: any bytes give an answer or a refusal, in memory that does not depend on them.
//!
//! ```text
//! per block   | last 1 | kind 2 | content |                             bits, from the lowest of each byte up
//! stored      | to the next byte | len 2 | !len 2 | len bytes |
//! fixed       | symbols ... 256 |
//! dynamic     | lit-257 5 | dist-1 5 | pre-4 4 | pre * 3 | code lengths | symbols ... 256 |
//! symbol      | literal | or: length, extra bits, distance, extra bits |
//! ```

/// Codes of so many bits or fewer are looked up at once; longer ones are rare by their nature.
const FAST_BITS: usize = 11;
const FAST_MASK: u64 = (1 << FAST_BITS) - 1;
const CODE_BITS_MAX: usize = 15;
const LITERALS: usize = 288;
const END_OF_BLOCK: u16 = 256;

/// Unpacked lengths of the symbols from 257 on, and how many bits are added to each.
const LENGTH_BASE: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_EXTRA: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
/// In which order the lengths of the code for code lengths come.
const PRE_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// The first bit of the last block, the one that says so.
    pub(super) last_block_bit: usize,
    /// Behind the last bit of the stream.
    pub(super) end_bit: usize,
    /// Bytes that it unpacks to.
    pub(super) len: u64,
}

/// Tables for one walk after the other.
#[derive(Debug)]
pub(super) struct Walker {
    pre: Code,
    literals: Code,
    distances: Code,
}

impl Default for Walker {
    fn default() -> Self {
        Self { pre: Code::new(), literals: Code::new(), distances: Code::new() }
    }
}

impl Walker {
    /// Goes over `stream` up to the end of its last block; what follows is not looked at. `None` when it is no deflate
    /// stream.
    pub(super) fn walk(&mut self, stream: &[u8]) -> Option<Walked> {
        let mut bits = Bits { bytes: stream, at: 0, held: 0, count: 0 };
        let mut len = 0;
        loop {
            let start = bits.consumed();
            let is_last = bits.take(1)? == 1;
            len += match bits.take(2)? {
                0 => bits.stored()?,
                1 => {
                    self.fixed()?;
                    self.symbols(&mut bits)?
                }
                2 => {
                    self.dynamic(&mut bits)?;
                    self.symbols(&mut bits)?
                }
                _ => return None,
            };
            if is_last {
                let end_bit = bits.consumed();
                return (end_bit <= stream.len() * 8).then_some(Walked {
                    last_block_bit: start,
                    end_bit,
                    len,
                });
            }
        }
    }

    fn fixed(&mut self) -> Option<()> {
        let mut lengths = [8; LITERALS];
        lengths.get_mut(144..256)?.fill(9);
        lengths.get_mut(256..280)?.fill(7);
        self.literals.set(&lengths)?;
        self.distances.set(&[5; 30])
    }

    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let literal_count = bits.take(5)? + 257;
        let distance_count = bits.take(5)? + 1;
        let pre_count = bits.take(4)? + 4;
        if literal_count > 286 {
            return None;
        }
        let mut pre = [0; 19];
        for at in PRE_ORDER.iter().take(pre_count) {
            *pre.get_mut(*at)? = u8::try_from(bits.take(3)?).ok()?;
        }
        self.pre.set(&pre)?;
        // A run may go from the one code into the other.
        let mut lengths = [0_u8; 286 + 32];
        let lengths = lengths.get_mut(..literal_count + distance_count)?;
        let mut at = 0;
        while at < lengths.len() {
            let (value, run) = match self.pre.symbol(bits)? {
                length @ 0..=15 => (u8::try_from(length).ok()?, 1),
                16 => (*lengths.get(at.checked_sub(1)?)?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                _ => (0, 11 + bits.take(7)?),
            };
            lengths.get_mut(at..at + run)?.fill(value);
            at += run;
        }
        let (literals, distances) = lengths.split_at_checked(literal_count)?;
        self.literals.set(literals)?;
        self.distances.set(distances)
    }

    /// The symbols of a block, whose codes are set, and the one that ends it; how much they unpack to.
    fn symbols(&self, bits: &mut Bits<'_>) -> Option<u64> {
        let mut len = 0;
        loop {
            bits.refill()?;
            // Three codes of the fast table fit into what is held.
            let mut symbol = self.literals.fast_symbol(bits);
            for _ in 0..2 {
                match symbol {
                    Some(0..END_OF_BLOCK) => len += 1,
                    _ => break,
                }
                symbol = self.literals.fast_symbol(bits);
            }
            let symbol = match symbol {
                Some(symbol) => symbol,
                None => self.literals.symbol(bits)?,
            };
            match symbol {
                0..END_OF_BLOCK => len += 1,
                END_OF_BLOCK => return Some(len),
                _ => len += self.copy(usize::from(symbol - END_OF_BLOCK - 1), bits)?,
            }
        }
    }

    fn copy(&self, length: usize, bits: &mut Bits<'_>) -> Option<u64> {
        let extra = bits.take(u32::from(*LENGTH_EXTRA.get(length)?))?;
        let len = usize::from(*LENGTH_BASE.get(length)?) + extra;
        let distance = usize::from(self.distances.symbol(bits)?);
        bits.take(u32::from(*DISTANCE_EXTRA.get(distance)?))?;
        Some(len as u64)
    }
}

/// A Huffman code as deflate describes it: by the length of each symbol's code.
#[derive(Debug)]
struct Code {
    /// By the next bits: a symbol and, in the lowest four bits, the length of its code; 0 for codes that are longer.
    fast: Box<[u16; 1 << FAST_BITS]>,
    /// How many codes have a length.
    counts: [u16; CODE_BITS_MAX + 1],
    /// By length, then by number.
    symbols: [u16; LITERALS],
}

impl Code {
    fn new() -> Self {
        Self { fast: Box::new([0; 1 << FAST_BITS]), counts: [0; CODE_BITS_MAX + 1], symbols: [0; LITERALS] }
    }

    /// `None` when these are no lengths of a code: more codes of a length than can be.
    fn set(&mut self, lengths: &[u8]) -> Option<()> {
        self.counts.fill(0);
        for length in lengths {
            *self.counts.get_mut(usize::from(*length))? += 1;
        }
        self.counts[0] = 0;
        let mut code = 0_u32;
        let mut first_code = [0_u32; CODE_BITS_MAX + 2];
        let mut first_symbol = [0_u16; CODE_BITS_MAX + 2];
        for (length, count) in self.counts.iter().enumerate() {
            *first_code.get_mut(length)? = code;
            code += u32::from(*count);
            if code > 1 << length {
                return None;
            }
            code <<= 1;
            *first_symbol.get_mut(length + 1)? = first_symbol.get(length)? + count;
        }
        self.fast.fill(0);
        for (symbol, length) in (0_u16..).zip(lengths) {
            let length = usize::from(*length);
            if length == 0 {
                continue;
            }
            let at = first_symbol.get_mut(length)?;
            *self.symbols.get_mut(usize::from(*at))? = symbol;
            *at += 1;
            let code = first_code.get_mut(length)?;
            if length <= FAST_BITS {
                // Codes come highest bit first, all else lowest first.
                let reversed = (*code as usize).reverse_bits() >> (usize::BITS as usize - length);
                let entry = symbol << 4 | u16::try_from(length).ok()?;
                self.fast.get_mut(reversed..)?.iter_mut().step_by(1 << length).for_each(|slot| *slot = entry);
            }
            *code += 1;
        }
        Some(())
    }

    /// The next symbol out of the bits that are held, which must be as many as a fast code has; `None` takes nothing.
    #[inline(always)]
    fn fast_symbol(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let next = (bits.held & FAST_MASK) as usize;
        let entry = self.fast.get(next).copied().unwrap_or(0);
        bits.drop(u32::from(entry & 15));
        (entry != 0).then_some(entry >> 4)
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u16> {
        bits.refill()?;
        self.fast_symbol(bits).or_else(|| self.long_symbol(bits))
    }

    /// Bit by bit.
    fn long_symbol(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let (mut code, mut first, mut before) = (0_usize, 0_usize, 0_usize);
        for count in self.counts.iter().skip(1) {
            let count = usize::from(*count);
            code = code << 1 | bits.take(1)?;
            first <<= 1;
            if code < first + count {
                return self.symbols.get(before + code - first).copied();
            }
            first += count;
            before += count;
        }
        None
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to hold; behind the end there are zeros, eight bytes of them.
    at: usize,
    /// The next bits, from the lowest up.
    held: u64,
    /// How many of `held` count. Above them there may be more of the stream, never anything else.
    count: u32,
}

impl Bits<'_> {
    /// Holds at least 56 bits.
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.held |= u64::from_le_bytes(*word) << self.count;
            self.at += (63 - self.count as usize) >> 3;
            self.count |= 56;
            return Some(());
        }
        self.refill_at_end()
    }

    #[cold]
    fn refill_at_end(&mut self) -> Option<()> {
        while self.count < 56 {
            let byte = self.bytes.get(self.at).copied().unwrap_or(0);
            self.held |= u64::from(byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
        (self.at <= self.bytes.len() + 8).then_some(())
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.held >>= count;
        self.count -= count;
    }

    /// The next `count` bits, 16 at most.
    #[inline]
    fn take(&mut self, count: u32) -> Option<usize> {
        self.refill()?;
        let bits = self.held & ((1 << count) - 1);
        self.drop(count);
        usize::try_from(bits).ok()
    }

    fn consumed(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// A block that is not compressed, from behind its kind on.
    fn stored(&mut self) -> Option<u64> {
        self.take(self.count % 8)?;
        let (len, check) = (self.take(16)?, self.take(16)?);
        if len ^ check != 0xffff {
            return None;
        }
        *self = Self { at: self.consumed() / 8 + len, held: 0, count: 0, ..*self };
        (self.at <= self.bytes.len()).then_some(len as u64)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn deflated(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 1000);
        Compress::new(Compression::new(level), false)
            .compress_vec(bytes, &mut out, FlushCompress::Finish)
            .unwrap();
        out
    }

    fn walked(stream: &[u8]) -> Option<Walked> {
        Walker::default().walk(stream)
    }

    #[test]
    fn the_kinds_of_blocks_are_walked() {
        // 03 00: the fixed code, and its end at once.
        assert_eq!(walked(&[3, 0]), Some(Walked { last_block_bit: 0, end_bit: 10, len: 0 }));
        // An empty stored block, not the last, and then the same.
        assert_eq!(
            walked(&[0, 0, 0, 0xff, 0xff, 3, 0, 99]),
            Some(Walked { last_block_bit: 40, end_bit: 50, len: 0 })
        );
        // "abc", stored.
        let stored = [1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'];
        assert_eq!(walked(&stored), Some(Walked { last_block_bit: 0, end_bit: 64, len: 3 }));
        assert_eq!(walked(&stored[..7]), None);
        assert_eq!(walked(&[1, 3, 0, 0xfc, 0xfe, 1, 2, 3]), None, "the length and its complement");
        assert_eq!(walked(&[7]), None, "a kind that is none");
        assert_eq!(walked(&[]), None);
    }

    #[test]
    fn another_compressor_makes_streams_of_the_length_that_is_found() {
        let bytes: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7 & n >> 9).to_le_bytes()[0]).collect();
        for level in 0..=9 {
            for len in [0, 1, 100, 10_000, 200_000] {
                let stream = deflated(&bytes[..len], level);
                let walked = walked(&stream).unwrap_or_else(|| panic!("{len} bytes at {level}"));
                assert_eq!((walked.len, walked.end_bit.div_ceil(8)), (len as u64, stream.len()));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            if let Some(walked) = walked(&bytes) {
                prop_assert!(walked.last_block_bit < walked.end_bit && walked.end_bit <= bytes.len() * 8);
            }
        }

        #[test]
        fn a_damaged_stream_is_walked_or_refused(
            bytes in prop::collection::vec(0..20_u8, 0..5000), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let mut stream = deflated(&bytes, 6);
            let at = at.index(stream.len());
            stream[at] ^= 1_u8 << bit;
            if let Some(walked) = walked(&stream) {
                prop_assert!(walked.end_bit <= stream.len() * 8);
            }
        }
    }
}
