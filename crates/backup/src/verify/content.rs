//! The content of an archive's member, readable at any place: a part of the archive where that is plain, else spooled to
//! a temporary file without a name. A member can have 4 GiB and its index is at its end, so memory will not do.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use icecore_disk::ReadAt;
use icecore_tsm::Digest;

/// Bytes copied at a time.
const CHUNK_LEN: usize = 1 << 17;

/// A part of a file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) start: u64,
    pub(super) size: u64,
}

impl ReadAt for Part {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let start = end.and_then(|_| self.start.checked_add(offset)).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(buf, start)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// A temporary file that is gone when it is closed.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    size: u64,
}

impl ReadAt for Spooled {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// Copies all of `from` to a temporary file, and says how it hashes.
///
/// # Errors
/// What reading says is the inner error, what writing the temporary file says the outer.
pub(super) fn spool(from: &mut impl Read) -> io::Result<io::Result<(Spooled, Digest)>> {
    let mut file = tempfile::tempfile()?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_LEN];
    let mut size = 0;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        file.write_all(read)?;
        hasher.update(read);
        size += read.len() as u64;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(Ok((Spooled { file, size }, hasher.finalize())))
}
