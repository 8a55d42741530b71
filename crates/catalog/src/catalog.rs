//! Questions to the store: who is this token, what buckets are there, where is that shard.

use std::collections::HashMap;

use icecore_kvstore::View;

use crate::authorization::{Authorization, StoredAuthorization};
use crate::buckets;
use crate::error::{Error, Result};
use crate::groups::{self, ShardGroups};
use crate::id::Id;
use crate::manifest::BucketManifest;
use crate::meta::{self, Data};
use crate::migration;
use crate::record::{Bucket, Organization, User};
use crate::shard::{ShardId, ShardLocation};
use crate::source;
use crate::token;

/// What one state of `influxd.bolt` says. Each answer is read from the store; nothing is kept, so two questions to one
/// catalog are answered from one moment.
#[derive(Clone, Debug)]
pub struct Catalog {
    view: View,
}

impl Catalog {
    /// A catalog of the state that `view` has pinned.
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// Whether a server of this version can use the store: all 21 migrations are there, under their names, finished.
    ///
    /// # Errors
    /// [`Error::Record`] naming the first that is missing, unfinished, unknown or misnamed: an older server, a newer
    /// one, or another program wrote the store.
    pub fn check_migrations(&self) -> Result<()> {
        migration::check(&self.view)
    }

    /// The record of a token that a client presents. `None` when there is none, and for every token that has the form
    /// of a stored hash. An inactive token is found: what it may do is asked of the answer.
    ///
    /// # Errors
    /// A damaged store or record; the same holds for every question below.
    pub fn token(&self, presented: &str) -> Result<Option<Authorization>> {
        if presented.is_empty() || token::is_stored_form(presented) {
            return Ok(None);
        }
        let Some(id) = self.token_id(presented)? else { return Ok(None) };
        let found: Option<Authorization> =
            source::record::<StoredAuthorization>(&self.view, id)?.map(Into::into);
        Ok(found.filter(|authorization| authorization.is_of(presented)))
    }

    /// The id of a token's record, by the index of tokens in clear and then by that of the hashes.
    pub(crate) fn token_id(&self, presented: &str) -> Result<Option<Id>> {
        let clear = (buckets::AUTHORIZATION_INDEX, presented.to_owned());
        let hashed = token::stored_forms(presented).map(|form| (buckets::AUTHORIZATION_HASHED_INDEX, form));
        for (index, key) in std::iter::once(clear).chain(hashed) {
            if let Some(value) = source::get(&self.view, index, key.as_bytes())? {
                // The key may be the token itself: it does not belong into a message.
                let named = |error: crate::IdError| Error::record(index, b"(a token)", error.to_string());
                return Id::parse(value).map(Some).map_err(named);
            }
        }
        Ok(None)
    }

    /// A user.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn user(&self, id: Id) -> Result<Option<User>> {
        source::record(&self.view, id)
    }

    /// An organization.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn organization(&self, id: Id) -> Result<Option<Organization>> {
        source::record(&self.view, id)
    }

    /// All organizations, by id.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn organizations(&self) -> Result<Vec<Organization>> {
        source::records(&self.view)
    }

    /// A bucket.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn bucket(&self, id: Id) -> Result<Option<Bucket>> {
        source::record(&self.view, id)
    }

    /// All buckets of all organizations, by id, those of the system among them.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn buckets(&self) -> Result<Vec<Bucket>> {
        source::records(&self.view)
    }

    /// All tokens, by id.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn authorizations(&self) -> Result<Vec<Authorization>> {
        let stored: Vec<StoredAuthorization> = source::records(&self.view)?;
        Ok(stored.into_iter().map(Into::into).collect())
    }

    /// The storage metadata; that of an empty server when the store has none.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn storage_meta(&self) -> Result<Data> {
        match source::get(&self.view, buckets::STORAGE_METADATA, meta::KEY)? {
            Some(bytes) => Data::parse(bytes),
            None => Ok(Data::default()),
        }
    }

    /// The manifest of all buckets, by id. As influxd does, it leaves out a bucket that has no storage metadata: see
    /// [`Catalog::buckets_without_storage`].
    ///
    /// # Errors
    /// As [`Catalog::token`]; a bucket whose organization is missing is damage.
    pub fn manifest(&self) -> Result<Vec<BucketManifest>> {
        let meta = self.storage_meta()?;
        let organizations: HashMap<Id, Organization> =
            self.organizations()?.into_iter().map(|organization| (organization.id, organization)).collect();
        let mut manifest = Vec::new();
        for bucket in self.buckets()? {
            let organization = organizations.get(&bucket.org_id).ok_or_else(|| {
                let what = format!("its organization {} is missing", bucket.org_id);
                Error::record(buckets::BUCKETS, &bucket.id.key(), what)
            })?;
            if let Some(storage) = meta.database(&bucket.id.to_string()) {
                manifest.push(BucketManifest::of(bucket, organization, storage));
            }
        }
        Ok(manifest)
    }

    /// Buckets that the manifest leaves out. influxd refuses to start on a store that has one.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn buckets_without_storage(&self) -> Result<Vec<Id>> {
        let meta = self.storage_meta()?;
        let ids = self.buckets()?.into_iter().map(|bucket| bucket.id);
        Ok(ids.filter(|id| meta.database(&id.to_string()).is_none()).collect())
    }

    /// All shards, in the order of the storage metadata, those of deleted groups among them.
    ///
    /// # Errors
    /// As [`Catalog::token`]; also a number that is given twice, and a name of a database or policy that is not a name
    /// of a directory.
    pub fn shards(&self) -> Result<Vec<ShardLocation>> {
        ShardLocation::all(&self.storage_meta()?)
    }

    /// To which bucket, policy and group a shard belongs.
    ///
    /// # Errors
    /// As [`Catalog::shards`].
    pub fn shard(&self, id: ShardId) -> Result<Option<ShardLocation>> {
        Ok(self.shards()?.into_iter().find(|shard| shard.id == id))
    }

    /// Which shard of a bucket takes which time; `None` for a bucket without storage metadata.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn shard_groups(&self, bucket: Id) -> Result<Option<ShardGroups>> {
        Ok(groups::policy_of(&self.storage_meta()?, bucket).map(ShardGroups::of))
    }

    /// Whether the server still waits for its setup: there is neither a user nor an organization.
    ///
    /// # Errors
    /// As [`Catalog::token`].
    pub fn is_onboarding(&self) -> Result<bool> {
        Ok(source::is_empty(&self.view, buckets::USERS)?
            && source::is_empty(&self.view, buckets::ORGANIZATIONS)?)
    }
}
