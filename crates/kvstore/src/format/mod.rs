//! Bytes to values and back, without I/O. Every parser is total: any bytes give a value or `Corrupt`, and nothing is
//! allocated from a number that the file names.

pub(crate) mod bucket;
pub(crate) mod digests;
pub(crate) mod freelist;
pub(crate) mod meta;
pub(crate) mod node;
pub(crate) mod page;

/// The `N` bytes at `at`, if they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A length of the format in memory's own measure; this widens on every system the crate builds for.
pub(crate) const fn widen(len: u32) -> usize {
    const { assert!(usize::BITS >= u32::BITS, "16-bit systems cannot hold a Bolt page") }
    len as usize
}
