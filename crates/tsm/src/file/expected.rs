//! What the manifest says of a file that is opened: its index is checked against its sums before its first use, and a
//! check of all of it ends in the digest that is listed.

use icecore_disk::Map;

use super::check::Digest;
use super::reader::TsmFile;
use crate::error::{Error, Result};
use crate::format::sums::{PAGE_LEN, Sums};
use crate::units::Offset;

/// What a file has to be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Of the TSM file.
    pub digest: Digest,
    /// Of the tombstone beside it; `None` compares none.
    pub tombstone: Option<Digest>,
    /// The bytes of the file's sums, as they lie on disk or as they would. They are read at the first use.
    pub sums: Map,
}

impl Expected {
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
        Err(Error::corrupt("the file is not the one that icecore.manifest lists", Offset::START))
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

    /// The sums of the listed file; the error of others names their file.
    fn sums(&self, file: &TsmFile) -> Result<Sums> {
        let is_of_file = |sums: &Sums| sums.len() == file.size() && sums.root() == self.digest;
        let sums = Sums::parse(&self.sums).and_then(|sums| match is_of_file(&sums) {
            true => Ok(sums),
            false => Err(Error::corrupt("these are not the sums of the listed file", Offset::START)),
        });
        sums.map_err(|error| error.in_file(&file.path().with_file_name(file.name().sums())))
    }
}
