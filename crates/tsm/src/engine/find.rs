//! Finding and creating the directories of shards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use icecore_disk::{DirEntry, Disk};
use parking_lot::Mutex;

use super::OpenShard;
use crate::error::{Error, Result};
use crate::shard::{Shard, ShardDir};

/// The series file of a bucket lies beside its retention policies.
const SERIES_DIR: &str = "_series";

/// Where a shard lies.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    bucket: String,
    policy: String,
    pub(super) dir: ShardDir,
}

impl Found {
    /// The place of a shard that may not exist.
    ///
    /// # Errors
    /// `Unfit` when a name is not that of a directory in its parent.
    pub(super) fn new(root: &Path, id: u64, bucket: &str, policy: &str) -> Result<Self> {
        let is_name = |name: &str| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        };
        if !is_name(bucket) || !is_name(policy) || policy == SERIES_DIR {
            return Err(Error::unfit("the name of a bucket or policy is not one of a directory"));
        }
        let below = |part: &str| root.join(part).join(bucket).join(policy).join(id.to_string());
        let dir = ShardDir { data: below("data"), wal: below("wal") };
        Ok(Self { id, bucket: bucket.to_owned(), policy: policy.to_owned(), dir })
    }

    pub(super) fn opened(&self, shard: Shard) -> OpenShard {
        let Self { id, bucket, policy, .. } = self.clone();
        OpenShard { id, bucket, policy, shard, written_ms: AtomicU64::new(0) }
    }
}

/// The shards below `root`, as influxd finds them: by their directories.
pub(super) fn find(disk: &dyn Disk, root: &Path) -> Result<Vec<Found>> {
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    for (bucket, bucket_dir) in directories(disk, &root.join("data"))? {
        for (policy, policy_dir) in directories(disk, &bucket_dir.path)? {
            if policy == SERIES_DIR {
                continue;
            }
            for (name, shard_dir) in directories(disk, &policy_dir.path)? {
                let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
                let Some(id) = name.parse().ok().filter(|_| is_number) else { continue };
                let wal = root.join("wal").join(&bucket).join(&policy).join(&name);
                let dir = ShardDir { data: shard_dir.path, wal };
                let this = Found { id, bucket: bucket.clone(), policy: policy.clone(), dir };
                if let Some(other) = found.insert(id, this) {
                    let what = "another directory has the number of this shard, too";
                    return Err(Error::unfit(what).in_file(&other.dir.data));
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Opens shards side by side, by number; one that cannot be opened says why.
pub(super) fn open_all(found: Vec<Found>, open: impl Fn(&Found) -> Result<Shard> + Sync) -> Vec<OpenShard> {
    let (next, opened) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(found.len())));
    let workers = thread::available_parallelism().map_or(1, usize::from).min(found.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(found) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let shard = open(found).unwrap_or_else(Shard::unusable);
                    opened.lock().push(found.opened(shard));
                }
            });
        }
    });
    let mut shards = opened.into_inner();
    shards.sort_by_key(|open| open.id);
    shards
}

/// Creates a directory below `root`, and makes its name and those of its parents durable.
pub(super) fn create(disk: &dyn Disk, root: &Path, dir: &Path) -> Result<()> {
    disk.create_dir(dir).map_err(|error| Error::io(error, dir))?;
    let parents = dir.ancestors().skip(1).take_while(|parent| parent.starts_with(root));
    for parent in parents {
        disk.sync_dir(parent).map_err(|error| Error::io(error, parent))?;
    }
    Ok(())
}

/// The same, if it is not there.
pub(super) fn create_missing(disk: &dyn Disk, root: &Path, dir: &Path) -> Result<()> {
    match disk.list(dir) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(disk, root, dir),
        Err(error) => Err(Error::io(error, dir)),
    }
}

/// The directories in `dir` whose names are UTF-8; a missing `dir` has none.
fn directories(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, DirEntry)>> {
    match disk.list(dir) {
        Ok(entries) => {
            let dirs = entries.into_iter().filter(|entry| entry.is_dir);
            Ok(dirs.filter_map(|entry| Some((entry.name()?.to_owned(), entry))).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(error, dir)),
    }
}
