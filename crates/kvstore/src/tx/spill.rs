//! Changed nodes become pages.
//!
//! Invariant: children come before their parents, so a branch is written when the pages of all its children are known;
//! and the key of a link is then exactly the first key of its child: bbolt finds a child in its parent by it.
//!
//! As bbolt does it: a node that is longer than a page and has more than four elements is cut where the bucket's fill
//! percentage is reached, two elements to a page at least. A longer element makes a node of several pages. Unlike bbolt,
//! pages are made fuller where the node grew at its end alone: keys that ascend would leave all pages half empty.

use super::node::{Body, Child, Data, Grew, Node, Pair};
use super::space::Space;
use super::writer::Pages;
use crate::PageId;
use crate::error::Result;
use crate::format::node::{ELEMENT_LEN, FLAG_BUCKET, too_large, write_branch, write_leaf};
use crate::format::page::{HEADER_LEN, Header, Kind};
use crate::state::State;

const PAGE_COUNT_MIN: usize = 2;
/// How full pages are made, at least, of a node that grew at its end alone.
const FILL_PERCENT_AT_END: u8 = 90;
/// A bucket whose only leaf fits into this part of a page lies inside its name's value.
const INLINE_PARTS: usize = 4;

/// A node that has its page.
struct Written {
    first_key: Data,
    page: u64,
}

/// Where pages go.
pub(super) struct Spill<'s> {
    pub(super) state: &'s State,
    pub(super) space: &'s mut Space,
    pub(super) pages: Pages,
}

impl Spill<'_> {
    /// Makes pages of all that is changed below `root`, and returns the top page.
    pub(super) fn tree(&mut self, root: Child, fill_percent: u8) -> Result<PageId> {
        let node = match root {
            Child::Page(id, _) => return Ok(id),
            Child::Node(node) => node,
        };
        let top_percent = fill(&node, fill_percent);
        let mut level = if node.count() == 0 {
            vec![Written { first_key: Data::new(&[]), page: self.leaf(&[])? }]
        } else {
            self.node(*node, fill_percent)?
        };
        while level.len() > 1 {
            level = self.branches(&level, top_percent)?;
        }
        level.pop().map(|top| PageId::new(top.page)).ok_or_else(too_large)
    }

    /// The node's own pages, after those of its children; an empty one has none.
    fn node(&mut self, node: Node, fill_percent: u8) -> Result<Vec<Written>> {
        let full_percent = fill(&node, fill_percent);
        match node.body {
            Body::Leaf(pairs) => self.leaves(&pairs, full_percent),
            Body::Branch(links) => {
                let mut children = Vec::with_capacity(links.len());
                for link in links {
                    match link.child {
                        Child::Page(id, _) => children.push(Written { first_key: link.key, page: id.get() }),
                        Child::Node(child) => children.extend(self.node(*child, fill_percent)?),
                    }
                }
                self.branches(&children, full_percent)
            }
        }
    }

    fn leaves(&mut self, mut pairs: &[Pair], fill_percent: u8) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        for count in cuts(pairs.iter().map(Pair::len_bytes), self.state.page_size(), fill_percent) {
            let (page, rest) = pairs.split_at(count);
            if let Some(first) = page.first() {
                written.push(Written { first_key: first.key.clone(), page: self.leaf(page)? });
            }
            pairs = rest;
        }
        Ok(written)
    }

    fn branches(&mut self, mut children: &[Written], fill_percent: u8) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        let lens = children.iter().map(|child| ELEMENT_LEN + child.first_key.len());
        for count in cuts(lens, self.state.page_size(), fill_percent) {
            let (page, rest) = children.split_at(count);
            if let Some(first) = page.first() {
                written.push(Written { first_key: first.first_key.clone(), page: self.branch(page)? });
            }
            children = rest;
        }
        Ok(written)
    }

    fn leaf(&mut self, pairs: &[Pair]) -> Result<u64> {
        let len = HEADER_LEN + pairs.iter().map(Pair::len_bytes).sum::<usize>();
        let state = self.state;
        self.page(Kind::Leaf, pairs.len(), len, |out| write_leaf(out, elements(pairs, state)))
    }

    fn branch(&mut self, children: &[Written]) -> Result<u64> {
        let len =
            HEADER_LEN + children.iter().map(|child| ELEMENT_LEN + child.first_key.len()).sum::<usize>();
        let state = self.state;
        let elements = children.iter().map(|child| (child.first_key.bytes(state), child.page));
        self.page(Kind::Branch, children.len(), len, |out| write_branch(out, elements))
    }

    fn page(
        &mut self,
        kind: Kind,
        count: usize,
        len: usize,
        body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<u64> {
        let page_size = self.state.page_size();
        let pages = len.div_ceil(page_size);
        let overflow = u32::try_from(pages - 1).map_err(|_| too_large())?;
        let count = u16::try_from(count).map_err(|_| too_large())?;
        let id = self.space.take(pages as u64)?;
        let mut bytes = Vec::with_capacity(pages * page_size);
        Header::write(&mut bytes, kind, id, count, overflow);
        body(&mut bytes)?;
        bytes.resize(pages * page_size, 0);
        self.pages.push((id, bytes));
        Ok(id)
    }
}

