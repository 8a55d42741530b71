//! Cuts, and flushing what they froze: a cache becomes files, and the manifest says so.
//!
//! ```text
//! cut     | a ticket is drawn, and every cache that has points is frozen: another takes later writes          |
//! settle  | writes with earlier tickets come in                                                               |
//! write   | fields.idx; TSM files under a new generation, synced                                              |
//! commit  | icecore.manifest lists them and says that all tickets before the cut are in files; synced         |
//! publish | readers see the files instead of the cache; segments of the log that hold nothing else are removed |
//! ```
//!
//! What fails before the commit leaves the cache where it is; the next flush commits once more what is live, removes what
//! was left, and writes the cache again under another generation. Locks: `commits` is held for a whole flush; writers never take it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Disk, Stat};

use super::damage::Damage;
use super::file_set::FileSet;
use super::view::View;
use super::write::Writer;
use super::{Shard, open};
use crate::cache::{Cache, flush};
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::file::name::{FileName, Generation, Sequence};
use crate::file::reader::TsmFile;
use crate::file::whole;
use crate::format::manifest::{LiveFile, Manifest, Sealed};
use crate::format::sums::Sums;
use crate::snapshot::Snapshot;
use crate::tickets::Tickets;
use crate::units::{Offset, Ticket};

/// A flush gives its files one generation; so many sequences of the next one the manifest announces, so that what a crash
/// leaves of it can be told from files that somebody put there.
const ANNOUNCED: usize = 4;

/// The state of the manifest between flushes.
#[derive(Debug)]
pub(super) struct Commits {
    /// What is on disk; `None` before the first commit of a shard that influxd made.
    pub(super) manifest: Option<Manifest>,
    /// No file gets a generation that is not later.
    pub(super) generation: Option<Generation>,
    /// The digest of the `fields.idx` on disk, where it has every field of the live files.
    pub(super) fields: Option<Digest>,
    /// Files that may be on disk and are in no manifest: what failed flushes left.
    abandoned: BTreeSet<FileName>,
    /// What the next manifest says of files that are in none yet.
    sealed: BTreeMap<FileName, LiveFile>,
    /// Sums that are to be written behind the first manifest: without one they would say that it was lost.
    waiting: Vec<(FileName, Sums)>,
}

/// The state of a shard at a cut: its files, once the cache that was frozen then is in one.
#[derive(Debug)]
enum Cut {
    Files(Arc<FileSet>),
    Cache(Arc<Cache>),
}

impl Shard {
    /// Turns all points that were acknowledged before into files. Writers go on meanwhile.
    ///
    /// # Durability
    /// On return the points are in synced files that the manifest lists; where no write came in between, the log is gone.
    ///
    /// # Errors
    /// `Io` names the file that could not be written or removed; no point is lost, and the next flush tries again. `Unfit`
    /// for a shard that is open to be read only; its damage, if it has any.
    pub fn flush(&self) -> Result<()> {
        let Some(writer) = &self.writer else {
            return Err(Error::unfit("a shard that is open to be read only"));
        };
        self.damage.first().map_or(Ok(()), Err)?;
        let (ticket, cut) = writer.tickets.cut(|ticket| (ticket, self.freeze(ticket)));
        self.files_of(writer, &cut)?;
        // All earlier ones are in files. An earlier flush, or a crash, may have left segments that could go.
        writer.log.release(ticket).map(drop)
    }

