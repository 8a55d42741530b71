//! All shards of a directory: found as influxd lays them out, written and cut together, flushed in the background.
//!
//! ```text
//! <root>/data/<bucket>/<policy>/<shard>/    TSM files, tombstones, fields, manifest
//! <root>/wal/<bucket>/<policy>/<shard>/     logs
//! ```
//!
//! Locks: `creating`, then `shards`; the second is held for look-ups alone.

mod find;
mod flusher;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use icecore_disk::Disk;
use parking_lot::{Mutex, RwLock};

use self::find::Found;
use self::flusher::Flusher;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::format::batch::Batch;
use crate::shard::{Shard, Trust, Writing, Written, snapshot_together, write_together};
use crate::snapshot::{Snapshot, Spool, SpoolOptions};
use crate::tickets::Tickets;

/// Who is right in which shard, where a manifest and its directory differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// In every shard but those below.
    pub all: Trust,
    /// Shards in which the directory is right, whatever `all` says: influxd ran, and what it did there was not adopted.
    pub unadopted: BTreeSet<u64>,
}

impl Trusted {
    /// Who is right in the shard of a number.
    pub fn of(&self, id: u64) -> Trust {
        if self.unadopted.contains(&id) { Trust::Directory } else { self.all }
    }
}

impl From<Trust> for Trusted {
    fn from(all: Trust) -> Self {
        Self { all, unadopted: BTreeSet::new() }
    }
}

/// How an engine that is written behaves.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The time now, ns since 1970: what files take as their time of modification.
    pub now: fn() -> i64,
    /// Bytes of points of all shards that are in no file yet, at most: 512 MiB.
    pub cache_size_max: u64,
    /// A shard whose points take so many bytes is flushed: 64 MiB.
    pub flush_size: u64,
    /// A shard that was not written for so long is flushed: 10 minutes.
    pub flush_age: Duration,
    /// How long a write waits for memory before it is `Unavailable`: 10 seconds.
    pub patience: Duration,
    /// What is believed where a manifest and its directory differ: the manifest.
    pub trust: Trusted,
    /// Told of every flush in the background that failed. It is tried again; no point is lost.
    pub on_failure: fn(&OpenShard, &Error),
    /// What is kept of files that were rewritten for backups.
    pub spool: SpoolOptions,
}

impl EngineOptions {
    /// The defaults.
    pub fn new(now: fn() -> i64) -> Self {
        Self {
            now,
            cache_size_max: 512 << 20,
            flush_size: 64 << 20,
            flush_age: Duration::from_secs(600),
            patience: Duration::from_secs(10),
            trust: Trust::Manifest.into(),
            on_failure: |_, _| {},
            spool: SpoolOptions::default(),
        }
    }
}

/// A shard and where it belongs.
#[derive(Debug)]
pub struct OpenShard {
    /// Its number, unique in an engine.
    pub id: u64,
    /// Its bucket, as its directory is named: 16 hex digits in what influxd 2.x writes.
    pub bucket: String,
    /// Its retention policy; `autogen` in what influxd 2.x writes.
    pub policy: String,
    /// The shard itself.
    pub shard: Shard,
    /// When it was last written: milliseconds since the engine was opened.
    written_ms: AtomicU64,
}

/// The shards of a directory. Share it in an [`Arc`]; every call may come from any thread.
///
/// Descriptors: one for each TSM file, and one for the log of each shard that has points in it.
///
/// Dropped, it stops flushing; what was acknowledged stays in the logs. [`Engine::close`] flushes.
#[derive(Debug)]
pub struct Engine {
    inner: Arc<Inner>,
    flusher: Option<Flusher>,
    creating: Mutex<()>,
}

/// What the flusher shares.
#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    shards: RwLock<BTreeMap<u64, Arc<OpenShard>>>,
    writing: Option<Writing>,
    spool: Option<Arc<Spool>>,
    opened: Instant,
}

impl Engine {
    /// Opens every shard below `root` to read it, on all cores. A shard that is damaged or cannot be opened is among
    /// them and says why; a missing `data` is an engine without shards.
    ///
    /// # Errors
    /// `Io` when a directory above the shards cannot be read, `Unfit` when two directories claim one number.
    pub fn open_read_only(disk: &Arc<dyn Disk>, root: &Path, trust: &Trusted) -> Result<Self> {
        Self::with(disk, root, None, None, |found| {
            Shard::open_read_only(&**disk, &found.dir, trust.of(found.id))
        })
    }

    /// Opens every shard below `root` to write it; nobody else may. As [`open_read_only`](Self::open_read_only).
    ///
    /// # Errors
    /// As [`open_read_only`](Self::open_read_only).
    pub fn open(disk: &Arc<dyn Disk>, root: &Path, options: &EngineOptions) -> Result<Self> {
        let writing = Writing {
            now: options.now,
            tickets: Arc::new(Tickets::new()),
            budget: Arc::new(Budget::new(options.cache_size_max, options.patience)),
            trust: options.trust.all,
        };
        let open = |found: &Found| {
            let writing = Writing { trust: options.trust.of(found.id), ..writing.clone() };
            // Whoever removed the logs of an influxd may have removed their directories, too.
            find::create_missing(&**disk, root, &found.dir.wal)?;
            Shard::open(disk, &found.dir, &writing)
        };
        let spool = Some(Arc::new(Spool::open(disk, root, options.spool)));
        let mut engine = Self::with(disk, root, Some(writing.clone()), spool, open)?;
        engine.flusher =
            Some(Flusher::start(Arc::clone(&engine.inner), options.clone()).map_err(Error::io_unnamed)?);
        Ok(engine)
    }

