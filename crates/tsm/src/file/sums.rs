//! The sums of a TSM file on disk, beside it.

use std::path::Path;

use icecore_disk::{Disk, ReadAt};

use super::name::FileName;
use super::whole;
use crate::error::{Error, Result};
use crate::format::sums::{Summing, Sums};

/// Sums of a file of 128 GiB, far more than a TSM file may have: what is longer is damage.
const LEN_MAX: usize = 64 << 20;

/// Read at a time.
const WINDOW_LEN: usize = 1 << 18;

impl Sums {
    /// The sums of `name` in `dir`; `None` when there are none.
    ///
    /// # Errors
    /// `Corrupt`, `Version`, `Feature` or `Io`; each names the file of the sums.
    pub fn read(disk: &dyn Disk, dir: &Path, name: FileName) -> Result<Option<Self>> {
        let path = dir.join(name.sums());
        let bytes = whole::read(disk, &path, LEN_MAX)?;
        bytes.map(|bytes| Self::parse(&bytes)).transpose().map_err(|error| error.in_file(&path))
    }

    /// Writes the sums of `name` in `dir`, in the place of others that lie there.
    ///
    /// # Durability
    /// On return their bytes are durable; their name is when the directory is synced, which is left to the caller: that
    /// can be the sync behind the new manifest. Sums that are lost can be made again.
    ///
    /// # Errors
    /// `Io`; at most a name that ends in `.tmp` is left behind.
    pub fn write(&self, disk: &dyn Disk, dir: &Path, name: FileName) -> Result<()> {
        whole::replace(disk, &dir.join(name.sums()), &self.to_bytes())
    }

    /// Reads all of a file for its sums, with `pread`.
    ///
    /// # Errors
    /// `Io`, with the place but without the name of the file.
    pub fn of_file(file: &dyn ReadAt) -> Result<Self> {
        let mut summing = Summing::default();
        let mut window = Vec::new();
        let mut at = 0;
        let len = file.size().map_err(Error::io_unnamed)?;
        while at < len {
            window.resize(usize::try_from(len - at).map_or(WINDOW_LEN, |left| left.min(WINDOW_LEN)), 0);
            file.read_exact_at(&mut window, at).map_err(Error::io_unnamed)?;
            summing.update(&window);
            at += window.len() as u64;
        }
        Ok(summing.finish())
    }
}
