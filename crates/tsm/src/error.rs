use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Offset;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed, and where: an error about a file names the file and, when it is about bytes, the first of them.
///
/// One word wide. `Display` prints this level; [`source`](std::error::Error::source) has the system's reason.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    path: Option<PathBuf>,
    offset: Option<Offset>,
    record: Option<u64>,
    source: Option<io::Error>,
}

/// Kinds are split by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The system refused the call; the file itself is not suspect.
    Io,
    /// The bytes contradict the format; the text says which check failed.
    Corrupt(&'static str),
    /// A well-formed file of a version that this build does not read.
    Version(u8),
    /// A well-formed file of our own that needs a feature, by the number of its bit, which this build does not have.
    Feature(u32),
    /// The caller's data does not fit the format; the text says which limit it broke. Nothing was written.
    Unfit(&'static str),
    /// A write was not acknowledged, for a reason that may pass; what it wrote does not count. Try again.
    Unavailable,
}

impl Error {
    fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, path: None, offset: None, record: None, source: None }))
    }

    pub(crate) fn corrupt(what: &'static str, at: Offset) -> Self {
        let mut error = Self::new(ErrorKind::Corrupt(what));
        error.0.offset = Some(at);
        error
    }

    pub(crate) fn version(found: u8, at: Offset) -> Self {
        let mut error = Self::new(ErrorKind::Version(found));
        error.0.offset = Some(at);
        error
    }

    pub(crate) fn feature(bit: u32, at: Offset) -> Self {
        let mut error = Self::new(ErrorKind::Feature(bit));
        error.0.offset = Some(at);
        error
    }

    pub(crate) fn unfit(what: &'static str) -> Self {
        Self::new(ErrorKind::Unfit(what))
    }

    pub(crate) fn io(source: io::Error, path: &Path) -> Self {
        Self::io_unnamed(source).in_file(path)
    }

    /// A write that failed and can be tried again.
    pub(crate) fn unavailable(source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable);
        error.0.source = Some(source);
        error
    }

    /// A refusal whose file a higher level names.
    pub(crate) fn io_unnamed(source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io);
        error.0.source = Some(source);
        error
    }

    /// Names the file, unless a deeper level has named one already.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// Names the record of a log that the error is about.
    pub(crate) fn in_record(mut self, number: u64) -> Self {
        self.0.record = Some(number);
        self
    }

    /// Turns a place inside a part of a file into one of the file; without a place, the start of the part.
    pub(crate) fn in_part(mut self, start: Offset) -> Self {
        let inside = self.0.offset.unwrap_or_default().get();
        self.0.offset = Some(start.checked_add(inside).unwrap_or(start));
        self
    }

    /// What went wrong, for callers that decide by it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file the error is about.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The first byte the error is about, counted from the start of the file.
    pub fn offset(&self) -> Option<Offset> {
        self.0.offset
    }

    /// The number of the record, when the error is about one of Icecore's own log.
    pub fn record(&self) -> Option<u64> {
        self.0.record
    }

    /// Whether bytes on disk are damaged, as opposed to a failing call or a caller's mistake.
    pub fn is_damage(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Corrupt(_) | ErrorKind::Version(_) | ErrorKind::Feature(_))
    }

    /// The same error once more: a known damage is reported to everyone who asks, and an I/O error's source does not
    /// clone, only its kind and text.
    pub(crate) fn again(&self) -> Self {
        let source = self.0.source.as_ref().map(|source| io::Error::new(source.kind(), source.to_string()));
        let Inner { kind, offset, record, .. } = *self.0;
        Self(Box::new(Inner { kind, path: self.0.path.clone(), offset, record, source }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(f, "{}: ", path.display())?;
        }
        match self.0.kind {
            ErrorKind::Io => f.write_str("the system refused")?,
            ErrorKind::Corrupt(what) => write!(f, "damaged: {what}")?,
            ErrorKind::Version(found) => write!(f, "unknown version {found}")?,
            ErrorKind::Feature(bit) => write!(f, "needs feature {bit}, which this version does not have,")?,
            ErrorKind::Unfit(what) => f.write_str(what)?,
            ErrorKind::Unavailable => f.write_str("not acknowledged; try again")?,
        }
        if let Some(record) = self.0.record {
            write!(f, " in record {record}")?;
        }
        match self.0.offset {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}