    /// The files as they are now, pinned, with all points that were acknowledged before: a shard that is written flushes
    /// them. Writers go on meanwhile, and no lock is kept.
    ///
    /// # Errors
    /// The first damage known, if there is one: a snapshot is whole or it is not given. As [`Shard::flush`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshots = snapshot_together(&[self])?;
        snapshots.pop().ok_or_else(|| Error::unfit("no shard"))
    }

    /// Puts another cache in place, if this one has points or expects some. Called while nobody is being admitted.
    fn freeze(&self, ticket: Ticket) -> Cut {
        let mut cut = Cut::Files(Arc::default());
        self.view.rcu(|view| {
            match view.caches.as_slice() {
                [.., active] if !active.is_unused() => {
                    active.freeze(ticket);
                    cut = Cut::Cache(Arc::clone(active));
                    let mut caches = view.caches.clone();
                    caches.push(Arc::default());
                    return Arc::new(View { files: Arc::clone(&view.files), caches });
                }
                [.., frozen, _] => cut = Cut::Cache(Arc::clone(frozen)),
                _ => cut = Cut::Files(Arc::clone(&view.files)),
            }
            Arc::clone(view)
        });
        cut
    }

    /// The files of a cut.
    fn files_of(&self, writer: &Writer, cut: &Cut) -> Result<Arc<FileSet>> {
        let cache = match cut {
            Cut::Files(files) => return Ok(Arc::clone(files)),
            Cut::Cache(cache) => cache,
        };
        let mut commits = writer.commits.lock();
        loop {
            if let Some(files) = cache.files() {
                return Ok(Arc::clone(files));
            }
            let view = self.view.load_full();
            let oldest = view.caches.first().ok_or_else(|| Error::unfit("a cache that is nowhere"))?;
            oldest.settle();
            let files = writer.flush(&mut commits, oldest, &view)?;
            commits.write_remade_sums(&*writer.disk, &writer.dir.data, &files, &writer.mended);
            self.publish(&files);
            oldest.set_files(files);
            writer.budget.give(oldest.size());
            if let Some(cut) = oldest.cut() {
                // The points are in files, whatever becomes of the log; the next flush removes what stays.
                let _ = writer.log.release(cut);
            }
        }
    }

    /// Shows the files in place of the oldest cache.
    fn publish(&self, files: &Arc<FileSet>) {
        self.view.rcu(|view| {
            let caches = view.caches.iter().skip(1).cloned().collect();
            View { files: Arc::clone(files), caches }
        });
    }
}

/// Snapshots of several shards, all of one moment.
///
/// # Errors
/// As [`Shard::snapshot`]; `Unfit` when shards that are written do not share their [`Tickets`].
pub fn snapshot_together(shards: &[&Shard]) -> Result<Vec<Snapshot>> {
    for shard in shards {
        shard.damage.first().map_or(Ok(()), Err)?;
    }
    let tickets: Option<&Arc<Tickets>> =
        shards.iter().find_map(|shard| Some(&shard.writer.as_ref()?.tickets));
    let cut_all = |ticket| shards.iter().map(|shard| shard.freeze(ticket)).collect::<Vec<_>>();
    let (ticket, cuts) = match tickets {
        Some(tickets) => {
            let same = |shard: &&Shard| {
                shard.writer.as_ref().is_none_or(|writer| Arc::ptr_eq(&writer.tickets, tickets))
            };
            if !shards.iter().all(same) {
                return Err(Error::unfit("shards that are cut together need the same tickets"));
            }
            tickets.cut(|ticket| (Some(ticket), cut_all(ticket)))
        }
        None => (None, shards.iter().map(|shard| Cut::Files(Arc::clone(&shard.view.load().files))).collect()),
    };
    let pairs = shards.iter().zip(cuts);
    pairs
        .map(|(shard, cut)| {
            let files = match (&shard.writer, cut) {
                (Some(writer), cut) => shard.files_of(writer, &cut)?,
                (None, Cut::Files(files)) => files,
                (None, Cut::Cache(_)) => return Err(Error::unfit("a cache that nobody writes")),
            };
            Ok(Snapshot::new(files, Arc::clone(&shard.damage), ticket))
        })
        .collect()
}

