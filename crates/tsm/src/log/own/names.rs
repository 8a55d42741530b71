//! What lies in the directory of a log, by name.

use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::format::iwal::NUMBER_MAX;
use crate::units::Offset;

/// While this lies in the directory, influxd 2.9 refuses to start and names it (design D1).
pub(super) const INTERLOCK: &str = "_v0_icecore.wrr";

const SUFFIX: &str = ".iwal";
const TORN: &str = ".torn";

/// The segments of a log and what was kept aside of it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By number.
    pub(super) segments: Vec<(u64, PathBuf)>,
    /// A number that no segment has, and none had whose torn tail was kept.
    pub(super) next_segment: u64,
}

impl Listing {
    /// A missing directory is an empty log.
    ///
    /// # Errors
    /// `Corrupt` when the name of a segment has no number as it should be, `Io`.
    pub(super) fn of(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let entries = match disk.list(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(error, dir)),
        };
        let (mut segments, mut next_segment) = (Vec::new(), 1);
        for entry in entries {
            let Some(name) = entry.name() else { continue };
            if let Some(number) = name.strip_suffix(TORN).and_then(number) {
                next_segment = next_segment.max(number + 1);
            } else if name.ends_with(SUFFIX) {
                let number = number_of(&entry.path)?;
                next_segment = next_segment.max(number + 1);
                segments.push((number, entry.path));
            }
        }
        segments.sort_unstable();
        Ok(Self { segments, next_segment })
    }
}

pub(super) fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}{SUFFIX}"))
}

/// Where the torn tail of a segment is kept.
pub(super) fn torn(segment: &Path) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(TORN);
    PathBuf::from(name)
}

/// The number of a segment.
///
/// # Errors
/// `Corrupt` when its name has none.
pub(super) fn number_of(path: &Path) -> Result<u64> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(number).ok_or_else(|| {
        let what = "the name of a segment of Icecore's log has no number";
        Error::corrupt(what, Offset::START).in_file(path)
    })
}

/// The number of the segment with this name, if it is written as this module writes it: no two names have one number.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number: u64 = digits.parse().ok().filter(|number| *number <= NUMBER_MAX)?;
    (format!("{number:08}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        for (name, expected) in [
            ("00000001.iwal", Some(1)),
            ("99999999.iwal", Some(99_999_999)),
            ("100000000.iwal", Some(100_000_000)),
            ("9223372036854775807.iwal", Some(NUMBER_MAX)),
            ("9223372036854775808.iwal", None),
            ("000000001.iwal", None),
            ("1.iwal", None),
            ("+0000001.iwal", None),
            (".iwal", None),
            ("00000001.iwal.torn", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
        assert_eq!(segment(Path::new("/d"), 100_000_000), Path::new("/d/100000000.iwal"));
    }
}
