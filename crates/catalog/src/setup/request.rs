//! The request of a setup, and what makes it valid.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::error::OnboardError;
use crate::catalog::Catalog;
use crate::token;

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=72;
/// Keys of a Bolt file end at 32 KiB; bucket names share theirs with 16 digits of the organization.
const NAME_BYTES_MAX: usize = 32 * 1024 - 16;

/// The body of `POST /api/v2/setup`. Missing fields and `null` mean empty. `Debug` shows neither password nor token.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct OnboardRequest {
    /// Name of the first user.
    #[serde(deserialize_with = "or_default")]
    pub username: String,
    /// Empty: a user who cannot sign in.
    #[serde(deserialize_with = "or_default")]
    pub password: String,
    /// Name of the organization.
    #[serde(deserialize_with = "or_default")]
    pub org: String,
    /// Name of the bucket.
    #[serde(deserialize_with = "or_default")]
    pub bucket: String,
    /// Of the bucket; 0 is for ever. Not positive: see the next field.
    #[serde(rename = "retentionPeriodSeconds", deserialize_with = "or_default")]
    pub retention_period_seconds: i64,
    /// The older field: called hours by its name, and nanoseconds by what influxd does with it.
    #[serde(rename = "retentionPeriodHrs", deserialize_with = "or_default")]
    pub retention_period_hrs: i64,
    /// The operator token; made at random when it is missing or empty.
    pub token: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl fmt::Debug for OnboardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnboardRequest")
            .field("username", &self.username)
            .field("org", &self.org)
            .field("bucket", &self.bucket)
            .field("retention_period_seconds", &self.retention_period_seconds)
            .field("retention_period_hrs", &self.retention_period_hrs)
            .finish_non_exhaustive()
    }
}

/// A request that can be carried out.
pub(super) struct Valid<'r> {
    pub(super) username: &'r str,
    pub(super) password: Option<&'r str>,
    pub(super) org: &'r str,
    pub(super) bucket: &'r str,
    pub(super) retention_ns: i64,
    pub(super) token: Option<&'r str>,
}

impl OnboardRequest {
    pub(super) fn validate(&self, catalog: &Catalog, hash_tokens: bool) -> Result<Valid<'_>, OnboardError> {
        self.check_presence()?;
        let password = Some(self.password.as_str()).filter(|password| !password.is_empty());
        if password.is_some_and(|password| !PASSWORD_BYTES.contains(&password.len())) {
            return Err(OnboardError::Password);
        }
        self.check_names()?;
        let retention_ns = self.retention_ns()?;
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        if let Some(token) = token {
            check_token(token, catalog, hash_tokens)?;
        }
        Ok(Valid {
            username: &self.username,
            password,
            org: &self.org,
            bucket: &self.bucket,
            retention_ns,
            token,
        })
    }

    fn check_presence(&self) -> Result<(), OnboardError> {
        let fields = [("username", &self.username), ("org", &self.org), ("bucket", &self.bucket)];
        let missing: Vec<_> =
            fields.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| *name).collect();
        if missing.is_empty() { Ok(()) } else { Err(OnboardError::Missing(missing)) }
    }

    fn check_names(&self) -> Result<(), OnboardError> {
        check_length("username", &self.username)?;
        check_length("org", &self.org)?;
        check_length("bucket", &self.bucket)?;
        if self.org.trim().is_empty() {
            return Err(OnboardError::BlankOrganization);
        }
        if self.bucket.starts_with('_') {
            return Err(OnboardError::Underscore(self.bucket.clone()));
        }
        if self.bucket.contains('"') {
            return Err(OnboardError::QuotationMark(self.bucket.clone()));
        }
        Ok(())
    }

    fn retention_ns(&self) -> Result<i64, OnboardError> {
        let ns = if self.retention_period_seconds > 0 {
            self.retention_period_seconds.checked_mul(SECOND_NS).ok_or(OnboardError::LongRetention)?
        } else {
            self.retention_period_hrs
        };
        if ns == 0 || ns >= HOUR_NS { Ok(ns) } else { Err(OnboardError::ShortRetention) }
    }
}

fn check_token(token: &str, catalog: &Catalog, hash_tokens: bool) -> Result<(), OnboardError> {
    if !hash_tokens {
        check_length("token", token)?; // in clear it becomes a key
    }
    if token::is_stored_form(token) || token::is_jwt(token) {
        return Err(OnboardError::UnusableToken);
    }
    if catalog.token_id(token)?.is_some() {
        return Err(OnboardError::TokenExists);
    }
    Ok(())
}

fn check_length(field: &'static str, value: &str) -> Result<(), OnboardError> {
    if value.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(OnboardError::TooLong { field, max_bytes: NAME_BYTES_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(seconds: i64, hrs: i64) -> Result<i64, String> {
        let request = OnboardRequest {
            retention_period_seconds: seconds,
            retention_period_hrs: hrs,
            ..OnboardRequest::default()
        };
        request.retention_ns().map_err(|error| error.to_string())
    }

    #[test]
    fn a_retention_is_for_ever_or_an_hour_at_least() {
        assert_eq!(retention(0, 0), Ok(0));
        assert_eq!(retention(3600, 7), Ok(HOUR_NS));
        assert_eq!(retention(0, HOUR_NS), Ok(HOUR_NS));
        let too_short = Err("retention policy duration must be at least 1h0m0s".to_owned());
        for (seconds, hrs) in [(3599, 0), (0, HOUR_NS - 1), (0, -1), (-1, 1)] {
            assert_eq!(retention(seconds, hrs), too_short, "{seconds} {hrs}");
        }
        assert!(retention(9_223_372_036, 0).is_ok() && retention(9_223_372_037, 0).is_err());
    }

    #[test]
    fn null_and_missing_fields_are_empty() {
        let request: OnboardRequest =
            serde_json::from_str(r#"{"username":null,"retentionPeriodHrs":null,"token":null,"other":1}"#)
                .unwrap();
        assert_eq!((request.username.as_str(), request.retention_period_hrs, request.token), ("", 0, None));
    }
}
