//! One tree, built from its first key to its last.
//!
//! Invariant: a leaf is sealed when the next pair does not fit into a page with it, so only a pair that is longer than a
//! page makes a leaf of several; a branch has two children at least, so each level has at most half the nodes of the
//! one below.

use crate::error::{Error, Result};
use crate::format::node::{ELEMENT_LEN, too_large, write_branch, write_leaf};
use crate::format::page::{HEADER_LEN, Header, Kind};
use crate::format::widen;

use super::{KEY_LEN_MAX, VALUE_LEN_MAX};

const BRANCH_CHILDREN_MIN: usize = 2;
/// A bucket whose only leaf fits into this part of a page lies inside its name's value.
const INLINE_PARTS: usize = 4;

/// The pages made so far, without the metas and the freelist.
#[derive(Debug)]
pub(super) struct Pages {
    page_size: u32,
    next: u64,
    /// One for each node, a multiple of the page size long.
    nodes: Vec<Vec<u8>>,
}

impl Pages {
    pub(super) fn new(page_size: u32, first: u64) -> Self {
        Self { page_size, next: first, nodes: Vec::new() }
    }

    pub(super) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// The number that the next page gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn into_bytes(self) -> Vec<Vec<u8>> {
        self.nodes
    }

    /// Adds a node of `count` elements, whose body is what follows the header.
    fn add(&mut self, kind: Kind, count: usize, body: &[u8]) -> Result<u64> {
        let page_size = widen(self.page_size);
        let pages = (HEADER_LEN + body.len()).div_ceil(page_size);
        let mut node = Vec::with_capacity(pages * page_size);
        let overflow = u32::try_from(pages - 1).map_err(|_| too_large())?;
        Header::write(&mut node, kind, self.next, narrow_count(count)?, overflow);
        node.extend_from_slice(body);
        node.resize(pages * page_size, 0);
        self.nodes.push(node);
        let id = self.next;
        self.next += pages as u64;
        Ok(id)
    }
}

/// A tree that grows at its end.
#[derive(Debug, Default)]
pub(super) struct Tree {
    leaf: Leaf,
    /// The leaves that are finished.
    sealed: Vec<Child>,
    last_key: Vec<u8>,
    has_buckets: bool,
}

#[derive(Debug)]
struct Child {
    first_key: Vec<u8>,
    page: u64,
}

impl Tree {
    /// Whether the pair may come next.
    pub(super) fn accepts(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::unfit("a key or name without a byte"));
        }
        if key.len() > KEY_LEN_MAX {
            return Err(Error::unfit("a key or name longer than 32768 bytes"));
        }
        if value.len() > VALUE_LEN_MAX {
            return Err(Error::unfit("a value longer than 2147483646 bytes"));
        }
        if key <= self.last_key.as_slice() {
            return Err(Error::unfit("keys or names that do not ascend"));
        }
        Ok(())
    }

    /// Adds a pair that was accepted.
    pub(super) fn add(&mut self, flags: u32, key: &[u8], value: &[u8], pages: &mut Pages) -> Result<()> {
        let more = ELEMENT_LEN + key.len() + value.len();
        if !self.leaf.is_empty() && self.leaf.len_bytes() + more > widen(pages.page_size) {
            self.seal(pages)?;
        }
        self.leaf.push(flags, key, value);
        self.has_buckets |= flags != 0;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Whether bbolt would write this bucket into its name's value.
    pub(super) fn fits_inline(&self, page_size: u32) -> bool {
        self.sealed.is_empty()
            && !self.has_buckets
            && self.leaf.len_bytes() <= widen(page_size) / INLINE_PARTS
    }

    /// The only leaf, as it lies inside a value.
    pub(super) fn write_inline(&self, out: &mut Vec<u8>) -> Result<()> {
        Header::write(out, Kind::Leaf, 0, narrow_count(self.leaf.elements.len())?, 0);
        write_leaf(out, self.leaf.pairs())
    }

    /// Makes what is left of the pages; returns the root's.
    pub(super) fn finish(mut self, pages: &mut Pages) -> Result<u64> {
        if self.sealed.is_empty() || !self.leaf.is_empty() {
            self.seal(pages)?;
        }
        let mut level = self.sealed;
        while level.len() > 1 {
            level = groups(level, widen(pages.page_size))
                .into_iter()
                .map(|children| branch(children, pages))
                .collect::<Result<_>>()?;
        }
        level.pop().map(|root| root.page).ok_or_else(too_large)
    }

    fn seal(&mut self, pages: &mut Pages) -> Result<()> {
        let leaf = std::mem::take(&mut self.leaf);
        let mut body = Vec::with_capacity(leaf.len_bytes());
        write_leaf(&mut body, leaf.pairs())?;
        let page = pages.add(Kind::Leaf, leaf.elements.len(), &body)?;
        self.sealed.push(Child { first_key: leaf.first_key().to_vec(), page });
        Ok(())
    }
}

