//! What the service asks of a data directory: the one seam between HTTP and the crates below.
//!
//! All calls block and are made on blocking threads.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use icecore_backup::{Boundary, Pins, Selection};
use icecore_catalog::{
    Action, Authorization, Bucket, BucketFilter, Denied, Id, LabeledBucket, NewBucket, Organization,
    OrganizationFilter, Page, Permission, Resource,
};
use icecore_database::{Cut, Precision};

use crate::conditions::Conditions;
use crate::download::Download;
use crate::problem::{Code, Problem};
use crate::range;

/// A data directory, or a double of one in tests.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Whose token this is; `None` if nobody's.
    fn caller(&self, token: &str) -> Result<Option<Caller>, Problem>;

    /// Whether setup is open.
    fn is_onboarding(&self) -> Result<bool, Problem>;

    /// Sets up from the JSON of a request; the JSON of the answer.
    fn onboard(&self, request: &[u8]) -> Result<Bytes, Problem>;

    /// Only those that `reader` may read.
    fn organizations(
        &self,
        filter: &OrganizationFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<Organization>, Problem>;

    /// Only those that `reader` may read.
    fn buckets(
        &self,
        filter: &BucketFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<LabeledBucket>, Problem>;

    /// Whether the caller may do so was asked before.
    fn create_bucket(&self, new: &NewBucket) -> Result<Bucket, Problem>;

    /// The bucket that a write names by its id or its name, the organization being named by `org_id` or by `org`.
    fn bucket(&self, org_id: Option<Id>, org: &str, bucket: &str) -> Result<Bucket, Problem>;

    /// Writes a batch of line protocol; on `Ok` all of it is durable.
    fn write(&self, bucket: Id, precision: Precision, batch: &[u8]) -> Result<(), Problem>;

    fn kv(&self) -> Result<Download, Problem>;

    fn metadata(&self, boundary: &Boundary) -> Result<Download, Problem>;

    /// Every shard of one moment, and its metadata.
    fn cut(&self, boundary: &Boundary) -> Result<(Arc<Cut>, Download), Problem>;

    /// One shard of this moment, and the moment: ns since 1970.
    fn cut_shard(&self, id: u64) -> Result<(Arc<Cut>, i64), Problem>;

    /// Checks what it will send until `until` at the latest, so that known damage is a status and not a broken body.
    fn shard(&self, wanted: &WantedShard) -> Result<Download, Problem>;
}

/// What a request wants of a shard.
#[derive(Clone, Debug)]
pub(crate) struct WantedShard {
    pub(crate) id: u64,
    pub(crate) selection: Selection,
    /// Where the shard is taken from, if it is not to be as it is now. The download holds it.
    pub(crate) cut: Option<Arc<Cut>>,
    /// Where the download says what it holds.
    pub(crate) pins: Arc<Pins>,
    /// The bytes will be worked on and are to be in memory: a map is for those who hand them on.
    pub(crate) copied: bool,
    /// The priority of the check, as `nice` counts.
    pub(crate) nice: u8,
    pub(crate) range: range::Ask,
    /// Of a body that is not wanted nothing needs to be read.
    pub(crate) conditions: Conditions,
    pub(crate) until: Instant,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The owner of the token exists and is not switched off. Of the token itself that is not asked here: an inactive
    /// one authenticates and has no permission.
    pub(crate) user_is_active: bool,
    /// What the token may do.
    pub(crate) authorization: Authorization,
}

impl Caller {
    /// Whether the caller may do this; 401 otherwise.
    pub(crate) fn require(&self, action: Action, resource: Resource) -> Result<(), Problem> {
        self.authorization.require(&Permission { action, resource }).map_err(denied)
    }

    /// Whether the caller may back up and restore; 401 otherwise.
    pub(crate) fn must_operate(&self) -> Result<(), Problem> {
        self.authorization.require_operator().map_err(denied)
    }
}

fn denied(denied: Denied) -> Problem {
    Problem::new(Code::Unauthorized, denied.to_string())
}
