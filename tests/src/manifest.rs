//! The `buckets` part of the metadata (docs/http.md, 14.3).

use std::ops::Range;

use jiff::Timestamp;
use serde::Deserialize;

/// A bucket, as far as tests ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// 16 hex digits.
    #[serde(rename = "bucketID")]
    pub id: String,
    /// As the user named it.
    #[serde(rename = "bucketName")]
    pub name: String,
    /// Name of its organization.
    #[serde(rename = "organizationName")]
    pub organization: String,
    retention_policies: Vec<Policy>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    shard_group_duration: i64,
    shard_groups: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    start_time: String,
    end_time: String,
    shards: Vec<Id>,
}

#[derive(Clone, Debug, Deserialize)]
struct Id {
    id: u64,
}

/// A shard and where it belongs.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Unique in the server.
    pub id: u64,
    /// Its bucket, 16 hex digits.
    pub bucket_id: String,
    /// Nanoseconds that its group covers; those of the first week begin before `i64` does.
    pub times: Range<i128>,
    /// Length of the bucket's groups.
    pub group_ns: i64,
}

/// The buckets of a manifest.
///
/// # Panics
/// When it is no manifest.
pub fn parse(json: &[u8]) -> Vec<Bucket> {
    serde_json::from_slice(json).unwrap()
}

impl Bucket {
    /// Its shards, in the order of the manifest.
    pub fn shards(&self) -> impl Iterator<Item = Shard> {
        self.retention_policies.iter().flat_map(move |policy| {
            policy.shard_groups.iter().flat_map(move |group| {
                group.shards.iter().map(move |shard| Shard {
                    id: shard.id,
                    bucket_id: self.id.clone(),
                    times: nanoseconds(&group.start_time)..nanoseconds(&group.end_time),
                    group_ns: policy.shard_group_duration,
                })
            })
        })
    }
}

fn nanoseconds(text: &str) -> i128 {
    text.parse::<Timestamp>().unwrap().as_nanosecond()
}
