//! A frozen cache written as TSM files, on disk or in memory.

use std::path::{Path, PathBuf};

use icecore_disk::{Append, Disk, Stat};

use super::Frozen;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::file::reader::TsmFile;
use crate::file::writer::{POINTS_MAX, Room, Writer};
use crate::format::block::Flavor;
use crate::format::column::Column;

/// Writes `cache` to new files in `dir`, the first under `name`, and opens them.
///
/// On return the files are durable under their names. Each takes `modified_ns` as its time of modification. On an
/// error nothing is left under a final name but files that are complete; temporary names are removed.
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
    let mut pending = Pending::new(cache);
    let mut written = Vec::new();
    let mut name = Some(name);
    while !pending.is_empty() {
        let this = name.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
        let path = dir.join(this.to_string());
        let temporary = dir.join(format!("{this}.tmp"));
        let result = write_one(&mut pending, disk, &temporary, modified_ns)
            .and_then(|()| disk.rename(&temporary, &path).map_err(|error| Error::io(error, &path)));
        if let Err(error) = result {
            // The first error is the one to report; what remains is a name that every open removes.
            let _ = disk.remove(&temporary);
            return Err(error);
        }
        written.push((this, path));
        name = this.sequence.next().map(|sequence| FileName { sequence, ..this });
    }
    disk.sync_dir(dir).map_err(|error| Error::io(error, dir))?;
    written.iter().map(|(name, path)| TsmFile::open(disk, path, *name)).collect()
}

fn write_one(pending: &mut Pending<'_>, disk: &dyn Disk, path: &Path, modified_ns: i64) -> Result<()> {
    let mut file = disk.create(path).map_err(|error| Error::io(error, path))?;
    pending.fill(&mut *file).map_err(|error| error.in_file(path))?;
    let timed = disk.set_modified(path, modified_ns).and_then(|()| file.sync());
    timed.map_err(|error| Error::io(error, path))
}

/// Writes `cache` into files that exist in memory alone, named as if they lay in `dir`.
///
/// # Errors
/// `Unfit` when a value cannot be stored.
pub(crate) fn to_memory(cache: &Frozen, dir: &Path, name: FileName, stat: Stat) -> Result<Vec<TsmFile>> {
    let mut pending = Pending::new(cache);
    let mut files = Vec::new();
    let mut name = Some(name);
    while !pending.is_empty() {
        let this = name.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
        let path: PathBuf = dir.join(this.to_string());
        let mut bytes = Memory::default();
        pending.fill(&mut bytes).map_err(|error| error.in_file(&path))?;
        let stat = Stat { size: bytes.0.len() as u64, ..stat };
        files.push(TsmFile::in_memory(this, path, stat, bytes.0)?);
        name = this.sequence.next().map(|sequence| FileName { sequence, ..this });
    }
    Ok(files)
}

/// What is still to be written: all keys from the current one on, of that one the points from `at` on.
struct Pending<'a> {
    keys: std::iter::Peekable<std::collections::btree_map::Iter<'a, Vec<u8>, Column>>,
    at: usize,
}

impl<'a> Pending<'a> {
    fn new(cache: &'a Frozen) -> Self {
        Self { keys: cache.keys.iter().peekable(), at: 0 }
    }

    fn is_empty(&mut self) -> bool {
        self.keys.peek().is_none()
    }

    /// Writes one whole file: until nothing is left or the file has no room.
    fn fill(&mut self, to: &mut dyn Append) -> Result<()> {
        let mut writer = Writer::new(to).map_err(Error::io_unnamed)?;
        let mut room = Room::Left;
        while let (Room::Left, Some((key, column))) = (room, self.keys.peek()) {
            let end = column.len().min(self.at + POINTS_MAX);
            room = writer.block(key, column, self.at..end, Flavor::Stream)?;
            self.at = end;
            if end == column.len() {
                self.keys.next();
                self.at = 0;
            }
        }
        writer.finish().map(drop)
    }
}

/// A file in memory.
#[derive(Debug, Default)]
struct Memory(Vec<u8>);

impl Append for Memory {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
