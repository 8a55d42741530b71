//! Version 4 only: a file grows by one gzip member for each commit.

use std::borrow::Cow;
use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::{V4, walk};
use crate::error::{Error, Result};
use crate::format::key;
use crate::units::TimeRange;

/// What Go writes for the system that made a gzip: it does not say.
const UNKNOWN_SYSTEM: u8 = 0xff;

/// A gzip member of records under way: the deletes of one commit. The same records give the same bytes.
///
/// ```
/// use icecore_tsm::{TimeRange, tombstone};
///
/// let mut member = tombstone::Member::new();
/// member.push(b"cpu,host=a#!~#load", TimeRange::new(0, 99)?)?;
/// let file = [&*tombstone::carried(&[])?, &*member.finish()?].concat();
///
/// let mut deletes = Vec::new();
/// tombstone::walk(&file, |key, range| deletes.push((key.to_vec(), range)))?;
/// assert_eq!(deletes, [(b"cpu,host=a#!~#load".to_vec(), TimeRange::new(0, 99)?)]);
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
pub struct Member(GzEncoder<Vec<u8>>);

impl Default for Member {
    fn default() -> Self {
        Self::new()
    }
}

impl Member {
    /// Without records. One that is finished without any is a member too.
    pub fn new() -> Self {
        let header = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
        Self(header.write(Vec::new(), Compression::default()))
    }

    /// Records that the times `range` of a composite key are deleted.
    ///
    /// # Errors
    /// `Unfit` when the key is longer than a TSM file can hold.
    pub fn push(&mut self, key: &[u8], range: TimeRange) -> Result<()> {
        let len = u32::try_from(key.len()).ok().filter(|_| key.len() <= key::LEN_MAX);
        let len = len.ok_or_else(|| Error::unfit("a key is longer than 65,535 bytes"))?;
        let parts = [&len.to_be_bytes()[..], key, &range.min().to_be_bytes(), &range.max().to_be_bytes()];
        parts.into_iter().try_for_each(|part| self.0.write_all(part)).map_err(Error::io_unnamed)
    }

    /// The bytes of the member, to be put behind those of the file.
    ///
    /// # Errors
    /// None that a caller can cause: it is written to memory.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.finish().map_err(Error::io_unnamed)
    }
}

/// What an existing file becomes before a member is put behind it: version 4 stays as it stands, any other becomes
/// version 4 with the same records. No file is an empty one.
///
/// # Errors
/// `Corrupt` when a file of another version is damaged.
pub fn carried(file: &[u8]) -> Result<Cow<'_, [u8]>> {
    if file.starts_with(&V4) {
        return Ok(Cow::Borrowed(file));
    }
    let mut member = None;
    let mut outcome = Ok(());
    walk(file, |key, range| {
        if outcome.is_ok() {
            outcome = member.get_or_insert_with(Member::new).push(key, range);
        }
    })?;
    outcome?;
    let mut carried = V4.to_vec();
    if let Some(member) = member {
        carried.append(&mut member.finish()?);
    }
    Ok(Cow::Owned(carried))
}
