//! The header that every page and every inline bucket begins with.
//!
//! Invariant: exactly one flag is set, and it says what follows.
//!
//! ```text
//! | 0 id u64 | 8 flags u16 | 10 count u16 | 12 overflow u32 |     little-endian
//! ```
//! `overflow` counts the pages *after* the first that belong to the node; they have no header of their own. An inline
//! bucket has id 0 and overflow 0.

use super::{u16_at, u32_at, u64_at};

const ID: usize = 0;
const FLAGS: usize = ID + size_of::<u64>();
const COUNT: usize = FLAGS + size_of::<u16>();
const OVERFLOW: usize = COUNT + size_of::<u16>();
pub(crate) const HEADER_LEN: usize = OVERFLOW + size_of::<u32>();
const _: () = assert!(HEADER_LEN == 16, "Bolt page header");

/// Page sizes that are read and written: powers of two between these.
pub(crate) const PAGE_SIZE_MIN: u32 = 1 << 10;
pub(crate) const PAGE_SIZE_MAX: u32 = 1 << 16;

/// Whether this crate reads and writes files with pages of `size` bytes.
pub(crate) const fn is_page_size(size: u32) -> bool {
    size.is_power_of_two() && size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX
}

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Branch,
    Leaf,
    Meta,
    Freelist,
}

impl Kind {
    const fn of(flags: u16) -> Option<Self> {
        match flags {
            0x01 => Some(Self::Branch),
            0x02 => Some(Self::Leaf),
            0x04 => Some(Self::Meta),
            0x10 => Some(Self::Freelist),
            _ => None,
        }
    }

    const fn flags(self) -> u16 {
        match self {
            Self::Branch => 0x01,
            Self::Leaf => 0x02,
            Self::Meta => 0x04,
            Self::Freelist => 0x10,
        }
    }
}

/// A page header, decoded. `kind` is `None` when the flags are none that the format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u64,
    pub(crate) kind: Option<Kind>,
    pub(crate) count: u16,
    pub(crate) overflow: u32,
}

impl Header {
    /// `None` when there are not sixteen bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, ID)?,
            kind: Kind::of(u16_at(bytes, FLAGS)?),
            count: u16_at(bytes, COUNT)?,
            overflow: u32_at(bytes, OVERFLOW)?,
        })
    }

    /// The header of a page that is to be written.
    pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, id: u64, count: u16, overflow: u32) {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&kind.flags().to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&overflow.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        for kind in [Kind::Branch, Kind::Leaf, Kind::Meta, Kind::Freelist] {
            let mut bytes = Vec::new();
            Header::write(&mut bytes, kind, 7, 3, 2);
            assert_eq!(bytes.len(), HEADER_LEN);
            assert_eq!(
                Header::parse(&bytes),
                Some(Header { id: 7, kind: Some(kind), count: 3, overflow: 2 })
            );
        }
    }

    #[test]
    fn two_flags_or_none_are_no_kind() {
        for flags in (0..=u16::MAX).filter(|flags| ![1, 2, 4, 16].contains(flags)) {
            assert_eq!(Kind::of(flags), None);
        }
        assert_eq!(Header::parse(&[0; HEADER_LEN - 1]), None);
    }
}
