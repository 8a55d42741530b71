//! What a thread needs to compress one piece after the other: compressors and buffers, made once.

use std::collections::HashMap;

use super::Failed;
use super::deflate::Deflater;

/// The tools of one thread.
#[derive(Default)]
pub(super) struct Tools {
    deflaters: HashMap<u8, Deflater>,
    zstd: HashMap<i32, zstd::bulk::Compressor<'static>>,
    /// The last output.
    scratch: Vec<u8>,
}

impl Tools {
    /// `piece` as blocks of deflate, none of them the last, that end with a byte.
    pub(super) fn deflate(&mut self, level: u8, piece: &[u8]) -> Result<&[u8], Failed> {
        let deflater = self.deflaters.entry(level).or_insert_with(|| Deflater::new(level));
        deflater.piece(piece, &mut self.scratch)?;
        Ok(&self.scratch)
    }

    /// `piece` as a frame of zstd that knows its length and has a checksum.
    pub(super) fn zstd(&mut self, level: i32, piece: &[u8]) -> Result<&[u8], Failed> {
        let failed = |error| Failed::new(format!("zstd does not compress: {error}"));
        let compressor = match self.zstd.entry(level) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let mut compressor = zstd::bulk::Compressor::new(level).map_err(failed)?;
                compressor.include_checksum(true).map_err(failed)?;
                new.insert(compressor)
            }
        };
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(piece.len()));
        compressor.compress_to_buffer(piece, &mut self.scratch).map_err(failed)?;
        Ok(&self.scratch)
    }
}
