//! The files of a shard that Icecore wrote, held to `icecore.manifest`: what is listed, missing, another one, or unknown.
//!
//! It is the plan of who opens the shard ([`adopt::Plan`]), so that a verification and an opening say the same. Where only
//! Icecore ran, or nobody knows who did, the manifest is right; where influxd ran, its traces are notes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use icecore_database::{Paths, who_is_right};
use icecore_disk::{Disk as _, RealDisk};
use icecore_tsm::adopt::{FoundTombstone, Listing, Plan};
use icecore_tsm::fields::{FieldSet, IDX_NAME};
use icecore_tsm::manifest::{Manifest, NAME};
use icecore_tsm::sums::Sums;
use icecore_tsm::verify::{self as tsm, Options};
use icecore_tsm::{Digest, FileName, Trust, Trusted};

use super::find::Target;
use super::report::{FileKind, FileReport};

/// A live server replaces a manifest while its directory is looked at: so often it is looked at again.
const LOOKS_MAX: usize = 5;

/// Whom to believe in the engines that were met.
#[derive(Debug, Default)]
pub(super) struct Trusts(HashMap<PathBuf, Option<Trusted>>);

impl Trusts {
    /// In the shard of this directory, `<engine>/data/<bucket>/<policy>/<shard>`.
    fn of(&mut self, dir: &Path) -> Trust {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let id = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
        let (Some(id), Some(engine)) = (id, dir.ancestors().nth(4)) else { return Trust::Manifest };
        let known = self.0.entry(engine.to_owned()).or_insert_with(|| {
            let bolt = engine.with_file_name("influxd.bolt");
            let paths = Paths { engine: engine.to_owned(), bolt, sqlite: PathBuf::new() };
            who_is_right(&RealDisk, &paths)
        });
        known.as_ref().map_or(Trust::Manifest, |known| known.of(id))
    }
}

/// Adds what the manifest in `dir` says to `targets`, the files there; one that should be there becomes a target.
pub(super) fn hold(
    dir: &Path,
    targets: &mut Vec<Target>,
    from: usize,
    trusts: &mut Trusts,
) -> io::Result<()> {
    let of_us = [FileKind::ShardManifest, FileKind::Sums];
    if !targets.iter().skip(from).any(|target| of_us.contains(&target.kind)) {
        return Ok(());
    }
    let trust = trusts.of(dir);
    for _ in 0..LOOKS_MAX {
        let Ok(manifest) = Manifest::read(&RealDisk, dir) else { return Ok(()) }; // its own target says it
        let plan = Plan::new(manifest.as_ref(), &listing(dir)?, trust);
        // What a live server has changed since is no damage.
        let number = |manifest: &Option<Manifest>| manifest.as_ref().map(|manifest| manifest.number);
        let is_same = Manifest::read(&RealDisk, dir).is_ok_and(|again| number(&again) == number(&manifest));
        if is_same {
            Holding { dir, targets, from }.plan(manifest.as_ref(), &plan);
            return Ok(());
        }
    }
    Ok(())
}

fn listing(dir: &Path) -> io::Result<Listing> {
    let mut files = Vec::new();
    for entry in RealDisk.list(dir)?.iter().filter(|entry| !entry.is_dir) {
        match (entry.name(), RealDisk.stat(&entry.path)) {
            (Some(name), Ok(stat)) => files.push((name.to_owned(), stat)),
            (None, _) => {}
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            (_, Err(error)) => return Err(error),
        }
    }
    Ok(Listing::of(files.iter().map(|(name, stat)| (name.as_str(), *stat))))
}

struct Holding<'a> {
    dir: &'a Path,
    targets: &'a mut Vec<Target>,
    from: usize,
}

