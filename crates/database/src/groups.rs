//! The shard groups of the buckets that are written, kept from request to request.
//!
//! Invariant: what is handed out shows the metadata as they were at the call or later. A picture belongs to one
//! transaction of the key-value store; at the next one, whatever it changed, all are dropped.

use std::collections::HashMap;
use std::sync::Arc;

use icecore_catalog::{Catalog, Id, ShardGroups, ensure_shard_groups};
use icecore_kvstore::{Store, TxId};
use parking_lot::RwLock;

use crate::error::Error;

/// Pictures of the state that a transaction left.
#[derive(Debug, Default)]
pub(crate) struct GroupCache(RwLock<Pictures>);

#[derive(Debug, Default)]
struct Pictures {
    of: Option<TxId>,
    buckets: HashMap<Id, Arc<ShardGroups>>,
}

impl GroupCache {
    /// The groups of a bucket as they are now.
    pub(crate) fn get(&self, store: &Store, bucket: Id) -> Result<Arc<ShardGroups>, Error> {
        if let Some(groups) = self.0.read().of(store.txid(), bucket) {
            return Ok(groups);
        }
        let view = store.view();
        let txid = view.txid();
        let groups = Catalog::new(view).shard_groups(bucket).map_err(Error::Catalog)?;
        Ok(self.keep(txid, bucket, groups.ok_or_else(|| unknown(bucket))?))
    }

    /// Makes what is missing for these times; the groups as they are then.
    pub(crate) fn extend(
        &self,
        store: &Store,
        bucket: Id,
        times_ns: Vec<i64>,
    ) -> Result<Arc<ShardGroups>, Error> {
        let written = store.write(|tx| ensure_shard_groups(tx, bucket, times_ns));
        let (txid, groups) = written.map_err(Error::Catalog)?;
        Ok(self.keep(txid, bucket, groups.ok_or_else(|| unknown(bucket))?))
    }

    fn keep(&self, txid: TxId, bucket: Id, groups: ShardGroups) -> Arc<ShardGroups> {
        let groups = Arc::new(groups);
        let mut pictures = self.0.write();
        if pictures.of < Some(txid) {
            *pictures = Pictures { of: Some(txid), buckets: HashMap::new() };
        }
        if pictures.of == Some(txid) {
            pictures.buckets.insert(bucket, Arc::clone(&groups));
        }
        groups
    }
}

impl Pictures {
    fn of(&self, txid: TxId, bucket: Id) -> Option<Arc<ShardGroups>> {
        (self.of == Some(txid)).then(|| self.buckets.get(&bucket).map(Arc::clone))?
    }
}

fn unknown(bucket: Id) -> Error {
    Error::NoSuchBucket(bucket.to_string())
}