/// The pairs of a leaf that is not finished.
#[derive(Debug, Default)]
struct Leaf {
    elements: Vec<Element>,
    /// Key, value, key, value, as they will lie in the page.
    data: Vec<u8>,
}

#[derive(Debug)]
struct Element {
    flags: u32,
    key_len: usize,
    value_len: usize,
    /// Where the key begins in the data.
    start: usize,
}

impl Leaf {
    fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    fn len_bytes(&self) -> usize {
        HEADER_LEN + self.elements.len() * ELEMENT_LEN + self.data.len()
    }

    fn first_key(&self) -> &[u8] {
        let len = self.elements.first().map_or(0, |element| element.key_len);
        self.data.get(..len).unwrap_or_default()
    }

    fn push(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        let (key_len, value_len) = (key.len(), value.len());
        self.elements.push(Element { flags, key_len, value_len, start: self.data.len() });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    fn pairs(&self) -> impl ExactSizeIterator<Item = (u32, &[u8], &[u8])> + Clone {
        self.elements.iter().map(|element| {
            let pair = self.data.get(element.start..).unwrap_or_default();
            let (key, rest) = pair.split_at_checked(element.key_len).unwrap_or_default();
            (element.flags, key, rest.get(..element.value_len).unwrap_or_default())
        })
    }
}

/// Shares the nodes of a level out among branches: as many as fit into a page, two at least.
fn groups(level: Vec<Child>, page_size: usize) -> Vec<Vec<Child>> {
    let mut groups: Vec<Vec<Child>> = Vec::new();
    let mut len_bytes = 0;
    for child in level {
        let more = ELEMENT_LEN + child.first_key.len();
        match groups.last_mut() {
            Some(group) if group.len() < BRANCH_CHILDREN_MIN || len_bytes + more <= page_size => {
                len_bytes += more;
                group.push(child);
            }
            _ => {
                len_bytes = HEADER_LEN + more;
                groups.push(vec![child]);
            }
        }
    }
    if let [.., before, last] = groups.as_mut_slice()
        && last.len() < BRANCH_CHILDREN_MIN
    {
        if before.len() > BRANCH_CHILDREN_MIN {
            last.splice(..0, before.pop());
        } else {
            before.append(last);
            groups.pop();
        }
    }
    groups
}

/// Makes one branch.
fn branch(children: Vec<Child>, pages: &mut Pages) -> Result<Child> {
    let mut body = Vec::new();
    write_branch(&mut body, children.iter().map(|child| (child.first_key.as_slice(), child.page)))?;
    let page = pages.add(Kind::Branch, children.len(), &body)?;
    let first_key = children.into_iter().next().map(|child| child.first_key).unwrap_or_default();
    Ok(Child { first_key, page })
}

fn narrow_count(count: usize) -> Result<u16> {
    u16::try_from(count).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(keys: impl IntoIterator<Item = usize>) -> Vec<Child> {
        (0..).zip(keys).map(|(page, len)| Child { first_key: vec![b'k'; len], page }).collect()
    }

    fn shape(keys: impl IntoIterator<Item = usize>) -> Vec<usize> {
        groups(level(keys), 1024).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_branch_has_as_many_children_as_fit_and_never_one() {
        assert_eq!(shape([5; 40]), [40]);
        assert_eq!(shape([5; 48]), [48]);
        assert_eq!(shape([5; 49]), [47, 2], "21 bytes each: 48 fill a page, and none is left alone");
        assert_eq!(shape([30_000; 2]), [2]);
        assert_eq!(shape([30_000; 5]), [2, 3]);
        assert_eq!(shape([30_000; 6]), [2, 2, 2]);
    }

    #[test]
    fn a_bucket_is_inline_up_to_a_quarter_of_a_page() {
        let mut pages = Pages::new(4096, 3);
        for (value_len, fits) in [(1024 - 16 - 16 - 1, true), (1024 - 16 - 16, false)] {
            let mut tree = Tree::default();
            tree.add(0, b"k", &vec![1; value_len], &mut pages).unwrap();
            assert_eq!(tree.fits_inline(4096), fits);
        }
        assert!(Tree::default().fits_inline(4096));
        let mut tree = Tree::default();
        tree.add(crate::format::node::FLAG_BUCKET, b"b", &[0; 32], &mut pages).unwrap();
        assert!(!tree.fits_inline(4096));
    }
}
