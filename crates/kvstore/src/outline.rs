//! How a state lies in its pages, for those who want to look at it.
//!
//! Invariant: no page is entered twice, and the way down is bounded, so the walk ends on any bytes; what cannot be
//! followed is handed out as damage, in its place.

use std::fmt;

use crate::error::{Error, Result};
use crate::format::bucket::{BucketValue, Root};
use crate::format::meta::{META_PAGES, Meta};
use crate::format::node::{LeafElement, Node};
use crate::format::page::HEADER_LEN;
use crate::report::Problem;
use crate::state::State;
use crate::units::Place;
use crate::{PageId, TxId};

/// How many buckets and nodes may lie inside one another; real files have about ten.
const PARTS_DEEP_MAX: usize = 512;

/// One meta page, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaPage {
    /// The page it is on, 0 or 1.
    pub page: PageId,
    /// The transaction that wrote it.
    pub txid: TxId,
    /// The top page of the bucket that holds all others.
    pub root: PageId,
    /// Where the list of free pages begins; `None`: the file keeps none.
    pub freelist: Option<PageId>,
    /// Number of pages in use, these two included.
    pub high_water: u64,
}

/// A part of a state, as [`View::outline`](crate::View::outline) meets it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'v> {
    /// How many parts are around this one: it belongs to the last one before it with a lower number.
    pub depth: usize,
    /// What it is.
    pub kind: PartKind<'v>,
}

/// The kinds of parts.
#[derive(Clone, Copy, Debug)]
pub enum PartKind<'v> {
    /// A bucket; the one that holds all others comes first and has no name. Its top node follows, if it has one.
    Bucket {
        /// Its name.
        name: &'v [u8],
        /// The counter that bbolt keeps with it.
        sequence: u64,
        /// Pairs and bytes of a bucket that lies inside its name's value.
        inline: Option<(u64, usize)>,
    },
    /// A branch or a leaf with pages of its own. The nodes below a branch follow it; so do the buckets of a leaf.
    Node(NodePart<'v>),
    /// What could not be followed here.
    Damaged(Problem),
}

/// A node in its pages.
#[derive(Clone, Copy)]
pub struct NodePart<'v> {
    /// The first of its pages.
    pub page: PageId,
    /// How many pages it has; more than one hold an element that is longer than a page.
    pub pages: u64,
    /// Whether it holds pairs and names, or leads to other nodes.
    pub is_leaf: bool,
    /// Pairs and names of a leaf, children of a branch.
    pub elements: usize,
    /// How many elements of a leaf are pairs.
    pub pairs: usize,
    /// Bytes of its pages that mean something.
    pub used_bytes: usize,
    /// Bytes of its pages.
    pub len_bytes: usize,
    /// Its first key, if it has one.
    pub first_key: Option<&'v [u8]>,
}

impl fmt::Debug for NodePart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_leaf { "leaf" } else { "branch" };
        write!(f, "{kind} {} of {} elements", self.page, self.elements)
    }
}

/// Both meta pages as they are in the file.
pub(crate) fn metas(state: &State) -> [Result<MetaPage>; 2] {
    state.known_metas().map(|(id, meta)| {
        let Meta { root, freelist, high_water, txid, .. } = meta?;
        Ok(MetaPage { page: PageId::new(id), txid, root, freelist, high_water })
    })
}

/// Gives every part of the state to `found`, from the root down.
pub(crate) fn walk<'v>(state: &'v State, found: &mut dyn FnMut(Part<'v>)) {
    let pages = usize::try_from(state.meta().high_water).unwrap_or_default();
    let mut walk = Walk { state, seen: vec![false; pages], found };
    let root = state.root();
    walk.bucket(b"", &root, 0);
}

struct Walk<'v, 'f> {
    state: &'v State,
    seen: Vec<bool>,
    found: &'f mut dyn FnMut(Part<'v>),
}

impl<'v> Walk<'v, '_> {
    fn bucket(&mut self, name: &'v [u8], value: &BucketValue<'v>, depth: usize) {
        let inline = match value.root {
            Root::Inline(node) => Some((node.count() as u64, node.bytes().len())),
            Root::Page(..) => None,
        };
        self.hand_out(depth, PartKind::Bucket { name, sequence: value.sequence, inline });
        if let Root::Page(page, from) = value.root {
            self.page(page, from, depth + 1);
        }
    }

    fn page(&mut self, page: PageId, from: Place, depth: usize) {
        match self.enter(page, from, depth) {
            Ok(node) => self.node(&node, depth),
            Err(error) => self.damaged(&error, depth),
        }
    }

    fn enter(&mut self, page: PageId, from: Place, depth: usize) -> Result<Node<'v>> {
        if depth >= PARTS_DEEP_MAX {
            return Err(Error::corrupt("the tree is too deep", from));
        }
        if page.get() < META_PAGES {
            return Err(Error::corrupt("refers to a page outside the pages in use", from));
        }
        let node = self.state.node(page, from)?;
        match usize::try_from(page.get()).ok().and_then(|index| self.seen.get_mut(index)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(Error::corrupt("the page is used twice", node.place())),
        }
        Ok(node)
    }

    fn node(&mut self, node: &Node<'v>, depth: usize) {
        self.hand_out(depth, PartKind::Node(self.part(node)));
        let below = depth + 1;
        for index in 0..node.count() {
            let read = if node.is_leaf() {
                node.leaf(index).and_then(|element| self.element(&element, below))
            } else {
                node.branch(index).map(|element| self.page(element.child, element.place, below))
            };
            if let Err(error) = read {
                self.damaged(&error, below);
            }
        }
    }

    fn element(&mut self, element: &LeafElement<'v>, depth: usize) -> Result<()> {
        if !element.is_bucket {
            return Ok(());
        }
        let value = BucketValue::parse(element.value, element.value_place)?;
        self.bucket(element.key, &value, depth);
        Ok(())
    }

    fn part(&self, node: &Node<'v>) -> NodePart<'v> {
        let (mut first_key, mut pairs, mut used_bytes) = (None, 0, HEADER_LEN.max(node.data_start()));
        for index in 0..node.count() {
            let (key, end, is_pair) = if node.is_leaf() {
                let Ok(element) = node.leaf(index) else { continue };
                (element.key, node.span(&element).end, !element.is_bucket)
            } else {
                let Ok(element) = node.branch(index) else { continue };
                (element.key, element.span.end, false)
            };
            first_key = first_key.or(Some(key));
            pairs += usize::from(is_pair);
            used_bytes = used_bytes.max(end);
        }
        let (page, len_bytes) = (node.place().page, node.bytes().len());
        let pages = (len_bytes / self.state.page_size()) as u64;
        let (is_leaf, elements) = (node.is_leaf(), node.count());
        NodePart { page, pages, is_leaf, elements, pairs, used_bytes, len_bytes, first_key }
    }

    fn damaged(&mut self, error: &Error, depth: usize) {
        if let Some(problem) = Problem::of(error) {
            self.hand_out(depth, PartKind::Damaged(problem));
        }
    }

    fn hand_out(&mut self, depth: usize, kind: PartKind<'v>) {
        (self.found)(Part { depth, kind });
    }
}
