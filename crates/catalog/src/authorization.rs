//! A token's record: whose it is and what it may do.
//!
//! Invariant: a record holds the token or its hash; on a store with hashing on, only the hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::permission::{Permission, StoredPermission, operator_permissions};
use crate::record::{Status, Stored};
use crate::time::Time;
use crate::token;

/// A token and its permissions. `Debug` shows neither the token nor its hash.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Authorization {
    /// A snowflake.
    pub id: Id,
    /// In clear: of a store without hashing, and of a token that was made just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `$influxdb2-sha256$…` or `$influxdb2-sha512$…`.
    #[serde(rename = "hashedToken", skip_serializing_if = "Option::is_none")]
    pub hashed_token: Option<String>,
    /// An inactive token authenticates, but has no permission.
    pub status: Status,
    /// For people.
    pub description: String,
    /// The organization it belongs to.
    #[serde(rename = "orgID")]
    pub org_id: Id,
    /// The user it belongs to.
    #[serde(rename = "userID", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Id>,
    /// What it may do; permissions of a kind that this build does not know are left out.
    pub permissions: Vec<Permission>,
    /// When it was created.
    #[serde(rename = "createdAt")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(rename = "updatedAt")]
    pub updated_at: Time,
}

/// Why a token may not do something. `Display` is the message of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token was switched off.
    #[error("token is inactive")]
    Inactive,
    /// No permission of the token allows this.
    #[error("{0} is unauthorized")]
    Unauthorized(Permission),
}

impl Authorization {
    /// Whether this token may do `wanted`.
    ///
    /// # Errors
    /// The token is inactive, or none of its permissions is wide enough.
    pub fn require(&self, wanted: &Permission) -> Result<(), Denied> {
        if self.status == Status::Inactive {
            return Err(Denied::Inactive);
        }
        if self.permissions.iter().any(|held| held.allows(wanted)) {
            return Ok(());
        }
        Err(Denied::Unauthorized(*wanted))
    }

    /// Whether this token may back up and restore: it needs all [`operator_permissions`].
    ///
    /// # Errors
    /// The token is inactive, or the first permission that it lacks.
    pub fn require_operator(&self) -> Result<(), Denied> {
        operator_permissions().try_for_each(|wanted| self.require(&wanted))
    }

    /// Whether this record is about the presented token. The token in clear decides if the record has both.
    pub(crate) fn is_of(&self, presented: &str) -> bool {
        match (&self.token, &self.hashed_token) {
            (Some(token), _) => token::same(token, presented),
            (None, Some(hash)) => token::stored_forms(presented).iter().any(|form| token::same(hash, form)),
            (None, None) => false,
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("description", &self.description)
            .field("org_id", &self.org_id)
            .field("user_id", &self.user_id)
            .field("permissions", &self.permissions.len())
            .finish_non_exhaustive()
    }
}

/// The record as it is stored.
#[derive(Deserialize)]
pub(crate) struct StoredAuthorization {
    id: Id,
    #[serde(default)]
    token: String,
    #[serde(default, rename = "hashedToken")]
    hashed_token: String,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    description: String,
    #[serde(rename = "orgID")]
    org_id: Id,
    #[serde(rename = "userID")]
    user_id: Option<Id>,
    #[serde(default)]
    permissions: Option<Vec<StoredPermission>>,
    #[serde(default, rename = "createdAt")]
    created_at: Time,
    #[serde(default, rename = "updatedAt")]
    updated_at: Time,
}

impl Stored for StoredAuthorization {
    const BUCKET: &'static str = crate::buckets::AUTHORIZATIONS;

    fn id(&self) -> Id {
        self.id
    }
}

impl From<StoredAuthorization> for Authorization {
    fn from(stored: StoredAuthorization) -> Self {
        let not_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: stored.id,
            token: not_empty(stored.token),
            hashed_token: not_empty(stored.hashed_token),
            status: stored.status.unwrap_or_default(),
            description: stored.description,
            org_id: stored.org_id,
            user_id: stored.user_id,
            permissions: stored.permissions.iter().flatten().filter_map(StoredPermission::known).collect(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"id":"11ad253a45f97000","token":"raw","status":"active","description":"d","orgID":"3cf68875e08c1800","permissions":[{"action":"read","resource":{"type":"buckets","orgID":"3cf68875e08c1800"}},{"action":"read","resource":{"type":"flows"}},{"action":"admin","resource":{"type":"buckets"}}],"createdAt":"2026-11-22T18:49:28.59968772Z","updatedAt":"2026-11-22T18:49:28.59968772Z"}"#;

    fn decode(json: &str) -> Authorization {
        StoredAuthorization::decode(b"11ad253a45f97000", json.as_bytes()).unwrap().into()
    }

    #[test]
    fn a_permission_of_an_unknown_kind_allows_nothing_and_fails_nothing() {
        let authorization = decode(RECORD);
        assert_eq!(authorization.permissions.len(), 1);
        let denied = authorization.require_operator().unwrap_err();
        assert_eq!(denied.to_string(), "read:authorizations is unauthorized");
    }

    #[test]
    fn an_operator_without_the_last_permission_is_told_which() {
        let mut authorization = decode(RECORD);
        authorization.permissions = operator_permissions().take(43).collect();
        let denied = authorization.require_operator().unwrap_err();
        assert_eq!(denied.to_string(), "write:replications is unauthorized");
        authorization.permissions = operator_permissions().collect();
        assert_eq!(authorization.require_operator(), Ok(()));
        authorization.status = Status::Inactive;
        assert_eq!(authorization.require_operator().unwrap_err().to_string(), "token is inactive");
    }

    #[test]
    fn the_token_in_clear_decides_when_a_record_has_both() {
        let mut authorization = decode(RECORD);
        assert!(authorization.is_of("raw") && !authorization.is_of("other"));
        authorization.hashed_token = Some(token::sha256("other"));
        assert!(!authorization.is_of("other"));
        authorization.token = None;
        assert!(authorization.is_of("other"));
        authorization.hashed_token = token::stored_forms("third").into_iter().next_back();
        assert!(authorization.is_of("third") && !authorization.is_of("other"));
        authorization.hashed_token = None;
        assert!(!authorization.is_of(""));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let mut authorization = decode(RECORD);
        authorization.token = Some("clear-secret".into());
        authorization.hashed_token = Some("hash-secret".into());
        assert!(!format!("{authorization:?}").contains("secret"));
    }
}
