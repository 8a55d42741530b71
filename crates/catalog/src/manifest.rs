//! The bucket manifest: what a metadata backup says about each bucket, as JSON.
//!
//! Invariant: fields stand in the order of influxd's, lists are never null, and of the fields only `description`,
//! `deletedAt` and `truncatedAt` are left out when they are empty. [`to_json`](crate::to_json) of the list is byte for
//! byte the `buckets` part that influxd sends, except for its final newline.

use serde::Serialize;

use crate::id::Id;
use crate::meta::{DatabaseInfo, RetentionPolicyInfo, ShardGroupInfo, ShardInfo, SubscriptionInfo};
use crate::record::{Bucket, Organization};
use crate::time::Time;

/// A bucket with its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BucketManifest {
    /// The owner.
    #[serde(rename = "organizationID")]
    pub organization_id: Id,
    /// The owner's name.
    #[serde(rename = "organizationName")]
    pub organization_name: String,
    /// The bucket.
    #[serde(rename = "bucketID")]
    pub bucket_id: Id,
    /// The bucket's name.
    #[serde(rename = "bucketName")]
    pub bucket_name: String,
    /// Left out when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `autogen`
    #[serde(rename = "defaultRetentionPolicy")]
    pub default_retention_policy: String,
    /// One in 2.x.
    #[serde(rename = "retentionPolicies")]
    pub retention_policies: Vec<RetentionPolicyManifest>,
}

/// A retention policy with its shard groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetentionPolicyManifest {
    /// `autogen`
    pub name: String,
    /// 1
    #[serde(rename = "replicaN")]
    pub replica_n: u32,
    /// Nanoseconds; 0 is for ever.
    pub duration: i64,
    /// Nanoseconds.
    #[serde(rename = "shardGroupDuration")]
    pub shard_group_duration: i64,
    /// In stored order; deleted ones too.
    #[serde(rename = "shardGroups")]
    pub shard_groups: Vec<ShardGroupManifest>,
    /// Empty in 2.x.
    pub subscriptions: Vec<SubscriptionManifest>,
}

/// A slice of time and its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardGroupManifest {
    /// Its number.
    pub id: u64,
    /// The first instant it covers.
    #[serde(rename = "startTime")]
    pub start_time: Time,
    /// The first instant after it.
    #[serde(rename = "endTime")]
    pub end_time: Time,
    /// Left out while the group lives.
    #[serde(rename = "deletedAt", skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    /// Left out unless the group was cut short.
    #[serde(rename = "truncatedAt", skip_serializing_if = "Option::is_none")]
    pub truncated_at: Option<Time>,
    /// One in 2.x.
    pub shards: Vec<ShardManifest>,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardManifest {
    /// Its number.
    pub id: u64,
    /// Empty in 2.x.
    #[serde(rename = "shardOwners")]
    pub shard_owners: Vec<ShardOwnerManifest>,
}

/// A node that holds a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShardOwnerManifest {
    /// The node.
    #[serde(rename = "nodeID")]
    pub node_id: u64,
}

/// A listener that gets each write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionManifest {
    /// Its name.
    pub name: String,
    /// `ALL` or `ANY`.
    pub mode: String,
    /// Addresses.
    pub destinations: Vec<String>,
}

impl BucketManifest {
    pub(crate) fn of(bucket: Bucket, organization: &Organization, storage: &DatabaseInfo) -> Self {
        Self {
            organization_id: organization.id,
            organization_name: organization.name.clone(),
            bucket_id: bucket.id,
            bucket_name: bucket.name,
            description: bucket.description,
            default_retention_policy: storage.default_retention_policy.clone(),
            retention_policies: storage.retention_policies.iter().map(Into::into).collect(),
        }
    }
}

impl From<&RetentionPolicyInfo> for RetentionPolicyManifest {
    fn from(policy: &RetentionPolicyInfo) -> Self {
        Self {
            name: policy.name.clone(),
            replica_n: policy.replica_n,
            duration: policy.duration_ns,
            shard_group_duration: policy.shard_group_duration_ns,
            shard_groups: policy.shard_groups.iter().map(Into::into).collect(),
            subscriptions: policy.subscriptions.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ShardGroupInfo> for ShardGroupManifest {
    fn from(group: &ShardGroupInfo) -> Self {
        Self {
            id: group.id,
            start_time: group.start(),
            end_time: group.end(),
            deleted_at: group.deleted_at(),
            truncated_at: group.truncated_at(),
            shards: group.shards.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ShardInfo> for ShardManifest {
    fn from(shard: &ShardInfo) -> Self {
        let owner = |owner: &crate::meta::ShardOwner| ShardOwnerManifest { node_id: owner.node_id };
        Self { id: shard.id, shard_owners: shard.owners.iter().map(owner).collect() }
    }
}

impl From<&SubscriptionInfo> for SubscriptionManifest {
    fn from(subscription: &SubscriptionInfo) -> Self {
        Self {
            name: subscription.name.clone(),
            mode: subscription.mode.clone(),
            destinations: subscription.destinations.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::to_json;
    use crate::meta::ShardOwner;

    #[test]
    fn a_group_that_is_deleted_and_cut_short_says_so() {
        let group = ShardGroupInfo {
            id: 7,
            start_ns: 0,
            end_ns: 3_600_000_000_000,
            deleted_ns: 1_500_000_000,
            truncated_ns: Some(-1),
            shards: vec![ShardInfo { id: 9, owner_ids: Vec::new(), owners: vec![ShardOwner { node_id: 2 }] }],
        };
        let json = String::from_utf8(to_json(&ShardGroupManifest::from(&group))).unwrap();
        assert_eq!(
            json,
            "{\"id\":7,\"startTime\":\"1970-01-01T00:00:00Z\",\"endTime\":\"1970-01-01T01:00:00Z\",\
             \"deletedAt\":\"1970-01-01T00:00:01.5Z\",\"truncatedAt\":\"1969-12-31T23:59:59.999999999Z\",\
             \"shards\":[{\"id\":9,\"shardOwners\":[{\"nodeID\":2}]}]}"
        );
    }
}
