//! Verification of influxd's log.

use std::ops::Range;
use std::path::{Path, PathBuf};

use icecore_disk::{Disk, ReadAt};

use super::read_all;
use super::report::{Finding, FindingKind, Report};
use crate::error::Result;
use crate::format::wal::Entry;
use crate::log::influx;
use crate::units::Offset;

/// A segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSegment {
    /// The file.
    pub path: PathBuf,
    /// Whether it is the last that has content: only that one can have a torn tail.
    pub may_be_torn: bool,
}

/// The segments of the log in `dir`, in their order. A missing directory is an empty log.
///
/// # Errors
/// `Corrupt` when the name of a segment has no number, `Io`.
pub fn log(disk: &dyn Disk, dir: &Path) -> Result<Vec<LogSegment>> {
    let segments = influx::segments(disk, dir)?;
    let last = segments.iter().rposition(|segment| segment.stat.size > 0);
    let segments = segments.into_iter().enumerate();
    Ok(segments
        .map(|(nth, segment)| LogSegment {
            path: segment.path,
            may_be_torn: last.is_none_or(|last| nth >= last),
        })
        .collect())
}

/// Reads every entry of a log segment, and calls `each` with its place and what it does. The first that cannot be read
/// ends the reading: an entry has no mark by which the next could be found. Memory: the segment and its largest entry.
///
/// # Errors
/// `Io` when the file cannot be read; the caller names it.
pub fn log_segment(
    file: &dyn ReadAt,
    may_be_torn: bool,
    mut each: impl FnMut(Range<Offset>, &Entry),
) -> Result<Report> {
    let bytes = read_all(file)?;
    let mut report = Report { size: bytes.len() as u64, ..Report::default() };
    let outcome = influx::walk_segment(&bytes, may_be_torn, |place, entry| {
        report.counts.entries += 1;
        if let Entry::Write(groups) = &entry {
            report.counts.values += groups.iter().map(|(_, column)| column.len() as u64).sum::<u64>();
        }
        each(place, &entry);
        Ok(())
    });
    match outcome {
        Ok(None) => {}
        Ok(Some(at)) => {
            let what = "the log ends in an unfinished write, which was never acknowledged";
            report.add(Finding::new(FindingKind::TornTail, what, at));
        }
        Err(error) => report.add_error(FindingKind::Log, &error, None),
    }
    Ok(report)
}
