//! `icecore.manifest`: the live files of a shard, and which points of the log they hold. Replacing it is the commit of
//! a flush (design D2); bytes and rules in `docs/formats/icecore-manifest.md`.
//!
//! Invariant: one content has one form, and no file is live and replaced at once.
//!
//! ```text
//! | header 13 | number 8 | flushed 8 | live count 4 | replaced count 4 | live … | replaced … | additions … | checksum 32 |
//! live       | generation 4 | sequence 4 | sealed 48 | has tombstone 1 | sealed 48, if it has |
//! sealed     | length 8 | modified i64 | digest 32 |
//! replaced   | generation 4 | sequence 4 |
//! additions  | length 4 | bytes |                                     for each feature that may be ignored
//! ```
//!
//! Feature 0 that may be ignored: the digest of `fields.idx`, 32 bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::header;
use super::read::Cursor;
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::file::name::FileName;
use crate::units::Offset;

/// The name of the file in the data directory of a shard.
pub const NAME: &str = "icecore.manifest";

/// A longer manifest is neither written nor read: 64 MiB.
pub const LEN_MAX: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"iceM";
/// The bit of the feature that may be ignored whose addition is the digest of `fields.idx`.
const FIELDS: u32 = 1;
const DIGEST_LEN: u32 = 32;
const _: () = assert!(DIGEST_LEN as usize == blake3::OUT_LEN, "docs/formats/icecore-manifest.md");
const TOO_LONG: &str = "a manifest of more than 64 MiB";

/// What a shard consists of, but for its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// One more than that of the manifest that it replaced; the first is 1.
    pub number: u64,
    /// All points with a smaller ticket are in the live files.
    pub flushed: u64,
    /// The files whose points count.
    pub live: BTreeMap<FileName, LiveFile>,
    /// Files that wait to be unlinked: their points are in live ones, or deleted.
    pub replaced: BTreeSet<FileName>,
    /// The digest of a `fields.idx`, without changes beside it, that has every field of the live files, with its type. `None`:
    /// of the one that is there, if there is one, nothing is known.
    pub fields: Option<Digest>,
}

/// A live TSM file and the tombstone beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveFile {
    /// The TSM file alone.
    pub file: Sealed,
    /// The file with its deletes.
    pub tombstone: Option<Sealed>,
}

/// What tells a file that is not written any more from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Length in bytes.
    pub len: u64,
    /// The time of modification that the disk stated for it, ns since 1970.
    pub modified_ns: i64,
    /// Of its bytes as they lie on disk.
    pub digest: Digest,
}

impl Manifest {
    /// Reads a whole manifest.
    ///
    /// # Errors
    /// `Corrupt`, `Version` or `Feature` with the place; the file is not named.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LEN_MAX {
            return Err(Error::corrupt(TOO_LONG, Offset::START.forward(LEN_MAX)));
        }
        let (mut content, may) = header::open(bytes, MAGIC, "not a manifest")?;
        let number = content.u64("the number is cut off")?;
        let flushed = content.u64("the flushed ticket is cut off")?;
        let live_count = content.u32("the number of files is cut off")?;
        let replaced_count = content.u32("the number of replaced files is cut off")?;
        let mut manifest = Self { number, flushed, ..Self::default() };
        for _ in 0..live_count {
            let at = content.at();
            let name = name(&mut content)?;
            if manifest.live.last_key_value().is_some_and(|(before, _)| *before >= name) {
                return Err(Error::corrupt("live files are not in ascending order", at));
            }
            manifest.live.insert(name, LiveFile::read(&mut content)?);
        }
        for _ in 0..replaced_count {
            let at = content.at();
            let name = name(&mut content)?;
            if manifest.replaced.last().is_some_and(|before| *before >= name) {
                return Err(Error::corrupt("replaced files are not in ascending order", at));
            }
            if manifest.live.contains_key(&name) {
                return Err(Error::corrupt("a file is live and replaced", at));
            }
            manifest.replaced.insert(name);
        }
        manifest.fields = additions(&mut content, may)?;
        match content.is_empty() {
            true => Ok(manifest),
            false => Err(content.corrupt("bytes behind the content")),
        }
    }

    /// The whole file; the same for the same content.
    ///
    /// # Errors
    /// `Unfit` when a file is live and replaced, or when there are too many files.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        if self.replaced.iter().any(|name| self.live.contains_key(name)) {
            return Err(Error::unfit("a file is live and replaced"));
        }
        let count = |len| u32::try_from(len).map_err(|_| Error::unfit(TOO_LONG));
        let mut out = Vec::new();
        header::begin_with(MAGIC, if self.fields.is_some() { FIELDS } else { 0 }, &mut out);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.flushed.to_be_bytes());
        out.extend_from_slice(&count(self.live.len())?.to_be_bytes());
        out.extend_from_slice(&count(self.replaced.len())?.to_be_bytes());
        for (name, live) in &self.live {
            put_name(*name, &mut out);
            live.put(&mut out);
        }
        self.replaced.iter().for_each(|name| put_name(*name, &mut out));
        if let Some(fields) = &self.fields {
            out.extend_from_slice(&DIGEST_LEN.to_be_bytes());
            out.extend_from_slice(fields.as_bytes());
        }
        header::end(&mut out);
        if out.len() > LEN_MAX { Err(Error::unfit(TOO_LONG)) } else { Ok(out) }
    }
}

