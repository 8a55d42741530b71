//! Lists of organizations and buckets as a client asks for them: filters, pages, and what a token may see.
//!
//! Invariant: the page is cut first and what the token may not read is left out of it after that, as influxd does, so a
//! page can be shorter than asked although more follow.

use crate::authorization::Authorization;
use crate::buckets;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::label::Label;
use crate::permission::{Action, Permission, Resource, ResourceType};
use crate::quote::quoted;
use crate::record::{Bucket, BucketKind, Organization};

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many entries at most.
    pub limit: usize,
    /// How many are passed over first.
    pub offset: usize,
    /// Begin behind the entry with this id. Buckets only.
    pub after: Option<Id>,
    /// From the last to the first. Buckets only.
    pub descending: bool,
}

/// Which organizations are wanted: by id, else by name, else those of a user, else all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrganizationFilter {
    /// This one.
    pub id: Option<Id>,
    /// The one of this name.
    pub name: Option<String>,
    /// Those that this user owns or is a member of.
    pub user_id: Option<Id>,
}

/// Which buckets are wanted: by id alone, else those that meet everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketFilter {
    /// This one.
    pub id: Option<Id>,
    /// Those of this name; names are unique within an organization.
    pub name: Option<String>,
    /// Those of this organization.
    pub org_id: Option<Id>,
    /// Those of the organization of this name, unless its id is given.
    pub org: Option<String>,
}

/// A bucket and the labels that somebody hung on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabeledBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// By id; only those that the token may read.
    pub labels: Vec<Label>,
}

/// Why something was not found. `Display` is the message of the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No organization has this id.
    #[error("organization not found")]
    Organization,
    /// No organization has this name.
    #[error("organization name \"{0}\" not found")]
    OrganizationName(String),
    /// No bucket has this id.
    #[error("bucket not found")]
    Bucket,
    /// The organization has no bucket of this name.
    #[error("bucket {} not found", quoted(.0))]
    BucketName(String),
    /// The store is damaged.
    #[error(transparent)]
    Catalog(#[from] Error),
}

impl From<icecore_kvstore::Error> for FindError {
    fn from(error: icecore_kvstore::Error) -> Self {
        Self::Catalog(error.into())
    }
}

impl Catalog {
    /// The organization of a name, or of an id where one is given.
    ///
    /// # Errors
    /// There is none; a damaged store.
    pub fn find_organization(&self, id: Option<Id>, name: &str) -> Result<Organization, FindError> {
        let Some(id) = id else {
            let unknown = || FindError::OrganizationName(name.to_owned());
            let id =
                self.indexed(buckets::ORGANIZATION_INDEX, name.trim().as_bytes())?.ok_or_else(unknown)?;
            return self.find_organization(Some(id), name);
        };
        self.organization(id)?.ok_or(FindError::Organization)
    }

