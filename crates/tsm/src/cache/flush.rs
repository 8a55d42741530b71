//! Points that are in no file yet, written as TSM files, on disk or in memory.

use std::path::Path;

use icecore_disk::{Disk, Stat};

use super::Cache;
use super::replayed::Sorted;
use crate::error::{Error, Result};
use crate::file::expected::Expected;
use crate::file::name::FileName;
use crate::file::reader::TsmFile;
use crate::file::writer::{InMemory, Rolling, TsmWriter, WriterOptions};
use crate::format::block::Flavor;
use crate::format::column::Column;
use crate::format::sums::Sums;

/// What is written: not empty, and not changing any more.
pub(crate) trait Source {
    /// Calls `each` with composite keys and their columns, in the order of a file.
    ///
    /// # Errors
    /// What `each` returned; `Unfit` when a value cannot be stored.
    fn columns(&self, each: &mut dyn FnMut(&[u8], &Column) -> Result<()>) -> Result<()>;
}

impl Source for Cache {
    fn columns(&self, each: &mut dyn FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
        Cache::columns(self, each)
    }
}

impl Source for Sorted {
    fn columns(&self, each: &mut dyn FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
        Sorted::columns(self, each)
    }
}

/// Writes `points` to new files in `dir`, the first under `name`, and opens them.
///
/// Returns each file with its sums. On return the files are durable under their names. Each takes `modified_ns` as its time of modification. What an
/// error leaves behind: [`TsmWriter`].
///
/// # Errors
/// `Io` names the file.
pub(crate) fn to_disk(
    points: &dyn Source,
    disk: &dyn Disk,
    dir: &Path,
    name: FileName,
    modified_ns: i64,
) -> Result<Vec<(TsmFile, Sums)>> {
    let options = WriterOptions { modified_ns: Some(modified_ns), ..WriterOptions::default() };
    let mut writer = TsmWriter::new(disk, dir, name, options);
    fill(points, dir, |key, column| writer.column(key, column, Flavor::Stream))?;
    let named = writer.finish_with_sums()?.into_iter();
    named
        .map(|(name, sums)| {
            let expected = Expected::new(sums.root(), None, Some(sums.to_bytes().into()));
            let file = TsmFile::open_expected(disk, &dir.join(name.to_string()), name, expected)?;
            Ok((file, sums))
        })
        .collect()
}

/// Writes `points` into files that exist in memory alone, named as if they lay in `dir`.
///
/// # Errors
/// `Unfit` when a value cannot be stored.
pub(crate) fn to_memory(points: &dyn Source, dir: &Path, name: FileName, stat: Stat) -> Result<Vec<TsmFile>> {
    let options = WriterOptions::default();
    let mut files = Rolling::new(InMemory::default(), name, &options);
    fill(points, dir, |key, column| files.column(key, column, options.block_points_max, Flavor::Stream))?;
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
fn fill(points: &dyn Source, dir: &Path, mut write: impl FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
    points.columns(&mut write).map_err(|error: Error| error.in_file(dir))
}
