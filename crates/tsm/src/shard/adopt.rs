//! Who is right when a shard is opened: its manifest or its directory (design D2). A plan, made of names, lengths and
//! times alone; nothing is read or changed here.
//!
//! Invariant: every TSM file of the listing is opened, removed, set aside or named as damaged, and only one that the
//! manifest says is replaced is removed.
//!
//! ```text
//! a TSM file is …                 only we ran                            influxd may have run
//! listed, of that length          open, by the listed digest             the same, if its time is the listed one, too
//! listed, of another length       damage                                 adopt: influxd wrote it
//! listed and not there            damage                                 gone: influxd compacted or deleted it
//! listed, and now `….tsm.bad`     damage                                 damage: influxd could not read it
//! listed as replaced              remove                                 adopt
//! in no list                      set aside, and reported                adopt
//! there without any manifest      adopt, unless sums lie there: damage   adopt
//!
//! its tombstone is …
//! listed, of that length          by the listed digest, unless newer     the same, if its time is the listed one, too
//! newer, or in no list            taken: a delete was not listed yet     taken: influxd deleted
//! of another length and not newer damage                                 taken
//! listed and not there            damage: deleted points would return    damage, unless the file is gone or adopted
//! without its file                removed if replaced, else set aside    set aside
//! ```
//!
//! Adopted files are checked as a whole before they are listed, and get new sums. A shard has no manifest before its first
//! flush, and its files get their sums with it: where sums lie without a manifest, that was lost. If influxd may have run that
//! is no damage, unless our log has points: which of them are in files, only the manifest knew. Sums without a file that
//! is opened by the list can always be made again, and are removed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use icecore_disk::Stat;

use crate::error::Error;
use crate::file::digest::Digest;
use crate::file::name::FileName;
use crate::format::manifest::{self, Manifest, Sealed};
use crate::format::sums::Sums;
use crate::units::Offset;

/// What is wrong where there are sums and no manifest.
pub(super) const LOST_MANIFEST: &str = "the manifest is missing";

/// How influxd ends the name of a TSM file that it could not read.
const BAD: &str = ".tsm.bad";

/// What is believed where manifest and directory differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Only we wrote to the directory since the manifest was: the manifest is right.
    Manifest,
    /// influxd may have written: the directory is right, and the manifest where both agree.
    Directory,
}

/// The files of a shard's data directory that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    tsm: BTreeMap<FileName, Stat>,
    tombstones: BTreeMap<FileName, Stat>,
    sums: BTreeMap<FileName, Stat>,
    /// TSM files that influxd could not read when it started, and gave this name.
    bad: BTreeSet<FileName>,
    /// Names that end as those of TSM files do, and are not two numbers. influxd reads them.
    odd: BTreeSet<String>,
}

/// What to do with a shard. Where there is damage, nothing is removed or set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The files whose points count, by name.
    pub open: Vec<Found>,
    /// What is wrong.
    pub damage: Vec<Fault>,
    /// Files whose content is elsewhere: to be removed, now or later.
    pub remove: Vec<String>,
    /// Files that nobody knows: to be renamed (see [`aside`]) and reported. Their points do not count.
    pub set_aside: Vec<String>,
    /// Listed files that influxd removed.
    pub gone: Vec<FileName>,
    /// There must have been a manifest: there are sums.
    pub has_lost_manifest: bool,
}

/// What is wrong with a file, as far as its name, length and time tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name in the directory.
    pub file: String,
    /// What is wrong, in words.
    pub what: &'static str,
    /// The first byte that is.
    pub at: Offset,
}

/// A file to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Generation and sequence.
    pub name: FileName,
    /// What it is by the manifest; `None` for one to adopt, which is checked as a whole first.
    pub listed: Option<Digest>,
    /// Whether sums of the right length lie beside it. If not, they are made of the file and written.
    pub has_sums: bool,
    /// What lies beside it.
    pub tombstone: FoundTombstone,
}

/// The tombstone of a file to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundTombstone {
    /// There is none, and none is missing.
    None,
    /// It has this digest, by the manifest.
    Listed(Digest),
    /// One that the manifest does not know, or an older one of it: its own checks have to do, and the next manifest
    /// lists it.
    Unlisted,
}

