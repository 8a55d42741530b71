//! Reads a whole file once, in order: the checksum of every block, and the digest of all bytes.

use super::reader::TsmFile;
use crate::error::{Error, Result};
use crate::format::index::{CRC_LEN, Entry};

/// BLAKE3 of a file's bytes.
pub type Digest = blake3::Hash;

/// Read at a time.
const CHUNK_LEN: usize = 1 << 18;

/// Checks the blocks of `file` by `pread`.
///
/// # Errors
/// `Corrupt` at the first block whose checksum is wrong, `Io` where the disk refuses; both name the file.
pub(super) fn run(file: &TsmFile) -> Result<Digest> {
    let mut reader = Reader { file, at: 0, hasher: blake3::Hasher::new(), buffer: vec![0; CHUNK_LEN] };
    for entry in file.keys().flat_map(|key| key.entries()) {
        if entry.offset.get() < reader.at {
            reader.check_behind(&entry)?; // the index may order blocks in another way than they lie
        } else {
            reader.skip_to(entry.offset.get())?;
            reader.check_ahead(&entry)?;
        }
    }
    reader.skip_to(file.size())?;
    Ok(reader.hasher.finalize())
}

/// Invariant: the bytes before `at` are in the hasher.
struct Reader<'a> {
    file: &'a TsmFile,
    at: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Feeds the bytes up to `end` to the hasher, and to `crc` from `crc_from` on.
    fn advance(&mut self, end: u64, mut crc: Option<&mut crc32fast::Hasher>) -> Result<()> {
        while self.at < end {
            let len = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
            let chunk = self.buffer.get_mut(..len).unwrap_or_default();
            self.file
                .file()
                .read_exact_at(chunk, self.at)
                .map_err(|error| Error::io(error, self.file.path()))?;
            self.hasher.update(chunk);
            if let Some(crc) = crc.as_deref_mut() {
                crc.update(chunk);
            }
            self.at += len as u64;
        }
        Ok(())
    }

    fn skip_to(&mut self, end: u64) -> Result<()> {
        self.advance(end, None)
    }

    /// The block at the reader's position.
    fn check_ahead(&mut self, entry: &Entry) -> Result<()> {
        let mut stored = [0; CRC_LEN];
        let io = |error| Error::io(error, self.file.path());
        self.file.file().read_exact_at(&mut stored, self.at).map_err(io)?;
        self.advance(self.at + CRC_LEN as u64, None)?;
        let mut crc = crc32fast::Hasher::new();
        self.advance(entry.offset.get() + u64::from(entry.size), Some(&mut crc))?;
        self.compare(entry, stored, crc.finalize())
    }

    /// A block that the reader has passed.
    fn check_behind(&self, entry: &Entry) -> Result<()> {
        let mut bytes = vec![0; entry.size as usize]; // bounded by the file: the index was checked against it
        let io = |error| Error::io(error, self.file.path());
        self.file.file().read_exact_at(&mut bytes, entry.offset.get()).map_err(io)?;
        let (stored, body) = bytes
            .split_first_chunk::<CRC_LEN>()
            .ok_or_else(|| Error::corrupt("a block is too short", entry.offset).in_file(self.file.path()))?;
        self.compare(entry, *stored, crc32fast::hash(body))
    }

    fn compare(&self, entry: &Entry, stored: [u8; CRC_LEN], found: u32) -> Result<()> {
        if u32::from_be_bytes(stored) == found {
            return Ok(());
        }
        Err(Error::corrupt("a block's checksum is wrong", entry.offset).in_file(self.file.path()))
    }
}
