//! The setup of a server: its first user, organization, bucket and operator token.
//!
//! Invariant: everything is decided and every record made before anything is written; what is refused leaves no trace.

mod error;
mod records;
mod request;

use std::fmt;

use icecore_kvstore::{Tx, View};

pub use error::{OnboardError, OnboardErrorKind};
pub use request::OnboardRequest;

use crate::authorization::Authorization;
use crate::catalog::Catalog;
use crate::change;
use crate::contents::Record;
use crate::error::Result;
use crate::random::Random;
use crate::record::{Bucket, Organization, User};

/// What a setup made, and the records that must be written for it to be true.
pub struct Onboarded {
    /// The first user, who owns the organization and the instance.
    pub user: User,
    /// The organization.
    pub org: Organization,
    /// The bucket that was asked for; `_tasks` and `_monitoring` come with the organization.
    pub bucket: Bucket,
    /// The operator token, in clear here and, with hashing on, nowhere else.
    pub auth: Authorization,
    records: Vec<Record>,
}

impl Onboarded {
    /// The records to write, all at once or none.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Writes the records.
    ///
    /// # Errors
    /// A damaged store, or a record beyond the limits of one.
    pub fn write(&self, tx: &mut Tx<'_>) -> Result<()> {
        change::put(tx, &self.records)
    }
}

impl fmt::Debug for Onboarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onboarded")
            .field("user", &self.user)
            .field("org", &self.org)
            .field("bucket", &self.bucket)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Makes the records of a setup for the store in `view`. Nothing is written: [`Onboarded::write`] does that, in a
/// transaction that was begun before the view was taken, so that nothing comes in between. `now_ns` is in nanoseconds since 1970; with
/// `hash_tokens` the records hold only the hash of the token.
///
/// Takes about a tenth of a second: the hash of the password is slow on purpose.
///
/// # Errors
/// The store is set up already, the request is not valid, or the store is damaged; in this order.
pub fn onboard(
    view: &View,
    request: &OnboardRequest,
    now_ns: i64,
    random: &mut dyn Random,
    hash_tokens: bool,
) -> Result<Onboarded, OnboardError> {
    let catalog = Catalog::new(view.clone());
    if !catalog.is_onboarding()? {
        return Err(OnboardError::Completed);
    }
    let valid = request.validate(&catalog, hash_tokens)?;
    Ok(records::make(&valid, catalog.storage_meta()?, now_ns, random, hash_tokens)?)
}
