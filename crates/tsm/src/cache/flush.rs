//! A frozen cache written as TSM files, on disk or in memory.

use std::path::Path;

use icecore_disk::{Disk, Stat};

use super::Frozen;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::file::reader::TsmFile;
use crate::file::writer::{InMemory, Rolling, TsmWriter, WriterOptions};
use crate::format::block::Flavor;
use crate::format::column::Column;

/// Writes `cache`, which is not empty, to new files in `dir`, the first under `name`, and opens them.
///
/// On return the files are durable under their names. Each takes `modified_ns` as its time of modification. What an
/// error leaves behind: [`TsmWriter`].
///
/// # Errors
/// `Io` names the file.
pub(crate) fn to_disk(
    cache: &Frozen,
    disk: &dyn Disk,
    dir: &Path,
    name: FileName,
    modified_ns: i64,
) -> Result<Vec<TsmFile>> {
    let options = WriterOptions { modified_ns: Some(modified_ns), ..WriterOptions::default() };
    let mut writer = TsmWriter::new(disk, dir, name, options);
    fill(cache, dir, |key, column| writer.column(key, column, Flavor::Stream))?;
    writer.finish()?.into_iter().map(|name| TsmFile::open(disk, &dir.join(name.to_string()), name)).collect()
}

/// Writes `cache`, which is not empty, into files that exist in memory alone, named as if they lay in `dir`.
///
/// # Errors
/// `Unfit` when a value cannot be stored.
pub(crate) fn to_memory(cache: &Frozen, dir: &Path, name: FileName, stat: Stat) -> Result<Vec<TsmFile>> {
    let options = WriterOptions::default();
    let mut files = Rolling::new(InMemory::default(), name, &options);
    fill(cache, dir, |key, column| files.column(key, column, options.block_points_max, Flavor::Stream))?;
    files.close()?;
    let files = files.into_sink().into_files().into_iter();
    files
        .map(|(name, bytes)| {
            let stat = Stat { size: bytes.len() as u64, ..stat };
            TsmFile::in_memory(name, dir.join(name.to_string()), stat, bytes)
        })
        .collect()
}

/// An error that is not about a file names the directory.
fn fill(cache: &Frozen, dir: &Path, mut write: impl FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
    let mut columns = cache.keys.iter();
    columns.try_for_each(|(key, column)| write(key, column)).map_err(|error: Error| error.in_file(dir))
}