impl Listing {
    /// Sorts the names of a directory; other files are left out. Directories must be left out by the caller.
    pub fn of<'n>(files: impl IntoIterator<Item = (&'n str, Stat)>) -> Self {
        let mut listing = Self::default();
        for (text, stat) in files {
            let stem = |end| text.strip_suffix(end).and_then(|stem| FileName::parse(&format!("{stem}.tsm")));
            if text.ends_with(".tsm") {
                match FileName::parse(text) {
                    Some(name) => drop(listing.tsm.insert(name, stat)),
                    None => drop(listing.odd.insert(text.to_owned())),
                }
            } else if let Some(name) = stem(".tombstone") {
                listing.tombstones.insert(name, stat);
            } else if let Some(name) = stem(".tsmsum") {
                listing.sums.insert(name, stat);
            } else if let Some(name) = stem(BAD) {
                listing.bad.insert(name);
            }
        }
        listing
    }
}

impl Plan {
    /// Decides. `manifest` is the one in the directory, if there is one.
    pub fn new(manifest: Option<&Manifest>, listing: &Listing, trust: Trust) -> Self {
        let none = Manifest::default();
        let mut planning =
            Planning { manifest: manifest.unwrap_or(&none), listing, trust, plan: Self::default() };
        if manifest.is_none() {
            planning.plan.has_lost_manifest = !listing.sums.is_empty();
            if trust == Trust::Manifest && planning.plan.has_lost_manifest {
                // What there is can be looked at, but nobody knows whether it is all.
                planning.fault(manifest::NAME.to_owned(), LOST_MANIFEST, Offset::START);
            }
            planning.trust = Trust::Directory;
        }
        planning.tsm_files();
        planning.missing_files();
        planning.what_lies_beside();
        planning.plan
    }

    /// Whether the manifest does not say what is opened, so that a new one has to be written.
    pub fn is_news(&self) -> bool {
        let is_news = |file: &Found| file.listed.is_none() || file.tombstone == FoundTombstone::Unlisted;
        !self.gone.is_empty() || self.open.iter().any(is_news)
    }

    /// What is wrong, as errors about files in `dir`.
    pub fn errors(&self, dir: &Path) -> impl Iterator<Item = Error> {
        self.damage
            .iter()
            .map(move |fault| Error::corrupt(fault.what, fault.at).in_file(&dir.join(&fault.file)))
    }
}

struct Planning<'a> {
    manifest: &'a Manifest,
    listing: &'a Listing,
    trust: Trust,
    plan: Plan,
}