impl Writer {
    /// Writes a settled cache into files and commits them. Returns the files that are live then.
    fn flush(&self, commits: &mut Commits, cache: &Cache, view: &View) -> Result<Arc<FileSet>> {
        let live = &view.files;
        if cache.is_empty() {
            return Ok(Arc::clone(live)); // every write that was admitted has failed
        }
        let cut = cache.cut().ok_or_else(|| Error::unfit("a cache that is not frozen"))?;
        commits.fields = self.write_types(view)?;
        if !commits.abandoned.is_empty() {
            // Away with them before anything needs room; and the next generation is announced.
            commits.commit(&*self.disk, &self.dir.data, live, None)?;
        }
        let written = commits.write(cache, &*self.disk, &self.dir.data, live, (self.now)())?;
        let names: Vec<FileName> = written.iter().map(TsmFile::name).collect();
        let files = live.files().iter().cloned().chain(written.into_iter().map(Arc::new));
        let files = Arc::new(FileSet::new(files.collect()));
        if let Err(error) = commits.commit(&*self.disk, &self.dir.data, &files, Some(cut)) {
            // The manifest may be in place all the same: these stay until the next one says that they may go.
            commits.abandoned.extend(names);
            return Err(error);
        }
        Ok(files)
    }

    /// Fields are on disk before the first file that has them, those that the log alone has among them. Writers go on
    /// meanwhile. Returns the digest of the file that has them.
    fn write_types(&self, view: &View) -> Result<Option<Digest>> {
        let changed = self.with_types(view, |types| types.changed())?;
        if let Some((set, version)) = changed {
            set.replace(&*self.disk, &self.dir.data)?;
            let digest = blake3::hash(&set.to_idx_bytes());
            self.with_types(view, |types| types.written(version, digest))?;
        }
        self.with_types(view, |types| types.on_disk())
    }
}

