use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use icecore_catalog::{
    Bucket, BucketManifest, Catalog, Id, NewBucket, OnboardError, OnboardRequest, Onboarded, ShardGroups,
    ShardId, create_bucket, onboard, sql,
};
use icecore_disk::{Disk, LockMode, Map, RealDisk};
use icecore_kvstore::{HotCopy, Store};
use icecore_tsm::{Engine, OpenShard, Snapshot, Spool, Trust};

use crate::error::Error;
use crate::export::{self, Format};
use crate::fresh;
use crate::groups::{GroupCache, missing};
use crate::lock::Held;
use crate::options::{Mode, Options, Paths};
use crate::write::Pool;

/// An open data directory. Share it in an [`Arc`]; every call may come from any thread.
pub struct Database {
    disk: Arc<dyn Disk>,
    paths: Paths,
    options: Options,
    store: Store,
    engine: Engine,
    write_buffers: Pool,
    groups: GroupCache,
    lock: Option<Held>,
    /// Shards in which what influxd did was not adopted, because they are damaged: it has to be believed once more.
    unadopted: BTreeSet<u64>,
}

/// The metadata of one moment: what a metadata backup sends.
#[derive(Debug)]
pub struct MetadataCut {
    /// The Bolt file.
    pub kv: HotCopy,
    /// The SQLite file.
    pub sql: Map,
    /// Every bucket with its shards.
    pub buckets: Vec<BucketManifest>,
}

impl Database {
    /// Opens a directory, locks it, and opens every shard in it. Damaged shards are logged, see [`Database::shards`].
    ///
    /// With [`Mode::ReadWrite`] a missing or empty directory becomes a fresh one that waits for its setup.
    ///
    /// # Errors
    /// `ForeignOwner` when another user owns it and it is to be written; `Locked` when an influxd or an Icecore has it
    /// open, `Missing` when there is nothing to read, `Store` with the page when the Bolt file is damaged or has lost our last commit, `Catalog` when the SQLite file is; `Io` when the system refuses a call.
    pub fn open(paths: Paths, options: Options) -> Result<Self, Error> {
        Self::open_on(Arc::new(RealDisk), paths, options)
    }

