//! What a verification found.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::file::digest::Digest;
use crate::units::Offset;

/// More findings than this of one file are counted, but not listed.
const LISTED_MAX: usize = 100;

/// A key is shown up to here in the text of a finding.
const KEY_SHOWN_MAX: usize = 200;

/// What is known of a file after it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes of the file.
    pub size: u64,
    /// What it holds.
    pub counts: Counts,
    /// Its BLAKE3, if that was asked for and all bytes could be read.
    pub digest: Option<Digest>,
    /// What contradicts the format: something is lost, or will be read wrong.
    pub damage: Findings,
    /// What the system refused to read; whether it is sound is not known.
    pub unreadable: Findings,
    /// What is odd and loses nothing: files of old versions may have it, or a crash explains it.
    pub notes: Findings,
}

/// What a file holds, as far as it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys of a TSM file.
    pub keys: u64,
    /// Blocks of a TSM file whose checksum was compared.
    pub blocks: u64,
    /// Values of a log, or those of a TSM file whose blocks were decoded.
    pub values: u64,
    /// Records of a tombstone.
    pub deletes: u64,
    /// Entries of a log.
    pub entries: u64,
}

/// Findings of one sort, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    listed: Vec<Finding>,
    unlisted: u64,
}

/// One thing that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing.
    pub kind: FindingKind,
    /// What it is, in words.
    pub what: &'static str,
    /// The first byte it is about, from the start of the file.
    pub offset: Offset,
    /// The key it is about, where there is one.
    pub key: Option<Arc<[u8]>>,
}

/// The sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// Magic or version of a file.
    Header,
    /// The end of a file, which says where its index begins.
    Footer,
    /// Keys or entries that are cut off, out of order or impossible.
    Index,
    /// An entry points outside the blocks.
    Outside,
    /// Blocks lie over each other.
    Shared,
    /// Bytes between the blocks that belong to no key.
    Unclaimed,
    /// A block's checksum is wrong.
    Checksum,
    /// A block's checksum is right, but it does not decode.
    Encoding,
    /// A block is not what the index says of it, or its times go back.
    Mismatch,
    /// A note: blocks of a key overlap in time. Readers merge them.
    Overlap,
    /// A note: the index states a last time that is later than the block's.
    LateEnd,
    /// A note: a block has a time twice.
    RepeatedTime,
    /// A page is not what the file's sums say.
    Page,
    /// A tombstone cannot be read.
    Tombstone,
    /// A log entry cannot be read.
    Log,
    /// A note: the end of a log that a crash left of a write that was never acknowledged.
    TornTail,
    /// The system refused to read.
    Unreadable,
}

/// Where a finding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Damage,
    Unreadable,
    Note,
}

impl FindingKind {
    /// A short name for machines, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Footer => "footer",
            Self::Index => "index",
            Self::Outside => "outside",
            Self::Shared => "shared",
            Self::Unclaimed => "unclaimed",
            Self::Checksum => "checksum",
            Self::Encoding => "encoding",
            Self::Mismatch => "mismatch",
            Self::Overlap => "overlap",
            Self::LateEnd => "late-end",
            Self::RepeatedTime => "repeated-time",
            Self::Page => "page",
            Self::Tombstone => "tombstone",
            Self::Log => "log",
            Self::TornTail => "torn-tail",
            Self::Unreadable => "unreadable",
        }
    }

    const fn weight(self) -> Weight {
        match self {
            Self::Overlap | Self::LateEnd | Self::RepeatedTime | Self::TornTail => Weight::Note,
            Self::Unreadable => Weight::Unreadable,
            _ => Weight::Damage,
        }
    }
}

impl Report {
    /// Whether all could be read, and nothing contradicts the format.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match finding.kind.weight() {
            Weight::Damage => self.damage.add(finding),
            Weight::Unreadable => self.unreadable.add(finding),
            Weight::Note => self.notes.add(finding),
        }
    }

    /// Adds an error that is about a place: `kind` where it is damage.
    pub(super) fn add_error(&mut self, kind: FindingKind, error: &Error, key: Option<&[u8]>) {
        self.add(Finding::of(kind, error, key));
    }

    /// Adds what another part of the same file had.
    pub(super) fn merge(&mut self, part: Self) {
        let Counts { keys, blocks, values, deletes, entries } = part.counts;
        self.counts.keys += keys;
        self.counts.blocks += blocks;
        self.counts.values += values;
        self.counts.deletes += deletes;
        self.counts.entries += entries;
        self.digest = self.digest.or(part.digest);
        self.damage.merge(part.damage);
        self.unreadable.merge(part.unreadable);
        self.notes.merge(part.notes);
    }
}

