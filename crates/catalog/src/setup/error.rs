//! Why a setup is refused, with the texts that influxd answers.

use crate::error::Error;

/// Why a server was not set up. `Display` is the message of the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnboardError {
    /// There is a user or an organization already.
    #[error("onboarding has already been completed")]
    Completed,
    /// Fields that are needed and empty: of `username`, `org` and `bucket`, in this order.
    #[error("onboarding failed: missing required fields [{}]", .0.join(","))]
    Missing(Vec<&'static str>),
    /// A password is given and not 8 to 72 bytes long.
    #[error("passwords must be between 8 and 72 characters long")]
    Password,
    /// The organization's name is nothing but white space.
    #[error("org name is empty")]
    BlankOrganization,
    /// The bucket's name begins like those of the system.
    #[error("bucket name {0} is invalid. Buckets may not start with underscore")]
    Underscore(String),
    /// The bucket's name contains `"`.
    #[error("bucket name {0} is invalid. Bucket names may not include quotation marks")]
    QuotationMark(String),
    /// The retention is negative or, not being 0, less than an hour.
    #[error("retention policy duration must be at least 1h0m0s")]
    ShortRetention,
    /// The retention in nanoseconds does not fit into 64 bits.
    #[error("retention period must be at most 9223372036 seconds")]
    LongRetention,
    /// A name or token longer than a key of the store can be.
    #[error("{field} must be at most {max_bytes} bytes long")]
    TooLong {
        /// The field of the request.
        field: &'static str,
        /// The limit.
        max_bytes: usize,
    },
    /// The token has the form of a stored hash or of a web token; a server would refuse it ever after.
    #[error("token must not have the form $name$hash or that of a JSON Web Token")]
    UnusableToken,
    /// A record of that token is left from before.
    #[error("token already exists")]
    TokenExists,
    /// The store is damaged, or there are no random bytes.
    #[error(transparent)]
    Catalog(#[from] Error),
}

impl From<icecore_kvstore::Error> for OnboardError {
    fn from(error: icecore_kvstore::Error) -> Self {
        Self::Catalog(error.into())
    }
}

/// What the caller can do; each is one `code` of the HTTP contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnboardErrorKind {
    /// It is done already: `conflict`.
    Conflict,
    /// The request lacks something or asks for the impossible: `unprocessable entity`.
    Unprocessable,
    /// A value breaks a rule: `invalid`.
    Invalid,
    /// Not the client's fault: `internal error`.
    Internal,
}

impl OnboardError {
    /// What the caller can do.
    pub fn kind(&self) -> OnboardErrorKind {
        match self {
            Self::Completed | Self::TokenExists => OnboardErrorKind::Conflict,
            Self::Missing(_) | Self::ShortRetention | Self::LongRetention => OnboardErrorKind::Unprocessable,
            Self::Password
            | Self::BlankOrganization
            | Self::Underscore(_)
            | Self::QuotationMark(_)
            | Self::TooLong { .. }
            | Self::UnusableToken => OnboardErrorKind::Invalid,
            Self::Catalog(_) => OnboardErrorKind::Internal,
        }
    }
}