impl Commits {
    pub(super) fn new(manifest: Option<Manifest>, generation: Option<Generation>) -> Self {
        Self {
            fields: manifest.as_ref().and_then(|manifest| manifest.fields),
            manifest,
            generation,
            abandoned: BTreeSet::new(),
            sealed: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// All tickets before this one are in files.
    pub(super) fn flushed(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.flushed)
    }

    /// TSM files of a new generation, durable under their names.
    fn write(
        &mut self,
        cache: &Cache,
        disk: &dyn Disk,
        dir: &Path,
        live: &FileSet,
        now_ns: i64,
    ) -> Result<Vec<TsmFile>> {
        let generation = self.generation.map_or(Some(Generation::FIRST), Generation::next);
        let generation = generation.ok_or_else(|| Error::unfit("the file numbers of a shard are used up"))?;
        let name = FileName { generation, sequence: Sequence::FIRST };
        self.generation = Some(generation);
        let written = self.write_as(cache, disk, dir, name, open::later_than_all(live, now_ns));
        if written.is_err() {
            // What has got its name all the same is in no manifest; the next one says that it may go.
            self.abandoned.extend(announced(generation));
        }
        written
    }

    /// TSM files of these names and on, durable under their names, and their sums, whose names are not.
    pub(super) fn write_as(
        &mut self,
        points: &dyn flush::Source,
        disk: &dyn Disk,
        dir: &Path,
        name: FileName,
        modified_ns: i64,
    ) -> Result<Vec<TsmFile>> {
        let written = flush::to_disk(points, disk, dir, name, modified_ns)?;
        let seal = |(file, sums): (TsmFile, Sums)| {
            self.sealed.insert(file.name(), live_file(&file, sums.root()));
            self.write_sums(sums, disk, dir, file.name())?;
            Ok(file)
        };
        written.into_iter().map(seal).collect()
    }

    /// Writes sums that had to be made again. Those that cannot be written are tried again by the next call: they are no
    /// part of what the shard says, and can always be made.
    pub(super) fn write_remade_sums(&self, disk: &dyn Disk, dir: &Path, files: &FileSet, mended: &Damage) {
        for file in files.files() {
            let Some(expected) = file.expected() else { continue };
            let Some(sums) = expected.remade_sums() else { continue };
            if sums.write(disk, dir, file.name()).is_ok() {
                expected.sums_are_written();
                mended.note(expected.fault_of_sums().in_file(&dir.join(file.name().sums())));
            }
        }
    }

    fn write_sums(&mut self, sums: Sums, disk: &dyn Disk, dir: &Path, name: FileName) -> Result<()> {
        if self.manifest.is_some() {
            return sums.write(disk, dir, name);
        }
        self.waiting.push((name, sums));
        Ok(())
    }

    /// Checks a file that influxd wrote, as a whole, before a manifest lists it, and makes its sums.
    fn adopt(&mut self, file: &TsmFile, disk: &dyn Disk, dir: &Path) -> Result<LiveFile> {
        let digest = file.check()?;
        let sums = Sums::of_file(file.file()).map_err(|error| error.in_file(file.path()))?;
        if sums.root() != digest {
            return Err(
                Error::corrupt("a file changed while it was read", Offset::START).in_file(file.path())
            );
        }
        self.write_sums(sums, disk, dir, file.name())?;
        let said = live_file(file, digest);
        self.sealed.insert(file.name(), said); // not once more when this commit fails
        Ok(said)
    }

    /// Makes `files` the live ones, of all tickets before `flushed` where that changes.
    pub(super) fn commit(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        files: &FileSet,
        flushed: Option<Ticket>,
    ) -> Result<()> {
        let mut live = BTreeMap::new();
        for file in files.files() {
            let listed = self.manifest.as_ref().and_then(|before| before.live.get(&file.name()));
            let said = match listed.or_else(|| self.sealed.get(&file.name())) {
                Some(known) => *known,
                None => self.adopt(file, disk, dir)?,
            };
            live.insert(file.name(), said);
        }
        let next = self.generation.map_or(Some(Generation::FIRST), Generation::next);
        let mut replaced: BTreeSet<FileName> = next.into_iter().flat_map(announced).collect();
        replaced.extend(&self.abandoned);
        replaced.retain(|name| !live.contains_key(name));
        let number = self.manifest.as_ref().map_or(0, |before| before.number).saturating_add(1);
        let flushed = flushed.map_or(self.flushed(), Ticket::get);
        let manifest = Manifest { number, flushed, live, replaced, fields: self.fields };
        manifest.replace(disk, dir)?;
        // Sums that cannot be written are tried again behind the next commit; who opens the shard makes them anew.
        self.waiting
            .retain(|(name, sums)| manifest.live.contains_key(name) && sums.write(disk, dir, *name).is_err());
        self.manifest = Some(manifest);
        self.sealed.clear();
        self.remove_abandoned(disk, dir);
        Ok(())
    }

    /// The manifest in place says that these are not needed. What cannot be removed is tried again after the next commit.
    fn remove_abandoned(&mut self, disk: &dyn Disk, dir: &Path) {
        let is_there = |name: &FileName| {
            let sums_temporary = format!("{}.tmp", name.sums());
            let names =
                [name.to_string(), name.sums(), sums_temporary, name.temporary(), name.index_temporary()];
            let removed = names.map(|name| whole::remove_if_there(disk, &dir.join(name)));
            removed.iter().any(std::io::Result::is_err)
        };
        self.abandoned.retain(is_there);
    }
}

/// The names that a flush under a generation may give.
fn announced(generation: Generation) -> impl Iterator<Item = FileName> {
    let sequences = std::iter::successors(Some(Sequence::FIRST), |sequence| sequence.next());
    sequences.take(ANNOUNCED).map(move |sequence| FileName { generation, sequence })
}

/// What the manifest says of a file.
fn live_file(file: &TsmFile, digest: Digest) -> LiveFile {
    let sealed = |stat: Stat, digest| Sealed { len: stat.size, modified_ns: stat.modified_ns, digest };
    let tombstone = file.tombstone().map(|deletes| sealed(deletes.stat, blake3::hash(&deletes.bytes)));
    LiveFile { file: sealed(file.stat(), digest), tombstone }
}
