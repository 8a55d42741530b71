//! What a check found.

use std::fmt;

use crate::error::Error;
use crate::units::Place;
use crate::{Offset, PageId, TxId};

/// More than this many problems, and as many notes, are counted but not listed.
const LISTED_MAX: usize = 100;

/// What [`View::check`](crate::View::check) found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The transaction whose state was checked.
    pub txid: TxId,
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages below the high-water mark.
    pub pages: u64,
    /// Pages that are reached from the root, with the two metas and the freelist's own.
    pub used: u64,
    /// Pages that hold nothing.
    pub free: u64,
    /// Buckets at any level.
    pub buckets: u64,
    /// Pairs in all buckets.
    pub pairs: u64,
    /// How many pages were compared with their digests; `None`: the file has no digests that could be used
    /// ([`Store::keep_digests`](crate::Store::keep_digests)).
    pub digests: Option<u64>,
    /// What contradicts the format or its digest, by place; the first hundred found.
    pub problems: Vec<Problem>,
    /// How many more problems there were.
    pub problems_unlisted: u64,
    /// What is odd and may still be as it was meant: a damaged second meta page (a commit that was cut short leaves one);
    /// a branch's key that is below the first key of its child, where bbolt writes the same;
    /// bytes behind the last element of a page, which bbolt leaves zero (a length before them may be too small); a value
    /// in the form of a bucket (it may have been one); digests that could not be used; a page that is not used, or the
    /// rest of a meta page, that is not what was written.
    pub notes: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(txid: TxId, page_size: u32, pages: u64) -> Self {
        let (problems, notes) = (Vec::new(), Vec::new());
        let (used, free, buckets, pairs, problems_unlisted) = (0, 0, 0, 0, 0);
        let digests = None;
        Self {
            txid,
            page_size,
            pages,
            used,
            free,
            buckets,
            pairs,
            digests,
            problems,
            problems_unlisted,
            notes,
        }
    }

    /// Whether nothing contradicts the format or the digests. Without digests, flipped bits inside keys and values pass:
    /// Bolt pages have no checksum.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The first problem as an error.
    pub(crate) fn error(&self) -> Option<Error> {
        self.problems.first().map(|problem| Error::corrupt(problem.what, problem.place))
    }

    /// Lists what an error found; one that is not about bytes cannot come from a check.
    pub(crate) fn problem(&mut self, error: &Error) {
        let Some(problem) = Problem::of(error) else { return };
        if self.problems.len() < LISTED_MAX {
            self.problems.push(problem);
        } else {
            self.problems_unlisted += 1;
        }
    }

    pub(crate) fn note(&mut self, what: &'static str, place: Place) {
        if self.notes.len() < LISTED_MAX {
            self.notes.push(Problem { what, place });
        }
    }

    pub(crate) fn sort(&mut self) {
        self.problems.sort_by_key(|problem| problem.place);
        self.notes.sort_by_key(|note| note.place);
    }
}

/// One thing that a check found, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    what: &'static str,
    place: Place,
}

impl Problem {
    /// What an error found; one that is not about bytes of the file found nothing.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        error.finding().map(|(what, place)| Self { what, place })
    }

    /// Which rule of the format is broken.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The page it is on.
    pub fn page(&self) -> PageId {
        self.place.page
    }

    /// The first byte it is about, counted from the start of the file.
    pub fn offset(&self) -> Offset {
        self.place.offset
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}, byte {}: {}", self.place.page, self.place.offset, self.what)
    }
}
