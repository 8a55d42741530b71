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
use super::widen;
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

/// An element of a leaf without its place: whether it is a bucket, its key, its value.
pub(crate) type Bare<'a> = (bool, &'a [u8], &'a [u8]);

/// Elements of one leaf of a state that was checked, the next one first: no place is worked out for any of them, and where
/// one begins is where the one before ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    node: Node<'a>,
    elements: &'a [[u8; ELEMENT_LEN]],
    data: &'a [u8],
}

impl<'a> Run<'a> {
    /// The next element. `None` at the end, which [`Run::end`] tells from damage.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Bare<'a>> {
        let (element, rest) = self.elements.split_first()?;
        let (words, _) = element.as_chunks::<{ size_of::<u32>() }>();
        let [flags, _, key_len, value_len] = words.first_chunk()?.map(u32::from_le_bytes);
        if flags > FLAG_BUCKET {
            return None;
        }
        let (key, data) = self.data.split_at_checked(widen(key_len))?;
        let (value, data) = data.split_at_checked(widen(value_len))?;
        (self.elements, self.data) = (rest, data);
        Some((flags == FLAG_BUCKET, key, value))
    }

    /// What it means that there is no next element.
    ///
    /// # Errors
    /// Damage: the leaf has more of them. It was sound when it was checked.
    pub(crate) fn end(&self) -> Result<()> {
        match self.elements.len() {
            0 => Ok(()),
            left => Err(self.node.why_not(self.node.count.saturating_sub(left))),
        }
    }
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
    #[inline]
    pub(crate) fn leaf(&self, index: usize) -> Result<LeafElement<'a>> {
        self.leaf_at(index).ok_or_else(|| self.why_not(index))
    }

    #[inline]
    fn leaf_at(&self, index: usize) -> Option<LeafElement<'a>> {
        let [flags, pos, key_len, value_len] = self.element(index)?;
        let start = self.start(index, pos)?;
        let (key, rest) = self.bytes.get(start..)?.split_at_checked(widen(key_len))?;
        let value = rest.get(..widen(value_len))?;
        if key.is_empty() || flags & !FLAG_BUCKET != 0 {
            return None;
        }
        let value_place = self.place.forward(start + key.len());
        Some(LeafElement { is_bucket: flags == FLAG_BUCKET, key, value, value_place })
    }

    /// The elements of this leaf from `index` on, if its keys and values follow each other, as a check has seen.
    pub(crate) fn run(&self, index: usize) -> Result<Run<'a>> {
        let run = || {
            let (elements, _) = self.bytes.get(HEADER_LEN..self.data_start())?.as_chunks();
            let [_, pos, ..] = self.element(index)?;
            let data = self.bytes.get(self.start(index, pos)?..)?;
            Some(Run { node: *self, elements: elements.get(index..)?, data })
        };
        run().ok_or_else(|| self.why_not(index))
    }

    /// Element `index` of a branch.
    #[inline]
    pub(crate) fn branch(&self, index: usize) -> Result<BranchElement<'a>> {
        self.branch_at(index).ok_or_else(|| self.why_not(index))
    }

    #[inline]
    fn branch_at(&self, index: usize) -> Option<BranchElement<'a>> {
        let [pos, key_len, child_low, child_high] = self.element(index)?;
        let start = self.start(index, pos)?;
        let key = self.bytes.get(start..)?.get(..widen(key_len))?;
        if key.is_empty() {
            return None;
        }
        let child = PageId::new(u64::from(child_high) << u32::BITS | u64::from(child_low));
        let span = start..start + key.len();
        Some(BranchElement { key, child, place: self.place.forward(element_at(index)), span })
    }

    /// Where key and value of an element of this leaf lie in the node.
    pub(crate) fn span(&self, element: &LeafElement<'a>) -> Range<usize> {
        let value = element.value_place.offset.get().saturating_sub(self.place.offset.get());
        let value = usize::try_from(value).unwrap_or(usize::MAX);
        value.saturating_sub(element.key.len())..value.saturating_add(element.value.len())
    }

    /// The first element whose key is not below `key`, and whether it is `key` itself.
    pub(crate) fn find(&self, key: &[u8]) -> Result<(usize, bool)> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match order(self.key(middle)?, key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    #[inline]
    fn key(&self, index: usize) -> Result<&'a [u8]> {
        self.key_at(index).ok_or_else(|| self.why_not(index))
    }

    #[inline]
    fn key_at(&self, index: usize) -> Option<&'a [u8]> {
        let [first, second, third, _] = self.element(index)?;
        let (pos, len) = if self.is_leaf { (second, third) } else { (first, second) };
        self.bytes.get(self.start(index, pos)?..)?.get(..widen(len)).filter(|key| !key.is_empty())
    }

    /// The four words of an element.
    #[inline]
    fn element(&self, index: usize) -> Option<[u32; 4]> {
        let element = self.bytes.get(element_at(index)..)?.first_chunk::<ELEMENT_LEN>()?;
        let (words, _) = element.as_chunks::<{ size_of::<u32>() }>();
        let &[a, b, c, d] = words.first_chunk()?;
        Some([a, b, c, d].map(u32::from_le_bytes))
    }

    /// Where the data of an element begins: behind all elements, or it would lie over one of them.
    #[inline]
    fn start(&self, index: usize, pos: u32) -> Option<usize> {
        element_at(index).checked_add(widen(pos)).filter(|&start| start >= self.data_start())
    }

    /// What is wrong with an element that could not be read.
    #[cold]
    fn why_not(&self, index: usize) -> Error {
        let place = self.place.forward(element_at(index));
        let Some([first, second, third, fourth]) = self.element(index) else {
            return Error::corrupt("more elements than the page has room for", place);
        };
        let (pos, key_len, value_len) =
            if self.is_leaf { (second, third, fourth) } else { (first, second, 0) };
        let data = self.start(index, pos).and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        if data.len().checked_sub(widen(key_len)).is_none_or(|left| left < widen(value_len)) {
            return Error::corrupt("an element's key or value lies outside the data of its page", place);
        }
        if key_len == 0 {
            return Error::corrupt("an element without a key", place);
        }
        Error::corrupt("unknown flags of an element", place)
    }
}