/// The times that have no shard yet and are to get one, without repetition.
pub(crate) fn missing(
    groups: &ShardGroups,
    times_ns: impl IntoIterator<Item = i64>,
    now_ns: i64,
) -> Vec<i64> {
    let oldest = groups.oldest_kept_ns(now_ns).unwrap_or(i64::MIN);
    let mut missing = Vec::new();
    let mut last = 0..0; // of points that come in runs all but the first lie in here
    for time_ns in times_ns.into_iter().filter(|time_ns| *time_ns >= oldest) {
        if last.contains(&time_ns) {
            continue;
        }
        match groups.slice_at(time_ns) {
            Some(slice) => last = slice.start_ns..slice.end_ns,
            None => missing.push(time_ns),
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use icecore_catalog::{NewBucket, OnboardRequest};

    use crate::{Database, Error, Mode, Options, Paths};

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn database(dir: &std::path::Path) -> Database {
        let database = Database::open(Paths::in_dir(dir), Options::new(Mode::ReadWrite)).unwrap();
        let request = OnboardRequest {
            username: "nora".into(),
            org: "drilling".into(),
            bucket: "cores".into(),
            retention_period_seconds: 48 * 3600,
            ..OnboardRequest::default()
        };
        database.onboard(&request).unwrap();
        database
    }

    fn bucket(database: &Database, name: &str, retention_period_ns: i64) -> icecore_catalog::Bucket {
        let org_id = database.catalog().organizations().unwrap()[0].id;
        let new = NewBucket {
            org_id,
            name: name.into(),
            description: String::new(),
            retention_policy: String::new(),
            retention_period_ns,
            shard_group_duration_ns: HOUR_NS,
        };
        database.create_bucket(&new).unwrap()
    }

    #[test]
    fn groups_are_made_once_and_each_change_of_the_metadata_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let id = bucket(&database, "hours", 0).id;
        assert_eq!(database.shard_groups(id).unwrap().slices(), []);
        let times = [0, 5, HOUR_NS, 5, -1];
        let groups = database.ensure_shards(id, times, 0).unwrap();
        assert_eq!(groups.slices().len(), 3);
        let txid = database.store().txid();
        let again = database.ensure_shards(id, times, 0).unwrap();
        assert!(std::sync::Arc::ptr_eq(&groups, &again), "the same picture");
        assert_eq!(database.store().txid(), txid, "nothing was written");
        bucket(&database, "another", 0);
        let after = database.shard_groups(id).unwrap();
        assert!(!std::sync::Arc::ptr_eq(&groups, &after) && groups == after, "read again");
        let unknown = icecore_catalog::Id::new(5).unwrap();
        assert!(matches!(database.ensure_shards(unknown, [0], 0), Err(Error::NoSuchBucket(_))));
    }

    #[test]
    fn times_that_retention_does_not_keep_get_no_group() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let id = bucket(&database, "two hours", 2 * HOUR_NS).id;
        let now_ns = 100 * HOUR_NS;
        let groups = database.ensure_shards(id, [now_ns - 2 * HOUR_NS - 1, 0], now_ns).unwrap();
        assert_eq!(groups.slices(), []);
        let groups = database.ensure_shards(id, [now_ns - 2 * HOUR_NS, i64::MAX - 1], now_ns).unwrap();
        assert_eq!(groups.slices().len(), 2, "the oldest that is kept, and any in the future");
    }

    #[test]
    fn a_directory_that_is_read_only_gets_no_groups_and_shows_those_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let written = database(dir.path());
        let id = bucket(&written, "hours", 0).id;
        written.ensure_shards(id, [0], 0).unwrap();
        drop(written);
        let database = Database::open(Paths::in_dir(dir.path()), Options::new(Mode::ReadOnly)).unwrap();
        assert_eq!(database.ensure_shards(id, [1], 0).unwrap().slices().len(), 1);
        assert!(matches!(database.ensure_shards(id, [HOUR_NS], 0), Err(Error::ReadOnly)));
    }

    /// Whatever comes in between, a caller gets a shard for each of its times, and a time keeps its shard.
    #[test]
    fn writers_side_by_side_get_the_same_shards() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let id = bucket(&database, "hours", 0).id;
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let others = scope.spawn(|| {
                for n in 0.. {
                    bucket(&database, &format!("{n}"), 0);
                    if is_done.load(Ordering::SeqCst) {
                        return n;
                    }
                }
                0
            });
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let shard = |n: i64| {
                            let times = [n * HOUR_NS, (n + 1) * HOUR_NS - 1];
                            let groups = database.ensure_shards(id, times, 0).unwrap();
                            times.map(|time_ns| groups.shard_at(time_ns).unwrap())
                        };
                        (0..60).map(shard).collect::<Vec<_>>()
                    })
                })
                .collect();
            let found: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            is_done.store(true, Ordering::SeqCst);
            assert!(others.join().unwrap() > 0);
            assert!(found.iter().all(|shards| *shards == found[0]));
        });
        let groups = database.shard_groups(id).unwrap();
        assert_eq!(groups.slices().len(), 60);
    }
}
