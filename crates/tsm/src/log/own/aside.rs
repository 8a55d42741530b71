//! The bytes of a torn tail are kept beside the log before anything is written behind them.

use std::io;

use icecore_disk::Disk;

use super::names;
use crate::error::{Error, Result};
use crate::log::influx::TornTail;

/// Copied at once.
const STEP: u64 = 1 << 20;

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
    let copy = || -> io::Result<()> {
        match disk.remove(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (from, mut to) = (disk.open(&torn.path)?, disk.create(&partial)?);
        let (mut at, end) = (torn.at.get(), torn.at.get() + torn.size);
        while at < end {
            let len = STEP.min(end - at);
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            from.read_exact_at(&mut bytes, at)?;
            to.append(&bytes)?;
            at += len;
        }
        to.sync()?;
        disk.rename(&partial, &kept)?;
        disk.sync_dir(kept.parent().unwrap_or("".as_ref()))
    };
    copy().map_err(|error| Error::io(error, &kept))
}
