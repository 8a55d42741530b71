//! Writes TSM files: blocks as they come, the index at the end, and a new file where one is full.
//!
//! Invariant: a final name never leads to a part of a file, and no file gets its final name before all are complete.
//!
//! ```text
//! blocks come     | G-S.tsm.tmp  header, blocks …      | G-S.idx.tmp  index that memory does not hold |
//! a file is full  | G-S.tsm.tmp  index, footer; synced | removed; goes on as G-(S+1)                  |
//! finish          | all renamed to G-S.tsm, then the directory is synced                              |
//! ```

mod disk;
mod index_buffer;
mod memory;
mod options;
mod rolling;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use icecore_disk::Disk;

use self::disk::OnDisk;
pub(crate) use self::memory::InMemory;
pub use self::options::WriterOptions;
pub(crate) use self::rolling::Rolling;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::format::block::{self, Flavor};
use crate::format::column::Column;
use crate::format::index::CRC_LEN;
use crate::format::sums::Sums;
use crate::units::Offset;

/// Writes points, sorted by key and time, to one TSM file or more in a directory.
///
/// Keys ascend by their bytes, the blocks of a key ascend in time and do not overlap, and a key has one type: what
/// breaks this is refused as `Unfit`, changes nothing, and the writer goes on. After a call that the system refused,
/// the writer repeats that error whatever it is asked.
///
/// A file that has no room for the next block is closed, and the next takes the sequence behind it; a key may go on
/// there. Memory: the index of the file being written up to [`WriterOptions::index_memory_max`], and one block.
///
/// # Durability
/// Nothing is before [`finish`](Self::finish) returns; then all is. A writer that is dropped before, or that fails,
/// removes its temporary files, as far as the disk lets it; what stays ends in `.tmp`, and influxd and
/// [`Shard`](crate::Shard) remove such names when they open the directory to write.
///
/// ```
/// use icecore_disk::RealDisk;
/// use icecore_tsm::block::Flavor;
/// use icecore_tsm::{Column, FileName, TsmFile, TsmWriter, Values, WriterOptions};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let name = FileName::parse("000000001-000000001.tsm").expect("two numbers of nine digits");
/// let mut writer = TsmWriter::new(&RealDisk, dir, name, WriterOptions::default());
/// let column = Column { times: vec![10, 20, 30], values: Values::Float(vec![0.5, 1.0, -2.0]) };
/// writer.column(b"ice,core=3#!~#depth", &column, Flavor::Batch)?;
/// assert_eq!(writer.finish()?, [name]);
///
/// let file = TsmFile::open(&RealDisk, &dir.join(name.to_string()), name)?;
/// let range = file.index()?.range();
/// assert_eq!((range.min(), range.max()), (10, 30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TsmWriter<'d> {
    files: Rolling<OnDisk<'d>>,
    block_points_max: usize,
}

impl<'d> TsmWriter<'d> {
    /// A writer into `dir` whose first file gets `name`. Touches nothing: the first block creates the file.
    pub fn new(disk: &'d dyn Disk, dir: &Path, name: FileName, options: WriterOptions) -> Self {
        let block_points_max = options.block_points_max;
        let sink = OnDisk::new(disk, dir, &options);
        Self { files: Rolling::new(sink, name, &options), block_points_max }
    }

    /// Encodes a whole column, in blocks of at most [`WriterOptions::block_points_max`] points; an empty one is none.
    ///
    /// # Errors
    /// As [`block`](Self::block). Blocks before the one that was refused are written.
    pub fn column(&mut self, key: &[u8], column: &Column, flavor: Flavor) -> Result<()> {
        self.files.column(key, column, self.block_points_max, flavor)
    }

    /// Encodes the points `range` of a column as one block of `key`.
    ///
    /// # Errors
    /// `Unfit`, and nothing is written: the range is empty or passes the column, its times do not ascend strictly or not
    /// from those before; the key is longer than 65,535 bytes, has no field, comes before the last one, or had another
    /// type; the encoding refuses a value; the numbers of files are used up. `Io` names the file; `AlreadyExists` when
    /// there is one of that name, or a tombstone for it.
    pub fn block(&mut self, key: &[u8], column: &Column, range: Range<usize>, flavor: Flavor) -> Result<()> {
        self.files.block(key, column, range, flavor)
    }

    /// Takes a block as it stands, its checksum in front; in its file it begins at `at`. Its checksum is compared and
    /// its times are read, its values are not.
    ///
    /// # Errors
    /// `Corrupt`, with the place in its file, when it is not a block in order of time; else as [`block`](Self::block).
    pub fn copy(&mut self, key: &[u8], block: &[u8], at: Offset) -> Result<()> {
        self.files.copy(key, block, at)
    }

    /// Whether there was no block yet.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Completes the last file, syncs it, gives all files their names, and syncs the directory. Returns the names,
    /// ascending.
    ///
    /// # Errors
    /// `Unfit` when there was no block: a TSM file needs one. `Io`; then names that were given are taken back, as far as
    /// the disk lets it, and those that stay lead to complete files.
    pub fn finish(self) -> Result<Vec<FileName>> {
        Ok(self.finish_with_sums()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Does what [`finish`](Self::finish) does, and returns each file's sums too, which were made while it was written. The
    /// root of the sums is the file's digest.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with_sums(mut self) -> Result<Vec<(FileName, Sums)>> {
        self.files.close()?;
        self.files.into_sink().publish()
    }
}

impl fmt::Debug for TsmWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsmWriter").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Replaces `out` by a block of the points `range`, its checksum in front. Returns its length.
///
/// # Errors
/// `Unfit` when the encoding refuses a value or the block is longer than 4 GiB.
pub(crate) fn put_block(
    column: &Column,
    range: Range<usize>,
    flavor: Flavor,
    out: &mut Vec<u8>,
) -> Result<u32> {
    out.clear();
    out.extend_from_slice(&[0; CRC_LEN]);
    block::encode(column, range, flavor, out)?;
    if let Some((crc, body)) = out.split_first_chunk_mut::<CRC_LEN>() {
        *crc = crc32fast::hash(body).to_be_bytes();
    }
    block_len(out)
}

fn block_len(block: &[u8]) -> Result<u32> {
    u32::try_from(block.len()).map_err(|_| Error::unfit("a block is longer than 4 GiB"))
}
