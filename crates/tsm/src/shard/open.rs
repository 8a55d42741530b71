//! Opening a shard: files first, then the log over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use icecore_disk::{Disk, Stat};

use super::adopt::{self, FoundTombstone, Listing, Plan, Trust};
use super::cursor;
use super::damage::Damage;
use super::file_set::FileSet;
use super::flush::Commits;
use super::view::View;
use super::write::Writer;
use super::{Recovery, Shard, ShardDir, Writing};
use crate::cache::replayed::{Replayed, Sorted};
use crate::cache::{Cache, flush};
use crate::error::{Error, Result};
use crate::file::expected::Expected;
use crate::file::name::{FileName, Generation, Sequence};
use crate::file::reader::TsmFile;
use crate::format::batch::Batch;
use crate::format::manifest::{self, Manifest};
use crate::log::{influx, own};
use crate::units::{Offset, Ticket};

pub(super) fn read_only(disk: &dyn Disk, dir: &ShardDir, trust: Trust) -> Result<Shard> {
    let damage = Damage::default();
    let mut found = Found::read(disk, dir, trust, &damage)?;
    found.check(&damage, false);
    let mut recovery = Recovery::default();
    if damage.first().is_none() {
        found.add_logs(disk, dir, &mut recovery)?;
    }
    Ok(shard(View::of_files(found.set), damage, recovery, None))
}

pub(super) fn to_write(disk: &Arc<dyn Disk>, dir: &ShardDir, writing: &Writing) -> Result<Shard> {
    let damage = Damage::default();
    let mut found = Found::read(&**disk, dir, writing.trust, &damage)?;
    found.check(&damage, has_leftovers(&**disk, &dir.data)?);
    damage.note_all(found.damaged_news());
    let mut recovery = Recovery::default();
    if damage.first().is_some() {
        return Ok(shard(View::of_files(found.set), damage, recovery, None));
    }
    let writer = found.take_over(disk, dir, writing, &mut recovery)?;
    let view = View { files: found.set, caches: vec![found.cache] };
    Ok(shard(view, damage, recovery, Some(writer)))
}

fn shard(view: View, damage: Damage, recovery: Recovery, writer: Option<Writer>) -> Shard {
    let gap = damage.first();
    Shard { view: ArcSwap::from_pointee(view), damage: Arc::new(damage), gap, recovery, writer }
}

/// What lies in the directory of a shard.
struct Found {
    set: Arc<FileSet>,
    manifest: Option<Manifest>,
    /// What is to be done with the files.
    plan: Plan,
    /// influxd's log and its points; `None` if it is damaged.
    influx: Option<(influx::Log, Sorted)>,
    /// Our log; `None` if it is damaged.
    own: Option<own::Replayed>,
    /// The points of our log.
    cache: Arc<Cache>,
}

impl Found {
    /// Reads everything and changes nothing. Damage is noted.
    fn read(disk: &dyn Disk, dir: &ShardDir, trust: Trust, damage: &Damage) -> Result<Self> {
        let manifest = keep(damage, Manifest::read(disk, &dir.data))?;
        // A damaged one is not a missing one; what there is can be looked at.
        let trust = if manifest.is_some() { trust } else { Trust::Directory };
        let manifest = manifest.flatten();
        let plan = Plan::new(manifest.as_ref(), &listing(disk, &dir.data)?, trust);
        damage.note_all(plan.errors(&dir.data));
        let set = Arc::new(FileSet::new(open_files(disk, &dir.data, &plan, damage)?));
        let mut points = Replayed::default();
        let influx = keep(damage, influx::replay(disk, &dir.wal, &mut points))?;
        let flushed = manifest.as_ref().map_or(Ticket::default(), |manifest| Ticket::new(manifest.flushed));
        let cache = Arc::new(Cache::default());
        let own = keep(damage, replay(disk, &dir.wal, flushed, &cache))?;
        if let (Some(log), false) = (&influx, cache.is_empty())
            && let Some(segment) = log.segments.iter().find(|segment| segment.stat.size > 0)
        {
            let what = "a log of influxd beside one of ours: nobody knows which came first";
            damage.note(Error::corrupt(what, Offset::START).in_file(&segment.path));
        }
        if plan.has_lost_manifest && !cache.is_empty() {
            let path = dir.data.join(manifest::NAME);
            damage.note(Error::corrupt(adopt::LOST_MANIFEST, Offset::START).in_file(&path));
        }
        Ok(Self { set, manifest, plan, influx: influx.map(|log| (log, points.sort())), own, cache })
    }

