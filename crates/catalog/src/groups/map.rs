//! Times to shards, without the storage metadata.
//!
//! Invariant: slices ascend and are disjoint, whatever the groups they came from.

use crate::meta::{RetentionPolicyInfo, ShardGroupInfo};
use crate::shard::ShardId;
use crate::time::Time;

/// Which shard of a bucket takes which time; 24 bytes a group, a lookup is a binary search.
///
/// A fixed picture of one state of the store: whoever keeps one drops it when the store moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardGroups {
    retention_ns: i64,
    slices: Vec<Slice>,
}

/// A stretch of time that one shard takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first time in it, in nanoseconds since 1970.
    pub start_ns: i64,
    /// The first time behind it.
    pub end_ns: i64,
    /// The shard.
    pub shard: ShardId,
}

impl ShardGroups {
    pub(crate) fn of(policy: &RetentionPolicyInfo) -> Self {
        let mut slices = Vec::with_capacity(policy.shard_groups.len());
        for group in policy.shard_groups.iter().filter(|group| group.deleted_at().is_none()) {
            if let Some(shard) = group.only_shard() {
                add(&mut slices, group, shard);
            }
        }
        Self { retention_ns: policy.duration_ns, slices }
    }

    /// The shard that takes `time_ns`, and the times around it that it takes, too.
    pub fn slice_at(&self, time_ns: i64) -> Option<Slice> {
        let at = self.slices.partition_point(|slice| slice.end_ns <= time_ns);
        self.slices.get(at).copied().filter(|slice| slice.start_ns <= time_ns)
    }

    /// The shard that takes `time_ns`; `None` where there is no group.
    pub fn shard_at(&self, time_ns: i64) -> Option<ShardId> {
        self.slice_at(time_ns).map(|slice| slice.shard)
    }

    /// All slices, ascending.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// How long points are kept, in nanoseconds; 0 is for ever.
    pub fn retention_ns(&self) -> i64 {
        self.retention_ns
    }

    /// The oldest time that still gets a group at `now_ns`; `None` where everything is kept.
    ///
    /// Not every older point is dropped: influxd takes one whose group another point of the same request needs.
    pub fn oldest_kept_ns(&self, now_ns: i64) -> Option<i64> {
        (self.retention_ns > 0).then(|| now_ns.saturating_sub(self.retention_ns))
    }
}

/// Adds what of a group no earlier one has taken.
fn add(slices: &mut Vec<Slice>, group: &ShardGroupInfo, shard: ShardId) {
    let (mut start_ns, end_ns) = (group.start().as_nearest_ns(), group.end_of_writes().as_nearest_ns());
    let at = slices.partition_point(|slice| slice.end_ns <= start_ns);
    let mut free = Vec::new();
    for taken in slices.iter().skip(at).take_while(|slice| slice.start_ns < end_ns) {
        if start_ns < taken.start_ns {
            free.push(Slice { start_ns, end_ns: taken.start_ns, shard });
        }
        start_ns = taken.end_ns;
    }
    if start_ns < end_ns {
        free.push(Slice { start_ns, end_ns, shard });
    }
    let is_behind_all = at == slices.len();
    slices.extend(free);
    if !is_behind_all {
        slices.sort_by_key(|slice| slice.start_ns);
    }
}

impl ShardGroupInfo {
    /// Whether a point of this time is written to the group.
    pub(crate) fn takes(&self, time_ns: i64) -> bool {
        let time = Time::from_ns(time_ns);
        self.deleted_at().is_none() && (self.start()..self.end_of_writes()).contains(&time)
    }

    /// The first instant whose points go to another group.
    pub(crate) fn end_of_writes(&self) -> Time {
        self.truncated_at().map_or(self.end(), |truncated| truncated.min(self.end()))
    }

    /// The shard of a group as 2.x makes them. Groups of a cluster have several, and a damaged one has none.
    pub(crate) fn only_shard(&self) -> Option<ShardId> {
        match self.shards.as_slice() {
            [shard] => Some(ShardId(shard.id)),
            _ => None,
        }
    }
}