impl LiveFile {
    fn read(content: &mut Cursor<'_>) -> Result<Self> {
        let file = Sealed::read(content)?;
        let at = content.at();
        let tombstone = match content.u8("a file is cut off")? {
            0 => None,
            1 => Some(Sealed::read(content)?),
            _ => return Err(Error::corrupt("whether a file has a tombstone is neither 0 nor 1", at)),
        };
        Ok(Self { file, tombstone })
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.file.put(out);
        out.push(u8::from(self.tombstone.is_some()));
        if let Some(tombstone) = &self.tombstone {
            tombstone.put(out);
        }
    }
}

impl Sealed {
    fn read(content: &mut Cursor<'_>) -> Result<Self> {
        let len = content.u64("the length of a file is cut off")?;
        let modified_ns = content.i64("the time of a file is cut off")?;
        let digest = Digest::from_bytes(content.array("the digest of a file is cut off")?);
        Ok(Self { len, modified_ns, digest })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(&self.modified_ns.to_be_bytes());
        out.extend_from_slice(self.digest.as_bytes());
    }
}

fn name(content: &mut Cursor<'_>) -> Result<FileName> {
    let generation = content.u32("the name of a file is cut off")?;
    Ok(FileName::from_numbers(generation, content.u32("the name of a file is cut off")?))
}

fn put_name(name: FileName, out: &mut Vec<u8>) {
    let (generation, sequence) = name.numbers();
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
}

