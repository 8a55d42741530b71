//! A piece of a deflate stream that other pieces can follow.
//!
//! libdeflate makes whole streams only. So each piece is one, whose last block is made an ordinary one, and an empty stored
//! block ends it with a byte:
//!
//! ```text
//! | blocks ... | last block, its first bit cleared | 000 | zeros to the byte | 00 00 ff ff |
//! ```
//!
//! Where the last block begins is found by going over the stream ([`Walker`]), which also shows that it unpacks to as many
//! bytes as the piece has.

use libdeflater::{CompressionLvl, Compressor};

use super::Failed;
use super::walk::Walker;

/// A stored block without a byte, but for its three bits.
const EMPTY_STORED: [u8; 4] = [0, 0, 0xff, 0xff];
/// What ends a deflate stream at the end of a byte: a last block of the fixed code that has nothing but its end.
pub(super) const END: [u8; 2] = [3, 0];

/// Compresses at one level.
pub(super) struct Deflater {
    compressor: Compressor,
    walker: Walker,
}

impl Deflater {
    /// `level`: libdeflate's, 1 to 12; another one counts as the nearest.
    pub(super) fn new(level: u8) -> Self {
        let level = CompressionLvl::new(i32::from(level.clamp(1, 12))).unwrap_or_default();
        Self { compressor: Compressor::new(level), walker: Walker::default() }
    }

    /// Compresses `piece` into `out`, whose old content goes.
    pub(super) fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        let broken = || Failed::new("the compressor made what is no deflate stream of its input");
        out.resize(self.compressor.deflate_compress_bound(piece.len()), 0);
        let len = self.compressor.deflate_compress(piece, out).map_err(|_| broken())?;
        out.truncate(len);
        let walked = self.walker.walk(out).ok_or_else(broken)?;
        if walked.len != piece.len() as u64 || walked.end_bit.div_ceil(8) != len {
            return Err(broken());
        }
        *out.get_mut(walked.last_block_bit / 8).ok_or_else(broken)? &= !(1 << (walked.last_block_bit % 8));
        let used = walked.end_bit % 8;
        if used == 0 || used > 5 {
            out.push(0); // the three bits do not fit into the last byte
        }
        out.extend_from_slice(&EMPTY_STORED);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpacked(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        DeflateDecoder::new(stream).read_to_end(&mut bytes).expect("a whole stream");
        bytes
    }

    fn joined(pieces: &[&[u8]], level: u8) -> Vec<u8> {
        let mut deflater = Deflater::new(level);
        let (mut stream, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            deflater.piece(piece, &mut out).unwrap();
            stream.extend_from_slice(&out);
        }
        stream.extend(END);
        stream
    }

    /// Bytes of which each can be stored, of the fixed code, or of a code of their own.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let skewed = prop::collection::vec(prop::sample::select(b"aaaaaaaabbbbccdefg".to_vec()), 0..30_000);
        let random = prop::collection::vec(any::<u8>(), 0..30_000);
        let short = prop::collection::vec(any::<u8>(), 0..40);
        let run = (any::<u8>(), 0..70_000_usize).prop_map(|(byte, len)| vec![byte; len]);
        prop_oneof![skewed, random, short, run]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn joined_pieces_unpack_to_the_pieces(
            pieces in prop::collection::vec(piece(), 0..5),
            level in prop::sample::select(vec![1_u8, 3, 5, 6, 9, 12]),
        ) {
            let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let stream = joined(&slices, level);
            prop_assert!(unpacked(&stream) == pieces.concat());
            // Whoever cuts it finds no end.
            for len in [stream.len() - 1, stream.len() / 2] {
                let mut bytes = Vec::new();
                prop_assert!(DeflateDecoder::new(&stream[..len]).read_to_end(&mut bytes).is_err());
            }
        }
    }

    #[test]
    fn many_blocks_in_a_piece_are_one_stream() {
        // Parts unlike each other: libdeflate begins a block at each.
        let part = |at: u32| {
            (0..20_000_u32).map(move |n| (n.wrapping_mul(at * 2 + 1) >> (at % 13)).to_le_bytes()[0])
        };
        let piece: Vec<u8> = (0..20).flat_map(part).collect();
        let stream = joined(&[&piece, b"", &piece], 6);
        assert!(unpacked(&stream) == [&piece[..], &piece[..]].concat());
    }
}
