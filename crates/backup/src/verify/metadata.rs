//! `influxd.bolt` and `influxd.sqlite`, or copies of them, maybe compressed.
//!
//! What is checked is a copy in a temporary directory: no lock is taken of a file that a live server holds, and none can
//! change while it is looked at. A copy that is damaged while the file was changing is made again.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use icecore_catalog::sql;
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore as kv;

use super::find::Target;
use super::gzip::Gunzip;
use super::report::{FileKind, FileReport};

/// A file that changes under each of so many copies is not verified.
const COPIES_MAX: usize = 3;

/// A copy that is longer is not made: a few bytes of gzip can claim more than any disk.
const COPY_LEN_MAX: u64 = 16 << 30;

/// Where a SQLite file says how it keeps its journal.
const SQLITE_JOURNAL_MODE_AT: u64 = 18;
const SQLITE_IN_WAL_MODE: u8 = 2;

/// Verifies a Bolt or SQLite file.
pub(super) fn verify(target: &Target) -> FileReport {
    for _ in 0..COPIES_MAX {
        match copy_and_check(target) {
            Ok(Some(report)) => return report,
            Ok(None) => {}
            Err(error) => {
                let mut report = FileReport::new(&target.path, target.kind);
                super::refused(&mut report, &error);
                return report;
            }
        }
    }
    let mut report = FileReport::new(&target.path, target.kind);
    report.note("not-verified", "not verified: it changes while it is read; a live server has it");
    report
}

/// `None` when the copy is damaged, and the file has changed since.
fn copy_and_check(target: &Target) -> io::Result<Option<FileReport>> {
    let mut report = FileReport::new(&target.path, target.kind);
    let before = fs::metadata(&target.path)?;
    report.size = before.len();
    let dir = tempfile::tempdir().map_err(temporary)?;
    let copy = dir.path().join("copy");
    if !copy_to(target, &copy, &mut report)? {
        return Ok(Some(report));
    }
    match target.kind {
        FileKind::Sqlite => sqlite(&copy, &target.path, &mut report)?,
        _ => bolt(&copy, &mut report),
    }
    let is_same = report.is_sound() || state(&before) == state(&fs::metadata(&target.path)?);
    Ok(is_same.then_some(report))
}

/// What changes when a file is written.
fn state(meta: &Metadata) -> (u64, u64, i64, i64) {
    (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}

/// Returns false when there is nothing to check, because the gzip around it is damaged.
fn copy_to(target: &Target, copy: &Path, report: &mut FileReport) -> io::Result<bool> {
    let file = File::open(&target.path)?;
    let mut to = File::create(copy).map_err(temporary)?;
    if !target.is_gzip {
        // Not `fs::copy`, which can share blocks with a file that changes.
        return io::copy(&mut io::BufReader::with_capacity(1 << 18, file), &mut to).map(|_| true);
    }
    let mut gunzip = Gunzip::new(file);
    let failure = gunzip.failure();
    let outcome = io::copy(&mut gunzip.by_ref().take(COPY_LEN_MAX), &mut to);
    match failure.take() {
        None if matches!(outcome, Ok(COPY_LEN_MAX)) => {
            report.note("not-verified", "not verified: it has more than 16 GiB");
        }
        Some(failed) if failed.is_io => report.unreadable(failed.what),
        Some(failed) => report.damaged("gzip", failed.what, Some(failed.at)),
        None => return outcome.map(|_| true).map_err(temporary),
    }
    Ok(false)
}

fn temporary(error: io::Error) -> io::Error {
    io::Error::other(format!("the temporary copy: {error}"))
}

fn bolt(copy: &Path, report: &mut FileReport) {
    let store = match kv::Store::open(Arc::new(RealDisk), copy, LockMode::Shared) {
        Ok(store) => store,
        Err(error) => return bolt_error(&error, report),
    };
    let found = store.view().check();
    for problem in &found.problems {
        report.damaged("bolt", in_page(problem), Some(problem.offset().get()));
    }
    report.damage.unlisted += found.problems_unlisted;
    for note in &found.notes {
        report.note("bolt", format!("{} at byte {}", in_page(note), note.offset()));
    }
}

fn in_page(problem: &kv::Problem) -> String {
    format!("{} in page {}", problem.what(), problem.page())
}

fn bolt_error(error: &kv::Error, report: &mut FileReport) {
    let what = match error.kind() {
        kv::ErrorKind::Corrupt(what) => what.to_owned(),
        kv::ErrorKind::Version(found) => format!("unknown version {found}"),
        _ => return report.unreadable(error.to_string()),
    };
    report.damaged("bolt", what, error.offset().map(|offset| offset.get()));
}

fn sqlite(copy: &Path, original: &Path, report: &mut FileReport) -> io::Result<()> {
    let mut journal = original.as_os_str().to_owned();
    journal.push("-journal");
    if fs::metadata(&journal).is_ok_and(|meta| meta.len() > 0) {
        let what = "not verified: a transaction is in progress, or was interrupted; its journal lies beside the file";
        report.note("not-verified", what);
        return Ok(());
    }
    let mut mode = [0];
    let has_mode = File::open(copy)?.read_at(&mut mode, SQLITE_JOURNAL_MODE_AT)? == 1;
    if has_mode && mode == [SQLITE_IN_WAL_MODE] {
        report.note(
            "not-verified",
            "not verified: it is in WAL mode, so its latest changes are in another file",
        );
        return Ok(());
    }
    match sql::check(copy) {
        Ok(()) => {}
        Err(icecore_catalog::Error::Sqlite { what, .. }) => report.damaged("sqlite", what, None),
        Err(error) => report.unreadable(error.to_string()),
    }
    Ok(())
}
