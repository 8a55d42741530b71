//! What is done to the last segment before anything is written behind it: what counts is made durable, and what does not
//! is kept aside.

use std::io;
use std::path::Path;

use icecore_disk::Disk;

use super::names;
use super::replay::Unconfirmed;
use crate::error::{Error, Result};
use crate::log::influx::TornTail;
use crate::units::Offset;

/// Copied at once.
const STEP: u64 = 1 << 20;

/// Writes records once more to their own place, so that a sync has something to make durable: after one that failed, the
/// system takes what it shows for written. The bytes are the same, so that a crash in between does no harm.
pub(super) fn confirm(disk: &dyn Disk, records: &Unconfirmed) -> Result<()> {
    let Unconfirmed { path, at, size } = records;
    let write = || -> io::Result<()> {
        let mut file = disk.open_write(path)?;
        copy(disk, path, (*at, *size), |at, bytes| file.write_all_at(bytes, at))?;
        file.sync()
    };
    write().map_err(|error| Error::io(error, path))
}

/// Copies the tail to `<segment>.torn`, if that is not there yet. Whole and durable on return; the segment stays as it is.
pub(super) fn keep(disk: &dyn Disk, torn: &TornTail) -> Result<()> {
    let kept = names::torn(&torn.path);
    match disk.stat(&kept) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(error, &kept)),
    }
    let mut partial = kept.clone();
    partial.as_mut_os_string().push(".tmp");
    let write = || -> io::Result<()> {
        match disk.remove(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut to = disk.create(&partial)?;
        copy(disk, &torn.path, (torn.at, torn.size), |_, bytes| to.append(bytes))?;
        to.sync()?;
        disk.rename(&partial, &kept)?;
        disk.sync_dir(kept.parent().unwrap_or("".as_ref()))
    };
    write().map_err(|error| Error::io(error, &kept))
}

fn copy(
    disk: &dyn Disk,
    from: &Path,
    (start, size): (Offset, u64),
    mut to: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let file = disk.open(from)?;
    let (mut at, end) = (start.get(), start.get() + size);
    while at < end {
        let len = STEP.min(end - at);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, at)?;
        to(at, &bytes)?;
        at += len;
    }
    Ok(())
}
