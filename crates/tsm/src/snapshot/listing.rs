//! `icecore.files`: the last entry of a shard's archive, the list of all live files of the cut (design D6).
//!
//! Text, so that an operator can read it; bytes and rules in `docs/formats/icecore-files.md`.
//!
//! ```text
//! icecore.files 1
//! <blake3, 64 hex digits> <length, decimal> <file name>      a line for each file, by name
//! end <number of files> <blake3 of everything before this line>
//! ```

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::file::name::FileName;
use crate::units::Offset;

const FIRST_LINE: &str = "icecore.files 1\n";
const DIGEST_DIGITS: usize = 64;

/// All live files of a cut, as they leave in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    files: Vec<ListedFile>,
}

/// A file with its length in bytes and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Generation and sequence.
    pub name: FileName,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
}

impl Listing {
    /// The name of the archive's last entry, without a path.
    pub const NAME: &'static str = "icecore.files";

    /// A list, which is ordered by name.
    pub fn new(mut files: Vec<ListedFile>) -> Self {
        files.sort_by_key(|file| file.name);
        Self { files }
    }

    /// The files, ordered by name.
    pub fn files(&self) -> &[ListedFile] {
        &self.files
    }

    /// The length of the text of a list of these files; their digests need not be known.
    pub fn size_of(files: impl IntoIterator<Item = (FileName, u64)>) -> u64 {
        let digest = blake3::hash(&[]);
        let files = files.into_iter().map(|(name, size)| ListedFile { name, size, digest });
        Self::new(files.collect()).to_text().len() as u64
    }

    /// The bytes of the entry.
    pub fn to_text(&self) -> String {
        let mut text = String::from(FIRST_LINE);
        for file in &self.files {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{} {} {}", file.digest.to_hex(), file.size, file.name);
        }
        let digest = blake3::hash(text.as_bytes());
        let _ = writeln!(text, "end {} {}", self.files.len(), digest.to_hex());
        text
    }

    /// Reads the bytes of an entry.
    ///
    /// # Errors
    /// `Corrupt` with the offset of the line that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let end = last_line(text);
        let (body, last) = text.split_at_checked(end).unwrap_or((text, &[]));
        let digest = blake3::hash(body);
        let mut files = Vec::new();
        let mut at = FIRST_LINE.len();
        let lines = body
            .strip_prefix(FIRST_LINE.as_bytes())
            .ok_or_else(|| Error::corrupt("not a list of files of version 1", Offset::START))?;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let file = parse_line(line).ok_or_else(|| {
                Error::corrupt("a line of the list of files is wrong", Offset::START.forward(at))
            })?;
            files.push(file);
            at += line.len();
        }
        let ascends = files.is_sorted_by(|a, b| a.name < b.name);
        let expected = format!("end {} {}\n", files.len(), digest.to_hex());
        if !ascends || last != expected.as_bytes() {
            return Err(Error::corrupt(
                "the list of files does not end as it must",
                Offset::START.forward(end),
            ));
        }
        Ok(Self { files })
    }
}

/// Where the last line begins.
fn last_line(text: &[u8]) -> usize {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    body.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

fn parse_line(line: &[u8]) -> Option<ListedFile> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let (digest, size, name) = (words.next()?, words.next()?, words.next()?);
    let file = ListedFile {
        name: FileName::parse(name)?,
        size: size.parse().ok()?,
        digest: Digest::from_hex(digest).ok().filter(|_| digest.len() == DIGEST_DIGITS)?,
    };
    let canonical = format!("{} {} {}", file.digest.to_hex(), file.size, file.name);
    (words.next().is_none() && canonical == line).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Listing {
        let file = |name: &str, size| ListedFile {
            name: FileName::parse(name).unwrap(),
            size,
            digest: blake3::hash(name.as_bytes()),
        };
        Listing::new(vec![file("000000002-000000001.tsm", 7), file("000000001-000000003.tsm", 1 << 31)])
    }

    #[test]
    fn what_is_written_is_read_and_its_length_is_known_before() {
        for listing in [sample(), Listing::default()] {
            let text = listing.to_text();
            assert_eq!(Listing::parse(text.as_bytes()).unwrap(), listing);
            let sizes = listing.files().iter().map(|file| (file.name, file.size));
            assert_eq!(Listing::size_of(sizes), text.len() as u64);
        }
    }

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        let text = sample().to_text().into_bytes();
        for len in 0..text.len() {
            assert!(Listing::parse(&text[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Listing::parse(&damaged).is_err(), "bit {bit}");
        }
    }
}
