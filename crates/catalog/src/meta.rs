//! Storage metadata: which shards exist, and which bucket and time they belong to.
//!
//! The protobuf message (proto2) under the key `meta.db` of the Bolt bucket `v1_tsm1_metadata`. A database is a bucket,
//! named by its id; each has one retention policy, `autogen`. Numbers are plain varints, negative ones take ten
//! bytes; *required* ones are written even when they are 0, because influxd refuses a message without them.
//!
//! Invariant: what is decoded from a message of influxd is encoded to the same bytes.
//!
//! Times are nanoseconds since 1970. Some starts mean something else than they say, see [`ShardGroupInfo::start`].

use prost::Message;

use crate::error::{Error, Result};
use crate::time::Time;

pub(crate) const KEY: &[u8] = b"meta.db";
/// The name of the only retention policy that influxd 2.x makes.
pub(crate) const POLICY: &str = "autogen";

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// The whole message.
#[derive(Clone, PartialEq, Message)]
pub struct Data {
    /// Of a consensus log that 2.x does not have; 0.
    #[prost(uint64, required, tag = "1")]
    pub term: u64,
    /// How often the message was written.
    #[prost(uint64, required, tag = "2")]
    pub index: u64,
    /// Random, 63 bits.
    #[prost(uint64, required, tag = "3")]
    pub cluster_id: u64,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<NodeInfo>,
    /// One for each bucket, in the order of creation.
    #[prost(message, repeated, tag = "5")]
    pub databases: Vec<DatabaseInfo>,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "6")]
    pub users: Vec<UserInfo>,
    /// 0 in 2.x.
    #[prost(uint64, required, tag = "7")]
    pub max_node_id: u64,
    /// The highest id ever given to a shard group.
    #[prost(uint64, required, tag = "8")]
    pub max_shard_group_id: u64,
    /// The highest id ever given to a shard.
    #[prost(uint64, required, tag = "9")]
    pub max_shard_id: u64,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "10")]
    pub data_nodes: Vec<NodeInfo>,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "11")]
    pub meta_nodes: Vec<NodeInfo>,
}

/// A member of a cluster; not used by 2.x.
#[derive(Clone, PartialEq, Message)]
pub struct NodeInfo {
    /// Its number.
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    /// Where it answers.
    #[prost(string, required, tag = "2")]
    pub host: String,
    /// Where it answers other nodes.
    #[prost(string, optional, tag = "3")]
    pub tcp_host: Option<String>,
}

/// The storage of one bucket.
#[derive(Clone, PartialEq, Message)]
pub struct DatabaseInfo {
    /// The id of the bucket, 16 hex digits.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// `autogen`
    #[prost(string, required, tag = "2")]
    pub default_retention_policy: String,
    /// One in 2.x.
    #[prost(message, repeated, tag = "3")]
    pub retention_policies: Vec<RetentionPolicyInfo>,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "4")]
    pub continuous_queries: Vec<ContinuousQueryInfo>,
}

/// How long points live, and in which shards.
#[derive(Clone, PartialEq, Message)]
pub struct RetentionPolicyInfo {
    /// `autogen`; the name of a directory.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// Nanoseconds; 0 is for ever.
    #[prost(int64, required, tag = "2")]
    pub duration_ns: i64,
    /// Nanoseconds that a new shard group covers.
    #[prost(int64, required, tag = "3")]
    pub shard_group_duration_ns: i64,
    /// 1
    #[prost(uint32, required, tag = "4")]
    pub replica_n: u32,
    /// Ordered by end, then start; deleted ones stay for two weeks.
    #[prost(message, repeated, tag = "5")]
    pub shard_groups: Vec<ShardGroupInfo>,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "6")]
    pub subscriptions: Vec<SubscriptionInfo>,
}

/// A slice of time and its shards. The fields are as stored; the methods say what they mean.
#[derive(Clone, PartialEq, Message)]
pub struct ShardGroupInfo {
    /// Its number, unique in the server.
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    /// As stored; see [`ShardGroupInfo::start`].
    #[prost(int64, required, tag = "2")]
    pub start_ns: i64,
    /// As stored; see [`ShardGroupInfo::end`].
    #[prost(int64, required, tag = "3")]
    pub end_ns: i64,
    /// 0 while the group lives.
    #[prost(int64, required, tag = "4")]
    pub deleted_ns: i64,
    /// One in 2.x; none once a deleted group's shards are gone.
    #[prost(message, repeated, tag = "5")]
    pub shards: Vec<ShardInfo>,
    /// Writes from here on go to another group.
    #[prost(int64, optional, tag = "6")]
    pub truncated_ns: Option<i64>,
}