    /// Where there is something to change, all of it is looked at first: a damaged shard stays as it is.
    fn check(&self, damage: &Damage, has_leftovers: bool) {
        let has_log = self.influx.as_ref().is_some_and(|(log, _)| !log.segments.is_empty());
        if has_log || has_leftovers {
            damage.note_all(self.set.damaged_indexes());
        }
        if let Some((_, points)) = &self.influx {
            damage.note_all(type_conflicts(&self.set, points));
        }
    }

    /// What is damaged in files that the manifest will list anew, and in those whose sums have to be made again: whatever
    /// is to be written of them, they are read as a whole before.
    fn damaged_news(&self) -> impl Iterator<Item = Error> {
        let files = self.set.files().iter().filter(|_| self.manifest.is_some());
        files.filter_map(|file| match self.is_as_listed(&file.name()) {
            false => file.check().err(),
            true if file.expected().is_some_and(Expected::lacks_sums) => file.index().err(),
            true => None,
        })
    }

    /// Whether the manifest says what lies there, its tombstone included.
    fn is_as_listed(&self, name: &FileName) -> bool {
        let mut open = self.plan.open.iter().filter(|found| found.listed.is_some());
        open.any(|found| found.name == *name && found.tombstone != FoundTombstone::Unlisted)
    }

    /// Adds the points of both logs to the files, in memory.
    fn add_logs(&mut self, disk: &dyn Disk, dir: &ShardDir, recovery: &mut Recovery) -> Result<()> {
        let (Some((log, points)), Some(own)) = (&self.influx, &self.own) else { return Ok(()) };
        *recovery = Recovery::of(log, own);
        let newest = log.segments.iter().filter(|segment| segment.stat.size > 0).map(|segment| segment.stat);
        let stats = own.segments.iter().map(|segment| disk.stat(&segment.path));
        let own = stats.collect::<std::io::Result<Vec<_>>>().map_err(|error| Error::io(error, &dir.wal))?;
        // In memory the points count as written when the log last was; so `since` sees them.
        let newest = newest.chain(own).max_by_key(|stat| stat.modified_ns).unwrap_or(NOBODY);
        let source: &dyn flush::Source = match (points.is_empty(), self.cache.is_empty()) {
            (true, true) => return Ok(()),
            (_, false) => &*self.cache,
            (false, true) => points,
        };
        let stat = Stat { modified_ns: later_than_all(&self.set, newest.modified_ns), ..newest };
        let files = flush::to_memory(source, &dir.data, next_name(disk, &dir.data, &self.set)?, stat)?;
        self.add(files, recovery);
        Ok(())
    }

    fn add(&mut self, files: Vec<TsmFile>, recovery: &mut Recovery) {
        recovery.flushed.extend(files.iter().map(TsmFile::name));
        let all = self.set.files().iter().cloned().chain(files.into_iter().map(Arc::new));
        self.set = Arc::new(FileSet::new(all.collect()));
    }

    /// The manifest without what it says of files that are others now, or gone.
    fn known(&mut self) -> Option<Manifest> {
        let mut manifest = self.manifest.take()?;
        manifest.live.retain(|name, _| self.is_as_listed(name));
        if self.plan.open.iter().any(|found| found.listed.is_none()) {
            manifest.fields = None; // influxd can lose fields of what it wrote
        }
        Some(manifest)
    }

