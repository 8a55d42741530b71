//! Nodes that a transaction changes, in memory.
//!
//! Invariant: keys ascend; a link's key is not above any key below it, and the next link's is above all of them.
//! `len_bytes` is what the node takes in the file. Nothing here is written: a node that was read from a page is a copy,
//! and that page is given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::space::Run;
use crate::PageId;
use crate::cursor::DEPTH_MAX;
use crate::error::{Error, Result};
use crate::format::node::{self, ELEMENT_LEN};
use crate::format::page::HEADER_LEN;
use crate::state::State;
use crate::units::Place;

/// A key or value: in the file as it was before the transaction, or new.
#[derive(Clone, Debug)]
pub(super) enum Data {
    File { start: usize, len: usize },
    New(Box<[u8]>),
}

impl Data {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self::New(bytes.into())
    }

    pub(super) fn bytes<'d>(&'d self, state: &'d State) -> &'d [u8] {
        match self {
            Self::File { start, len } => state.bytes(*start, *len),
            Self::New(bytes) => bytes,
        }
    }

    /// Where it lies; what is new lies nowhere, and page 0 stands for that.
    pub(super) fn place(&self, state: &State) -> Place {
        match self {
            Self::File { start, .. } => {
                Place::new(PageId::new((start / state.page_size()) as u64), *start as u64)
            }
            Self::New(_) => Place::new(PageId::new(0), 0),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::File { len, .. } => *len,
            Self::New(bytes) => bytes.len(),
        }
    }
}

/// An element of a leaf.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) is_bucket: bool,
    pub(super) key: Data,
    pub(super) value: Data,
}

impl Pair {
    pub(super) fn len_bytes(&self) -> usize {
        ELEMENT_LEN + self.key.len() + self.value.len()
    }
}

/// An element of a branch.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) key: Data,
    pub(super) child: Child,
}

impl Link {
    pub(super) fn len_bytes(&self) -> usize {
        ELEMENT_LEN + self.key.len()
    }
}

/// What a link leads to: a page as it is in the file, or a node that is changed.
#[derive(Debug)]
pub(super) enum Child {
    /// The page, and where its number was read.
    Page(PageId, Place),
    Node(Box<Node>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) len_bytes: usize,
    /// Whether something was taken out: only then is it worth a look whether too little is left.
    pub(super) has_shrunk: bool,
    /// Where it grew: at its end alone, as it does under keys that ascend, or inside.
    pub(super) grew: Grew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grew {
    Nowhere,
    AtEnd,
    Inside,
}

#[derive(Debug)]
pub(super) enum Body {
    Leaf(Vec<Pair>),
    Branch(Vec<Link>),
}

impl Node {
    pub(super) fn empty_leaf() -> Self {
        Self::leaf(Vec::new())
    }

    pub(super) fn leaf(pairs: Vec<Pair>) -> Self {
        let len_bytes = HEADER_LEN + pairs.iter().map(Pair::len_bytes).sum::<usize>();
        Self { body: Body::Leaf(pairs), len_bytes, has_shrunk: false, grew: Grew::Nowhere }
    }

    pub(super) fn branch(links: Vec<Link>) -> Self {
        let len_bytes = HEADER_LEN + links.iter().map(Link::len_bytes).sum::<usize>();
        Self { body: Body::Branch(links), len_bytes, has_shrunk: false, grew: Grew::Nowhere }
    }

    /// The node as it is in the file.
    pub(super) fn of(node: &node::Node<'_>) -> Result<Self> {
        let data = |place: Place, key_len: usize, back: usize| {
            let start = usize::try_from(place.offset.get()).unwrap_or(usize::MAX).saturating_sub(back);
            Data::File { start, len: key_len }
        };
        if node.is_leaf() {
            let pairs = (0..node.count()).map(|index| {
                let element = node.leaf(index)?;
                let key = data(element.value_place, element.key.len(), element.key.len());
                let value = data(element.value_place, element.value.len(), 0);
                Ok(Pair { is_bucket: element.is_bucket, key, value })
            });
            Ok(Self::leaf(pairs.collect::<Result<_>>()?))
        } else {
            let links = (0..node.count()).map(|index| {
                let element = node.branch(index)?;
                let key = data(node.place().forward(element.span.start), element.key.len(), 0);
                Ok(Link { key, child: Child::Page(element.child, element.place) })
            });
            Ok(Self::branch(links.collect::<Result<_>>()?))
        }
    }

    /// Notes that it grew, and whether at its end.
    pub(super) fn grew_at(&mut self, is_end: bool) {
        self.grew = self.grew.max(if is_end { Grew::AtEnd } else { Grew::Inside });
    }

    pub(super) fn count(&self) -> usize {
        match &self.body {
            Body::Leaf(pairs) => pairs.len(),
            Body::Branch(links) => links.len(),
        }
    }

    pub(super) fn first_key(&self) -> Option<&Data> {
        match &self.body {
            Body::Leaf(pairs) => pairs.first().map(|pair| &pair.key),
            Body::Branch(links) => links.first().map(|link| &link.key),
        }
    }
}

/// What a transaction stands on: the state before it, and the pages of it that it gave up.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) state: Arc<State>,
    given_up: BTreeMap<u64, u64>,
    /// The first damage that was met. What it cut short may be half done, so nothing is committed any more.
    damage: Option<(&'static str, Place)>,
}

impl Base {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state, given_up: BTreeMap::new(), damage: None }
    }

    pub(super) fn page_size(&self) -> usize {
        self.state.page_size()
    }

    /// Gives up the pages of a node.
    pub(super) fn give_up(&mut self, node: &node::Node<'_>) -> Result<()> {
        let count = (node.bytes().len() / self.page_size()) as u64;
        match self.given_up.insert(node.place().page.get(), count) {
            None => Ok(()),
            Some(_) => Err(Error::corrupt("the page is used twice", node.place())),
        }
    }

    pub(super) fn given_up(&self) -> Vec<Run> {
        self.given_up.iter().map(|(&first, &count)| Run { first, count }).collect()
    }

    /// The child as a node that may be changed; a page of the file is copied, and given up.
    pub(super) fn open<'c>(&mut self, child: &'c mut Child) -> Result<&'c mut Node> {
        if let Child::Page(id, from) = *child {
            let state = Arc::clone(&self.state);
            let node = state.node(id, from)?;
            *child = Child::Node(Box::new(Node::of(&node)?));
            self.give_up(&node)?;
        }
        match child {
            Child::Node(node) => Ok(node),
            Child::Page(_, from) => Err(Error::corrupt("the page is neither a branch nor a leaf", *from)),
        }
    }

    /// Names the file in an error, and remembers damage.
    pub(super) fn note<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.damage = self.damage.or(error.finding());
        }
        self.state.named(result)
    }

    /// # Errors
    /// The first damage that was met, if any was.
    pub(super) fn is_whole(&self) -> Result<()> {
        match self.damage {
            Some((what, place)) => self.state.named(Err(Error::corrupt(what, place))),
            None => Ok(()),
        }
    }
}

/// That a walk down has not gone deeper than any real tree.
pub(super) fn depth(depth: usize, place: Place) -> Result<usize> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(Error::corrupt("the tree is too deep", place)) }
}
