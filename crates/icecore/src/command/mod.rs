//! The subcommands.

pub(crate) mod export;
pub(crate) mod serve;

use std::io;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Database(#[from] icecore::Error),
    #[error("{what}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// Whether the data is damaged, as opposed to a call that failed.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_damage())
    }
}

/// Names what was being done when the system refused.
pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    move |source| Failure::Io { what, source }
}
