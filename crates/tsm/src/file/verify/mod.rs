//! Everything that is wrong with a file: of a TSM file its header, footer and index, each block's checksum and, if asked,
//! each block's content; of a tombstone its records; of a log segment its entries.
//!
//! A check of [`TsmFile`](crate::TsmFile) ends at the first contradiction, since nothing may be served of such a file. A
//! verification goes on and lists what it finds, each with place and key, so that an operator knows what is lost. It
//! reads through a map that is populated first, else with `pread`: a bad sector is a finding, no signal. It takes no lock and
//! writes nothing. A file that another process cuts at the very moment when it is read can still end this one
//! (`docs/adr/0006`).
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Mutex;
//! use icecore_disk::RealDisk;
//! use icecore_tsm::verify::{self, Options};
//!
//! let found = Mutex::new(Vec::new());
//! let paths = [PathBuf::from("/no/such/000000001-000000001.tsm")];
//! verify::files(&RealDisk, &paths, &Options::default(), &|nth, outcome| {
//!     match outcome {
//!         Ok(report) => {
//!             for finding in report.damage.listed() {
//!                 println!("{}: {finding}", paths[nth].display());
//!             }
//!         }
//!         Err(error) => found.lock().unwrap().push(error.to_string()),
//!     }
//! });
//! assert_eq!(*found.lock().unwrap(), ["/no/such/000000001-000000001.tsm: the system refused"]);
//! ```
//!
//! What a verification of the file alone cannot see: the index has no checksum, so a key whose bytes changed into another
//! key that fits the order passes. Values have the block's checksum alone. With the sums that a manifest vouches for
//! nothing passes: [`file_with_sums`].

mod blocks;
mod crew;
mod log;
mod own_log;
mod pages;
mod plan;
mod report;
mod tombstone;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use icecore_disk::{Disk, ReadAt};

use crate::error::{Error, Result};
use crate::format::sums::Sums;
pub use log::{LogSegment, log, log_segment};
pub use own_log::{LogRecord, own_log_segment};
pub use report::{Counts, Finding, FindingKind, Findings, Report, ShownKey};
pub use tombstone::{tombstone, tombstone_version};

/// How closely blocks are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The whole index, and the checksum of every block.
    Checksum,
    /// Also what every block holds: it decodes, its type and times are those of the index, its times ascend, and it has as
    /// many values as times.
    #[default]
    Decode,
}

/// What to look at, and with how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How closely blocks are looked at.
    pub depth: Depth,
    /// Whether the BLAKE3 of the file is wanted, too. Costs another pass over its bytes.
    pub digest: bool,
    /// Threads that work side by side, on one file or on several.
    pub threads: NonZeroUsize,
}

impl Default for Options {
    /// Every block decoded, no digest, all cores.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { depth: Depth::default(), digest: false, threads }
    }
}

/// Verifies TSM files on all threads, a large one also on several at once, and calls `done` with the position of each in
/// `paths` when it is finished, in any order.
///
/// Memory: for each thread the strings of a block, and a window of blocks where a file has no map; for each file in work,
/// at most two a thread, a plan of about 20 bytes for each MiB, and what was found. A file whose blocks do not lie in the
/// order of the index, which nothing writes, needs 32 bytes for each of its entries.
///
/// Files are mapped where the system can populate a map: another process must not change or cut them meanwhile. Removing
/// them does no harm.
///
/// `done` gets an `Err`, `Io` with the file's name, where a file cannot be opened. What cannot be read *inside* a file is
/// a finding.
pub fn files(
    disk: &dyn Disk,
    paths: &[PathBuf],
    options: &Options,
    done: &(dyn Fn(usize, Result<Report>) + Sync),
) {
    let open = |nth: usize| {
        let path = paths.get(nth).map(PathBuf::as_path).unwrap_or("".as_ref());
        disk.open(path).map_err(|error| Error::io(error, path))
    };
    crew::run(paths.len(), &open, options, done);
}

/// Verifies one TSM file that is open already, on all threads.
pub fn file(file: &Arc<dyn ReadAt>, options: &Options) -> Report {
    let report = std::sync::OnceLock::new();
    crew::run(1, &|_| Ok(Arc::clone(file)), options, &|_, outcome| {
        // The file is open, so there is a report.
        if let Ok(found) = outcome {
            let _ = report.set(found);
        }
    });
    report.into_inner().unwrap_or_default()
}

/// Verifies one TSM file that is open already, on all threads, and compares each of its pages with `sums`, the listed ones
/// of the file: then no byte of it can differ unseen. Costs another pass over its bytes.
pub fn file_with_sums(file: &Arc<dyn ReadAt>, sums: &Sums, options: &Options) -> Report {
    let mut report = self::file(file, options);
    pages::check(&**file, sums, &mut report);
    report
}

/// All bytes of a small file.
fn read_all(file: &dyn ReadAt) -> Result<Vec<u8>> {
    let size = file.size().map_err(Error::io_unnamed)?;
    let size = usize::try_from(size).map_err(|_| Error::unfit("a file that is longer than memory"))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).map_err(Error::io_unnamed)?;
    Ok(bytes)
}
