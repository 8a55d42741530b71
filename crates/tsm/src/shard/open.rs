//! Opening a shard: files first, then the log over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use icecore_disk::{Disk, Stat};

use super::cursor;
use super::damage::Damage;
use super::file_set::FileSet;
use super::{Access, Recovery, Shard, ShardDir};
use crate::cache::{Cache, Frozen, flush};
use crate::error::{Error, Result};
use crate::file::name::{FileName, Generation, Sequence};
use crate::file::reader::TsmFile;
use crate::log::influx::{self, Log};
use crate::units::Offset;

pub(super) fn open(disk: &dyn Disk, dir: &ShardDir, access: Access) -> Result<Shard> {
    let damage = Damage::default();
    let files = open_files(disk, &dir.data, &damage)?;
    let mut cache = Cache::default();
    let log = match influx::replay(disk, &dir.wal, &mut cache) {
        Ok(log) => Some(log),
        Err(error) if error.is_damage() => {
            damage.note(error);
            None
        }
        Err(error) => return Err(error),
    };
    let mut recovery = Recovery::default();
    let set = FileSet::new(files);
    let cache = cache.freeze();
    let has_log = log.as_ref().is_some_and(|log| !log.segments.is_empty());
    if has_log || access != Access::ReadOnly && has_leftovers(disk, &dir.data)? {
        // There is something to change, and a damaged shard stays as it is.
        damage.note_all(set.damaged_indexes());
    }
    if log.is_some() {
        damage.note_all(type_conflicts(&set, &cache));
    }
    let mut files = set.files().to_vec();
    if let (Some(log), None) = (log, damage.first()) {
        let flushed = recover(disk, dir, access, &set, &cache, &log)?;
        recovery = Recovery {
            entries: log.entries,
            torn: log.torn,
            flushed: flushed.iter().map(TsmFile::name).collect(),
        };
        files.extend(flushed.into_iter().map(Arc::new));
    }
    Ok(Shard { files: ArcSwap::from_pointee(FileSet::new(files)), damage: Arc::new(damage), recovery })
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<icecore_disk::DirEntry>> {
    disk.list(dir).map_err(|error| Error::io(error, dir))
}

/// What an interrupted write or backup left behind.
fn leftovers(disk: &dyn Disk, dir: &Path) -> Result<impl Iterator<Item = icecore_disk::DirEntry>> {
    let is_leftover =
        |entry: &icecore_disk::DirEntry| entry.name().is_some_and(|name| name.ends_with(".tmp"));
    Ok(list(disk, dir)?.into_iter().filter(is_leftover))
}

fn has_leftovers(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Ok(leftovers(disk, dir)?.next().is_some())
}

/// influxd removes them too when it opens a shard.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<()> {
    leftovers(disk, dir)?.try_for_each(|entry| remove_all(disk, &entry))
}

fn remove_all(disk: &dyn Disk, entry: &icecore_disk::DirEntry) -> Result<()> {
    let removed = if entry.is_dir {
        list(disk, &entry.path)?.iter().try_for_each(|inner| remove_all(disk, inner))?;
        disk.remove_dir(&entry.path)
    } else {
        disk.remove(&entry.path)
    };
    removed.map_err(|error| Error::io(error, &entry.path))
}

