//! Verification of Icecore's own log.

use std::path::Path;

use icecore_disk::Disk;

use super::report::{Counts, Finding, FindingKind, Report};
use crate::error::Result;
use crate::format::batch::Batch;
use crate::log::own;
use crate::units::{Offset, Ticket};

/// A record of Icecore's own log that is intact and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its number; over all segments.
    pub number: u64,
    /// Of the write that it is.
    pub ticket: Ticket,
    /// Where it begins.
    pub at: Offset,
    /// Its bytes, with its head.
    pub size: u64,
}

/// Reads one segment of Icecore's log, and calls `each` with every record that counts, and its points. What counts, and
/// whether the last bytes are a torn tail, depends on the segments beside it, whose headers are read. The first damage ends
/// the reading. Memory: the segment, and the points of one record.
///
/// # Errors
/// `Io` with the file that cannot be read.
pub fn own_log_segment(
    disk: &dyn Disk,
    path: &Path,
    mut each: impl FnMut(&LogRecord, &Batch),
) -> Result<Report> {
    let mut report = Report::default();
    let mut counts = Counts::default();
    let outcome = own::check(disk, path, |record, body| {
        let batch = Batch::parse(body, Offset::START)?;
        counts.entries += 1;
        counts.values += batch.values();
        each(record, &batch);
        Ok(())
    });
    match outcome {
        Ok(checked) => {
            report.size = checked.size;
            if let Some(at) = checked.torn {
                let what = "the log ends in bytes of which nothing says that they were acknowledged";
                report.add(Finding::new(FindingKind::TornTail, what, at));
            }
        }
        Err(error) if error.is_damage() => {
            report.size = disk.stat(path).map_or(0, |stat| stat.size);
            report.add_error(FindingKind::Log, &error, None);
        }
        Err(error) => return Err(error),
    }
    report.counts = counts;
    Ok(report)
}
