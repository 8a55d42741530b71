//! Why the answers of a connection end early, as far as the connection knows.

use std::sync::OnceLock;

use super::Label;

/// Why a download ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The connection ended, and nobody here had ended it.
    ClientLeft,
    /// The client took less than it has to.
    TooSlow,
    /// What is sent could not be read, or is damaged.
    BrokenSource,
    /// The server had to stop.
    Stopped,
}

impl Reason {
    pub(super) const ALL: [Self; 4] = [Self::ClientLeft, Self::TooSlow, Self::BrokenSource, Self::Stopped];

    pub(super) fn label(self) -> Label {
        (
            "reason",
            match self {
                Self::ClientLeft => "client_left",
                Self::TooSlow => "too_slow",
                Self::BrokenSource => "broken_source",
                Self::Stopped => "stopped",
            },
        )
    }
}

/// Of one connection: why we ended it, if we did. Set before its answers are dropped.
#[derive(Debug, Default)]
pub(crate) struct Fate(OnceLock<Reason>);

impl Fate {
    /// The first reason counts.
    pub(crate) fn set(&self, reason: Reason) {
        self.0.get_or_init(|| reason);
    }

    pub(super) fn reason(&self) -> Reason {
        self.0.get().copied().unwrap_or(Reason::ClientLeft)
    }
}
