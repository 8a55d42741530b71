//! One moment of a whole directory, or of a shard: what a client that names it downloads in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use icecore_catalog::ShardId;
use icecore_tsm::{OpenShard, Snapshot};

use crate::database::{Database, MetadataCut};
use crate::error::Error;

/// How often a cut is made again because a shard was made meanwhile.
const TRIES_MAX: usize = 100;

/// Shards at one moment. Holding it keeps their files readable; it holds no lock.
#[derive(Debug)]
pub struct Cut {
    shards: BTreeMap<u64, CutShard>,
}

/// A shard in a cut.
#[derive(Debug)]
struct CutShard {
    shard: Arc<OpenShard>,
    /// `None` of one that was known to be damaged.
    snapshot: Option<Snapshot>,
}

impl Cut {
    /// A shard as it was at the moment.
    ///
    /// # Errors
    /// `NoSuchShard` when there was none; `Shard` when it was damaged, or is known to be by now.
    pub fn shard(&self, id: ShardId) -> Result<(&OpenShard, &Snapshot), Error> {
        let CutShard { shard, snapshot } = self.shards.get(&id.0).ok_or(Error::NoSuchShard(id))?;
        let damage = shard.shard.damage();
        match (damage.into_iter().next(), snapshot) {
            (None, Some(snapshot)) => Ok((shard, snapshot)),
            (Some(source), _) => Err(Error::Shard { id, source }),
            (None, None) => Err(Error::NoSuchShard(id)),
        }
    }

    /// The files that it keeps readable, shard by shard; those of a damaged shard are not among them.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.shards.values().filter_map(|shard| shard.snapshot.as_ref())
    }
}

impl Database {
    /// Every shard and the metadata of one moment.
    ///
    /// The shards are cut first: each write that the metadata does not know of came later, and a shard that only the
    /// metadata knows has nothing in the cut. A shard that is damaged is in it, and says so when it is asked for.
    ///
    /// # Errors
    /// `Engine` when the cut fails, also for damage that was not known before; `Restless` when shards were made all the time;
    /// as [`Database::metadata`].
    pub fn cut(&self) -> Result<(Arc<Cut>, MetadataCut), Error> {
        // A shard that is made between the list and the cut may have writes from before the cut: then it is made again.
        for _ in 0..TRIES_MAX {
            let shards = self.shards();
            let cut = self.cut_of(&shards)?;
            if self.shards().len() == shards.len() {
                return Ok((Arc::new(cut), self.metadata()?));
            }
        }
        Err(Error::Restless)
    }

    fn cut_of(&self, shards: &[Arc<OpenShard>]) -> Result<Cut, Error> {
        let sound: Vec<_> = shards.iter().filter(|open| open.shard.damage().is_empty()).cloned().collect();
        let snapshots = self.engine().snapshot(&sound).map_err(Error::Engine)?;
        let mut snapshots: BTreeMap<u64, Snapshot> =
            sound.iter().map(|open| open.id).zip(snapshots).collect();
        let of = |open: &Arc<OpenShard>| CutShard {
            shard: Arc::clone(open),
            snapshot: snapshots.remove(&open.id),
        };
        Ok(Cut { shards: shards.iter().map(|open| open.id).zip(shards.iter().map(of)).collect() })
    }

    /// One shard at one moment.
    ///
    /// # Errors
    /// As [`Database::snapshot`].
    pub fn cut_shard(&self, id: ShardId) -> Result<Arc<Cut>, Error> {
        let shard = self.shard(id)?;
        let snapshot = Some(self.snapshot(id)?);
        Ok(Arc::new(Cut { shards: [(id.0, CutShard { shard, snapshot })].into() }))
    }
}