impl Holding<'_> {
    /// The target of a name, which becomes one if it is none.
    fn target(&mut self, name: &str, kind: FileKind) -> Option<&mut Target> {
        let path = self.dir.join(name);
        let known = self.targets.iter().skip(self.from).position(|target| target.path == path);
        let nth = known.map_or(self.targets.len(), |nth| self.from + nth);
        if nth == self.targets.len() {
            self.targets.push(Target::new(path, kind, false));
        }
        self.targets.get_mut(nth)
    }

    fn note(&mut self, name: &str, kind: FileKind, what: &str) {
        if let Some(target) = self.target(name, kind) {
            target.notes.push(what.to_owned());
        }
    }

    fn plan(&mut self, manifest: Option<&Manifest>, plan: &Plan) {
        for fault in &plan.damage {
            let kind = super::find::by_name(&fault.file).map_or(FileKind::Tsm, |(kind, _)| kind);
            if let Some(target) = self.target(&fault.file, kind) {
                target.faults_at.push((fault.what, fault.at.get()));
            }
        }
        for file in &plan.open {
            self.open(file.name, file.listed, file.tombstone, manifest.is_some());
            if let (Some(digest), Some(target)) =
                (file.listed, self.target(&file.name.sums(), FileKind::Sums))
            {
                target.listed = Some(digest);
            }
        }
        for name in &plan.remove {
            let kind = super::find::by_name(name).map_or(FileKind::Tsm, |(kind, _)| kind);
            self.note(
                name,
                kind,
                "icecore.manifest does not list it as live: it is being written, or is left to be removed",
            );
        }
        for name in &plan.set_aside {
            let what = "icecore.manifest does not list it: nothing of it counts, and it will be set aside";
            self.note(name, FileKind::Tsm, what);
        }
        for name in &plan.gone {
            let what = format!("{name} is not there any more: influxd has run since, and removes files");
            self.note(NAME, FileKind::ShardManifest, &what);
        }
        if let Some(digest) = manifest.and_then(|manifest| manifest.fields)
            && let Some(target) = self.target(IDX_NAME, FileKind::Fields)
        {
            target.listed = Some(digest);
        }
    }

    fn open(
        &mut self,
        name: FileName,
        listed: Option<Digest>,
        tombstone: FoundTombstone,
        has_manifest: bool,
    ) {
        let text = name.to_string();
        match listed {
            Some(_) => {
                if let Some(target) = self.target(&text, FileKind::Tsm) {
                    target.listed = listed;
                }
            }
            None if has_manifest => {
                self.note(&text, FileKind::Tsm, "icecore.manifest does not list it: influxd has run since");
            }
            None => {}
        }
        match tombstone {
            FoundTombstone::Listed(digest) => {
                if let Some(target) = self.target(&name.tombstone(), FileKind::Tombstone) {
                    target.listed = Some(digest);
                }
            }
            FoundTombstone::Unlisted if listed.is_some() => {
                let what = "icecore.manifest does not list it: its deletes are newer";
                self.note(&name.tombstone(), FileKind::Tombstone, what);
            }
            FoundTombstone::Unlisted | FoundTombstone::None => {}
        }
    }
}

/// A TSM file that is another one than the listed: its pages say where.
pub(super) fn tsm_file(target: &Target, report: FileReport, options: &Options) -> FileReport {
    let Some(digest) = target.listed else { return report };
    if report.digest.is_none_or(|found| found == digest) {
        return report;
    }
    let mut report = in_pages(target, digest, options).unwrap_or(report);
    if report.damage.is_empty() {
        report.damaged("manifest", "it is not the file that icecore.manifest lists", Some(0));
    }
    report
}

/// The verification again, page by page, if there are sums that are those of the listed file.
fn in_pages(target: &Target, digest: Digest, options: &Options) -> Option<FileReport> {
    let dir = target.path.parent()?;
    let name = FileName::parse(target.path.file_name()?.to_str()?)?;
    let sums = Sums::read(&RealDisk, dir, name).ok()??;
    let file = (sums.root() == digest).then(|| RealDisk.open(&target.path).ok())??;
    let found = tsm::file_with_sums(&file, &sums, options);
    Some(FileReport::new(&target.path, target.kind).with(found))
}

/// Files of ours that are read as a whole: a manifest, sums, an index of fields.
pub(super) fn own(target: &Target) -> FileReport {
    let mut report = FileReport::new(&target.path, target.kind);
    let bytes = match std::fs::read(&target.path) {
        Ok(bytes) => bytes,
        Err(error) => {
            match (error.kind(), target.kind) {
                (io::ErrorKind::NotFound, FileKind::Sums) => {
                    report
                        .note("icecore-sums", "there are none; they are made again when the shard is opened");
                }
                (io::ErrorKind::NotFound, FileKind::Fields) => {
                    report.note("fields", "there is none; it is made again when the shard is written");
                }
                _ => super::gone_or_refused(target, &mut report, &error),
            }
            return report;
        }
    };
    report.size = bytes.len() as u64;
    let outcome = match target.kind {
        FileKind::Sums => Sums::parse(&bytes).map(|sums| Some(sums.root())),
        FileKind::Fields => FieldSet::parse_idx(&bytes).map(|_| Some(blake3::hash(&bytes))),
        _ => Manifest::parse(&bytes).map(|_| None),
    };
    match outcome {
        Err(error) => report.engine_error(target.kind.name(), &error),
        Ok(Some(found)) if target.listed.is_some_and(|listed| listed != found) => match target.kind {
            FileKind::Sums => {
                report.damaged("icecore-sums", "these are not the sums of the listed file", Some(0))
            }
            _ => report.note(
                "fields",
                "it is another one than icecore.manifest lists, and will be compared with the keys",
            ),
        },
        Ok(_) => {}
    }
    report
}

/// The digest of a tombstone that a manifest lists.
pub(super) fn tombstone(target: &Target, report: &mut FileReport) {
    let Some(digest) = target.listed else { return };
    // What cannot be read has been told.
    let Ok(bytes) = std::fs::read(&target.path) else { return };
    if blake3::hash(&bytes) != digest {
        report.damaged("manifest", "it is not the tombstone that icecore.manifest lists", Some(0));
    }
}
