//! Shard groups: which slice of time a new one covers, and which one a time belongs to.
//!
//! Invariant: a new group covers the time that it was made for and no time of a living neighbour, so that groups made
//! here are disjoint. Those of a store can overlap (after a restore); then the first one in stored order counts.
//!
//! ```text
//!            |<------ shard group duration, counted from 0001-01-01 ------>|
//!    start --|---- living neighbour ----|======== new group ==== t ========|--- end
//!                                       ^ moved to the neighbour's end
//! ```
//!
//! A group that is deleted is no neighbour; one that was truncated ends where it was. Bounds can lie before 1677, where
//! 64 bits of nanoseconds end, so they are computed in [`Time`].

mod map;

use std::ops::Range;

use icecore_kvstore::Tx;

pub use map::{ShardGroups, Slice};

use crate::buckets;
use crate::change;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::meta::{self, Data, POLICY, RetentionPolicyInfo, ShardGroupInfo, ShardInfo};
use crate::time::Time;

/// One after the last time that a point can have: the end of the last group.
const END_OF_TIME: Time = Time::from_ns(i64::MAX);

/// Makes the shard groups that a bucket lacks for points of these times, all in the transaction of the caller, and gives
/// the groups that the bucket has then. Each group gets one shard.
///
/// Retention is not asked: the caller leaves out what is too old, see [`ShardGroups::oldest_kept_ns`]. Without a missing
/// group nothing is written. `None`: no such bucket.
///
/// # Errors
/// A damaged store; a policy whose shard groups have no length, or ids at their end.
pub fn ensure_shard_groups(
    tx: &mut Tx<'_>,
    bucket: Id,
    times_ns: impl IntoIterator<Item = i64>,
) -> Result<Option<ShardGroups>> {
    let mut data = change::storage_meta(tx)?;
    let Some(at) = position(&data, bucket) else { return Ok(None) };
    let mut is_changed = false;
    for time_ns in times_ns {
        is_changed |= cover(&mut data, at, time_ns)?;
    }
    if is_changed {
        data.commit();
        change::put_storage_meta(tx, &data)?;
    }
    Ok(policy(&data, at).map(ShardGroups::of))
}

/// Where the retention policy of a bucket stands: the numbers of its database and of itself.
fn position(data: &Data, bucket: Id) -> Option<(usize, usize)> {
    let name = bucket.to_string();
    let database = data.databases.iter().position(|database| database.name == name)?;
    let policies = &data.databases.get(database)?.retention_policies;
    Some((database, policies.iter().position(|policy| policy.name == POLICY)?))
}

fn policy(data: &Data, (database, policy): (usize, usize)) -> Option<&RetentionPolicyInfo> {
    data.databases.get(database)?.retention_policies.get(policy)
}

/// The retention policy of a bucket.
pub(crate) fn policy_of(data: &Data, bucket: Id) -> Option<&RetentionPolicyInfo> {
    policy(data, position(data, bucket)?)
}

/// Makes a group for `time_ns` unless there is one; says whether it did.
fn cover(data: &mut Data, (database, policy): (usize, usize), time_ns: i64) -> Result<bool> {
    let policies = data.databases.get_mut(database).map(|database| &mut database.retention_policies);
    let Some(policy) = policies.and_then(|policies| policies.get_mut(policy)) else { return Ok(false) };
    if let Some(group) = policy.shard_groups.iter().find(|group| group.takes(time_ns)) {
        let (id, count) = (group.id, group.shards.len());
        return match group.only_shard() {
            Some(_) => Ok(false),
            None => Err(damaged(format!("shard group {id} has {count} shards and should have one"))),
        };
    }
    let slice = free_slice(policy, Time::from_ns(time_ns))?;
    data.max_shard_group_id = next_id(data.max_shard_group_id)?;
    data.max_shard_id = next_id(data.max_shard_id)?;
    policy.shard_groups.push(ShardGroupInfo {
        id: data.max_shard_group_id,
        start_ns: slice.start.as_wrapped_ns(),
        end_ns: slice.end.as_wrapped_ns(),
        shards: vec![ShardInfo { id: data.max_shard_id, ..ShardInfo::default() }],
        ..ShardGroupInfo::default()
    });
    policy.shard_groups.sort_by_key(|group| (group.end_of_writes(), group.start()));
    Ok(true)
}

/// The slice of a new group for a time that no living group takes.
fn free_slice(policy: &RetentionPolicyInfo, time: Time) -> Result<Range<Time>> {
    let length = policy.shard_group_duration_ns;
    if length <= 0 {
        return Err(damaged(format!("shard groups of {length} ns")));
    }
    let start = time.truncate_from_year_one(length);
    let mut slice = start..start.plus(length).min(END_OF_TIME);
    for group in policy.shard_groups.iter().filter(|group| group.deleted_at().is_none()) {
        let (start, end) = (group.start(), group.end_of_writes());
        if end <= time {
            slice.start = slice.start.max(end);
        }
        if start > time {
            slice.end = slice.end.min(start);
        }
    }
    Ok(slice)
}

fn next_id(last: u64) -> Result<u64> {
    last.checked_add(1).ok_or_else(|| damaged("the ids of shards are at their end".to_owned()))
}

fn damaged(what: String) -> Error {
    Error::record(buckets::STORAGE_METADATA, meta::KEY, what)
}

#[cfg(test)]
mod tests;
