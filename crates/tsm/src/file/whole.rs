//! Small files that are read and replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::units::Offset;

/// All bytes of a file, read with `pread`; `None` when there is none.
///
/// # Errors
/// `Corrupt` when it is longer than `len_max`, `Io`; both name the file.
pub(crate) fn read(disk: &dyn Disk, path: &Path, len_max: usize) -> Result<Option<Vec<u8>>> {
    let io = |error| Error::io(error, path);
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let len = usize::try_from(file.size().map_err(io)?).ok().filter(|len| *len <= len_max);
    let too_long =
        || Error::corrupt("longer than any such file", Offset::START.forward(len_max)).in_file(path);
    let mut bytes = vec![0; len.ok_or_else(too_long)?];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    Ok(Some(bytes))
}

/// Puts a file of these bytes in the place of the one at `path`, if there is one: readers see the old one or the new.
/// On return its bytes are durable, its *name* is after [`Disk::sync_dir`].
///
/// # Errors
/// `Io`; the old file stays then, and at most `<path>.tmp` is left, which the next call removes.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let io = |error| Error::io(error, &temporary);
    remove_if_there(disk, &temporary).map_err(io)?;
    let mut file = disk.create(&temporary).map_err(io)?;
    let written = file.append(bytes).and_then(|()| file.sync());
    if let Err(error) = written.and_then(|()| disk.rename(&temporary, path)) {
        // The first error is the one to report; what remains is a name that every open removes.
        drop(disk.remove(&temporary));
        return Err(io(error));
    }
    Ok(())
}

/// Removes a file. Returns whether there was one.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}