fn open_files(disk: &dyn Disk, dir: &Path, damage: &Damage) -> Result<Vec<Arc<TsmFile>>> {
    let mut files = Vec::new();
    for entry in list(disk, dir)? {
        let Some(text) = entry.name().filter(|name| name.ends_with(".tsm") && !entry.is_dir) else {
            continue;
        };
        let opened = match FileName::parse(text) {
            Some(name) => TsmFile::open(disk, &entry.path, name),
            None => Err(Error::corrupt("the name of a TSM file is not two numbers", Offset::START)
                .in_file(&entry.path)),
        };
        match opened {
            Ok(file) => files.push(Arc::new(file)),
            Err(error) if error.is_damage() => drop(damage.note(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Keys that the log gives another type than the files have: flushed, they would be damage without the log to tell.
fn type_conflicts(set: &FileSet, cache: &Frozen) -> impl Iterator<Item = Error> {
    cache.types().filter_map(|(composite, kind)| match cursor::live_type(set, composite) {
        Ok(Some((file, key))) if key.kind != kind => {
            let at = key.entry(0).map_or(Offset::START, |entry| entry.offset);
            let what = "the log gives a key another type than this block has";
            Some(Error::corrupt(what, at).in_file(file.path()))
        }
        Ok(_) => None,
        Err(error) => Some(error),
    })
}

/// Turns the content of the log into files, and in a directory that may be written removes the log after that.
fn recover(
    disk: &dyn Disk,
    dir: &ShardDir,
    access: Access,
    set: &FileSet,
    cache: &Frozen,
    log: &Log,
) -> Result<Vec<TsmFile>> {
    let name = || next_name(disk, &dir.data, set);
    match access {
        Access::ReadOnly if cache.is_empty() => Ok(Vec::new()),
        Access::ReadOnly => {
            // In memory the points count as written when the log last was; so `since` sees them.
            let newest =
                log.segments.iter().filter(|segment| segment.stat.size > 0).map(|segment| segment.stat);
            let stat = newest.max_by_key(|stat| stat.modified_ns).unwrap_or(Stat {
                size: 0,
                modified_ns: 0,
                mode: 0o600,
                uid: 0,
                gid: 0,
            });
            let modified_ns = later_than_all(set, stat.modified_ns);
            flush::to_memory(cache, &dir.data, name()?, Stat { modified_ns, ..stat })
        }
        Access::ReadWrite { now_ns } => {
            remove_leftovers(disk, &dir.data)?;
            let files = match cache.is_empty() {
                true => Vec::new(),
                false => flush::to_disk(cache, disk, &dir.data, name()?, later_than_all(set, now_ns))?,
            };
            remove_log(disk, &dir.wal, log)?;
            Ok(files)
        }
    }
}

/// A flush takes a new generation.
///
/// A tombstone that has lost its file must not become that of the new one.
fn next_name(disk: &dyn Disk, dir: &Path, set: &FileSet) -> Result<FileName> {
    let orphans = list(disk, dir)?
        .into_iter()
        .filter_map(|entry| FileName::parse(&format!("{}.tsm", entry.name()?.strip_suffix(".tombstone")?)));
    let newest = orphans.chain(set.newest()).max();
    let generation = newest.map_or(Some(Generation::FIRST), |newest| newest.generation.next());
    let generation = generation.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
    Ok(FileName { generation, sequence: Sequence::FIRST })
}

/// Files get a time later than any in the shard, so that `since` never misses one (design D6).
fn later_than_all(set: &FileSet, now_ns: i64) -> i64 {
    set.modified_ns().map_or(now_ns, |latest| now_ns.max(latest.saturating_add(1)))
}

/// Removes the segments, oldest first; one with a torn tail keeps its bytes under a name that no log has.
fn remove_log(disk: &dyn Disk, dir: &Path, log: &Log) -> Result<()> {
    for segment in &log.segments {
        let path = &segment.path;
        let is_torn = log.torn.as_ref().is_some_and(|torn| torn.path == *path);
        let done = match is_torn {
            true => free_name(disk, path).and_then(|kept| disk.rename(path, &kept)),
            false => disk.remove(path),
        };
        done.map_err(|error| Error::io(error, path))?;
        // A later segment may hold the delete of what this one wrote: it must not be gone first.
        disk.sync_dir(dir).map_err(|error| Error::io(error, dir))?;
    }
    Ok(())
}

/// A name for the bytes of a torn segment that no file has yet: influxd begins to count its segments anew.
fn free_name(disk: &dyn Disk, path: &Path) -> std::io::Result<PathBuf> {
    let mut names = std::iter::once("wal.torn".to_owned()).chain((2..).map(|n| format!("wal.torn.{n}")));
    loop {
        let name = path.with_extension(names.next().unwrap_or_default());
        match disk.stat(&name) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(name),
            Err(error) => return Err(error),
        }
    }
}