/// The order of keys: as a rule told by their first eight bytes, without a call.
#[inline]
pub(crate) fn order(a: &[u8], b: &[u8]) -> Ordering {
    match (a.first_chunk(), b.first_chunk()) {
        (Some(first), Some(second)) if first != second => {
            // Read so that the first byte counts most, on a system of either kind.
            let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).swap_bytes();
            number(first).cmp(&number(second))
        }
        _ => a.cmp(b),
    }
}

#[inline]
const fn element_at(index: usize) -> usize {
    HEADER_LEN + index * ELEMENT_LEN
}

#[cfg(test)]
mod tests {
    use super::super::page::Kind;
    use super::*;

    const PLACE: Place = Place::new(PageId::new(3), 3 * 1024);

    fn leaf(pairs: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Header::write(&mut bytes, Kind::Leaf, 3, u16::try_from(pairs.len()).unwrap(), 0);
        write_leaf(&mut bytes, pairs.iter().copied()).unwrap();
        bytes.resize(1024, 0);
        bytes
    }

    #[test]
    fn a_run_gives_what_the_elements_are_and_never_ends_early_without_an_error() {
        let pairs: [(u32, &[u8], &[u8]); 3] =
            [(0, b"a", b"1"), (FLAG_BUCKET, b"bb", b""), (0, b"ccc", b"33")];
        let whole = leaf(&pairs);
        fn node(bytes: &[u8]) -> Node<'_> {
            Node::page(bytes, Header::parse(bytes).unwrap(), PLACE).unwrap()
        }
        for start in 0..3 {
            let mut run = node(&whole).run(start).unwrap();
            for &(flags, key, value) in &pairs[start..] {
                assert_eq!(run.next(), Some((flags == FLAG_BUCKET, key, value)));
            }
            assert!(run.next().is_none() && run.end().is_ok());
        }
        for bit in 0..3 * ELEMENT_LEN * 8 {
            let mut bytes = whole.clone();
            bytes[HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
            let node = node(&bytes);
            let Ok(mut run) = node.run(0) else { continue };
            let given = std::iter::from_fn(|| run.next()).count();
            assert!(given == 3 || run.end().is_err(), "bit {bit}: {given} elements, and no error");
        }
    }

    #[test]
    fn the_order_of_keys_is_that_of_their_bytes() {
        let parts: [&[u8]; 6] = [b"", b"a", b"\0\0\0", b"\xff\0\x01", b"12345678", b"1234567\xff"];
        let keys: Vec<Vec<u8>> = parts.iter().flat_map(|a| parts.map(|b| [*a, b, *a].concat())).collect();
        for a in &keys {
            for b in &keys {
                assert_eq!(order(a, b), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }
}