    /// Turns influxd's log into files, and makes the shard one that is written.
    fn take_over(
        &mut self,
        disk: &Arc<dyn Disk>,
        dir: &ShardDir,
        writing: &Writing,
        recovery: &mut Recovery,
    ) -> Result<Writer> {
        let (Some((log, points)), Some(own)) = (self.influx.take(), self.own.take()) else {
            return Err(Error::unfit("a damaged log"));
        };
        *recovery = Recovery::of(&log, &own);
        // A process that ended between the two calls of a commit has left names that are shown and not durable.
        disk.sync_dir(&dir.data).map_err(|error| Error::io(error, &dir.data))?;
        remove_leftovers(&**disk, &dir.data)?;
        recovery.set_aside = tidy(&**disk, &dir.data, &self.plan)?;
        let generation = last_generation(&**disk, &dir.data, &self.set)?;
        let mut commits = Commits::new(self.known(), generation);
        let mended = Damage::default();
        commits.write_remade_sums(&**disk, &dir.data, &self.set, &mended);
        if !points.is_empty() {
            commits.fields = None;
            let name = next_name(&**disk, &dir.data, &self.set)?;
            let modified_ns = later_than_all(&self.set, (writing.now)());
            let files = match commits.manifest {
                Some(_) => commits.write_as(&points, &**disk, &dir.data, name, modified_ns)?,
                None => flush::to_disk(&points, &**disk, &dir.data, name, modified_ns)?
                    .into_iter()
                    .map(|(file, _)| file)
                    .collect(),
            };
            self.add(files, recovery);
            commits.generation = Some(name.generation);
        }
        // A shard that influxd made gets its manifest with the first flush: it means to read all of its files.
        if commits.manifest.is_some() && (self.plan.is_news() || !points.is_empty()) {
            commits.commit(&**disk, &dir.data, &self.set, None)?;
        }
        remove_log(&**disk, &dir.wal, &log)?;
        writing.tickets.raise_above(own.max_ticket.unwrap_or_default());
        writing.tickets.raise_above(Ticket::new(commits.flushed()));
        writing.budget.take_anyway(self.cache.size());
        let log = own::Log::open(Arc::clone(disk), &dir.wal, own, own::LogOptions::default())?;
        log.release(Ticket::new(commits.flushed()))?; // a crash may have left it behind its flush
        Ok(Writer::new(Arc::clone(disk), dir.clone(), writing, log, commits, mended))
    }
}

/// The owner of a file that has none.
const NOBODY: Stat = Stat { size: 0, modified_ns: 0, mode: 0o600, uid: 0, gid: 0 };

impl Recovery {
    fn of(log: &influx::Log, own: &own::Replayed) -> Self {
        let torn = log.torn.clone().or_else(|| own.torn.clone());
        Self { entries: log.entries + own.records, torn, ..Self::default() }
    }
}

/// Replays our log into `cache`, without what is in files.
fn replay(disk: &dyn Disk, dir: &Path, flushed: Ticket, cache: &Cache) -> Result<own::Replayed> {
    own::replay(disk, dir, |ticket, body| match ticket < flushed {
        true => Ok(()),
        false => cache.apply(ticket, &Batch::parse(&body, Offset::START)?),
    })
}

