//! Questions to the store: who is this token, what buckets are there, where is that shard.

use std::collections::HashMap;

use icecore_kvstore::View;

use crate::authorization::{Authorization, StoredAuthorization};
use crate::buckets;
use crate::error::{Error, Result};
use crate::find::Page;
use crate::groups::{self, ShardGroups};
use crate::id::Id;
use crate::label::Label;
use crate::manifest::BucketManifest;
use crate::meta::{self, Data};
use crate::migration;
use crate::record::{Bucket, Mapping, Organization, User};
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

    /// The organizations of a user's resource mappings, in the order of those. The offset counts mappings to everything.
    pub(crate) fn organizations_of(&self, user: Id, page: &Page) -> Result<Vec<Organization>> {
        let mut found = Vec::new();
        let by_user =
            source::prefix(&self.view, buckets::USER_RESOURCES_BY_USER, format!("{user}/").as_bytes())?;
        for (_, key) in by_user.into_iter().skip(page.offset) {
            let Some(value) = source::get(&self.view, buckets::USER_RESOURCES, key)? else { continue };
            let mapping = Mapping::decode(key, value)?;
            if mapping.is_of_an_organization() {
                found.push(mapping.resource_id);
            }
        }
        found.truncate(page.limit);
        // A mapping can outlive its organization.
        found.into_iter().filter_map(|id| self.organization(id).transpose()).collect()
    }

    /// The ids of an organization's buckets, in the order of their names.
    pub(crate) fn bucket_ids_of(&self, org_id: Id) -> Result<Vec<Id>> {
        let index = buckets::BUCKET_INDEX;
        let entries = source::prefix(&self.view, index, &Bucket::index_key(org_id, ""))?;
        entries.into_iter().map(|(key, value)| parse_id(index, key, value)).collect()
    }

    /// The labels of a resource, in the order of their ids.
    pub(crate) fn labels(&self, resource: Id) -> Result<Vec<Label>> {
        let mut labels = Vec::new();
        for (key, _) in source::prefix(&self.view, buckets::LABEL_MAPPINGS, &resource.key())? {
            let label =
                parse_id(buckets::LABEL_MAPPINGS, key, key.get(resource.key().len()..).unwrap_or_default())?;
            // A mapping can outlive its label.
            labels.extend(source::record::<Label>(&self.view, label)?);
        }
        Ok(labels)
    }

    /// The id that an index has under a key.
    pub(crate) fn indexed(&self, index: &str, key: &[u8]) -> Result<Option<Id>> {
        source::get(&self.view, index, key)?.map(|value| parse_id(index, key, value)).transpose()
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

fn parse_id(bucket: &str, key: &[u8], id: &[u8]) -> Result<Id> {
    Id::parse(id).map_err(|error| Error::record(bucket, key, error.to_string()))
}
