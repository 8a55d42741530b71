//! A new bucket: what may be asked for, and the records it becomes.
//!
//! Invariant: the record, its name in the index and its storage metadata are written in one transaction. influxd writes
//! the first two and the third one after the other; a store that has the one without the other does not start.

use icecore_kvstore::Tx;
use serde::{Deserialize, Deserializer};

use crate::buckets;
use crate::change;
use crate::error::Error;
use crate::id::Id;
use crate::meta::{Data, normalised_shard_group_duration_ns};
use crate::random::Random;
use crate::record::{Bucket, BucketKind, Organization};
use crate::time::Time;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
const SECONDS_MAX: i64 = i64::MAX / SECOND_NS;
/// Keys of a Bolt file end at 32 KiB; the name shares one with 16 digits of the organization.
const NAME_BYTES_MAX: usize = 32 * 1024 - 16;

/// The body of `POST /api/v2/buckets`. Missing fields and `null` mean empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BucketRequest {
    /// The organization it is to belong to.
    #[serde(rename = "orgID")]
    pub org_id: Option<Id>,
    /// May be empty.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// May be empty.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Name of the retention policy of a bucket that comes from 1.x.
    #[serde(rename = "rp", deserialize_with = "or_default")]
    pub retention_policy: String,
    /// None or one.
    #[serde(rename = "retentionRules", deserialize_with = "or_default")]
    pub retention_rules: Vec<RetentionRule>,
}

/// How long points are kept. Its `type` is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RetentionRule {
    /// 0 is for ever.
    #[serde(rename = "everySeconds", deserialize_with = "or_default")]
    pub every_seconds: i64,
    /// 0 lets the server choose.
    #[serde(rename = "shardGroupDurationSeconds", deserialize_with = "or_default")]
    pub shard_group_duration_seconds: i64,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A bucket to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBucket {
    /// The organization it is to belong to.
    pub org_id: Id,
    /// Unique within the organization; may be empty.
    pub name: String,
    /// For people.
    pub description: String,
    /// Name of the retention policy of a bucket that comes from 1.x; else empty.
    pub retention_policy: String,
    /// Nanoseconds; 0 is for ever.
    pub retention_period_ns: i64,
    /// Nanoseconds; 0 lets the server choose, and less than an hour becomes one.
    pub shard_group_duration_ns: i64,
}

/// Why a bucket is not made. `Display` is the message of the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The request names no organization.
    #[error("organization id must be provided")]
    NoOrganization,
    /// More than one rule.
    #[error("buckets cannot have more than one retention rule at this time")]
    Rules,
    /// A negative retention.
    #[error("expiration seconds cannot be negative")]
    NegativeRetention,
    /// Negative shard groups.
    #[error("shard-group duration seconds cannot be negative")]
    NegativeShardGroups,
    /// In nanoseconds it would not fit into 64 bits.
    #[error("{0} seconds must be at most {SECONDS_MAX}")]
    TooManySeconds(&'static str),
    /// The name begins like those of the system.
    #[error("bucket name {0} is invalid. Buckets may not start with underscore")]
    Underscore(String),
    /// The name contains `"`.
    #[error("bucket name {0} is invalid. Bucket names may not include quotation marks")]
    QuotationMark(String),
    /// The name is longer than a key of the store can be.
    #[error("bucket name must be at most {NAME_BYTES_MAX} bytes long")]
    LongName,
    /// There is no such organization.
    #[error("organization not found")]
    UnknownOrganization,
    /// The organization has a bucket of this name.
    #[error("bucket with name {0} already exists")]
    NameTaken(String),
    /// The retention is less than an hour, and not 0.
    #[error("retention policy duration must be at least 1h0m0s")]
    ShortRetention,
    /// A point would expire before its shard group ends.
    #[error("retention policy duration must be greater than the shard duration")]
    RetentionBelowShardGroups,
    /// The store is damaged, or there are no random bytes.
    #[error(transparent)]
    Catalog(#[from] Error),
}

/// What the caller can do; each is one `code` of the HTTP contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketErrorKind {
    /// Choose another name: `conflict`.
    Conflict,
    /// Choose another retention: `unprocessable entity`.
    Unprocessable,
    /// A value breaks a rule: `invalid`.
    Invalid,
    /// Name another organization: `not found`.
    NotFound,
    /// Not the client's fault: `internal error`.
    Internal,
}

