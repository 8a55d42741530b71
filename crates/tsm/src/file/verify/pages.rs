//! Every page of a file against its sums.

use icecore_disk::ReadAt;

use super::report::{Finding, FindingKind, Report};
use crate::error::Error;
use crate::format::sums::{PAGE_LEN, Sums};
use crate::units::Offset;

/// Adds what differs to `report`. Pages that cannot be read are told apart from those that differ.
pub(super) fn check(file: &dyn ReadAt, sums: &Sums, report: &mut Report) {
    let size = match file.size() {
        Ok(size) => size,
        Err(error) => {
            return report.add_error(FindingKind::Unreadable, &Error::io_unnamed(error), None);
        }
    };
    if size != sums.len() {
        let end = Offset::new(size.min(sums.len()));
        report.add(Finding::new(FindingKind::Page, "the file is not as long as its sums say", end));
    }
    let mut page = Vec::new();
    for nth in 0..sums.page_count() {
        let start = nth as u64 * PAGE_LEN as u64;
        let Some(left) = size.checked_sub(start).filter(|left| *left > 0) else { return };
        page.resize(usize::try_from(left).map_or(PAGE_LEN, |left| left.min(PAGE_LEN)), 0);
        match file.read_exact_at(&mut page, start) {
            Ok(()) => {
                if let Err(error) = sums.check_page(nth, &page) {
                    report.add_error(FindingKind::Page, &error, None);
                }
            }
            Err(error) => {
                let finding = Finding::of(FindingKind::Unreadable, &Error::io_unnamed(error), None);
                report.add(Finding { offset: Offset::new(start), ..finding });
            }
        }
    }
}
