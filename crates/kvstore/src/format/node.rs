//! A node of a tree: a branch or a leaf, in pages of its own or inside a bucket's value.
//!
//! Invariant (bbolt's, and ours when writing): the keys and values follow the elements without a gap, in order.
//!
//! ```text
//! | header 16 | element 16 * count | key, value, key, value, ... | nothing, up to the end of the page |
//! leaf element    | 0 flags u32 | 4 pos u32 | 8 key len u32 | 12 value len u32 |     flags 1: the value is a bucket
//! branch element  | 0 pos u32 | 4 key len u32 | 8 child page u64 |
//! ```
//! `pos` counts from the first byte of the element itself. A branch's key is the first key of that child.

use std::cmp::Ordering;
use std::ops::Range;

use super::page::{HEADER_LEN, Header, Kind};
use super::{u32_at, u64_at, widen};
use crate::PageId;
use crate::error::{Error, Result};
use crate::units::Place;

const LEAF_FLAGS: usize = 0;
const LEAF_POS: usize = LEAF_FLAGS + size_of::<u32>();
const LEAF_KEY_LEN: usize = LEAF_POS + size_of::<u32>();
const LEAF_VALUE_LEN: usize = LEAF_KEY_LEN + size_of::<u32>();
const BRANCH_POS: usize = 0;
const BRANCH_KEY_LEN: usize = BRANCH_POS + size_of::<u32>();
const BRANCH_CHILD: usize = BRANCH_KEY_LEN + size_of::<u32>();

/// Leaf and branch elements have the same length.
pub(crate) const ELEMENT_LEN: usize = LEAF_VALUE_LEN + size_of::<u32>();
const _: () = assert!(ELEMENT_LEN == 16 && BRANCH_CHILD + size_of::<u64>() == ELEMENT_LEN, "Bolt elements");

/// A leaf element's value is a bucket.
pub(crate) const FLAG_BUCKET: u32 = 1;

/// Writes what follows the header of a leaf: elements of flags, key and value.
///
/// # Errors
/// `Unfit` when a position or length does not fit the format.
pub(crate) fn write_leaf<'a>(
    out: &mut Vec<u8>,
    elements: impl ExactSizeIterator<Item = (u32, &'a [u8], &'a [u8])> + Clone,
) -> Result<()> {
    let mut pos = elements.len() * ELEMENT_LEN;
    for (flags, key, value) in elements.clone() {
        for field in [flags, narrow(pos)?, narrow(key.len())?, narrow(value.len())?] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        pos = pos + key.len() + value.len() - ELEMENT_LEN;
    }
    for (_, key, value) in elements {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    Ok(())
}

/// Writes what follows the header of a branch: for each child its first key and its page.
///
/// # Errors
/// As [`write_leaf`].
pub(crate) fn write_branch<'a>(
    out: &mut Vec<u8>,
    elements: impl ExactSizeIterator<Item = (&'a [u8], u64)> + Clone,
) -> Result<()> {
    let mut pos = elements.len() * ELEMENT_LEN;
    for (key, child) in elements.clone() {
        out.extend_from_slice(&narrow(pos)?.to_le_bytes());
        out.extend_from_slice(&narrow(key.len())?.to_le_bytes());
        out.extend_from_slice(&child.to_le_bytes());
        pos = pos + key.len() - ELEMENT_LEN;
    }
    elements.for_each(|(key, _)| out.extend_from_slice(key));
    Ok(())
}

fn narrow(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| too_large())
}

/// What is said of a node that the format has no numbers for.
pub(crate) fn too_large() -> Error {
    Error::unfit("a node is larger than the format can say")
}

/// The bytes of one node: all of its pages, or the value that holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    bytes: &'a [u8],
    place: Place,
    is_leaf: bool,
    count: usize,
}

/// One element of a leaf.
#[derive(Clone, Debug)]
pub(crate) struct LeafElement<'a> {
    pub(crate) is_bucket: bool,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) value_place: Place,
    /// Where key and value lie in the node.
    pub(crate) span: Range<usize>,
}

/// One element of a branch.
#[derive(Clone, Debug)]
pub(crate) struct BranchElement<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) child: PageId,
    /// Where the element itself lies: what a bad child is blamed on.
    pub(crate) place: Place,
    /// Where the key lies in the node.
    pub(crate) span: Range<usize>,
}

