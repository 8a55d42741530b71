use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::units::Place;
use crate::{Offset, PageId};

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed, and where: an error about a file names the file and, when it is about bytes, the page and the
/// first of them.
///
/// One word wide. `Display` prints this level; [`source`](std::error::Error::source) has the system's reason.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    path: Option<PathBuf>,
    place: Option<Place>,
    source: Option<io::Error>,
}

/// Kinds are split by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The system refused the call; the file itself is not suspect.
    Io,
    /// Another process holds the lock of the file: wait, or stop that process.
    Locked,
    /// The bytes contradict the format; the text says which check failed.
    Corrupt(&'static str),
    /// A Bolt file of a version that this build does not read.
    Version(u32),
    /// The caller's data or call does not fit; the text says which limit it broke. Nothing was written.
    Unfit(&'static str),
    /// The new content was built upon a state that has been replaced since: build it again.
    Stale,
    /// An earlier write or sync of this file failed: this handle writes no more. What was committed can still be read;
    /// open the file again to go on.
    Poisoned,
    /// Another process wrote to the file in spite of the lock; what was read of it may be a mixture.
    Changed,
    /// The new file is in place and served, but its name could not be synced: a power loss may bring the old one back.
    NotDurable,
}

impl Error {
    fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, path: None, place: None, source: None }))
    }

    pub(crate) fn corrupt(what: &'static str, place: Place) -> Self {
        let mut error = Self::new(ErrorKind::Corrupt(what));
        error.0.place = Some(place);
        error
    }

    pub(crate) fn version(found: u32, place: Place) -> Self {
        let mut error = Self::new(ErrorKind::Version(found));
        error.0.place = Some(place);
        error
    }

    pub(crate) fn unfit(what: &'static str) -> Self {
        Self::new(ErrorKind::Unfit(what))
    }

    pub(crate) fn stale(path: &Path) -> Self {
        Self::new(ErrorKind::Stale).in_file(path)
    }

    pub(crate) fn poisoned(path: &Path) -> Self {
        Self::new(ErrorKind::Poisoned).in_file(path)
    }

    pub(crate) fn changed(path: &Path) -> Self {
        Self::new(ErrorKind::Changed).in_file(path)
    }

    pub(crate) fn io(source: io::Error, path: &Path) -> Self {
        Self::with_source(ErrorKind::Io, source, path)
    }

    /// A failed write to a file whose name the caller adds.
    pub(crate) fn write(source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io);
        error.0.source = Some(source);
        error
    }

    /// A failed attempt to lock `path`: held by another process, or refused by the system.
    pub(crate) fn lock(source: io::Error, path: &Path) -> Self {
        let held = source.kind() == io::ErrorKind::WouldBlock;
        Self::with_source(if held { ErrorKind::Locked } else { ErrorKind::Io }, source, path)
    }

    pub(crate) fn not_durable(source: io::Error, path: &Path) -> Self {
        Self::with_source(ErrorKind::NotDurable, source, path)
    }

    fn with_source(kind: ErrorKind, source: io::Error, path: &Path) -> Self {
        let mut error = Self::new(kind);
        error.0.source = Some(source);
        error.in_file(path)
    }

    /// Names the file, unless a deeper level has named one already.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.path.get_or_insert_with(|| path.to_owned());
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

    /// The page the error is about.
    pub fn page(&self) -> Option<PageId> {
        self.0.place.map(|place| place.page)
    }

    /// The first byte the error is about, counted from the start of the file.
    pub fn offset(&self) -> Option<Offset> {
        self.0.place.map(|place| place.offset)
    }

    /// Whether bytes on disk are damaged, as opposed to a failing call or a caller's mistake.
    pub fn is_damage(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Corrupt(_) | ErrorKind::Version(_))
    }

    /// What was found wrong, and where, when it is about bytes of the file.
    pub(crate) fn finding(&self) -> Option<(&'static str, Place)> {
        let what = match self.0.kind {
            ErrorKind::Corrupt(what) => what,
            ErrorKind::Version(_) => "an unknown version",
            _ => return None,
        };
        Some((what, self.0.place?))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(f, "{}: ", path.display())?;
        }
        match self.0.kind {
            ErrorKind::Io => f.write_str("the system refused")?,
            ErrorKind::Locked => f.write_str("locked by another process")?,
            ErrorKind::Corrupt(what) => write!(f, "damaged: {what}")?,
            ErrorKind::Version(found) => write!(f, "unknown version {found}")?,
            ErrorKind::Unfit(what) => f.write_str(what)?,
            ErrorKind::Stale => f.write_str("the state this was built upon has been replaced")?,
            ErrorKind::Poisoned => f.write_str("an earlier write failed, open the file again")?,
            ErrorKind::Changed => f.write_str("another process wrote to the file in spite of the lock")?,
            ErrorKind::NotDurable => f.write_str("replaced, but the new name is not known to be durable")?,
        }
        match self.0.place {
            Some(Place { page, offset }) => write!(f, ", page {page}, byte {offset}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>(), "one word wide");
