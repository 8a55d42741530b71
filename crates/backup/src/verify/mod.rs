//! Verification of data directories and of backups: every TSM file, tombstone, log segment, Bolt and SQLite file, every
//! archive and what is in it.
//!
//! It writes nothing where it reads, takes no lock, and may look at a directory that a live server holds: a file that
//! vanishes meanwhile is told, and is not damage. Members of compressed archives are spooled to temporary files without
//! names, so memory is bounded whatever their size.
//!
//! A shard that Icecore wrote is held to its `icecore.manifest`: files that are missing, others, or unknown (`shard.rs`).
//!
//! What is not looked into is counted by what it is: series files, series indexes, field indexes of influxd. Whether two
//! sound files fit each other (a type of a key in one file and in another, a log and the files) is the business of opening
//! a shard.

mod archive;
mod content;
mod find;
mod gzip;
mod manifest;
mod members;
mod metadata;
mod pax;
mod report;
mod shard;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use icecore_disk::{Disk as _, ReadAt, RealDisk};
use icecore_tsm::verify as tsm;
pub use icecore_tsm::verify::{Counts, Depth, Options, ShownKey};

use find::{Found, Target};
pub use report::{FileKind, FileReport, Finding, Findings, Summary, Verdict};

/// Why nothing, or not everything, could be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is nothing at a path that was given.
    #[error("{}: no such file or directory", .0.display())]
    NoSuchPath(PathBuf),
    /// A file that was given is nothing that can be verified.
    #[error("{}: neither its name nor its content is that of a file that can be verified", .0.display())]
    Unknown(PathBuf),
    /// A directory that was given has nothing in it that can be verified: it may be the wrong one.
    #[error("{}: there is nothing to verify in it", .0.display())]
    Nothing(PathBuf),
    /// The system refused to look into a directory.
    #[error("{}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The same, said by the engine.
    #[error(transparent)]
    Engine(icecore_tsm::Error),
}

impl VerifyError {
    /// Whether the caller asked for something that is not there, as opposed to a call that failed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoSuchPath(_) | Self::Unknown(_) | Self::Nothing(_))
    }
}

/// Verifies files, archives and all that is below directories, and calls `each` with every report: TSM files first, then
/// the others, each by path. What is found is in the reports, never an error.
///
/// # Errors
/// A path that does not exist or holds nothing to verify; a directory that cannot be read. `each` has not been called then.
pub fn verify(
    paths: &[PathBuf],
    options: &Options,
    each: &mut (dyn FnMut(&FileReport) + Send),
) -> Result<Summary, VerifyError> {
    let Found { targets, not_verified, .. } = find::find(paths)?;
    let summary = Summary { not_verified, ..Summary::default() };
    let files = targets.iter().take_while(|target| target.kind == FileKind::Tsm).count();
    let in_order = InOrder::new(targets.len(), summary, each);
    let (files, others) = targets.split_at(files);
    let paths: Vec<_> = files.iter().map(|target| target.path.clone()).collect();
    let digest = options.digest || files.iter().any(|target| target.listed.is_some());
    let options = &Options { digest, ..*options };
    tsm::files(&RealDisk, &paths, options, &|nth, outcome| {
        let Some(target) = files.get(nth) else { return };
        in_order.put(nth, vec![tsm_file(target, outcome, options)]);
    });
    side_by_side(others, options, |nth, reports| in_order.put(files.len() + nth, reports));
    Ok(in_order.finish())
}

/// Verifies what is no TSM file; several at once, archives among them with a share of the threads each.
fn side_by_side(targets: &[Target], options: &Options, done: impl Fn(usize, Vec<FileReport>) + Sync) {
    let workers = options.threads.get().min(targets.len());
    let share = options.threads.get().checked_div(workers).and_then(NonZeroUsize::new);
    let options = Options { threads: share.unwrap_or(NonZeroUsize::MIN), ..*options };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some(target) = targets.get(nth) else { return };
                    done(nth, other(target, &options));
                }
            });
        }
    });
}

