//! What influxd keeps in `influxd.bolt` and `influxd.sqlite`: organizations, buckets, users, tokens and the shards of
//! each bucket.
//!
//! Reads both as influxd 2.9 writes them, makes new ones that it opens, and changes them: a setup, a new bucket, shard
//! groups for points. A change is made in a transaction that the caller begins and commits, so that several are one.
//!
//! What it is not: it holds no lock, keeps nothing between two questions, and knows nothing of shards' contents or of
//! HTTP; only the texts that answers share with it live here.
//!
//! A new store, set up and asked for its manifest:
//!
//! ```
//! use std::sync::Arc;
//!
//! use icecore_catalog::{Catalog, OnboardRequest, fresh, onboard, to_json};
//! use icecore_disk::RealDisk;
//! use icecore_kvstore::{Builder, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! let now_ns = 1_795_367_725_670_309_100;
//! let mut random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
//!
//! let contents = fresh(now_ns, &mut random)?;
//! let path = dir.path().join("influxd.bolt");
//! let store = Store::create(Arc::new(RealDisk), &path, contents.fill(Builder::new(4096)?)?)?;
//!
//! let request = OnboardRequest {
//!     username: "nora".into(),
//!     password: "lake vostok".into(),
//!     org: "drilling".into(),
//!     bucket: "cores".into(),
//!     ..OnboardRequest::default()
//! };
//! let (_, onboarded) = store.write(|tx| {
//!     let onboarded = onboard(&store.view(), &request, now_ns, &mut random, true)?;
//!     onboarded.write(tx)?;
//!     Ok::<_, icecore_catalog::OnboardError>(onboarded)
//! })?;
//!
//! let catalog = Catalog::new(store.view());
//! let token = onboarded.auth.token.unwrap_or_default();
//! let operator = catalog.token(&token)?.ok_or("the new token is known")?;
//! operator.require_operator()?;
//! assert_eq!(catalog.manifest()?.len(), 3, "two of them belong to the system");
//! println!("{}", String::from_utf8(to_json(&catalog.manifest()?))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authorization;
mod buckets;
mod catalog;
mod change;
mod contents;
mod error;
mod find;
mod fresh;
mod groups;
mod id;
mod json;
mod label;
mod manifest;
pub mod meta;
mod migration;
mod new_bucket;
mod permission;
mod quote;
mod random;
mod record;
mod setup;
mod shard;
mod source;
pub mod sql;
mod time;
mod token;

pub use authorization::{Authorization, Denied};
pub use catalog::Catalog;
pub use contents::{Contents, Record};
pub use error::{Error, Result};
pub use find::{BucketFilter, FindError, LabeledBucket, OrganizationFilter, Page};
pub use fresh::fresh;
pub use groups::{ShardGroups, Slice, ensure_shard_groups};
pub use id::{Id, IdError};
pub use json::{to_indented_json, to_json};
pub use label::Label;
pub use manifest::{
    BucketManifest, RetentionPolicyManifest, ShardGroupManifest, ShardManifest, ShardOwnerManifest,
    SubscriptionManifest,
};
pub use new_bucket::{BucketError, BucketErrorKind, BucketRequest, NewBucket, RetentionRule, create_bucket};
pub use permission::{Action, Permission, Resource, ResourceType, operator_permissions};
pub use random::Random;
pub use record::{Bucket, BucketKind, Organization, Status, User};
pub use setup::{OnboardError, OnboardErrorKind, OnboardRequest, Onboarded, onboard};
pub use shard::{ShardId, ShardLocation};
pub use time::Time;
pub use token::{is_jwt, is_stored_form};