/// The only leaf of a bucket as it lies inside a value, if it may: it is short and holds no bucket.
pub(super) fn inline(root: &Child, state: &State) -> Result<Option<Vec<u8>>> {
    let Child::Node(node) = root else { return Ok(None) };
    let Body::Leaf(pairs) = &node.body else { return Ok(None) };
    if node.len_bytes > state.page_size() / INLINE_PARTS || pairs.iter().any(|pair| pair.is_bucket) {
        return Ok(None);
    }
    let mut leaf = Vec::with_capacity(node.len_bytes);
    Header::write(&mut leaf, Kind::Leaf, 0, u16::try_from(pairs.len()).map_err(|_| too_large())?, 0);
    write_leaf(&mut leaf, elements(pairs, state))?;
    Ok(Some(leaf))
}

fn elements<'a>(
    pairs: &'a [Pair],
    state: &'a State,
) -> impl ExactSizeIterator<Item = (u32, &'a [u8], &'a [u8])> + Clone {
    pairs.iter().map(|pair| {
        (if pair.is_bucket { FLAG_BUCKET } else { 0 }, pair.key.bytes(state), pair.value.bytes(state))
    })
}

/// How full the pages of a node are made: under keys that ascend nothing comes between what is there.
fn fill(node: &Node, percent: u8) -> u8 {
    if node.grew == Grew::AtEnd { percent.max(FILL_PERCENT_AT_END) } else { percent }
}

/// How many elements, of these lengths, go to each page.
fn cuts(lens: impl Iterator<Item = usize>, page_size: usize, fill_percent: u8) -> Vec<usize> {
    let lens: Vec<usize> = lens.collect();
    let threshold = page_size * usize::from(fill_percent) / 100;
    let mut left = HEADER_LEN + lens.iter().sum::<usize>();
    let mut rest = lens.as_slice();
    let mut cuts = Vec::new();
    while rest.len() > 2 * PAGE_COUNT_MIN && left > page_size {
        let mut len = HEADER_LEN;
        let mut count = 0;
        for element in rest.iter().take(rest.len() - PAGE_COUNT_MIN) {
            if count >= PAGE_COUNT_MIN && len + element > threshold {
                break;
            }
            len += element;
            count += 1;
        }
        cuts.push(count);
        left = left + HEADER_LEN - len;
        rest = rest.get(count..).unwrap_or_default();
    }
    if !rest.is_empty() {
        cuts.push(rest.len());
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_where_they_are_full_enough_and_hold_two_at_least() {
        let cut = |len: usize, count: usize, fill| cuts(vec![len; count].into_iter(), 1016, fill);
        assert_eq!(cut(100, 10, 50), [10], "16 + 1000 bytes are a page");
        assert_eq!(cut(100, 11, 50), [4, 7]);
        assert_eq!(cut(100, 30, 50), [4, 4, 4, 4, 4, 10]);
        assert_eq!(cut(100, 30, 100), [10, 10, 10]);
        assert_eq!(cut(5000, 4, 50), [4], "as bbolt: four are never cut");
        assert_eq!(cut(5000, 7, 50), [2, 2, 3]);
        assert_eq!(cut(1, 0, 50), [0; 0]);
        for count in 0..200 {
            for len in [17, 333, 600, 2000] {
                let cuts = cut(len, count, 10);
                assert_eq!(cuts.iter().sum::<usize>(), count);
                assert!(cuts.len() < 2 || cuts.iter().all(|&count| count >= 2));
            }
        }
    }
}
