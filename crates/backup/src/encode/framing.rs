//! What stands around the pieces of a body (pictures in the parent).

use std::collections::VecDeque;

use bytes::Bytes;

use super::tools::Tools;
use super::{Coding, Failed, Level, deflate};

/// Of a frame of zstd, what leaves with the next one: its checksum.
const HELD_LEN: usize = 4;
/// Bytes of a piece that leave at once.
const PART_LEN: usize = 16 << 10;
/// A frame without a byte, its checksum included.
const EMPTY_FRAME: [u8; 13] = [0x28, 0xb5, 0x2f, 0xfd, 0x24, 0, 1, 0, 0, 0x99, 0xe9, 0xd8, 0x51];

impl Level {
    /// Of libdeflate, which has 1 to 12.
    fn of_deflate(self) -> u8 {
        match self {
            Self::Default => 4,
            Self::Full => 9,
            Self::Speedy => 1,
        }
    }

    fn of_zstd(self) -> i32 {
        match self {
            Self::Default => 2,
            Self::Full => 9,
            Self::Speedy => 1,
        }
    }

    /// What the header of a gzip member says of its level.
    fn xfl(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Full => 2,
            Self::Speedy => 4,
        }
    }
}

/// A piece that was compressed.
#[derive(Debug)]
pub(super) struct Packed {
    /// Each in memory of its own, which is free when it was sent: a slow client keeps what it has not taken and no more.
    parts: Vec<Bytes>,
    /// Of a frame of zstd.
    held: Bytes,
    crc: crc32fast::Hasher,
    /// Of what it was made of.
    len: usize,
}

impl Packed {
    pub(super) fn of(input: &[u8], coding: Coding, tools: &mut Tools) -> Result<Self, Failed> {
        let mut crc = crc32fast::Hasher::new();
        let (bytes, held) = match coding {
            Coding::Gzip(level) => {
                crc.update(input);
                (tools.deflate(level.of_deflate(), input)?, &[][..])
            }
            Coding::Zstd(level) => {
                let frame = tools.zstd(level.of_zstd(), input)?;
                frame.split_at(frame.len().saturating_sub(HELD_LEN))
            }
        };
        let parts = bytes.chunks(PART_LEN).map(Bytes::copy_from_slice).collect();
        Ok(Self { parts, held: Bytes::copy_from_slice(held), crc, len: input.len() })
    }
}

/// What is known of the pieces so far.
#[derive(Debug)]
pub(super) enum Framing {
    Gzip { level: Level, crc: crc32fast::Hasher, len: u32 },
    Zstd { held: Option<Bytes> },
}

impl Framing {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip(level) => Self::Gzip { level, crc: crc32fast::Hasher::new(), len: 0 },
            Coding::Zstd(_) => Self::Zstd { held: None },
        }
    }

    pub(super) fn head(&self) -> Bytes {
        match self {
            Self::Gzip { level, .. } => {
                Bytes::copy_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, level.xfl(), 0xff])
            }
            Self::Zstd { .. } => Bytes::new(),
        }
    }

    /// Puts the next piece behind what is ready.
    pub(super) fn piece(&mut self, packed: Packed, ready: &mut VecDeque<Bytes>) {
        match self {
            Self::Gzip { crc, len, .. } => {
                crc.combine(&packed.crc);
                // Modulo 2^32, as the format has it.
                *len = len.wrapping_add(u32::try_from(packed.len & 0xffff_ffff).unwrap_or(0));
            }
            Self::Zstd { held } => ready.extend(held.replace(packed.held)),
        }
        ready.extend(packed.parts);
    }

    /// What follows when the source has ended as it should.
    pub(super) fn end(&mut self) -> Bytes {
        match self {
            Self::Gzip { crc, len, .. } => {
                let crc = std::mem::take(crc).finalize();
                let parts = [&deflate::END[..], &crc.to_le_bytes(), &len.to_le_bytes()];
                Bytes::from(parts.concat())
            }
            Self::Zstd { held } => held.take().unwrap_or(Bytes::from_static(&EMPTY_FRAME)),
        }
    }
}