/// The digest of `fields.idx`; what later versions add for other features that may be ignored is skipped.
fn additions(content: &mut Cursor<'_>, may: u32) -> Result<Option<Digest>> {
    let mut fields = None;
    for bit in (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| may & bit != 0) {
        let at = content.at();
        let len = content.u32("the length of an addition is cut off")?;
        if bit == FIELDS {
            if len != DIGEST_LEN {
                return Err(Error::corrupt("the digest of fields.idx has not 32 bytes", at));
            }
            fields = Some(Digest::from_bytes(content.array("an addition is cut off")?));
            continue;
        }
        let len = usize::try_from(len).map_err(|_| content.corrupt("an addition is cut off"))?;
        content.take(len, "an addition is cut off")?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seed: u8) -> Sealed {
        Sealed {
            len: 1000 + u64::from(seed),
            modified_ns: -5 + i64::from(seed),
            digest: blake3::hash(&[seed]),
        }
    }

    fn sample() -> Manifest {
        let live = [
            (FileName::from_numbers(3, 2), LiveFile { file: sealed(1), tombstone: None }),
            (FileName::from_numbers(4, 1), LiveFile { file: sealed(2), tombstone: Some(sealed(3)) }),
        ];
        let replaced = [FileName::from_numbers(2, 1), FileName::from_numbers(3, 1)];
        Manifest { number: 7, flushed: 1 << 40, live: live.into(), replaced: replaced.into(), fields: None }
    }

    /// `bytes` with everything behind `at` given anew, and a right checksum.
    fn changed(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
        let mut bytes = bytes[..bytes.len() - header::CHECKSUM_LEN].to_vec();
        bytes.splice(at..(at + new.len()).min(bytes.len()), new.iter().copied());
        header::end(&mut bytes);
        bytes
    }

    #[test]
    fn a_manifest_reads_back() {
        let with_fields = Manifest { fields: Some(blake3::hash(b"fields")), ..sample() };
        for manifest in [Manifest::default(), sample(), with_fields] {
            assert_eq!(Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(), manifest);
        }
    }

    /// Every byte of the documented example, so that text and code cannot drift apart.
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let bytes = sample().to_bytes().unwrap();
        let live = [
            &[0, 0, 0, 3, 0, 0, 0, 2][..],
            &1001u64.to_be_bytes(),
            &(-4i64).to_be_bytes(),
            blake3::hash(&[1]).as_bytes(),
            &[0],
            &[0, 0, 0, 4, 0, 0, 0, 1],
            &1002u64.to_be_bytes(),
            &(-3i64).to_be_bytes(),
            blake3::hash(&[2]).as_bytes(),
            &[1],
            &1003u64.to_be_bytes(),
            &(-2i64).to_be_bytes(),
            blake3::hash(&[3]).as_bytes(),
        ]
        .concat();
        let head =
            [&b"iceM\x01\0\0\0\0\0\0\0\0"[..], &7u64.to_be_bytes(), &(1u64 << 40).to_be_bytes()].concat();
        let counts = [0, 0, 0, 2, 0, 0, 0, 2];
        let replaced = [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1];
        let content = [&head[..], &counts, &live, &replaced].concat();
        assert_eq!(bytes, [&content[..], blake3::hash(&content).as_bytes()].concat());
        let fields = blake3::hash(b"fields");
        let bytes = Manifest { fields: Some(fields), ..sample() }.to_bytes().unwrap();
        let mut content = [&content[..], &[0, 0, 0, 32], fields.as_bytes()].concat();
        content[12] = 1;
        assert_eq!(bytes, [&content[..], blake3::hash(&content).as_bytes()].concat());
    }

    #[test]
    fn what_contradicts_itself_is_refused_under_a_right_checksum() {
        let bytes = sample().to_bytes().unwrap();
        let refusal =
            |at: usize, new: &[u8]| Manifest::parse(&changed(&bytes, at, new)).unwrap_err().to_string();
        let (first, second) = (37, 37 + 8 + 48 + 1);
        let replaced = second + 8 + 48 + 1 + 48;
        assert_eq!(refusal(second + 3, &[3]), "damaged: live files are not in ascending order at byte 94");
        assert_eq!(
            refusal(first + 56, &[2]),
            "damaged: whether a file has a tombstone is neither 0 nor 1 at byte 93"
        );
        assert_eq!(
            refusal(replaced + 8, &[0, 0, 0, 2, 0, 0, 0, 1]),
            "damaged: replaced files are not in ascending order at byte 207"
        );
        assert_eq!(refusal(replaced + 15, &[2]), "damaged: a file is live and replaced at byte 207");
        assert_eq!(refusal(29, &[0xff; 4]), "damaged: live files are not in ascending order at byte 199");
        assert_eq!(refusal(36, &[1]), "damaged: bytes behind the content at byte 207");
        assert_eq!(refusal(36, &[3]), "damaged: the name of a file is cut off at byte 215");
    }

    #[test]
    fn additions_of_a_later_version_are_skipped() {
        let bytes = sample().to_bytes().unwrap();
        let end = bytes.len() - header::CHECKSUM_LEN;
        let additions = [0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0];
        let with = |may: u8, additions: &[u8]| {
            let mut bytes = bytes[..end].to_vec();
            bytes[12] = may;
            bytes.extend_from_slice(additions);
            header::end(&mut bytes);
            Manifest::parse(&bytes)
        };
        assert_eq!(with(0b1010, &additions).unwrap(), sample());
        assert!(with(0b10, &additions).is_err() && with(0b1110, &additions).is_err());
        assert!(with(0b10, &[0xff; 4]).is_err());
        let fields = [&[0, 0, 0, 32][..], blake3::hash(b"fields").as_bytes(), &additions].concat();
        let with_fields = Manifest { fields: Some(blake3::hash(b"fields")), ..sample() };
        assert_eq!(with(0b10101, &fields).unwrap(), with_fields);
        assert_eq!(
            with(0b101, &additions).unwrap_err().to_string(),
            "damaged: the digest of fields.idx has not 32 bytes at byte 215"
        );
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_not_written() {
        let mut manifest = sample();
        manifest.replaced.insert(FileName::from_numbers(4, 1));
        assert_eq!(manifest.to_bytes().unwrap_err().to_string(), "a file is live and replaced");
    }
}
