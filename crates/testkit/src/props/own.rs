//! What the files of our own have in common: a header, and a checksum over everything.

use icecore_tsm::Error;

const HEADER_LEN: usize = 13;
const MAY_AT: usize = 9;
const CHECKSUM_LEN: usize = 32;

/// Makes a file of the kind that `magic` names of bytes that are nearly one: what a reader may ignore and the content are
/// kept, the rest is made right. Bytes that are too few for a file become the content of one.
pub(super) fn mended(magic: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    let content = bytes.len().checked_sub(CHECKSUM_LEN).and_then(|end| bytes.get(HEADER_LEN..end));
    let mut out = [&magic[..], &[1], &[0; 4]].concat();
    match (content, bytes.get(MAY_AT..HEADER_LEN)) {
        (Some(content), Some(may)) => [may, content].iter().for_each(|part| out.extend_from_slice(part)),
        _ => [&[0; 4], bytes].iter().for_each(|part| out.extend_from_slice(part)),
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

/// Whether a later version added something that is not known here.
pub(super) fn has_additions(bytes: &[u8]) -> bool {
    bytes.get(MAY_AT..HEADER_LEN).is_some_and(|may| may != [0; 4])
}

/// Damage of bytes that are no file yet has a place in or right behind them.
pub(super) fn names_place(error: &Error, bytes: &[u8]) {
    assert!(error.is_damage(), "not about damage: {error}");
    let at = error.offset().expect("damage has a place").get();
    assert!(at <= bytes.len() as u64, "outside the bytes: {error}");
}