    /// [`open`](Self::open) on another disk, for tests of disks that fail. The SQLite file is on the real one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, paths: Paths, options: Options) -> Result<Self, Error> {
        let now_ns = now_ns();
        let (store, lock) = match options.mode {
            Mode::ReadOnly => (open_store(&disk, &paths, LockMode::Shared)?, Held::shared(&*disk, &paths)?),
            Mode::ReadWrite => {
                refuse_foreign_owner(&*disk, &paths.bolt)?;
                // What exists is locked before anything is created beside it.
                let held = match disk.stat(&paths.bolt) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    _ => Some(open_store(&disk, &paths, LockMode::Exclusive)?),
                };
                fresh::directories(&*disk, &paths)?;
                let lock = Held::exclusive(&*disk, &paths)?;
                let store = held.map_or_else(|| fresh::store(&disk, &paths, now_ns), Ok)?;
                if paths.sqlite.exists() {
                    sql::recover(&paths.sqlite)
                        .and_then(|()| sql::check(&paths.sqlite))
                        .map_err(Error::Catalog)?;
                } else {
                    fresh::sqlite(&paths.sqlite)?;
                }
                (store, Some(lock))
            }
        };
        let trust = match &lock {
            Some(held) => held.trust(&*disk, &store.view())?,
            None => Trust::Directory.into(), // no Icecore has written it
        };
        let engine = match options.mode {
            Mode::ReadOnly => Engine::open_read_only(&disk, &paths.engine, &trust),
            Mode::ReadWrite => Engine::open(&disk, &paths.engine, &options.engine(trust.clone())),
        }
        .map_err(Error::Engine)?;
        engine.shards().iter().for_each(|open| report(open));
        let (groups, write_buffers) = (GroupCache::default(), Pool::default());
        let is_unadopted =
            |open: &Arc<OpenShard>| trust.of(open.id) == Trust::Directory && !open.shard.is_writable();
        let unadopted =
            engine.shards().iter().filter(|open| is_unadopted(open)).map(|open| open.id).collect();
        let database = Self { disk, paths, options, store, engine, groups, write_buffers, lock, unadopted };
        database.note_commit();
        Ok(database)
    }

    /// Notes that the last commit to the Bolt file was ours.
    fn note_commit(&self) {
        if let (Some(held), Mode::ReadWrite) = (&self.lock, self.options.mode)
            && let Err(error) = held.note(&*self.disk, self.store.txid(), &self.unadopted)
        {
            tracing::warn!(%error, "the next start has to believe that influxd has run, and checks what it wrote");
        }
    }

    /// Where the parts lie.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// How it was opened.
    pub fn mode(&self) -> Mode {
        self.options.mode
    }

    /// What the key-value store says now. A cheap, fixed view: later changes do not show in it.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.store.view())
    }

    /// Every shard on disk, by number, damaged ones too.
    pub fn shards(&self) -> Vec<Arc<OpenShard>> {
        self.engine.shards()
    }

    /// A shard by its number.
    ///
    /// # Errors
    /// `NoSuchShard`.
    pub fn shard(&self, id: ShardId) -> Result<Arc<OpenShard>, Error> {
        self.engine.shard(id.0).ok_or(Error::NoSuchShard(id))
    }

    /// Turns every point that was acknowledged before into files: no log of ours is left where nobody writes meanwhile, and
    /// influxd can have the directory when this process has ended.
    ///
    /// # Errors
    /// `Shard`; the other shards are flushed all the same, and no point is lost.
    pub fn flush(&self) -> Result<(), Error> {
        match self.options.mode {
            Mode::ReadOnly => Ok(()),
            Mode::ReadWrite => self.engine.flush().map_err(|(id, source)| Error::shard(id, source)),
        }
    }

    /// The content of a shard as it is now, pinned, with every point that was acknowledged before.
    ///
    /// # Errors
    /// `NoSuchShard`; `Shard` with the first damage when any is known.
    pub fn snapshot(&self, id: ShardId) -> Result<Snapshot, Error> {
        self.shard(id)?.shard.snapshot().map_err(|source| Error::Shard { id, source })
    }

    /// Checks the index of every TSM file that was not used yet, and the indexes of fields, and logs what is damaged; the
    /// shard's snapshots are refused from then on, but for what could be made again. Opening leaves that out, because it takes
    /// O(keys).
    pub fn check_indexes(&self) {
        for opened in self.engine.shards() {
            let known = (opened.shard.damage().len(), opened.shard.mended().len());
            opened.shard.check_indexes();
            report_damage(&opened, known);
        }
    }

    /// A copy of the key-value store of one moment.
    ///
    /// # Errors
    /// `Store` names the page that is damaged.
    pub fn kv(&self) -> Result<HotCopy, Error> {
        self.store.view().copy().map_err(Error::Store)
    }

    /// The metadata: key-value store and bucket manifest of one moment, and a copy of the SQLite store made at it.
    ///
    /// # Errors
    /// `Store`, `Catalog`, or `Io` when the temporary copy of the SQLite store cannot be made.
    pub fn metadata(&self) -> Result<MetadataCut, Error> {
        let view = self.store.view();
        let kv = view.copy().map_err(Error::Store)?;
        let buckets = Catalog::new(view).manifest().map_err(Error::Catalog)?;
        Ok(MetadataCut { kv, sql: self.copy_sqlite()?, buckets })
    }

    /// A consistent copy, mapped and already unlinked: nothing is left behind, whatever happens next.
    fn copy_sqlite(&self) -> Result<Map, Error> {
        let temporary = std::env::temp_dir();
        let io = |source| Error::Io { path: temporary.clone(), source };
        let dir = tempfile::Builder::new().prefix("icecore-sql-").tempdir().map_err(io)?;
        let path = dir.path().join("copy.sqlite");
        sql::copy(&self.paths.sqlite, &path).map_err(Error::Catalog)?;
        let map = self.disk.map(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        dir.close().map_err(io)?;
        Ok(map)
    }

    /// Sets a fresh directory up: user, organization, bucket and operator token, in one transaction.
    ///
    /// # Errors
    /// `ReadOnly`; `Onboard` when the request is refused, it was done before, or writing fails. Nothing has changed then.
    ///
    /// # Durability
    /// On `Ok` the setup is.
    pub fn onboard(&self, request: &OnboardRequest) -> Result<Onboarded, Error> {
        self.must_write()?;
        let hash = self.options.use_hashed_tokens;
        let written = self.store.write(|tx| {
            let made = onboard(&self.store.view(), request, now_ns(), &mut fresh::random(), hash)?;
            made.write(tx)?;
            Ok::<_, OnboardError>(made)
        });
        let made = written.map(|(_, made)| made).map_err(Error::Onboard)?;
        self.note_commit();
        Ok(made)
    }

    /// Makes a bucket, in one transaction.
    ///
    /// # Errors
    /// `ReadOnly`; `Bucket` when it is refused or writing fails. Nothing has changed then.
    ///
    /// # Durability
    /// On `Ok` the bucket is.
    pub fn create_bucket(&self, new: &NewBucket) -> Result<Bucket, Error> {
        self.must_write()?;
        let written = self.store.write(|tx| create_bucket(tx, new, now_ns(), &mut fresh::random()));
        let bucket = written.map(|(_, bucket)| bucket).map_err(Error::Bucket)?;
        self.note_commit();
        Ok(bucket)
    }

    /// Which shard of a bucket takes which time. As long as the metadata does not change, this is the same picture for
    /// everybody, and costs a lock and a reference.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Catalog` for damage.
    pub fn shard_groups(&self, bucket: Id) -> Result<Arc<ShardGroups>, Error> {
        self.groups.get(&self.store, bucket)
    }

    /// Makes the shard groups that points of these times lack, in one transaction; gives all of the bucket. Times that
    /// retention does not keep at `now_ns` get none: ask the result for them.
    ///
    /// Where nothing is missing, which is usual, this costs a search per time, and less where times come in runs.
    ///
    /// # Errors
    /// `NoSuchBucket`; `ReadOnly` when a group is missing; `Catalog` for damage and for what writing the metadata fails
    /// with. Nothing has changed then.
    ///
    /// # Durability
    /// On `Ok` the groups are. Their shards need not exist on disk yet.
    pub fn ensure_shards(
        &self,
        bucket: Id,
        times_ns: impl IntoIterator<Item = i64>,
        now_ns: i64,
    ) -> Result<Arc<ShardGroups>, Error> {
        let groups = self.shard_groups(bucket)?;
        let missing = missing(&groups, times_ns, now_ns);
        if missing.is_empty() {
            return Ok(groups);
        }
        self.must_write()?;
        let groups = self.groups.extend(&self.store, bucket, missing)?;
        self.note_commit();
        Ok(groups)
    }

    /// The files that were rewritten for backups; `None` of a directory that is open to be read only.
    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.engine.spool()
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn write_buffers(&self) -> &Pool {
        &self.write_buffers
    }

    pub(crate) fn must_write(&self) -> Result<(), Error> {
        if self.options.mode == Mode::ReadOnly { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Writes every value of a bucket to `out`; see [`Format`]. Shards that retention has deleted do not count.
    ///
    /// `bucket` is the id as the directories spell it: 16 lower-case hex digits. Returns the number of values.
    ///
    /// # Errors
    /// `NoSuchBucket`, `Shard` for damage, `Output`. Damage that is known is found before the first byte is written.
    pub fn export(&self, bucket: &str, format: Format, out: &mut dyn Write) -> Result<u64, Error> {
        let located = self.catalog().shards().map_err(Error::Catalog)?;
        let deleted: HashSet<ShardId> =
            located.iter().filter(|shard| shard.group.deleted_at().is_some()).map(|shard| shard.id).collect();
        let is_live =
            |shard: &Arc<OpenShard>| shard.bucket == bucket && !deleted.contains(&ShardId(shard.id));
        let shards: Vec<_> = self.engine.shards().into_iter().filter(is_live).collect();
        if shards.is_empty() && !self.knows_bucket(bucket)? {
            return Err(Error::NoSuchBucket(bucket.to_owned()));
        }
        let ids = shards.iter().map(|shard| ShardId(shard.id));
        let snapshots = shards.iter().zip(ids).map(|(shard, id)| {
            let snapshot = shard.shard.snapshot().map_err(|source| Error::Shard { id, source })?;
            Ok((id, snapshot))
        });
        let snapshots = snapshots.collect::<Result<_, Error>>()?;
        export::run(&snapshots, format, out)
    }

    fn knows_bucket(&self, bucket: &str) -> Result<bool, Error> {
        let buckets = self.catalog().buckets().map_err(Error::Catalog)?;
        Ok(buckets.iter().any(|known| known.id.to_string() == bucket))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("paths", &self.paths)
            .field("options", &self.options)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Opens the Bolt file and checks every page of it before anything is believed.
fn open_store(disk: &Arc<dyn Disk>, paths: &Paths, mode: LockMode) -> Result<Store, Error> {
    let store = Store::open(Arc::clone(disk), &paths.bolt, mode).map_err(|error| match error.kind() {
        icecore_kvstore::ErrorKind::Locked => Error::Locked { path: paths.bolt.clone() },
        _ if !paths.bolt.exists() => Error::Missing { path: paths.bolt.clone() },
        _ => Error::Store(error),
    })?;
    store.view().verify().map_err(Error::Store)?;
    Ok(store)
}

/// Files are private to the user who writes them (design D13), so only the owner of a directory may write it.
fn refuse_foreign_owner(disk: &dyn Disk, bolt: &Path) -> Result<(), Error> {
    let user = rustix::process::geteuid().as_raw();
    match disk.stat(bolt) {
        Ok(stat) if stat.uid != user => {
            Err(Error::ForeignOwner { path: bolt.to_owned(), owner: stat.uid, user })
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Io { path: bolt.to_owned(), source }),
    }
}

/// Logs the damage of a shard, and what was mended, but for the first so many, which were logged before.
fn report_damage(opened: &OpenShard, (damaged, mended): (usize, usize)) {
    let OpenShard { id, bucket, shard, .. } = opened;
    for damage in shard.damage().iter().skip(damaged) {
        tracing::error!(shard = %id, %bucket, "{damage}; backups of this shard are refused");
    }
    for damage in shard.mended().iter().skip(mended) {
        tracing::warn!(shard = %id, %bucket, "{damage}; it was made again of the files, and nothing is lost");
    }
}

/// Logs what opening a shard found and did.
fn report(opened: &OpenShard) {
    let OpenShard { id, bucket, shard, .. } = opened;
    report_damage(opened, (0, 0));
    let recovery = shard.recovery();
    if let Some(torn) = &recovery.torn {
        let (path, at, size) = (torn.path.display(), torn.at, torn.size);
        tracing::warn!(shard = %id, %bucket, "{path}: the last {size} bytes, from byte {at} on, are an unfinished write and are left out");
    }
    for path in &recovery.set_aside {
        let path = path.display();
        tracing::warn!(shard = %id, %bucket, "{path}: nobody knows this file; it got this name, and its points do not count");
    }
    if !recovery.flushed.is_empty() {
        let (entries, files) = (recovery.entries, recovery.flushed.len());
        tracing::info!(shard = %id, %bucket, entries, files, "replayed the log");
    }
}

/// Nanoseconds since 1970, from the clock of this machine.
pub(crate) fn now_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}
