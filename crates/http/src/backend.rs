//! What the service asks of a data directory: the one seam between HTTP and the crates below.
//!
//! All calls block and are made on blocking threads.

use std::time::Instant;

use bytes::Bytes;
use icecore_backup::{Boundary, Selection};

use crate::download::Download;
use crate::problem::Problem;

/// A data directory, or a double of one in tests.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Whose token this is; `None` if nobody's.
    fn caller(&self, token: &str) -> Result<Option<Caller>, Problem>;

    /// Whether setup is open.
    fn is_onboarding(&self) -> Result<bool, Problem>;

    /// Sets up from the JSON of a request; the JSON of the answer.
    fn onboard(&self, request: &[u8]) -> Result<Bytes, Problem>;

    fn kv(&self) -> Result<Download, Problem>;

    fn metadata(&self, boundary: &Boundary) -> Result<Download, Problem>;

    /// Checks what it will send until `until` at the latest, so that known damage is a status and not a broken body.
    fn shard(&self, id: u64, selection: &Selection, until: Instant) -> Result<Download, Problem>;
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The owner of the token exists and is not switched off. Of the token itself that is not asked here: an inactive
    /// one authenticates and has no permission.
    pub(crate) user_is_active: bool,
    /// Why not, in words for the answer.
    pub(crate) may_operate: Result<(), String>,
}
