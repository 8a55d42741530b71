//! Verification of a tombstone.

use icecore_disk::ReadAt;

use super::read_all;
use super::report::{FindingKind, Report};
use crate::error::{Error, Result};
use crate::format::tombstone;
use crate::units::TimeRange;

/// The version of a tombstone: 2, 3 or 4 by its first bytes, 1 without them, as in an empty file.
///
/// # Errors
/// `Io` when the file cannot be read; the caller names it.
pub fn tombstone_version(file: &dyn ReadAt) -> Result<u8> {
    let mut magic = [0; 4];
    if file.size().map_err(Error::io_unnamed)? < magic.len() as u64 {
        return Ok(1);
    }
    file.read_exact_at(&mut magic, 0).map_err(Error::io_unnamed)?;
    Ok(match magic {
        [0, 0, 0x15, version @ 2..=4] => version,
        _ => 1,
    })
}

/// Reads every record of a tombstone, and calls `each` with key and range; what was read before a damaged place counts.
/// Memory: the file, as it is on disk.
///
/// # Errors
/// `Io` when the file cannot be read; the caller names it.
pub fn tombstone(file: &dyn ReadAt, mut each: impl FnMut(&[u8], TimeRange)) -> Result<Report> {
    let bytes = read_all(file)?;
    let mut report = Report { size: bytes.len() as u64, ..Report::default() };
    let outcome = tombstone::walk(&bytes, |key, range| {
        report.counts.deletes += 1;
        each(key, range);
    });
    if let Err(error) = outcome {
        report.add_error(FindingKind::Tombstone, &error, None);
    }
    Ok(report)
}
