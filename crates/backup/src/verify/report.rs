//! What a verification found in a file, and all of it together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use icecore_tsm::verify::{self as tsm, Counts, ShownKey};
use icecore_tsm::{Digest, ErrorKind};

/// More findings of a file than this are counted but not listed.
const LISTED_MAX: usize = 100;

/// A file, or a file in an archive, that was verified.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The name inside the archive `path`.
    pub member: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// Bytes; in an archive those of the content.
    pub size: u64,
    /// What it holds.
    pub counts: Counts,
    /// The BLAKE3 of a file that a list of files names.
    pub digest: Option<Digest>,
    /// Of an archive: whether it has a list of its files. Without one it cannot be told whether it is complete.
    pub has_listing: Option<bool>,
    /// Something is lost, or would be read or restored wrong.
    pub damage: Findings,
    /// The system refused to read.
    pub unreadable: Findings,
    /// Odd, and nothing is lost by it.
    pub notes: Findings,
}

/// What is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A TSM file.
    Tsm,
    /// The deletes beside one.
    Tombstone,
    /// A segment of influxd's log.
    Log,
    /// A segment of Icecore's own log.
    OwnLog,
    /// `influxd.bolt`, or a copy of it.
    Bolt,
    /// `influxd.sqlite`, or a copy of it.
    Sqlite,
    /// A tar of a shard.
    Archive,
    /// The list of files in an archive.
    Listing,
    /// What `influx backup` writes beside its archives.
    Manifest,
    /// `icecore.manifest`: the list of live files of a shard.
    ShardManifest,
    /// `G-S.tsmsum`: the sums of a TSM file.
    Sums,
    /// `fields.idx`, in a shard that has an `icecore.manifest`.
    Fields,
}

/// Findings of one sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first hundred.
    pub listed: Vec<Finding>,
    /// How many more there are.
    pub unlisted: u64,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A short name for machines.
    pub kind: &'static str,
    /// What it is, in words.
    pub what: String,
    /// The first byte it is about, in the file or the member.
    pub offset: Option<u64>,
    /// The key it is about.
    pub key: Option<Arc<[u8]>>,
}

/// All reports together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, members of archives among them.
    pub files: u64,
    /// Their bytes; those of an archive count as those of its members.
    pub bytes: u64,
    /// What they hold.
    pub counts: Counts,
    /// Files with damage.
    pub damaged_files: u64,
    /// Damaged places.
    pub damage: u64,
    /// Places that the system refused to read.
    pub unreadable: u64,
    /// Odd things that lose nothing.
    pub notes: u64,
    /// Archives without a list of files: whether they are complete cannot be told.
    pub unlisted_archives: u64,
    /// Files that were seen but not verified, by what they are.
    pub not_verified: BTreeMap<&'static str, u64>,
}

/// What all comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything could be read, and nothing is damaged.
    Sound,
    /// Something is damaged.
    Damaged,
    /// Nothing that could be read is damaged, but not everything could be read.
    Unreadable,
}

impl FileKind {
    /// A short name for machines, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsm => "tsm",
            Self::Tombstone => "tombstone",
            Self::Log => "log",
            Self::OwnLog => "icecore-log",
            Self::Bolt => "bolt",
            Self::Sqlite => "sqlite",
            Self::Archive => "archive",
            Self::Listing => "listing",
            Self::Manifest => "manifest",
            Self::ShardManifest => "icecore-manifest",
            Self::Sums => "icecore-sums",
            Self::Fields => "fields",
        }
    }
}

impl FileReport {
    pub(super) fn new(path: impl Into<PathBuf>, kind: FileKind) -> Self {
        Self {
            path: path.into(),
            member: None,
            kind,
            size: 0,
            counts: Counts::default(),
            digest: None,
            has_listing: None,
            damage: Findings::default(),
            unreadable: Findings::default(),
            notes: Findings::default(),
        }
    }

    pub(super) fn of_member(path: impl Into<PathBuf>, member: impl Into<String>, kind: FileKind) -> Self {
        Self { member: Some(member.into()), ..Self::new(path, kind) }
    }

    /// Takes over what the engine found.
    pub(super) fn with(self, found: tsm::Report) -> Self {
        let mut report = self;
        let tsm::Report { size, counts, digest, damage, unreadable, notes, .. } = found;
        (report.size, report.counts, report.digest) = (size, counts, digest);
        report.damage.take(&damage);
        report.unreadable.take(&unreadable);
        report.notes.take(&notes);
        report
    }

    pub(super) fn damaged(&mut self, kind: &'static str, what: impl Into<String>, offset: Option<u64>) {
        self.damage.add(Finding { kind, what: what.into(), offset, key: None });
    }

    /// What the engine says of a file, without the file's name.
    pub(super) fn engine_error(&mut self, kind: &'static str, error: &icecore_tsm::Error) {
        let what = match error.kind() {
            ErrorKind::Corrupt(what) => what.to_owned(),
            ErrorKind::Version(found) => format!("unknown version {found}"),
            ErrorKind::Feature(bit) => format!("needs feature {bit}, which this version does not have"),
            _ => return self.unreadable(error.to_string()),
        };
        self.damaged(kind, what, error.offset().map(|offset| offset.get()));
    }

    pub(super) fn unreadable(&mut self, what: impl Into<String>) {
        self.unreadable.add(Finding { kind: "unreadable", what: what.into(), offset: None, key: None });
    }

    pub(super) fn note(&mut self, kind: &'static str, what: impl Into<String>) {
        self.notes.add(Finding { kind, what: what.into(), offset: None, key: None });
    }

    /// Whether all could be read, and nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.unreadable.is_empty()
    }

    /// The path; with a colon and the name inside, if it is an archive's member.
    pub fn name(&self) -> String {
        match &self.member {
            Some(member) => format!("{}:{member}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

impl Findings {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.unlisted.saturating_add(self.listed.len() as u64)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn add(&mut self, finding: Finding) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    fn take(&mut self, found: &tsm::Findings) {
        for tsm::Finding { kind, what, offset, key } in found.listed() {
            let (offset, key) = (Some(offset.get()), key.clone());
            self.add(Finding { kind: kind.name(), what: (*what).to_owned(), offset, key });
        }
        self.unlisted += found.unlisted();
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match &self.key {
            Some(key) => write!(f, " (key {})", ShownKey(key)),
            None => Ok(()),
        }
    }
}

impl Summary {
    pub(super) fn add(&mut self, report: &FileReport) {
        self.files += 1;
        if report.kind != FileKind::Archive {
            self.bytes += report.size;
        }
        let Counts { keys, blocks, values, deletes, entries } = report.counts;
        self.counts.keys += keys;
        self.counts.blocks += blocks;
        self.counts.values += values;
        self.counts.deletes += deletes;
        self.counts.entries += entries;
        self.damaged_files += u64::from(!report.damage.is_empty());
        self.damage += report.damage.count();
        self.unreadable += report.unreadable.count();
        self.notes += report.notes.count();
        self.unlisted_archives += u64::from(report.has_listing == Some(false));
    }

    /// What all comes to.
    pub fn verdict(&self) -> Verdict {
        match (self.damage, self.unreadable) {
            (0, 0) => Verdict::Sound,
            (0, _) => Verdict::Unreadable,
            _ => Verdict::Damaged,
        }
    }
}

impl Verdict {
    /// A word for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}