impl BucketError {
    /// What the caller can do.
    pub fn kind(&self) -> BucketErrorKind {
        match self {
            Self::NameTaken(_) => BucketErrorKind::Conflict,
            Self::Rules
            | Self::NegativeRetention
            | Self::NegativeShardGroups
            | Self::TooManySeconds(_)
            | Self::ShortRetention
            | Self::RetentionBelowShardGroups => BucketErrorKind::Unprocessable,
            Self::NoOrganization | Self::Underscore(_) | Self::QuotationMark(_) | Self::LongName => {
                BucketErrorKind::Invalid
            }
            Self::UnknownOrganization => BucketErrorKind::NotFound,
            Self::Catalog(_) => BucketErrorKind::Internal,
        }
    }
}

impl From<icecore_kvstore::Error> for BucketError {
    fn from(error: icecore_kvstore::Error) -> Self {
        Self::Catalog(error.into())
    }
}

impl BucketRequest {
    /// What influxd checks before it asks whether the caller may make a bucket: everything that the request alone shows,
    /// except the name.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of influxd.
    pub fn check(self) -> Result<NewBucket, BucketError> {
        let org_id = self.org_id.ok_or(BucketError::NoOrganization)?;
        let rule = match self.retention_rules.as_slice() {
            [] => RetentionRule::default(),
            [rule] => *rule,
            _ => return Err(BucketError::Rules),
        };
        if rule.every_seconds < 0 {
            return Err(BucketError::NegativeRetention);
        }
        if rule.shard_group_duration_seconds < 0 {
            return Err(BucketError::NegativeShardGroups);
        }
        Ok(NewBucket {
            org_id,
            name: self.name,
            description: self.description,
            retention_policy: self.retention_policy,
            retention_period_ns: nanoseconds("expiration", rule.every_seconds)?,
            shard_group_duration_ns: nanoseconds("shard-group duration", rule.shard_group_duration_seconds)?,
        })
    }
}

fn nanoseconds(what: &'static str, seconds: i64) -> Result<i64, BucketError> {
    seconds.checked_mul(SECOND_NS).ok_or(BucketError::TooManySeconds(what))
}

/// Makes a bucket in the transaction of the caller. `now_ns` is in nanoseconds since 1970.
///
/// # Errors
/// In the order of influxd: the name is not allowed, there is no such organization, the name is taken, the retention is
/// not allowed; and a damaged store. The transaction must not be committed then.
pub fn create_bucket(
    tx: &mut Tx<'_>,
    new: &NewBucket,
    now_ns: i64,
    random: &mut dyn Random,
) -> Result<Bucket, BucketError> {
    check_name(&new.name)?;
    if !change::has::<Organization>(tx, new.org_id)? {
        return Err(BucketError::UnknownOrganization);
    }
    let index = Bucket::index_key(new.org_id, &new.name);
    if change::get(tx, buckets::BUCKET_INDEX, &index)?.is_some() {
        return Err(BucketError::NameTaken(new.name.clone()));
    }
    let shard_group_duration_ns = shard_group_duration_ns(new)?;
    let mut storage = change::storage_meta(tx)?;
    let now = Time::from_ns(now_ns);
    let bucket = Bucket {
        id: unused_id(tx, &storage, random)?,
        org_id: new.org_id,
        kind: BucketKind::User,
        name: new.name.clone(),
        description: new.description.clone(),
        retention_policy: new.retention_policy.clone(),
        retention_period_ns: new.retention_period_ns,
        shard_group_duration_ns,
        created_at: now,
        updated_at: now,
    };
    storage.add_database(bucket.id.to_string(), bucket.retention_period_ns, shard_group_duration_ns);
    change::put(tx, &bucket.records())?;
    change::put_storage_meta(tx, &storage)?;
    Ok(bucket)
}

fn check_name(name: &str) -> Result<(), BucketError> {
    if name.starts_with('_') {
        return Err(BucketError::Underscore(name.to_owned()));
    }
    if name.contains('"') {
        return Err(BucketError::QuotationMark(name.to_owned()));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(BucketError::LongName);
    }
    Ok(())
}

fn shard_group_duration_ns(new: &NewBucket) -> Result<i64, BucketError> {
    let retention_ns = new.retention_period_ns;
    if retention_ns != 0 && retention_ns < HOUR_NS {
        return Err(BucketError::ShortRetention);
    }
    let length_ns = normalised_shard_group_duration_ns(new.shard_group_duration_ns, retention_ns);
    if retention_ns > 0 && retention_ns < length_ns {
        return Err(BucketError::RetentionBelowShardGroups);
    }
    Ok(length_ns)
}

/// A random id that no bucket has. Storage metadata without a record counts, too: the new bucket would get its shards.
fn unused_id(tx: &mut Tx<'_>, storage: &Data, random: &mut dyn Random) -> Result<Id, Error> {
    loop {
        let id = Id::random(random)?;
        let is_taken = change::get(tx, buckets::BUCKETS, &id.key())?.is_some();
        if !is_taken && storage.database(&id.to_string()).is_none() {
            return Ok(id);
        }
    }
}