impl Planning<'_> {
    fn fault(&mut self, file: String, what: &'static str, at: Offset) {
        self.plan.damage.push(Fault { file, what, at });
    }

    /// Every TSM file that is there.
    fn tsm_files(&mut self) {
        for (name, stat) in &self.listing.tsm {
            let live = self.manifest.live.get(name);
            match (self.trust, live) {
                (Trust::Manifest, Some(live)) if live.file.len == stat.size => self.open_listed(*name),
                (Trust::Manifest, Some(live)) => {
                    let what = "a file has another length than icecore.manifest says";
                    self.fault(name.to_string(), what, Offset::new(live.file.len.min(stat.size)));
                }
                (Trust::Manifest, None) if self.manifest.replaced.contains(name) => {
                    self.plan.remove.push(name.to_string());
                }
                (Trust::Manifest, None) => self.plan.set_aside.push(name.to_string()),
                (Trust::Directory, Some(live)) if is_same(&live.file, stat) => self.open_listed(*name),
                (Trust::Directory, _) => self.adopt(*name),
            }
        }
        for odd in &self.listing.odd {
            match self.trust {
                Trust::Manifest => self.plan.set_aside.push(odd.clone()),
                Trust::Directory => {
                    let what = "the name of a TSM file is not two numbers";
                    self.fault(odd.clone(), what, Offset::START);
                }
            }
        }
    }

    fn adopt(&mut self, name: FileName) {
        let tombstone = match self.listing.tombstones.contains_key(&name) {
            true => FoundTombstone::Unlisted,
            false => FoundTombstone::None,
        };
        self.plan.open.push(Found { name, listed: None, has_sums: false, tombstone });
    }

    fn open_listed(&mut self, name: FileName) {
        let Some(live) = self.manifest.live.get(&name) else { return };
        let sums_len = Sums::bytes_len(live.file.len);
        let has_sums = self.listing.sums.get(&name).is_some_and(|stat| stat.size == sums_len);
        let tombstone = self.tombstone(name, live.tombstone.as_ref());
        self.plan.open.push(Found { name, listed: Some(live.file.digest), has_sums, tombstone });
    }

    /// The tombstone of a listed file that is as it was.
    fn tombstone(&mut self, name: FileName, listed: Option<&Sealed>) -> FoundTombstone {
        let (listed, found) = match (listed, self.listing.tombstones.get(&name)) {
            (None, None) => return FoundTombstone::None,
            (None, Some(_)) => return FoundTombstone::Unlisted,
            (Some(_), None) => {
                let what = "a tombstone that icecore.manifest lists is missing";
                self.fault(name.tombstone(), what, Offset::START);
                return FoundTombstone::None;
            }
            (Some(listed), Some(found)) => (listed, found),
        };
        let is_newer = found.modified_ns > listed.modified_ns;
        match self.trust {
            _ if is_same(listed, found) => FoundTombstone::Listed(listed.digest),
            Trust::Directory => FoundTombstone::Unlisted,
            Trust::Manifest if is_newer => FoundTombstone::Unlisted,
            Trust::Manifest => {
                if listed.len != found.size {
                    let what = "a tombstone has another length than icecore.manifest says";
                    self.fault(name.tombstone(), what, Offset::new(listed.len.min(found.size)));
                }
                FoundTombstone::Listed(listed.digest)
            }
        }
    }

    /// Listed files that are not there.
    fn missing_files(&mut self) {
        for name in self.manifest.live.keys().filter(|name| !self.listing.tsm.contains_key(name)) {
            match self.trust {
                Trust::Manifest => {
                    let what = "a file that icecore.manifest lists is missing";
                    self.fault(name.to_string(), what, Offset::START);
                }
                Trust::Directory if self.listing.bad.contains(name) => {
                    let what = "influxd could not read a file that icecore.manifest lists, and set it aside";
                    self.fault(bad(*name), what, Offset::START);
                }
                Trust::Directory => self.plan.gone.push(*name),
            }
        }
    }

    /// Tombstones and sums of files that are not opened.
    fn what_lies_beside(&mut self) {
        let is_ours =
            |name: &FileName| self.trust == Trust::Manifest && self.manifest.live.contains_key(name);
        let opened: BTreeSet<_> = self.plan.open.iter().map(|file| file.name).collect();
        let is_left = |name: &&FileName| !opened.contains(*name) && !is_ours(name);
        for name in self.listing.tombstones.keys().filter(is_left) {
            match self.trust == Trust::Manifest && self.manifest.replaced.contains(name) {
                true => self.plan.remove.push(name.tombstone()),
                false => self.plan.set_aside.push(name.tombstone()),
            }
        }
        // Without a manifest sums say nothing, and would say later that it was lost.
        let is_forgotten = self.plan.has_lost_manifest && self.plan.damage.is_empty();
        let says_nothing = |name: &&FileName| is_left(name) || is_forgotten;
        let sums = self.listing.sums.keys().filter(says_nothing).map(|name| name.sums());
        self.plan.remove.extend(sums.collect::<Vec<_>>());
    }
}

/// The name that influxd gives a file that it cannot read.
fn bad(name: FileName) -> String {
    format!("{name}.bad")
}

/// Whether length and time are those that are listed.
fn is_same(listed: &Sealed, found: &Stat) -> bool {
    (listed.len, listed.modified_ns) == (found.size, found.modified_ns)
}

/// The name that a file is set aside under, the first one that is free: `<name>.stray`, `<name>.stray.2` and so on. Neither
/// influxd nor we read or remove such names.
pub fn aside(name: &str) -> impl Iterator<Item = String> {
    let numbered = (2u64..).map(move |n| format!(".{n}"));
    std::iter::once(String::new()).chain(numbered).map(move |end| format!("{name}.stray{end}"))
}
