//! A download as one gzip member, compressed while it is read.
//!
//! Invariant: a source that fails leaves the member without its end, so that no reader takes it for whole.
//!
//! ```text
//! | 1f 8b 08 | flags 0 | mtime 0 0 0 0 | XFL by level | OS ff | deflate ... | crc32 4 | size 4 |
//! ```
//!
//! The header is handed out before the source is asked for anything. Memory: the state of the compressor (about
//! 300 KB), one chunk of the source and less than 2 * `OUT_BYTES` of output.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::download::{BrokenOff, Chunks};

/// Taken from a chunk at once, so that a huge chunk does not become a huge output.
const IN_BYTES: usize = 64 << 10;
/// Handed out once this much has gathered.
const OUT_BYTES: usize = 32 << 10;

/// The compressed form of `source`.
pub(crate) struct Gzip {
    source: Chunks,
    chunk: Bytes,
    state: State,
}

enum State {
    Fresh(Compression),
    Running(Box<GzEncoder<Vec<u8>>>),
    Ended,
}

impl Gzip {
    pub(crate) fn new(source: Chunks, level: Compression) -> Self {
        Self { source, chunk: Bytes::new(), state: State::Fresh(level) }
    }

    fn compress(&mut self, mut encoder: Box<GzEncoder<Vec<u8>>>) -> Result<Vec<u8>, BrokenOff> {
        loop {
            if self.chunk.is_empty() {
                match self.source.next() {
                    Some(chunk) => self.chunk = chunk?,
                    None => return encoder.finish().map_err(BrokenOff::of),
                }
            }
            let piece = self.chunk.split_to(self.chunk.len().min(IN_BYTES));
            encoder.write_all(&piece).map_err(BrokenOff::of)?;
            if encoder.get_ref().len() >= OUT_BYTES {
                let out = std::mem::take(encoder.get_mut());
                self.state = State::Running(encoder);
                return Ok(out);
            }
        }
    }
}

impl Iterator for Gzip {
    type Item = Result<Bytes, BrokenOff>;

    fn next(&mut self) -> Option<Self::Item> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Fresh(level) => {
                let encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), level);
                let mut encoder = Box::new(encoder);
                // An empty write puts out the header and nothing else.
                let header = encoder.write(&[]).map(|_| std::mem::take(encoder.get_mut()));
                self.state = State::Running(encoder);
                Some(header.map(Bytes::from).map_err(BrokenOff::of))
            }
            State::Running(encoder) => Some(self.compress(encoder).map(Bytes::from)),
            State::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::bufread::GzDecoder;

    use super::*;

    /// Bytes that compress to about a half.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state & 0x0f) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn gzip(body: &[u8], chunk: usize, level: Compression) -> Vec<Bytes> {
        let chunks: Vec<_> = body.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Gzip::new(Box::new(chunks.into_iter()), level).collect::<Result<_, _>>().expect("the source is sound")
    }

    #[test]
    fn every_size_and_level_reads_back_as_one_member() {
        for level in [Compression::fast(), Compression::new(4), Compression::best()] {
            for len in [0, 1, 1400, OUT_BYTES, IN_BYTES - 1, IN_BYTES, IN_BYTES + 1, 1_000_000] {
                for chunk in [700, IN_BYTES, 10_000_000] {
                    let body = noise(len);
                    let packed = gzip(&body, chunk, level).concat();
                    let mut decoder = GzDecoder::new(&packed[..]);
                    let mut unpacked = Vec::new();
                    decoder.read_to_end(&mut unpacked).expect("a whole member");
                    assert!(unpacked == body, "{len} bytes in chunks of {chunk} at {level:?}");
                    assert!(decoder.into_inner().is_empty(), "nothing follows the member");
                }
            }
        }
    }

    #[test]
    fn the_header_is_the_one_of_the_original() {
        for (level, xfl) in [(Compression::fast(), 4), (Compression::new(4), 0), (Compression::best(), 2)] {
            let pieces = gzip(&noise(5000), 5000, level);
            assert_eq!(&pieces[0][..], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 0xff], "first and by itself");
        }
    }

    #[test]
    fn output_stays_bounded_when_a_chunk_is_large() {
        let pieces = gzip(&noise(8 << 20), 8 << 20, Compression::fast());
        assert!(pieces.iter().all(|piece| piece.len() < 2 * OUT_BYTES + IN_BYTES), "no piece holds it all");
    }

    #[test]
    fn a_source_that_fails_leaves_the_member_open() {
        let chunks = vec![Ok(Bytes::from(noise(300_000))), Err(BrokenOff::of("disk"))];
        let mut gzip = Gzip::new(Box::new(chunks.into_iter()), Compression::fast());
        let sent: Vec<Bytes> = gzip.by_ref().map_while(Result::ok).collect();
        assert!(gzip.next().is_none(), "nothing after the failure");
        let mut unpacked = Vec::new();
        GzDecoder::new(&sent.concat()[..]).read_to_end(&mut unpacked).expect_err("cut short");
    }
}