impl Findings {
    /// The first hundred or so.
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// How many more there are.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.unlisted.saturating_add(self.listed.len() as u64)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Keeps the list in the order of places, and the first ones in it.
    fn add(&mut self, mut finding: Finding) {
        let at = self.listed.partition_point(|listed| listed.offset <= finding.offset);
        if at < LISTED_MAX {
            // Where an index leads astray, a key can be long, and each of its entries is a finding: it is kept once.
            let known = self.listed.iter().find(|listed| listed.key == finding.key);
            if let Some(known) = known {
                finding.key.clone_from(&known.key);
            }
            self.listed.insert(at, finding);
        }
        if at >= LISTED_MAX || self.listed.len() > LISTED_MAX {
            self.unlisted += 1;
            self.listed.truncate(LISTED_MAX);
        }
    }

    fn merge(&mut self, other: Self) {
        self.unlisted += other.unlisted;
        other.listed.into_iter().for_each(|finding| self.add(finding));
    }
}

impl Finding {
    pub(super) fn new(kind: FindingKind, what: &'static str, offset: Offset) -> Self {
        Self { kind, what, offset, key: None }
    }

    pub(super) fn of(kind: FindingKind, error: &Error, key: Option<&[u8]>) -> Self {
        let offset = error.offset().unwrap_or_default();
        let finding = match error.kind() {
            ErrorKind::Corrupt(what) | ErrorKind::Unfit(what) => Self::new(kind, what, offset),
            ErrorKind::Version(_) => Self::new(kind, "a version that is not known here", offset),
            ErrorKind::Feature(_) => Self::new(kind, "needs a feature that is not known here", offset),
            ErrorKind::Io | ErrorKind::Unavailable => {
                Self::new(FindingKind::Unreadable, "the system refused to read it", offset)
            }
        };
        Self { key: key.map(Into::into), ..finding }
    }

    pub(super) fn about(self, key: &[u8]) -> Self {
        Self { key: Some(key.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)?;
        match &self.key {
            Some(key) => write!(f, " (key {})", ShownKey(key)),
            None => Ok(()),
        }
    }
}

/// A key, in a line of text: as it is when it is UTF-8 without control characters, else as `b"…"`, where every byte that is
/// not printable ASCII, and the backslash, is escaped. A long one is cut, and its length told.
#[derive(Clone, Copy, Debug)]
pub struct ShownKey<'a>(pub &'a [u8]);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_cut = self.0.len() > KEY_SHOWN_MAX;
        match std::str::from_utf8(self.0).ok().filter(|text| !text.contains(char::is_control)) {
            Some("") => f.write_str("\"\"")?,
            Some(text) => f.write_str(text.get(..text.floor_char_boundary(KEY_SHOWN_MAX)).unwrap_or(text))?,
            None => {
                let shown = self.0.get(..KEY_SHOWN_MAX).unwrap_or(self.0);
                write!(f, "b\"{}\"", shown.escape_ascii())?;
            }
        }
        if is_cut { write!(f, "… of {} bytes", self.0.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_by_place_are_listed_in_whatever_order_they_come() {
        let finding = |at| Finding::new(FindingKind::Checksum, "wrong", Offset::new(at));
        let mut report = Report::default();
        (0..250u64).map(|at| at * 7919 % 250).for_each(|at| report.add(finding(at)));
        let places: Vec<_> = report.damage.listed().iter().map(|finding| finding.offset.get()).collect();
        assert_eq!(places, (0..100).collect::<Vec<_>>());
        assert_eq!((report.damage.unlisted(), report.damage.count()), (150, 250));
        let mut other = Report::default();
        other.add(finding(1));
        other.merge(report);
        assert_eq!((other.damage.listed().len(), other.damage.count()), (100, 251));
    }

    #[test]
    fn keys_that_are_not_text_are_marked_and_long_ones_cut() {
        let shown = |key: &[u8]| ShownKey(key).to_string();
        assert_eq!(shown("cpu,host=é\\ b#!~#f".as_bytes()), "cpu,host=é\\ b#!~#f");
        assert_eq!(shown(b"cpu\n#!~#\xff"), "b\"cpu\\n#!~#\\xff\"");
        let long = "é".repeat(150);
        assert_eq!(shown(long.as_bytes()), format!("{}… of 300 bytes", "é".repeat(100)));
    }
}