fn other(target: &Target, options: &Options) -> Vec<FileReport> {
    let mut reports = match target.kind {
        FileKind::Archive => archive::verify(target, options),
        FileKind::Bolt | FileKind::Sqlite => vec![metadata::verify(target)],
        FileKind::Tombstone => {
            let mut report = small(target, |file| tsm::tombstone(file, |_, _| {}));
            shard::tombstone(target, &mut report);
            vec![report]
        }
        FileKind::Log => vec![small(target, |file| tsm::log_segment(file, target.may_be_torn, |_, _| {}))],
        FileKind::OwnLog => vec![own_log(target)],
        FileKind::ShardManifest | FileKind::Sums | FileKind::Fields => vec![shard::own(target)],
        // What a manifest says has become part of the targets already.
        FileKind::Manifest | FileKind::Listing | FileKind::Tsm => vec![small(target, size_alone)],
    };
    if let Some(first) = reports.first_mut() {
        surroundings(target, first);
    }
    reports
}

/// A file that is read as a whole.
fn small(target: &Target, read: impl Fn(&dyn ReadAt) -> icecore_tsm::Result<tsm::Report>) -> FileReport {
    let mut report = FileReport::new(&target.path, target.kind);
    match RealDisk.open(&target.path) {
        Err(error) => gone_or_refused(target, &mut report, &error),
        Ok(file) => match read(&*file) {
            Ok(found) => return report.with(found),
            Err(error) => report.unreadable(cause(&error)),
        },
    }
    report
}

/// A segment of Icecore's log, which is read beside its neighbours.
fn own_log(target: &Target) -> FileReport {
    let mut report = FileReport::new(&target.path, target.kind);
    match tsm::own_log_segment(&RealDisk, &target.path, |_, _| {}) {
        Ok(found) => return report.with(found),
        Err(error) => match std::error::Error::source(&error).and_then(|source| source.downcast_ref()) {
            Some(source) => refused(&mut report, source),
            None => report.unreadable(error.to_string()),
        },
    }
    report
}

fn size_alone(file: &dyn ReadAt) -> icecore_tsm::Result<tsm::Report> {
    let size = file.size().unwrap_or(0);
    Ok(tsm::Report { size, ..tsm::Report::default() })
}

fn tsm_file(target: &Target, outcome: icecore_tsm::Result<tsm::Report>, options: &Options) -> FileReport {
    let mut report = FileReport::new(&target.path, target.kind);
    match outcome {
        Ok(found) => report = shard::tsm_file(target, report.with(found), options),
        Err(error) => match std::error::Error::source(&error).and_then(|source| source.downcast_ref()) {
            Some(source) => gone_or_refused(target, &mut report, source),
            None => report.unreadable(error.to_string()),
        },
    }
    surroundings(target, &mut report);
    report
}

/// What the system said, in words.
fn cause(error: &icecore_tsm::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// A file cannot be opened. One that is said to be missing has not vanished just now.
fn gone_or_refused(target: &Target, report: &mut FileReport, error: &io::Error) {
    if error.kind() != io::ErrorKind::NotFound || target.faults_at.is_empty() {
        refused(report, error);
    }
}

/// A file that was there a moment ago cannot be opened.
fn refused(report: &mut FileReport, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::NotFound => {
            report.note("vanished", "vanished before it was read: a live server removes files");
        }
        _ => report.unreadable(error.to_string()),
    }
}

/// What a file's name, place and manifest say of it.
fn surroundings(target: &Target, report: &mut FileReport) {
    for fault in &target.faults {
        report.damaged("place", fault.as_str(), None);
    }
    for (what, at) in &target.faults_at {
        report.damaged("manifest", *what, Some(*at));
    }
    if let Some(oddity) = target.oddity {
        report.note("place", oddity);
    }
    for note in &target.notes {
        report.note("manifest", note.as_str());
    }
    if let Some(size) = target.size.filter(|size| *size != report.size) {
        report.damaged("manifest", format!("it has {} bytes, the manifest says {size}", report.size), None);
    }
}

