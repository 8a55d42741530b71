//! A gzip body, unpacked in memory.
//!
//! Invariant: the output grows as memory is granted for it, whatever the input promises. Every member is checked to its
//! end: checksum and length. Members may follow each other, and nothing else may follow.
//!
//! ```text
//! member  | 1f 8b | 08 | flags | mtime 4 | xfl | os | extra? | name?\0 | comment?\0 | crc16? | deflate … | crc32 4 | len 4 |
//! flags   bit 1 crc16, bit 2 extra (2 bytes of length in front), bit 3 name, bit 4 comment; numbers are little-endian
//! ```

use flate2::{Crc, Decompress, FlushDecompress, Status};
use tokio::runtime::Handle;

use crate::problem::{Code, Problem};
use crate::write::memory::Held;

/// The part of a header that every member has.
pub(crate) const HEADER_LEN: usize = 10;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const FLAGS: usize = 3;
const HAS_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const TRAILER_LEN: usize = 8;

/// How much is unpacked before memory is asked for.
const STEP_BYTES: usize = 64 << 10;

/// Whether a body can begin like this: the first bytes of it, [`HEADER_LEN`] or all.
pub(crate) fn begins_a_member(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN && bytes.starts_with(&MAGIC)
}

/// The body does not begin with the header of a member.
pub(crate) fn no_header() -> Problem {
    Problem::new(Code::Invalid, "gzipped HTTP body contains an invalid header")
}

/// What is wrong with packed bytes.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Header,
    Checksum,
    Truncated,
    /// The deflate stream, at this byte of it.
    Stream(u64),
}

impl Broken {
    fn problem(&self) -> Problem {
        let what = match self {
            Self::Header => "gzip: invalid header".to_owned(),
            Self::Checksum => "gzip: invalid checksum".to_owned(),
            Self::Truncated => "unexpected EOF".to_owned(),
            Self::Stream(at) => format!("flate: corrupt input before offset {at}"),
        };
        Problem::new(Code::Invalid, format!("unable to read data: {what}"))
    }
}

/// Unpacks all members of `packed` into `plain`. Blocks while it waits for memory.
pub(crate) fn unpack(mut packed: &[u8], plain: &mut Held, runtime: &Handle) -> Result<(), Problem> {
    let mut is_first = true;
    while is_first || !packed.is_empty() {
        let header = header_len(packed).map_err(|broken| {
            // The first one would have been refused at once if all of it had been looked at.
            if is_first { no_header() } else { broken.problem() }
        })?;
        packed = packed.get(header..).unwrap_or_default();
        let start = plain.bytes.len();
        packed = inflate(packed, plain, runtime)?;
        let member = plain.bytes.get(start..).unwrap_or_default();
        packed = trailer(packed, member).map_err(|broken| broken.problem())?;
        is_first = false;
    }
    Ok(())
}

fn header_len(packed: &[u8]) -> Result<usize, Broken> {
    let flags = *packed.get(..HEADER_LEN).and_then(|head| head.get(FLAGS)).ok_or(Broken::Truncated)?;
    if !packed.starts_with(&MAGIC) {
        return Err(Broken::Header);
    }
    let mut len = HEADER_LEN;
    if flags & HAS_EXTRA != 0 {
        len += 2 + usize::from(u16_at(packed, len)?);
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let text = packed.get(len..).unwrap_or_default();
            len += text.iter().position(|byte| *byte == 0).ok_or(Broken::Truncated)? + 1;
        }
    }
    if flags & HAS_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(packed.get(..len).ok_or(Broken::Truncated)?);
        if crc.sum() & 0xffff != u32::from(u16_at(packed, len)?) {
            return Err(Broken::Header);
        }
        len += 2;
    }
    if len > packed.len() { Err(Broken::Truncated) } else { Ok(len) }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Broken> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Broken::Truncated)?;
    Ok(u16::from_le_bytes(*bytes))
}

/// Unpacks one deflate stream; what follows it.
fn inflate<'p>(mut packed: &'p [u8], plain: &mut Held, runtime: &Handle) -> Result<&'p [u8], Problem> {
    let mut stream = Decompress::new(false);
    let mut step = vec![0; STEP_BYTES];
    loop {
        let (read, made) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(packed, &mut step, FlushDecompress::None)
            .map_err(|_| Broken::Stream(read).problem())?;
        let (read, made) = (count(stream.total_in() - read), count(stream.total_out() - made));
        packed = packed.get(read..).unwrap_or_default();
        runtime.block_on(plain.make_room(made))?;
        plain.bytes.extend_from_slice(step.get(..made).unwrap_or_default());
        match status {
            Status::StreamEnd => return Ok(packed),
            _ if read == 0 && made == 0 => return Err(Broken::Truncated.problem()),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// Checks the end of a member; what follows it.
fn trailer<'p>(packed: &'p [u8], member: &[u8]) -> Result<&'p [u8], Broken> {
    let (trailer, rest) = packed.split_first_chunk::<TRAILER_LEN>().ok_or(Broken::Truncated)?;
    let mut crc = Crc::new();
    crc.update(member);
    let expected = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
    if *trailer == *expected { Ok(rest) } else { Err(Broken::Checksum) }
}