    /// Organizations by id, those of a user by his mappings; only those that `reader` may read. Someone who may not read
    /// all of them sees, without a filter, only those of his own user.
    ///
    /// # Errors
    /// The one that was asked for by id or name does not exist; a damaged store.
    pub fn find_organizations(
        &self,
        filter: &OrganizationFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<Organization>, FindError> {
        let found = match filter {
            OrganizationFilter { id: id @ Some(_), .. } => vec![self.find_organization(*id, "")?],
            OrganizationFilter { name: Some(name), .. } => vec![self.find_organization(None, name)?],
            OrganizationFilter { user_id: Some(user), .. } => self.organizations_of(*user, page)?,
            _ if may_read(reader, ResourceType::Orgs, None, None) => {
                self.organizations()?.into_iter().skip(page.offset).take(page.limit).collect()
            }
            _ => match reader.user_id {
                Some(user) => self.organizations_of(user, page)?,
                None => Vec::new(),
            },
        };
        Ok(found.into_iter().filter(|org| may_read(reader, ResourceType::Orgs, Some(org.id), None)).collect())
    }

    /// Buckets by id; those of one organization by name. Those of the system are among them for readers of the
    /// organization.
    ///
    /// # Errors
    /// The organization or the one bucket that was asked for does not exist; a damaged store.
    pub fn find_buckets(
        &self,
        filter: &BucketFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<LabeledBucket>, FindError> {
        let found = self.page_of_buckets(filter, page)?;
        let readable = found.into_iter().filter(|bucket| may_read_bucket(reader, bucket));
        readable
            .map(|bucket| Ok(LabeledBucket { labels: self.labels_of(&bucket, reader)?, bucket }))
            .collect()
    }

    fn page_of_buckets(&self, filter: &BucketFilter, page: &Page) -> Result<Vec<Bucket>, FindError> {
        if let Some(id) = filter.id {
            return Ok(vec![self.bucket(id)?.ok_or(FindError::Bucket)?]);
        }
        let org_id = match (filter.org_id, &filter.org) {
            (None, Some(name)) => Some(self.find_organization(None, name)?.id),
            (org_id, _) => org_id,
        };
        match (org_id, &filter.name) {
            (Some(org_id), Some(name)) => Ok(vec![self.bucket_named(org_id, name)?]),
            (Some(org_id), None) => {
                let ids = page.of_names(self.bucket_ids_of(org_id)?);
                ids.into_iter().map(|id| self.bucket(id)?.ok_or(FindError::Bucket)).collect()
            }
            (None, name) => Ok(page.of_ids(self.buckets()?, name.as_deref())),
        }
    }

    /// The bucket of an organization that a client calls by its id or, if no bucket has that id, its name. An id finds
    /// a bucket of any organization: whether the client may have it is decided by the bucket's own.
    ///
    /// # Errors
    /// There is none; a damaged store.
    pub fn find_bucket(&self, org_id: Id, id_or_name: &str) -> Result<Bucket, FindError> {
        if let Ok(id) = id_or_name.parse()
            && let Some(bucket) = self.bucket(id)?
        {
            return Ok(bucket);
        }
        self.bucket_named(org_id, id_or_name)
    }

    /// Labels of a bucket. Who reads it for the sake of its organization does not see them.
    fn labels_of(&self, bucket: &Bucket, reader: &Authorization) -> Result<Vec<Label>> {
        if !may_read(reader, ResourceType::Buckets, Some(bucket.id), Some(bucket.org_id)) {
            return Ok(Vec::new());
        }
        let mut labels = self.labels(bucket.id)?;
        labels.retain(|label| may_read(reader, ResourceType::Labels, Some(label.id), Some(label.org_id)));
        Ok(labels)
    }

    fn bucket_named(&self, org_id: Id, name: &str) -> Result<Bucket, FindError> {
        let unknown = || FindError::BucketName(name.to_owned());
        let id =
            self.indexed(buckets::BUCKET_INDEX, &Bucket::index_key(org_id, name))?.ok_or_else(unknown)?;
        self.bucket(id)?.ok_or(FindError::Bucket)
    }
}

impl Page {
    /// Of the buckets of one organization, given by their names. An `after` that is not behind the offset ends the list.
    fn of_names(&self, mut ids: Vec<Id>) -> Vec<Id> {
        if self.descending {
            ids.reverse();
        }
        let mut rest = ids.into_iter().skip(self.offset);
        if let Some(after) = self.after {
            rest.by_ref().find(|id| *id == after);
        }
        rest.take(self.limit).collect()
    }

    /// Of all buckets, given by their ids. The offset counts buckets of every name, and from `after` on.
    fn of_ids(&self, mut all: Vec<Bucket>, name: Option<&str>) -> Vec<Bucket> {
        if self.descending {
            all.reverse();
        }
        if let Some(after) = self.after {
            all.retain(|bucket| if self.descending { bucket.id < after } else { bucket.id > after });
        }
        let rest = all.into_iter().skip(self.offset);
        rest.filter(|bucket| name.is_none_or(|name| bucket.name == name)).take(self.limit).collect()
    }
}

fn may_read(reader: &Authorization, kind: ResourceType, id: Option<Id>, org_id: Option<Id>) -> bool {
    let resource = Resource { kind, id, org_id };
    reader.require(&Permission { action: Action::Read, resource }).is_ok()
}

/// Buckets of the system belong to everybody who may read the organization.
fn may_read_bucket(reader: &Authorization, bucket: &Bucket) -> bool {
    match bucket.kind {
        BucketKind::System => may_read(reader, ResourceType::Orgs, Some(bucket.org_id), None),
        BucketKind::User => may_read(reader, ResourceType::Buckets, Some(bucket.id), Some(bucket.org_id)),
    }
}
