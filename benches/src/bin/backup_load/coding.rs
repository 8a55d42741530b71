//! How a body travels.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// As `Content-Encoding` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What a client says that wants it.
    pub(crate) fn headers(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "Accept-Encoding: gzip\r\n",
            Self::Zstd => "Accept-Encoding: zstd\r\n",
        }
    }
}