/// A shard.
#[derive(Clone, PartialEq, Message)]
pub struct ShardInfo {
    /// Its number, unique in the server; the name of a directory.
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    /// Of old versions.
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    pub owner_ids: Vec<u64>,
    /// Empty in 2.x.
    #[prost(message, repeated, tag = "3")]
    pub owners: Vec<ShardOwner>,
}

/// A node that holds a shard; not used by 2.x.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct ShardOwner {
    /// The node.
    #[prost(uint64, required, tag = "1")]
    pub node_id: u64,
}

/// A listener that gets each write; not used by 2.x.
#[derive(Clone, PartialEq, Message)]
pub struct SubscriptionInfo {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// `ALL` or `ANY`.
    #[prost(string, required, tag = "2")]
    pub mode: String,
    /// Addresses.
    #[prost(string, repeated, tag = "3")]
    pub destinations: Vec<String>,
}

/// A query of 1.x that ran on its own; not used by 2.x.
#[derive(Clone, PartialEq, Message)]
pub struct ContinuousQueryInfo {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// Its text.
    #[prost(string, required, tag = "2")]
    pub query: String,
}

/// A user of 1.x; not used by 2.x.
#[derive(Clone, PartialEq, Message)]
pub struct UserInfo {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// Of the password.
    #[prost(string, required, tag = "2")]
    pub hash: String,
    /// May do everything.
    #[prost(bool, required, tag = "3")]
    pub admin: bool,
    /// What else the user may do.
    #[prost(message, repeated, tag = "4")]
    pub privileges: Vec<UserPrivilege>,
}

/// What a user of 1.x may do with a database.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct UserPrivilege {
    /// The database.
    #[prost(string, required, tag = "1")]
    pub database: String,
    /// 0 none, 1 read, 2 write, 3 all.
    #[prost(int32, required, tag = "2")]
    pub privilege: i32,
}

impl Data {
    /// What a server has before its first bucket. The cluster id is a positive i64, as in influxd.
    pub(crate) fn fresh(random: u64) -> Self {
        Self { index: 1, cluster_id: random >> 1, ..Self::default() }
    }

    /// Reads the value of `meta.db`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes)
            .map_err(|error| Error::record(crate::buckets::STORAGE_METADATA, KEY, error.to_string()))
    }

    /// The value of `meta.db`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// The storage of a bucket.
    pub fn database(&self, name: &str) -> Option<&DatabaseInfo> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// Counts one more commit; influxd makes one for each bucket or shard group.
    pub(crate) fn commit(&mut self) {
        self.index = self.index.saturating_add(1);
    }

    /// Adds the storage of a new bucket, as one commit.
    pub(crate) fn add_database(&mut self, name: String, retention_ns: i64, shard_group_duration_ns: i64) {
        self.commit();
        self.databases.push(DatabaseInfo {
            name,
            default_retention_policy: POLICY.to_owned(),
            retention_policies: vec![RetentionPolicyInfo {
                name: POLICY.to_owned(),
                duration_ns: retention_ns,
                shard_group_duration_ns,
                replica_n: 1,
                shard_groups: Vec::new(),
                subscriptions: Vec::new(),
            }],
            continuous_queries: Vec::new(),
        });
    }
}

impl ShardGroupInfo {
    /// The first instant that the group covers.
    ///
    /// A start before 1677-09-21T00:12:43Z does not fit into 64 bits of nanoseconds and was stored wrapped around, so
    /// that it seems to lie after the end. A stored 0 is 1970.
    pub fn start(&self) -> Time {
        let start = i128::from(self.start_ns);
        let wrapped = self.start_ns > self.end_ns;
        Time::from_wide_ns(if wrapped { start - (1 << u64::BITS) } else { start })
    }

    /// The first instant after the group. That of the last group of all is `i64::MAX`, one after the last time a
    /// point can have.
    pub fn end(&self) -> Time {
        Time::from_ns(self.end_ns)
    }

    /// When the group was marked as deleted; its shards are about to go, or gone.
    pub fn deleted_at(&self) -> Option<Time> {
        Some(self.deleted_ns).filter(|ns| *ns != 0).map(Time::from_ns)
    }

