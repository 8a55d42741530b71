//! What `check` and `inspect bolt` share: opening a Bolt file that somebody may be writing, and telling what was found.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::{ErrorKind, Problem, Report, Store, View};
use serde::Serialize;

use super::Failure;
use super::human::Count;

/// How often a file that another process writes is read, before it is given up.
const TRIES: u32 = 10;

/// The newest state of a file. One that another process holds is copied into memory, without a lock.
pub(crate) fn open(file: &Path) -> Result<View, Failure> {
    is_file(file)?;
    match Store::open(Arc::new(RealDisk), file, LockMode::Shared) {
        Ok(store) => Ok(store.view()),
        Err(error) if error.kind() == ErrorKind::Locked => Ok(View::of_file_in_use(&RealDisk, file, TRIES)?),
        Err(error) => Err(error.into()),
    }
}

/// The newest state of a file that has digests from now on. Nobody else may hold it.
pub(crate) fn open_with_digests(file: &Path) -> Result<View, Failure> {
    is_file(file)?;
    let store = Store::open(Arc::new(RealDisk), file, LockMode::Exclusive)?;
    store.keep_digests()?;
    Ok(store.view())
}

fn is_file(file: &Path) -> Result<(), Failure> {
    match fs::metadata(file) {
        Ok(meta) if meta.is_dir() => Err(Failure::Usage(format!("{}: a directory", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::Usage(format!("{}: no such file", file.display())))
        }
        _ => Ok(()),
    }
}

/// A line for each problem and note.
pub(crate) fn print_findings(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if !report.is_clean() || !report.notes.is_empty() {
        writeln!(out)?;
    }
    report.problems.iter().try_for_each(|problem| writeln!(out, "damaged: {problem}"))?;
    if report.problems_unlisted > 0 {
        writeln!(out, "damaged: {} more like these", Count(report.problems_unlisted))?;
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

/// How a command ends that found this.
pub(crate) fn outcome(file: &Path, report: &Report) -> Result<(), Failure> {
    match report.problems.first() {
        Some(problem) => Err(Failure::Damaged(format!("{}: damaged: {problem}", file.display()))),
        None => Ok(()),
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct FindingsJson {
    damage: Vec<FindingJson>,
    damage_unlisted: u64,
    notes: Vec<FindingJson>,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    what: &'static str,
    page: u64,
    offset: u64,
}

impl FindingsJson {
    pub(crate) fn of(report: &Report) -> Self {
        let all = |problems: &[Problem]| {
            let finding = |problem: &Problem| FindingJson {
                what: problem.what(),
                page: problem.page().get(),
                offset: problem.offset().get(),
            };
            problems.iter().map(finding).collect()
        };
        let (damage, notes) = (all(&report.problems), all(&report.notes));
        Self { damage, damage_unlisted: report.problems_unlisted, notes }
    }
}
