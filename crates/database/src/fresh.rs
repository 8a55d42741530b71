//! A new, empty data directory: files that influxd 2.9.1 opens as its own.

use std::path::Path;
use std::sync::Arc;

use icecore_catalog::{Random, fresh, sql};
use icecore_disk::Disk;
use icecore_kvstore::{Builder, Store};

use crate::error::Error;
use crate::options::Paths;

/// Page size of a new Bolt file: that of most machines; every bbolt reads it anywhere.
const PAGE_SIZE: u32 = 4096;

/// The system's randomness.
pub(crate) fn random() -> impl Random {
    |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other)
}

/// Creates the directories of all three parts.
pub(crate) fn directories(disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
    let parents = [&paths.bolt, &paths.sqlite].into_iter().filter_map(|path| path.parent());
    let engine = [paths.engine.join("data"), paths.engine.join("wal")];
    let named = parents.filter(|dir| !dir.as_os_str().is_empty());
    for dir in named.chain(engine.iter().map(AsRef::as_ref)) {
        disk.create_dir(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
    }
    Ok(())
}

/// Makes the Bolt file of a server before its setup.
///
/// # Errors
/// `Missing` when the engine has data: a fresh file would hide it.
pub(crate) fn store(disk: &Arc<dyn Disk>, paths: &Paths, now_ns: i64) -> Result<Store, Error> {
    let data = paths.engine.join("data");
    let holds_data =
        disk.list(&data).map_err(|source| Error::Io { path: data, source })?.iter().any(|entry| entry.is_dir);
    if holds_data {
        return Err(Error::Missing { path: paths.bolt.clone() });
    }
    let contents = fresh(now_ns, &mut random()).map_err(Error::Catalog)?;
    let builder = Builder::new(PAGE_SIZE).map_err(Error::Store)?;
    let builder = contents.fill(builder).map_err(Error::Catalog)?;
    Store::create(Arc::clone(disk), &paths.bolt, builder).map_err(Error::Store)
}

/// Makes the SQLite file.
pub(crate) fn sqlite(path: &Path) -> Result<(), Error> {
    sql::create(path).map_err(Error::Catalog)
}
