//! How every file of our own begins and ends: what it is, what a reader must understand, and a digest of all of it.
//!
//! Invariant: bytes that open as a file of some kind are those that were written, but for a collision of BLAKE3.
//!
//! ```text
//! | 0 magic 4 | 4 version 1 | 5 must 4 | 9 may 4 | 13 content n | BLAKE3 of all before 32 |       integers big-endian
//! ```

use super::read::Cursor;
use crate::error::{Error, Result};
use crate::units::Offset;

const VERSION_AT: usize = 4;
const MUST_AT: usize = VERSION_AT + size_of::<u8>();
const MAY_AT: usize = MUST_AT + size_of::<u32>();
/// Bytes before the content.
pub(crate) const HEADER_LEN: usize = MAY_AT + size_of::<u32>();
const _: () = assert!(HEADER_LEN == 13, "docs/formats/icecore-*.md");

/// Bytes behind the content.
pub(crate) const CHECKSUM_LEN: usize = blake3::OUT_LEN;

/// The only version there is of any kind.
const VERSION: u8 = 1;

/// Begins a file of the kind that `magic` names, without a feature.
pub(crate) fn begin(magic: [u8; VERSION_AT], out: &mut Vec<u8>) {
    begin_with(magic, 0, out);
}

/// Begins a file with features that a reader may ignore.
pub(crate) fn begin_with(magic: [u8; VERSION_AT], may: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&magic);
    out.push(VERSION);
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&may.to_be_bytes());
}

/// Ends the file that is all of `out`.
pub(crate) fn end(out: &mut Vec<u8>) {
    let checksum = blake3::hash(out);
    out.extend_from_slice(checksum.as_bytes());
}

/// Opens a whole file of version 1. Returns its content and the features that a reader may ignore.
///
/// # Errors
/// `Corrupt` when it is of another kind or its checksum is wrong; `Version` and `Feature` when it was written by a later
/// version. The places are those in the file; it is not named.
pub(crate) fn open<'a>(
    bytes: &'a [u8],
    magic: [u8; VERSION_AT],
    other_kind: &'static str,
) -> Result<(Cursor<'a>, u32)> {
    let mut header = Cursor::new(bytes, Offset::START);
    if header.array("shorter than a header")? != magic {
        return Err(Error::corrupt(other_kind, Offset::START));
    }
    let version_at = header.at();
    match header.u8("shorter than a header")? {
        VERSION => {}
        found => return Err(Error::version(found, version_at)),
    }
    let must_at = header.at();
    let must = header.u32("shorter than a header")?;
    let may = header.u32("shorter than a header")?;
    let Some((before, checksum)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(Error::corrupt("shorter than a checksum", Offset::START));
    };
    if blake3::hash(before) != *checksum {
        return Err(Error::corrupt("the checksum is wrong", Offset::START.forward(before.len())));
    }
    if must != 0 {
        return Err(Error::feature(must.trailing_zeros(), must_at));
    }
    let content = before.get(HEADER_LEN..).ok_or_else(|| header.corrupt("shorter than a header"))?;
    Ok((Cursor::new(content, header.at()), may))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 4] = *b"iceX";

    fn file(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        begin(MAGIC, &mut out);
        out.extend_from_slice(content);
        end(&mut out);
        out
    }

    fn opened(bytes: &[u8]) -> Result<(Vec<u8>, u32)> {
        open(bytes, MAGIC, "not an X").map(|(content, may)| (content.rest().to_vec(), may))
    }

    /// The file with a right checksum over changed bytes.
    fn mended(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes.truncate(bytes.len() - CHECKSUM_LEN);
        bytes[at] = byte;
        end(&mut bytes);
        bytes
    }

    #[test]
    fn what_was_written_opens_and_no_other_bytes_do() {
        let file = file(b"layers");
        assert_eq!(opened(&file).unwrap(), (b"layers".to_vec(), 0));
        for len in 0..file.len() {
            assert!(opened(&file[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&damaged).unwrap_err().is_damage(), "bit {bit}");
        }
    }

    #[test]
    fn later_versions_are_refused_by_what_they_need() {
        let refusal = |at, byte| opened(&mended(file(b"layers"), at, byte)).unwrap_err().to_string();
        assert_eq!(refusal(0, b'I'), "damaged: not an X at byte 0");
        assert_eq!(refusal(4, 2), "unknown version 2 at byte 4");
        assert_eq!(refusal(8, 1 << 5), "needs feature 5, which this version does not have, at byte 5");
        assert_eq!(opened(&mended(file(b"layers"), 12, 3)).unwrap(), (b"layers".to_vec(), 3));
    }
}
