//! The digest of a whole file, read in order.

use super::window::{Source, Window};
use crate::error::Error;
use crate::units::Offset;

/// BLAKE3 of a file's bytes.
pub type Digest = blake3::Hash;

/// Hashed at a time: what stays in the cache of one core.
const STEP_LEN: u64 = 1 << 18;

/// Reads a file for its digest.
///
/// # Errors
/// `Io` without the name of the file, and where it could not be read.
pub(crate) fn of_file(source: Source<'_>) -> Result<Digest, (Error, Offset)> {
    let size = source.file.size().map_err(|error| (Error::io_unnamed(error), Offset::START))?;
    let (mut hasher, mut window) = (blake3::Hasher::new(), Window::default());
    let mut at = 0;
    while at < size {
        let end = size.min(at + STEP_LEN);
        hasher.update(window.get(source, at..end, size).map_err(|error| (error, Offset::new(at)))?);
        at = end;
    }
    Ok(hasher.finalize())
}