/// Hands reports on in the order of the targets, whatever order they come in.
struct InOrder<'e>(Mutex<Waiting<'e>>);

struct Waiting<'e> {
    /// What came, from `next` on, up to the last target.
    reports: VecDeque<Option<Vec<FileReport>>>,
    next: usize,
    summary: Summary,
    each: &'e mut (dyn FnMut(&FileReport) + Send),
}

impl<'e> InOrder<'e> {
    fn new(count: usize, summary: Summary, each: &'e mut (dyn FnMut(&FileReport) + Send)) -> Self {
        let reports = (0..count).map(|_| None).collect();
        Self(Mutex::new(Waiting { reports, next: 0, summary, each }))
    }

    fn put(&self, nth: usize, reports: Vec<FileReport>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { reports: slots, next, summary, each } = &mut *waiting;
        if let Some(slot) = nth.checked_sub(*next).and_then(|at| slots.get_mut(at)) {
            *slot = Some(reports);
        }
        while let Some(Some(reports)) = slots.front_mut().map(Option::take) {
            slots.pop_front();
            *next += 1;
            for report in &reports {
                summary.add(report);
                each(report);
            }
        }
    }

    fn finish(self) -> Summary {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_vanished_is_told_and_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        for (name, kind, is_gzip) in [
            ("_00001.wal", FileKind::Log, false),
            ("00000001.iwal", FileKind::OwnLog, false),
            ("1-1.tombstone", FileKind::Tombstone, false),
            ("influxd.bolt", FileKind::Bolt, false),
            ("influxd.sqlite", FileKind::Sqlite, false),
            ("1.tar", FileKind::Archive, false),
            ("1.tar.gz", FileKind::Archive, true),
        ] {
            let reports = other(&Target::new(dir.path().join(name), kind, is_gzip), &Options::default());
            assert_eq!(reports.len(), 1, "{name}");
            assert!(reports[0].is_sound(), "{name}: {reports:?}");
            assert_eq!(reports[0].notes.listed[0].kind, "vanished");
        }
        let target = Target::new(dir.path().join("1-1.tsm"), FileKind::Tsm, false);
        tsm::files(&RealDisk, std::slice::from_ref(&target.path), &Options::default(), &|_, outcome| {
            let report = tsm_file(&target, outcome, &Options::default());
            assert!(report.is_sound());
            assert_eq!(report.notes.listed[0].kind, "vanished");
        });
    }

    #[test]
    fn what_cannot_be_read_is_not_sound_and_not_damage() {
        let mut summary = Summary::default();
        assert_eq!(summary.verdict(), Verdict::Sound);
        let mut report = FileReport::new("x.tsm", FileKind::Tsm);
        refused(&mut report, &io::Error::from_raw_os_error(5));
        summary.add(&report);
        assert_eq!((summary.verdict(), summary.damage), (Verdict::Unreadable, 0));
        report.damaged("checksum", "wrong", Some(5));
        summary.add(&report);
        assert_eq!((summary.verdict(), summary.damaged_files), (Verdict::Damaged, 1));
    }

    #[test]
    fn reports_come_in_the_order_of_the_targets() {
        let mut seen = Vec::new();
        let mut each = |report: &FileReport| seen.push(report.path.clone());
        let in_order = InOrder::new(4, Summary::default(), &mut each);
        for nth in [2, 0, 3, 1] {
            in_order.put(nth, vec![FileReport::new(nth.to_string(), FileKind::Tsm)]);
        }
        assert_eq!(in_order.finish().files, 4);
        assert_eq!(seen, ["0", "1", "2", "3"].map(PathBuf::from));
    }
}
