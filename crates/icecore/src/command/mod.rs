//! The subcommands.

mod bolt;
pub(crate) mod check;
pub(crate) mod export;
pub(crate) mod flush;
pub(crate) mod generate;
mod human;
pub(crate) mod import;
pub(crate) mod inspect;
mod json;
mod progress;
pub(crate) mod serve;
pub(crate) mod verify;

use std::io;

use icecore_backup::verify::VerifyError;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Database(#[from] icecore::Error),
    #[error("{what}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Engine(#[from] icecore_tsm::Error),
    #[error(transparent)]
    KvStore(#[from] icecore_kvstore::Error),
    /// There is nothing of that name to work on.
    #[error("{0}")]
    Usage(String),
    /// What was looked at is damaged; where, was told already.
    #[error("{0}")]
    Damaged(String),
}

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const DAMAGED: u8 = 4;

impl Failure {
    /// How the process ends.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged(_) => DAMAGED,
            Self::Database(error) if error.is_damage() => DAMAGED,
            Self::Engine(error) if error.is_damage() => DAMAGED,
            Self::KvStore(error) if error.is_damage() => DAMAGED,
            Self::Verify(error) if error.is_usage() => WRONG_USAGE,
            Self::Usage(_) => WRONG_USAGE,
            _ => FAILED,
        }
    }
}

/// Names what was being done when the system refused.
pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    move |source| Failure::Io { what, source }
}
