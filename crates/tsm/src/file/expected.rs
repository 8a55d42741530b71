//! What the manifest says of a file that is opened: its index is checked against its sums before its first use, and a
//! check of all of it ends in the digest that is listed.
//!
//! Invariant: what vouches for the file is the digest alone. Sums that are not its own are no damage of it, and no help.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use icecore_disk::Map;

use super::digest::Digest;
use super::reader::TsmFile;
use crate::error::{Error, Result};
use crate::format::sums::{PAGE_LEN, Sums};
use crate::units::Offset;

const OTHER_FILE: &str = "the file is not the one that icecore.manifest lists";

/// What a file has to be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Of the TSM file.
    pub digest: Digest,
    /// Of the tombstone beside it; `None` compares none.
    pub tombstone: Option<Digest>,
    /// The bytes of the file's sums, as they lie on disk; `None` where there are none.
    sums: Option<Map>,
    remade: Arc<Remade>,
}

/// Sums that were lost or damaged, and made again of the file.
#[derive(Debug, Default)]
struct Remade {
    sums: OnceLock<Sums>,
    is_written: AtomicBool,
}

impl Expected {
    /// `sums` are read at their first use. Where they are missing, or are not those of a file with this digest, they are made
    /// of the file then, which reads all of it; it is damaged if they do not end in the digest.
    pub fn new(digest: Digest, tombstone: Option<Digest>, sums: Option<Map>) -> Self {
        Self { digest, tombstone, sums, remade: Arc::default() }
    }

    /// The same, beside whatever tombstone.
    pub(super) fn with_any_tombstone(mut self) -> Self {
        self.tombstone = None;
        self
    }

    /// Whether there are no sums on disk.
    pub(crate) fn lacks_sums(&self) -> bool {
        self.sums.is_none()
    }

    /// Sums that had to be made again, and are not on disk yet.
    pub(crate) fn remade_sums(&self) -> Option<&Sums> {
        self.remade.sums.get().filter(|_| !self.remade.is_written.load(Ordering::Relaxed))
    }

    /// Why they had to.
    pub(crate) fn fault_of_sums(&self) -> Error {
        match self.sums.as_deref().map(Sums::parse) {
            None => {
                Error::corrupt("the sums of a file that icecore.manifest lists are missing", Offset::START)
            }
            Some(Ok(_)) => Error::corrupt("these are not the sums of the listed file", Offset::START),
            Some(Err(error)) => error,
        }
    }

    /// The sums that had to be made again are on disk.
    pub(crate) fn sums_are_written(&self) {
        self.remade.is_written.store(true, Ordering::Relaxed);
    }

    /// Compares the pages from `from` to the end of the file with its sums.
    pub(super) fn check_from(&self, file: &TsmFile, bytes: &[u8], from: Offset) -> Result<()> {
        let sums = self.sums(file)?;
        let first = usize::try_from(from.get()).unwrap_or(usize::MAX) / PAGE_LEN;
        let mut pages = bytes.chunks(PAGE_LEN).enumerate().skip(first);
        pages.try_for_each(|(nth, page)| sums.check_page(nth, page))
    }

    /// That `digest` is the listed one. If not, the file is read once more for the first page that differs.
    pub(super) fn check_digest(&self, file: &TsmFile, digest: Digest) -> Result<()> {
        if digest == self.digest {
            return Ok(());
        }
        let sums = self.sums(file)?;
        let mut page = Vec::new();
        for nth in 0..sums.page_count() {
            let start = (nth * PAGE_LEN) as u64;
            let len = usize::try_from(file.size().saturating_sub(start)).unwrap_or(PAGE_LEN);
            page.resize(len.min(PAGE_LEN), 0);
            file.file().read_exact_at(&mut page, start).map_err(|error| Error::io(error, file.path()))?;
            sums.check_page(nth, &page)?;
        }
        Err(Error::corrupt(OTHER_FILE, Offset::START))
    }

    /// That the tombstone has the listed digest, if there is one.
    pub(super) fn check_tombstone(&self, bytes: Option<&[u8]>) -> Result<()> {
        let what = match (self.tombstone, bytes) {
            (None, _) => return Ok(()),
            (Some(digest), Some(bytes)) if blake3::hash(bytes) == digest => return Ok(()),
            (Some(_), Some(_)) => "the tombstone is not the one that icecore.manifest lists",
            (Some(_), None) => "a tombstone that icecore.manifest lists is missing",
        };
        Err(Error::corrupt(what, Offset::START))
    }

    /// The sums of the listed file. `Corrupt` without a file's name: the TSM file is not the listed one.
    fn sums(&self, file: &TsmFile) -> Result<Sums> {
        let is_of_file = |sums: &Sums| sums.len() == file.size() && sums.root() == self.digest;
        if let Some(remade) = self.remade.sums.get() {
            return Ok(remade.clone());
        }
        let found = self.sums.as_deref().and_then(|bytes| Sums::parse(bytes).ok());
        if let Some(sums) = found.filter(is_of_file) {
            return Ok(sums);
        }
        let sums = Sums::of_file(file.file())?;
        match is_of_file(&sums) {
            true => Ok(self.remade.sums.get_or_init(|| sums).clone()),
            false => Err(Error::corrupt(OTHER_FILE, Offset::START)),
        }
    }
}