    fn with(
        disk: &Arc<dyn Disk>,
        root: &Path,
        writing: Option<Writing>,
        spool: Option<Arc<Spool>>,
        open: impl Fn(&Found) -> Result<Shard> + Sync,
    ) -> Result<Self> {
        let found = find::find(&**disk, root)?;
        let shards =
            find::open_all(found, open).into_iter().map(|shard| (shard.id, Arc::new(shard))).collect();
        let inner = Inner {
            disk: Arc::clone(disk),
            root: root.to_owned(),
            shards: RwLock::new(shards),
            writing,
            spool,
            opened: Instant::now(),
        };
        Ok(Self { inner: Arc::new(inner), flusher: None, creating: Mutex::new(()) })
    }

    /// Every shard, by number, damaged ones too.
    pub fn shards(&self) -> Vec<Arc<OpenShard>> {
        self.inner.shards.read().values().cloned().collect()
    }

    /// A shard by its number.
    pub fn shard(&self, id: u64) -> Option<Arc<OpenShard>> {
        self.inner.shards.read().get(&id).cloned()
    }

    /// The shard of a number, which is created if it is new.
    ///
    /// # Durability
    /// On `Ok` its directories are.
    ///
    /// # Errors
    /// `Unfit` when the engine is open to be read only, a name is not one of a directory, or the number belongs to another
    /// bucket; `Io`.
    pub fn create(&self, id: u64, bucket: &str, policy: &str) -> Result<Arc<OpenShard>> {
        if let Some(shard) = self.shard(id) {
            return is_in(shard, bucket, policy);
        }
        let writing = self.writing()?;
        let _one_at_a_time = self.creating.lock();
        if let Some(shard) = self.shard(id) {
            return is_in(shard, bucket, policy);
        }
        let Inner { disk, root, .. } = &*self.inner;
        let place = Found::new(root, id, bucket, policy)?;
        for dir in [&place.dir.data, &place.dir.wal] {
            find::create(&**disk, root, dir)?;
        }
        let shard = Arc::new(place.opened(Shard::open(disk, &place.dir, writing)?));
        self.inner.shards.write().insert(id, Arc::clone(&shard));
        Ok(shard)
    }

    /// Writes batches to the shards of these numbers, all under one ticket. See [`Shard::write`].
    ///
    /// # Errors
    /// As [`write_together`]; `Unfit` when there is no such shard.
    pub fn write(&self, parts: &mut [(u64, Batch)]) -> Result<Vec<Written>> {
        let shards: Option<Vec<_>> = parts.iter().map(|(id, _)| self.shard(*id)).collect();
        let shards = shards.ok_or_else(|| Error::unfit("no shard has this number"))?;
        let pairs = shards.iter().zip(&mut *parts);
        let mut pairs: Vec<_> = pairs.map(|(open, (_, batch))| (&open.shard, batch)).collect();
        if let Some(flusher) = &self.flusher {
            flusher.expect(pairs.iter().map(|(_, batch)| batch.cached_size()).sum());
        }
        let written = write_together(&mut pairs)?;
        let now_ms = self.inner.now_ms();
        shards.iter().for_each(|open| open.written_ms.store(now_ms, Ordering::Relaxed));
        if let Some(flusher) = &self.flusher {
            flusher.look_at(&shards);
        }
        Ok(written)
    }

    /// Snapshots of these shards, all of one moment, in their order; `None` for all.
    ///
    /// # Errors
    /// As [`Shard::snapshot`].
    pub fn snapshot(&self, shards: &[Arc<OpenShard>]) -> Result<Vec<Snapshot>> {
        snapshot_together(&shards.iter().map(|open| &open.shard).collect::<Vec<_>>())
    }

    /// Turns all points that were acknowledged before into files, shard by shard. Damaged shards are passed over.
    ///
    /// # Errors
    /// The first that a shard had, with its number; the others are flushed all the same.
    pub fn flush(&self) -> std::result::Result<(), (u64, Error)> {
        let sound = self.shards().into_iter().filter(|open| open.shard.is_writable());
        let failed: Vec<_> =
            sound.filter_map(|open| open.shard.flush().err().map(|error| (open.id, error))).collect();
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// Stops flushing in the background, and flushes everything.
    ///
    /// # Errors
    /// As [`Engine::flush`]; what was acknowledged is then in the logs still.
    pub fn close(mut self) -> std::result::Result<(), (u64, Error)> {
        self.flusher = None;
        match self.inner.writing {
            Some(_) => self.flush(),
            None => Ok(()),
        }
    }

    /// The files that were rewritten for backups; `None` of an engine that is open to be read only.
    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.inner.spool.as_ref()
    }

    /// Bytes of points that are in no file yet, and of writes on their way.
    pub fn cached_size(&self) -> u64 {
        self.inner.writing.as_ref().map_or(0, |writing| writing.budget.used())
    }

    fn writing(&self) -> Result<&Writing> {
        self.inner.writing.as_ref().ok_or_else(|| Error::unfit("an engine that is open to be read only"))
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn is_in(open: Arc<OpenShard>, bucket: &str, policy: &str) -> Result<Arc<OpenShard>> {
    match (open.bucket.as_str(), open.policy.as_str()) == (bucket, policy) {
        true => Ok(open),
        false => Err(Error::unfit("the number of a shard belongs to another bucket")),
    }
}