/// `None` for damage, which is noted.
fn keep<T>(damage: &Damage, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_damage() => {
            damage.note(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
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

/// The files in the data directory of a shard, for the plan.
fn listing(disk: &dyn Disk, dir: &Path) -> Result<Listing> {
    let mut files = Vec::new();
    for entry in list(disk, dir)?.iter().filter(|entry| !entry.is_dir) {
        let Some(name) = entry.name() else { continue };
        if [".tsm", ".tombstone", ".tsmsum", ".tsm.bad"].iter().any(|end| name.ends_with(end)) {
            let stat = disk.stat(&entry.path).map_err(|error| Error::io(error, &entry.path))?;
            files.push((name.to_owned(), stat));
        }
    }
    Ok(Listing::of(files.iter().map(|(name, stat)| (name.as_str(), *stat))))
}

fn open_files(disk: &dyn Disk, dir: &Path, plan: &Plan, damage: &Damage) -> Result<Vec<Arc<TsmFile>>> {
    let opened = plan.open.iter().map(|found| keep(damage, open_file(disk, dir, found)));
    opened.filter_map(|file| file.transpose().map(|file| file.map(Arc::new))).collect()
}

fn open_file(disk: &dyn Disk, dir: &Path, found: &adopt::Found) -> Result<TsmFile> {
    let name = found.name;
    let path = dir.join(name.to_string());
    let Some(digest) = found.listed else { return TsmFile::open(disk, &path, name) };
    let sums = dir.join(name.sums());
    let sums = match found.has_sums {
        true => Some(disk.map(&sums).map_err(|error| Error::io(error, &sums))?),
        false => None,
    };
    let tombstone = match found.tombstone {
        FoundTombstone::Listed(digest) => Some(digest),
        FoundTombstone::None | FoundTombstone::Unlisted => None,
    };
    TsmFile::open_expected(disk, &path, name, Expected::new(digest, tombstone, sums))
}

/// Removes what the plan says may go, and sets aside what nobody knows; returns the new names of these.
fn tidy(disk: &dyn Disk, dir: &Path, plan: &Plan) -> Result<Vec<PathBuf>> {
    for name in &plan.remove {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| Error::io(error, &path))?;
    }
    let mut aside = Vec::new();
    for name in &plan.set_aside {
        let path = dir.join(name);
        let mut names = adopt::aside(name).map(|name| dir.join(name));
        let free = first_free(disk, &mut names).map_err(|error| Error::io(error, &path))?;
        disk.rename(&path, &free).map_err(|error| Error::io(error, &path))?;
        aside.push(free);
    }
    if !(plan.remove.is_empty() && aside.is_empty()) {
        disk.sync_dir(dir).map_err(|error| Error::io(error, dir))?;
    }
    Ok(aside)
}

/// Keys that the log gives another type than the files have: flushed, they would be damage without the log to tell.
fn type_conflicts(set: &FileSet, points: &Sorted) -> impl Iterator<Item = Error> {
    points.types().filter_map(|(composite, kind)| match cursor::live_type(set, composite) {
        Ok(Some((file, key))) if key.kind != kind => {
            let at = key.entry(0).map_or(Offset::START, |entry| entry.offset);
            let what = "the log gives a key another type than this block has";
            Some(Error::corrupt(what, at).in_file(file.path()))
        }
        Ok(_) => None,
        Err(error) => Some(error),
    })
}

/// A flush takes a new generation.
fn next_name(disk: &dyn Disk, dir: &Path, set: &FileSet) -> Result<FileName> {
    let newest = last_generation(disk, dir, set)?;
    let generation = newest.map_or(Some(Generation::FIRST), Generation::next);
    let generation = generation.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
    Ok(FileName { generation, sequence: Sequence::FIRST })
}

/// The newest generation of files and tombstones: one that has lost its file must not become that of a new one.
fn last_generation(disk: &dyn Disk, dir: &Path, set: &FileSet) -> Result<Option<Generation>> {
    let orphans = list(disk, dir)?
        .into_iter()
        .filter_map(|entry| FileName::parse(&format!("{}.tsm", entry.name()?.strip_suffix(".tombstone")?)));
    Ok(orphans.chain(set.newest()).max().map(|newest| newest.generation))
}

/// Files get a time later than any in the shard, so that `since` never misses one (design D6).
pub(super) fn later_than_all(set: &FileSet, now_ns: i64) -> i64 {
    set.modified_ns().map_or(now_ns, |latest| now_ns.max(latest.saturating_add(1)))
}

/// Removes the segments, oldest first; one with a torn tail keeps its bytes under a name that no log has.
fn remove_log(disk: &dyn Disk, dir: &Path, log: &influx::Log) -> Result<()> {
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
    let names = std::iter::once("wal.torn".to_owned()).chain((2u64..).map(|n| format!("wal.torn.{n}")));
    first_free(disk, &mut names.map(|name| path.with_extension(name)))
}

/// The first of many names that no file has.
pub(super) fn first_free(
    disk: &dyn Disk,
    names: &mut dyn Iterator<Item = PathBuf>,
) -> std::io::Result<PathBuf> {
    loop {
        let name = names.next().unwrap_or_default();
        match disk.stat(&name) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(name),
            Err(error) => return Err(error),
        }
    }
}