impl<'a> Node<'a> {
    /// The node in `bytes`, which are all of its pages and begin with `header`.
    pub(crate) fn page(bytes: &'a [u8], header: Header, place: Place) -> Result<Self> {
        let is_leaf = match header.kind {
            Some(Kind::Leaf) => true,
            Some(Kind::Branch) => false,
            _ => return Err(Error::corrupt("the page is neither a branch nor a leaf", place)),
        };
        let count = usize::from(header.count);
        if HEADER_LEN + count * ELEMENT_LEN > bytes.len() {
            return Err(Error::corrupt("more elements than the page has room for", place));
        }
        if !is_leaf && count == 0 {
            return Err(Error::corrupt("a branch without children", place));
        }
        Ok(Self { bytes, place, is_leaf, count })
    }

    /// The leaf inside a bucket's value.
    pub(crate) fn inline(bytes: &'a [u8], place: Place) -> Result<Self> {
        let header =
            Header::parse(bytes).ok_or_else(|| Error::corrupt("an inline bucket is too short", place))?;
        if (header.id, header.kind, header.overflow) != (0, Some(Kind::Leaf), 0) {
            return Err(Error::corrupt("wrong header of an inline bucket", place));
        }
        Self::page(bytes, header, place)
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.is_leaf
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Where the first key must begin.
    pub(crate) fn data_start(&self) -> usize {
        HEADER_LEN + self.count * ELEMENT_LEN
    }

    /// Element `index` of a leaf.
    pub(crate) fn leaf(&self, index: usize) -> Result<LeafElement<'a>> {
        let at = HEADER_LEN + index * ELEMENT_LEN;
        let flags = self.field(at, LEAF_FLAGS)?;
        let key_len = widen(self.field(at, LEAF_KEY_LEN)?);
        let value_len = widen(self.field(at, LEAF_VALUE_LEN)?);
        let start = self.start(at, self.field(at, LEAF_POS)?)?;
        let (key, key_end) = self.slice(at, start, key_len)?;
        let (value, end) = self.slice(at, key_end, value_len)?;
        self.has_key(at, key)?;
        if flags & !FLAG_BUCKET != 0 {
            return Err(Error::corrupt("unknown flags of an element", self.place.forward(at)));
        }
        let value_place = self.place.forward(key_end);
        Ok(LeafElement { is_bucket: flags == FLAG_BUCKET, key, value, value_place, span: start..end })
    }

    /// Element `index` of a branch.
    pub(crate) fn branch(&self, index: usize) -> Result<BranchElement<'a>> {
        let at = HEADER_LEN + index * ELEMENT_LEN;
        let key_len = widen(self.field(at, BRANCH_KEY_LEN)?);
        let start = self.start(at, self.field(at, BRANCH_POS)?)?;
        let (key, end) = self.slice(at, start, key_len)?;
        self.has_key(at, key)?;
        let child = u64_at(self.bytes, at + BRANCH_CHILD).ok_or_else(|| self.outside(at))?;
        Ok(BranchElement { key, child: PageId::new(child), place: self.place.forward(at), span: start..end })
    }

    /// The first element whose key is not below `key`, and whether it is `key` itself.
    pub(crate) fn find(&self, key: &[u8]) -> Result<(usize, bool)> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle)?.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    fn key(&self, index: usize) -> Result<&'a [u8]> {
        if self.is_leaf { Ok(self.leaf(index)?.key) } else { Ok(self.branch(index)?.key) }
    }

    fn field(&self, at: usize, field: usize) -> Result<u32> {
        u32_at(self.bytes, at + field).ok_or_else(|| self.outside(at))
    }

    /// Where the data of the element at `at` begins: behind all elements, or it would lie over one of them.
    fn start(&self, at: usize, pos: u32) -> Result<usize> {
        let start = at.checked_add(widen(pos)).ok_or_else(|| self.outside(at))?;
        if start < self.data_start() { Err(self.outside(at)) } else { Ok(start) }
    }

    fn slice(&self, at: usize, start: usize, len: usize) -> Result<(&'a [u8], usize)> {
        let end = start.checked_add(len).ok_or_else(|| self.outside(at))?;
        Ok((self.bytes.get(start..end).ok_or_else(|| self.outside(at))?, end))
    }

    fn has_key(&self, at: usize, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            Err(Error::corrupt("an element without a key", self.place.forward(at)))
        } else {
            Ok(())
        }
    }

    fn outside(&self, at: usize) -> Error {
        Error::corrupt("an element's key or value lies outside the data of its page", self.place.forward(at))
    }
}
