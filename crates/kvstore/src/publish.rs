//! Putting a new file in the place of an old one.
//!
//! Order, and what each step makes true:
//! 1. create `<name>.tmp` beside the file and lock it, before its first byte: nobody takes it for a leftover;
//! 2. write it, sync it: the content is durable;
//! 3. map it and check every page: what will be served is what was meant;
//! 4. rename it over the file, still locked: whoever opens the name from now on meets the lock;
//! 5. sync the directory: the name is durable.
//!
//! A failure before 4 removes the temporary file and leaves all as it was. influxd removes a file of that name at start.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Disk, LockMode};

use crate::build::Builder;
use crate::error::{Error, Result};
use crate::state::State;
use crate::tx::Writer;
use crate::view::View;

const TEMPORARY: &str = ".tmp";

/// Writes what `builder` holds and gives it the name `path`.
///
/// The last result is about step 5 alone: when it is an error the file is in place all the same.
pub(crate) fn publish(
    disk: &dyn Disk,
    path: &Path,
    builder: Builder,
) -> Result<(Arc<State>, Writer, Result<()>)> {
    let temporary = temporary(path);
    remove_leftover(disk, &temporary)?;
    let mut file = disk.create(&temporary).map_err(|error| Error::io(error, &temporary))?;
    let state = (|| {
        let lock =
            disk.lock(&temporary, LockMode::Exclusive).map_err(|error| Error::lock(error, &temporary))?;
        builder.write(file.as_mut()).map_err(|error| error.in_file(&temporary))?;
        file.sync().map_err(|error| Error::io(error, &temporary))?;
        let state = State::load(disk, &temporary, path, lock)?;
        View::new(Arc::clone(&state)).verify()?;
        let writer = disk.open_write(&temporary).map_err(|error| Error::io(error, &temporary))?;
        disk.rename(&temporary, path).map_err(|error| Error::io(error, path))?;
        Ok((Writer::new(writer, &state), state))
    })();
    match state {
        Ok((writer, state)) => {
            let named = disk.sync_dir(directory(path)).map_err(|error| Error::not_durable(error, path));
            Ok((state, writer, named))
        }
        Err(error) => {
            // The first failure is the one to tell. What cannot be removed now is a leftover for the next attempt.
            drop(disk.remove(&temporary));
            Err(error)
        }
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(TEMPORARY);
    name.into()
}

pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what an interrupted replacement left; a temporary file that somebody is writing is locked, and an error.
fn remove_leftover(disk: &dyn Disk, temporary: &Path) -> Result<()> {
    match disk.lock(temporary, LockMode::Exclusive) {
        Ok(_lock) => disk.remove(temporary).map_err(|error| Error::io(error, temporary)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::lock(error, temporary)),
    }
}