/// Of bytes in memory.
fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;
    use tokio::runtime::Runtime;

    use super::*;
    use crate::write::memory::Memory;

    const MIB: usize = 1 << 20;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[expect(clippy::panic_in_result_fn, reason = "assertions are what tests are for")]
    fn unpacked_within(packed: &[u8], max: usize) -> Result<Vec<u8>, String> {
        let runtime = Runtime::new().unwrap();
        let mut plain = Memory::new(0, max, Duration::ZERO).hold();
        let done = unpack(packed, &mut plain, runtime.handle());
        assert!(plain.bytes.capacity() <= max + STEP_BYTES);
        done.map(|()| plain.bytes).map_err(|problem| {
            assert!(matches!(problem.code, Code::Invalid | Code::RequestTooLarge), "{problem:?}");
            problem.message
        })
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
        unpacked_within(packed, MIB)
    }

    #[test]
    fn every_part_of_a_header_is_passed_over() {
        let header =
            GzBuilder::new().extra(b"\0extra\0".as_slice()).filename("name").comment("comment").mtime(7);
        let mut encoder = header.write(Vec::new(), Compression::fast());
        encoder.write_all(b"m f=1").unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpacked(&packed).unwrap(), b"m f=1");
        // With a checksum of the header, which the library does not write.
        let at = header_len(&packed).unwrap();
        let mut summed = packed.clone();
        summed[FLAGS] |= HAS_CRC;
        let mut crc = Crc::new();
        crc.update(&summed[..at]);
        summed.splice(at..at, crc.sum().to_le_bytes()[..2].iter().copied());
        assert_eq!(unpacked(&summed).unwrap(), b"m f=1");
        summed[at] ^= 1;
        assert_eq!(unpacked(&summed).unwrap_err(), "gzipped HTTP body contains an invalid header");
    }

    #[test]
    fn members_follow_each_other_and_nothing_else_does() {
        let (one, two) = (gzip(b"one\n"), gzip(b""));
        assert_eq!(unpacked(&[one.clone(), two.clone(), one.clone()].concat()).unwrap(), b"one\none\n");
        let junk = [one.as_slice(), b"junk behind it"].concat();
        assert_eq!(unpacked(&junk).unwrap_err(), "unable to read data: gzip: invalid header");
        let short = [one.as_slice(), b"junk"].concat();
        assert_eq!(unpacked(&short).unwrap_err(), "unable to read data: unexpected EOF");
    }

    #[test]
    fn what_is_broken_is_told_in_the_words_of_go() {
        let packed = gzip(&b"m f=1\n".repeat(1000));
        let flipped = |at: usize| {
            let mut packed = packed.clone();
            packed[at] ^= 0x40;
            unpacked(&packed).unwrap_err()
        };
        assert_eq!(flipped(packed.len() - 1), "unable to read data: gzip: invalid checksum");
        assert_eq!(flipped(packed.len() - 8), "unable to read data: gzip: invalid checksum");
        assert_eq!(flipped(0), "gzipped HTTP body contains an invalid header");
        let mut reserved = packed.clone();
        reserved[HEADER_LEN] |= 0b110; // a block of a type that does not exist
        assert_eq!(
            unpacked(&reserved).unwrap_err(),
            "unable to read data: flate: corrupt input before offset 0"
        );
        for len in 0..packed.len() {
            let expected = match len {
                0..HEADER_LEN => "gzipped HTTP body contains an invalid header",
                _ => "unable to read data: unexpected EOF",
            };
            assert_eq!(unpacked(&packed[..len]).unwrap_err(), expected, "{len}");
            assert_eq!(begins_a_member(&packed[..len]), len >= HEADER_LEN);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![b' '; 40 * MIB]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(&bomb).unwrap_err(), "unable to read data: points batch is too large");
        let exact = gzip(&vec![b' '; MIB]);
        assert_eq!(unpacked_within(&exact, MIB).unwrap().len(), MIB);
        assert!(unpacked_within(&exact, MIB - 1).is_err());
    }

    proptest! {
        #[test]
        fn anything_comes_back_whole(plain in prop::collection::vec(any::<u8>(), 0..200_000), split in any::<prop::sample::Index>()) {
            let (left, right) = plain.split_at(split.index(plain.len() + 1));
            prop_assert_eq!(unpacked(&[gzip(left), gzip(right)].concat()).unwrap(), plain);
        }

        #[test]
        fn a_flipped_bit_is_an_error_or_changes_nothing(
            plain in "[a-z ,=0-9\n]{0,300}",
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let mut packed = gzip(plain.as_bytes());
            let at = at.index(packed.len());
            packed[at] ^= 1_u8 << bit;
            if let Ok(found) = unpacked(&packed) {
                prop_assert_eq!(found, plain.as_bytes());
            }
        }
    }
}