    /// From when on writes go to another group, though this one covers the time.
    pub fn truncated_at(&self) -> Option<Time> {
        self.truncated_ns.filter(|ns| *ns != 0).map(Time::from_ns)
    }

    /// Whether a point of this time belongs into the group, deleted or truncated as it may be.
    pub fn covers(&self, ns: i64) -> bool {
        (self.start()..self.end()).contains(&Time::from_ns(ns))
    }
}

/// How much time a shard group covers when nobody says (0): a week, a day or an hour, by the retention (0 is for ever).
/// What somebody says is an hour at least.
pub(crate) fn normalised_shard_group_duration_ns(asked_ns: i64, retention_ns: i64) -> i64 {
    if asked_ns == 0 { shard_group_duration_ns(retention_ns) } else { asked_ns.max(HOUR_NS) }
}

fn shard_group_duration_ns(retention_ns: i64) -> i64 {
    match retention_ns {
        0 => 7 * DAY_NS,
        long if long >= 180 * DAY_NS => 7 * DAY_NS,
        medium if medium >= 2 * DAY_NS => DAY_NS,
        _ => HOUR_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(start_ns: i64, end_ns: i64) -> ShardGroupInfo {
        ShardGroupInfo { start_ns, end_ns, ..ShardGroupInfo::default() }
    }

    #[test]
    fn required_zeros_are_written() {
        assert_eq!(Data::default().to_bytes(), [0x08, 0, 0x10, 0, 0x18, 0, 0x38, 0, 0x40, 0, 0x48, 0]);
        let group = ShardGroupInfo::default().encode_to_vec();
        assert_eq!(group, [0x08, 0, 0x10, 0, 0x18, 0, 0x20, 0]);
    }

    #[test]
    fn a_wrapped_start_is_unwrapped() {
        let first_week = group(9_223_284_873_709_551_616, -9_222_854_400_000_000_000);
        assert_eq!(first_week.start().to_string(), "1677-09-20T00:00:00Z");
        assert!(first_week.covers(i64::MIN) && !first_week.covers(first_week.end_ns));
    }

    #[test]
    fn zero_is_1970_in_a_bound_and_nothing_elsewhere() {
        assert_eq!(group(0, DAY_NS).start().to_string(), "1970-01-01T00:00:00Z");
        let before = group(-DAY_NS, 0);
        assert_eq!(before.end().to_string(), "1970-01-01T00:00:00Z");
        assert!(before.covers(-1) && !before.covers(0));
        assert_eq!((before.deleted_at(), before.truncated_at()), (None, None));
        assert_eq!(ShardGroupInfo { truncated_ns: Some(0), ..before }.truncated_at(), None);
    }

    #[test]
    fn the_last_group_covers_the_last_time_of_a_point() {
        let last = group(9_222_940_800_000_000_000, i64::MAX);
        assert!(last.covers(i64::MAX - 1) && !last.covers(i64::MAX));
    }

    #[test]
    fn shard_groups_grow_with_the_retention() {
        for (days, hours) in [(0, 168), (180, 168), (179, 24), (2, 24), (1, 1)] {
            let ns = normalised_shard_group_duration_ns(0, days * DAY_NS);
            assert_eq!(ns, hours * HOUR_NS, "{days} days");
        }
        for (asked, got) in [(1, HOUR_NS), (HOUR_NS, HOUR_NS), (HOUR_NS + 1, HOUR_NS + 1)] {
            assert_eq!(normalised_shard_group_duration_ns(asked, DAY_NS), got);
        }
    }

    #[test]
    fn a_torn_message_is_named() {
        let mut data = Data::fresh(u64::MAX);
        data.add_database("a".repeat(16), 0, DAY_NS);
        let bytes = data.to_bytes();
        let error = Data::parse(&bytes[..bytes.len() - 30]).unwrap_err().to_string();
        assert!(error.starts_with("record \"meta.db\" in v1_tsm1_metadata"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            if let Ok(data) = Data::parse(&bytes) {
                prop_assert_eq!(Data::parse(&data.to_bytes()).unwrap(), data);
            }
        }

        #[test]
        fn bounds_of_any_group_can_be_printed_and_start_is_not_after_end(start: i64, end: i64) {
            let group = group(start, end);
            prop_assert!(group.start() <= group.end());
            prop_assert!(!group.start().to_string().is_empty());
        }
    }
}
