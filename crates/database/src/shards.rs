//! The shards of an engine directory: found on disk, as influxd finds them, and opened side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use icecore_catalog::ShardId;
use icecore_disk::{DirEntry, Disk};
use icecore_tsm::{Access, Shard, ShardDir};

use crate::error::Error;

/// The series file of a bucket lies beside its retention policies.
const SERIES_DIR: &str = "_series";

/// A shard and where it belongs.
#[derive(Debug)]
pub struct OpenShard {
    /// Its number.
    pub id: ShardId,
    /// Its bucket, as its directory is named: 16 hex digits in what influxd 2.x writes.
    pub bucket: String,
    /// Its retention policy; `autogen` in what influxd 2.x writes.
    pub policy: String,
    /// The shard itself.
    pub shard: Shard,
}

/// Where a shard was found.
#[derive(Clone, Debug)]
struct Found {
    id: ShardId,
    bucket: String,
    policy: String,
    dir: ShardDir,
}

/// Finds `data/<bucket>/<policy>/<shard>` below `engine` and opens every shard, on all cores.
///
/// A shard that is damaged or cannot be opened is among the result and says why; a missing `data` is an engine without
/// shards.
///
/// # Errors
/// `Io` when a directory above the shards cannot be read, `DuplicateShard` when two directories claim one number.
pub(crate) fn open_all(
    disk: &dyn Disk,
    engine: &Path,
    access: Access,
) -> Result<BTreeMap<ShardId, OpenShard>, Error> {
    let found = find(disk, engine)?;
    let next = AtomicUsize::new(0);
    let opened = Mutex::new(Vec::with_capacity(found.len()));
    let workers = thread::available_parallelism().map_or(1, usize::from).min(found.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(found) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = Shard::open(disk, &found.dir, access);
                    opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((found, result));
                }
            });
        }
    });
    let mut shards = BTreeMap::new();
    for (found, result) in opened.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        let Found { id, bucket, policy, .. } = found.clone();
        let shard = result.unwrap_or_else(Shard::unusable);
        shards.insert(id, OpenShard { id, bucket, policy, shard });
    }
    Ok(shards)
}

fn find(disk: &dyn Disk, engine: &Path) -> Result<Vec<Found>, Error> {
    let data = engine.join("data");
    let mut found: BTreeMap<ShardId, Found> = BTreeMap::new();
    for (bucket, bucket_dir) in directories(disk, &data)? {
        for (policy, policy_dir) in directories(disk, &bucket_dir.path)? {
            if policy == SERIES_DIR {
                continue;
            }
            for (name, shard_dir) in directories(disk, &policy_dir.path)? {
                let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
                let Some(id) = name.parse().ok().filter(|_| is_number).map(ShardId) else { continue };
                let wal = engine.join("wal").join(&bucket).join(&policy).join(&name);
                let dir = ShardDir { data: shard_dir.path, wal };
                let this = Found { id, bucket: bucket.clone(), policy: policy.clone(), dir };
                if let Some(other) = found.get(&id) {
                    let (first, second) = (other.dir.data.clone(), this.dir.data);
                    return Err(Error::DuplicateShard { id, first, second });
                }
                found.insert(id, this);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The directories in `dir` whose names are UTF-8; a missing `dir` has none.
fn directories(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, DirEntry)>, Error> {
    match disk.list(dir) {
        Ok(entries) => {
            let dirs = entries.into_iter().filter(|entry| entry.is_dir);
            Ok(dirs.filter_map(|entry| Some((entry.name()?.to_owned(), entry))).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { path: dir.to_owned(), source }),
    }
}
