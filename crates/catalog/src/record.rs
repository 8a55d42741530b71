//! Records of the key-value store: JSON structures under an id.
//!
//! Invariant: the order of the fields is that of influxd, so that a record written here is byte for byte what influxd
//! would write; the id inside a record is its key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::buckets;
use crate::contents::Record;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::json::to_json;
use crate::permission::ResourceType;
use crate::time::Time;

/// Whether a user or a token may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May act; also what a record without a status means.
    #[default]
    Active,
    /// Was switched off.
    Inactive,
}

impl Status {
    /// The word in records and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Random, not a snowflake.
    pub id: Id,
    /// Unique after trimming.
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// When it was created.
    #[serde(default, rename = "createdAt")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(default, rename = "updatedAt")]
    pub updated_at: Time,
}

/// Who made a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BucketKind {
    /// A user; 0 in records.
    #[default]
    User,
    /// The server, for its own use: `_tasks` and `_monitoring`; 1 in records.
    System,
}

impl Serialize for BucketKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::User => 0,
            Self::System => 1,
        })
    }
}

impl<'de> Deserialize<'de> for BucketKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(Self::User),
            1 => Ok(Self::System),
            other => Err(serde::de::Error::custom(format!("{other} is no type of bucket"))),
        }
    }
}

/// A bucket as its record describes it. Its shards stand in the [storage metadata](crate::meta), together with the
/// retention that influxd enforces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Random, not a snowflake; also the name of the bucket's directory.
    pub id: Id,
    /// The owner.
    #[serde(rename = "orgID")]
    pub org_id: Id,
    /// Who made it.
    #[serde(default, rename = "type")]
    pub kind: BucketKind,
    /// Unique within the organization, case-sensitive.
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// Name of the retention policy it was made from; empty unless it came from 1.x.
    #[serde(default, rename = "rp", skip_serializing_if = "String::is_empty")]
    pub retention_policy: String,
    /// Nanoseconds; 0 is for ever.
    #[serde(default, rename = "retentionPeriod")]
    pub retention_period_ns: i64,
    /// Nanoseconds.
    #[serde(default, rename = "shardGroupDuration")]
    pub shard_group_duration_ns: i64,
    /// When it was created.
    #[serde(default, rename = "createdAt")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(default, rename = "updatedAt")]
    pub updated_at: Time,
}

impl Bucket {
    /// The key of its name in the index of an organization.
    pub(crate) fn index_key(org_id: Id, name: &str) -> Vec<u8> {
        format!("{org_id}{name}").into_bytes()
    }

    /// The record and its entry in the index of names.
    pub(crate) fn records(&self) -> [Record; 2] {
        let index = Self::index_key(self.org_id, &self.name);
        [
            Record { bucket: buckets::BUCKETS, key: self.id.key(), value: to_json(self) },
            Record { bucket: buckets::BUCKET_INDEX, key: index, value: self.id.key() },
        ]
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// A snowflake.
    pub id: Id,
    /// Unique.
    pub name: String,
    /// Of another system; almost always empty.
    #[serde(default, rename = "oauthID", skip_serializing_if = "String::is_empty")]
    pub oauth_id: String,
    /// Whether the user may act.
    #[serde(default)]
    pub status: Status,
}

/// Which resource a user has to do with. The key is the ids of both, that of the resource first.
#[derive(Debug, Deserialize)]
pub(crate) struct Mapping {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(rename = "resourceID")]
    pub(crate) resource_id: Id,
}

impl Mapping {
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self> {
        serde_json::from_slice(value)
            .map_err(|error| Error::record(buckets::USER_RESOURCES, key, error.to_string()))
    }

    pub(crate) fn is_of_an_organization(&self) -> bool {
        self.resource_type == ResourceType::Orgs.as_str()
    }
}

/// A structure that is stored under its id.
pub(crate) trait Stored: DeserializeOwned {
    /// The Bolt bucket.
    const BUCKET: &'static str;

    fn id(&self) -> Id;

    /// Reads the value found under `key`.
    fn decode(key: &[u8], value: &[u8]) -> Result<Self> {
        let record: Self = serde_json::from_slice(value)
            .map_err(|error| Error::record(Self::BUCKET, key, error.to_string()))?;
        if record.id().key() != key {
            return Err(Error::record(Self::BUCKET, key, format!("calls itself {}", record.id())));
        }
        Ok(record)
    }
}

impl Stored for Organization {
    const BUCKET: &'static str = crate::buckets::ORGANIZATIONS;

    fn id(&self) -> Id {
        self.id
    }
}

impl Stored for Bucket {
    const BUCKET: &'static str = crate::buckets::BUCKETS;

    fn id(&self) -> Id {
        self.id
    }
}

impl Stored for User {
    const BUCKET: &'static str = crate::buckets::USERS;

    fn id(&self) -> Id {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORGANIZATION: &str = r#"{"id":"0bf6ccd6884c2b99","name":"a \u003c b","description":"","createdAt":"2026-11-22T17:15:25.6703091Z","updatedAt":"2026-11-22T17:15:25.67030917Z"}"#;
    const SYSTEM_BUCKET: &str = r#"{"id":"794195e834d9b9c0","orgID":"0bf6ccd6884c2b99","type":1,"name":"_monitoring","description":"System bucket for monitoring logs","retentionPeriod":604800000000000,"shardGroupDuration":86400000000000,"createdAt":"2026-11-22T17:15:25.672353171Z","updatedAt":"2026-11-22T17:15:25.672353251Z"}"#;

    #[test]
    fn records_of_influxd_are_written_back_unchanged() {
        let organization = Organization::decode(b"0bf6ccd6884c2b99", ORGANIZATION.as_bytes()).unwrap();
        assert_eq!(organization.name, "a < b");
        assert_eq!(to_json(&organization), ORGANIZATION.as_bytes());
        let bucket = Bucket::decode(b"794195e834d9b9c0", SYSTEM_BUCKET.as_bytes()).unwrap();
        assert_eq!(bucket.kind, BucketKind::System);
        assert_eq!(to_json(&bucket), SYSTEM_BUCKET.as_bytes());
    }

    #[test]
    fn a_record_that_is_damaged_is_named() {
        let error = Organization::decode(b"0bf6ccd6884c2b99", &ORGANIZATION.as_bytes()[..40]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("record \"0bf6ccd6884c2b99\" in organizationsv1"), "{text}");
        let error = Organization::decode(b"0bf6ccd6884c2b98", ORGANIZATION.as_bytes()).unwrap_err();
        assert!(error.to_string().ends_with("calls itself 0bf6ccd6884c2b99"), "{error}");
    }

    #[test]
    fn records_of_older_servers_lack_times_and_status() {
        let user = User::decode(b"0000000000000001", br#"{"id":"0000000000000001","name":"x"}"#).unwrap();
        assert_eq!(user.status, Status::Active);
        let json = br#"{"id":"0000000000000001","name":"x"}"#;
        assert_eq!(Organization::decode(b"0000000000000001", json).unwrap().created_at, Time::ZERO);
    }
}
