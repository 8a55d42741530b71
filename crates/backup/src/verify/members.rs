//! The members of an archive: which there may be, what each holds, and whether they are those of its list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use icecore_disk::ReadAt;
use icecore_tsm::verify as tsm;
use icecore_tsm::{Digest, FileName, Listing};

use super::archive::Head;
use super::find::Target;
use super::report::{FileKind, FileReport};

/// The list of files is read up to this length: it has about a hundred bytes for each.
const LISTING_LEN_MAX: u64 = 64 << 20;

/// What a member is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Tsm(FileName),
    Tombstone,
    Listing,
}

impl Role {
    pub(super) fn is_listing(name: &str) -> bool {
        last_component(name).1 == Listing::NAME
    }
}

/// What was seen of an archive so far.
pub(super) struct Members<'a> {
    target: &'a Target,
    options: tsm::Options,
    archive: FileReport,
    members: Vec<FileReport>,
    files: BTreeMap<FileName, (u64, Option<Digest>)>,
    tombstones: Vec<String>,
    names: BTreeSet<String>,
    /// The directory of the first entry.
    directory: Option<String>,
    listing: Option<Listing>,
    has_listing: bool,
    is_cut: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(target: &'a Target, options: &tsm::Options) -> Self {
        Self {
            target,
            options: *options,
            archive: FileReport::new(&target.path, FileKind::Archive),
            members: Vec::new(),
            files: BTreeMap::new(),
            tombstones: Vec::new(),
            names: BTreeSet::new(),
            directory: None,
            listing: None,
            has_listing: false,
            is_cut: false,
        }
    }

    /// The report of the archive itself.
    pub(super) fn archive(&mut self) -> &mut FileReport {
        &mut self.archive
    }

    /// There is, or may be, a list to compare digests with.
    pub(super) fn want_digests(&mut self) {
        self.options.digest = true;
    }

    /// The archive ends at `size`, within this entry.
    pub(super) fn cut_within(&mut self, head: &Head, size: u64) {
        self.is_cut = true;
        self.archive.damaged("archive", format!("the archive is cut off within {}", head.name), Some(size));
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Looks at the head of an entry. `None` for one that no restore takes.
    pub(super) fn enter(&mut self, head: &Head) -> Option<Role> {
        let (directory, name) = last_component(&head.name);
        let role = match FileName::parse(name) {
            _ if !head.is_file => None,
            Some(name) => Some(Role::Tsm(name)),
            None if name == Listing::NAME => Some(Role::Listing),
            None if name.ends_with(".tombstone") => Some(Role::Tombstone),
            None => None,
        };
        if role.is_none() && name.ends_with(".tsm") {
            let what = format!("{} is not named like a TSM file of a shard", head.name);
            self.archive.damaged("name", what, Some(head.at));
        } else if role.is_none() {
            self.archive.note("ignored", format!("{} is no file that a restore takes", head.name));
        }
        let role = role?;
        if !self.names.insert(name.to_owned()) {
            self.archive.damaged("name", format!("{name} is there twice"), Some(head.at));
        }
        if self.has_listing {
            let what = format!("{name} lies behind the list of files, which is the last entry");
            self.archive.damaged("listing", what, Some(head.at));
        }
        self.compare_directory(directory, head);
        Some(role)
    }

    /// All files are of one shard, the one that a manifest wants.
    fn compare_directory(&mut self, directory: &str, head: &Head) {
        let wanted = self.target.prefix.as_deref().or(self.directory.as_deref());
        match wanted {
            Some(wanted) if wanted != directory => {
                let what = format!("{} is not in {wanted}/", head.name);
                self.archive.damaged("name", what, Some(head.at));
            }
            _ => {}
        }
        self.directory.get_or_insert_with(|| directory.to_owned());
    }

    /// Verifies the content of an entry; `digest` is its BLAKE3, if that is known already.
    pub(super) fn content(
        &mut self,
        head: &Head,
        role: &Role,
        content: &Arc<dyn ReadAt>,
        digest: Option<Digest>,
    ) {
        let kind = match role {
            Role::Tsm(_) => FileKind::Tsm,
            Role::Tombstone => FileKind::Tombstone,
            Role::Listing => FileKind::Listing,
        };
        let mut report = FileReport::of_member(&self.target.path, &head.name, kind);
        report.size = head.size;
        match role {
            Role::Tsm(name) => {
                let wants_digest = self.options.digest && digest.is_none();
                let found = tsm::file(content, &tsm::Options { digest: wants_digest, ..self.options });
                report = report.with(found);
                report.digest = report.digest.or(digest);
                self.files.insert(*name, (report.size, report.digest));
            }
            Role::Tombstone => {
                self.tombstones.push(last_component(&head.name).1.to_owned());
                report = match tsm::tombstone(&**content, |_, _| {}) {
                    Ok(found) => report.with(found),
                    Err(error) => {
                        report.unreadable(error.to_string());
                        report
                    }
                };
            }
            Role::Listing => self.read_listing(&mut report, &**content),
        }
        self.members.push(report);
    }

    fn read_listing(&mut self, report: &mut FileReport, content: &dyn ReadAt) {
        self.has_listing = true;
        let Some(size) = usize::try_from(report.size).ok().filter(|_| report.size <= LISTING_LEN_MAX) else {
            return report.damaged("listing", "too long for a list of files", None);
        };
        let mut text = vec![0; size];
        if let Err(error) = content.read_exact_at(&mut text, 0) {
            return report.unreadable(error.to_string());
        }
        match Listing::parse(&text) {
            Ok(listing) => self.listing = Some(listing),
            Err(error) => {
                let at = error.offset().map(icecore_tsm::Offset::get);
                let what = match error.kind() {
                    icecore_tsm::ErrorKind::Corrupt(what) => what,
                    _ => "the list of files cannot be read",
                };
                report.damaged("listing", what, at);
            }
        }
    }

    /// Compares what there is with the list, and gives all reports: that of the archive, then those of its members.
    pub(super) fn finish(mut self) -> Vec<FileReport> {
        for name in &self.tombstones {
            let file =
                name.strip_suffix(".tombstone").and_then(|stem| FileName::parse(&format!("{stem}.tsm")));
            if file.is_none_or(|file| !self.files.contains_key(&file)) {
                self.archive.note("orphan", format!("{name} lies beside no TSM file"));
            }
        }
        self.archive.has_listing = Some(self.has_listing);
        if let Some(listing) = self.listing.take() {
            self.compare(&listing);
        }
        std::iter::once(self.archive).chain(self.members).collect()
    }

    fn compare(&mut self, listing: &Listing) {
        let mut absent = 0u64;
        let mut here = std::mem::take(&mut self.files);
        for listed in listing.files() {
            match here.remove(&listed.name) {
                None => absent += 1,
                Some((size, _)) if size != listed.size => {
                    let what = format!("{} has {size} bytes, the list says {}", listed.name, listed.size);
                    self.archive.damaged("listing", what, None);
                }
                Some((_, Some(digest))) if digest != listed.digest => {
                    let what = format!("the digest of {} is not that of the list", listed.name);
                    self.archive.damaged("listing", what, None);
                }
                Some(_) => {}
            }
        }
        for name in here.keys() {
            self.archive.damaged("listing", format!("{name} is not in the list of files"), None);
        }
        if absent > 0 {
            let all = listing.files().len();
            let what = format!("{absent} of the {all} files of its list are in an earlier archive");
            self.archive.note("incremental", what);
        }
    }
}

/// Directory and name.
fn last_component(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
