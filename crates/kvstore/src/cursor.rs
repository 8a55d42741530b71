//! A walk through a tree in key order.
//!
//! Invariant: what it yields ascends strictly; a page that breaks this ends the walk with an error, as does a tree
//! that is deeper than any real one or visits more pages than the file has. So every walk ends.

use crate::error::{Error, Result};
use crate::format::bucket::Root;
use crate::format::node::{LeafElement, Node};
use crate::state::State;

/// Levels of pages below a bucket. bbolt's trees have two children or more per branch; sixteen levels would do.
pub(crate) const DEPTH_MAX: usize = 64;

/// Levels of buckets inside buckets. bbolt has no bound; without one a bucket that leads back to itself has no end.
pub(crate) const NESTING_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'v> {
    state: &'v State,
    /// From the root down; each with the element that comes next.
    stack: Vec<(Node<'v>, usize)>,
    visits_left: u64,
    last: Option<&'v [u8]>,
}

impl<'v> Cursor<'v> {
    /// A cursor before the first element whose key is not below `key`.
    pub(crate) fn seek(state: &'v State, root: Root<'v>, key: &[u8]) -> Result<Self> {
        let visits_left = state.meta().high_water;
        let mut cursor = Self { state, stack: Vec::new(), visits_left, last: None };
        let mut node = cursor.enter(root)?;
        while !node.is_leaf() {
            let child = descend(&node, key)?;
            cursor.stack.push((node, child + 1));
            node = cursor.child(&node, child)?;
        }
        let (index, _) = node.find(key)?;
        cursor.stack.push((node, index));
        Ok(cursor)
    }

    /// The element under the cursor, which then moves on. After an error there is nothing more.
    pub(crate) fn next(&mut self) -> Result<Option<LeafElement<'v>>> {
        let next = self.step();
        if next.is_err() {
            self.stack.clear();
        }
        next
    }

    fn step(&mut self) -> Result<Option<LeafElement<'v>>> {
        while let Some((node, next)) = self.stack.last_mut() {
            let (node, index) = (*node, *next);
            *next += 1;
            if index >= node.count() {
                self.stack.pop();
            } else if node.is_leaf() {
                let element = node.leaf(index)?;
                if self.last.is_some_and(|last| last >= element.key) {
                    return Err(Error::corrupt("keys are out of order", node.place()));
                }
                self.last = Some(element.key);
                return Ok(Some(element));
            } else {
                let child = self.child(&node, index)?;
                self.stack.push((child, 0));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, root: Root<'v>) -> Result<Node<'v>> {
        match root {
            Root::Inline(node) => Ok(node),
            Root::Page(id, from) => {
                self.visits_left = self.visits_left.saturating_sub(1);
                self.state.node(id, from)
            }
        }
    }

    fn child(&mut self, node: &Node<'v>, index: usize) -> Result<Node<'v>> {
        let element = node.branch(index)?;
        if self.stack.len() >= DEPTH_MAX {
            return Err(Error::corrupt("the tree is too deep", element.place));
        }
        let Some(left) = self.visits_left.checked_sub(1) else {
            return Err(Error::corrupt("the tree leads to pages more than once", element.place));
        };
        self.visits_left = left;
        self.state.node(element.child, element.place)
    }
}

/// The element `key` in the tree under `root`.
pub(crate) fn get<'v>(state: &'v State, root: Root<'v>, key: &[u8]) -> Result<Option<LeafElement<'v>>> {
    let mut node = match root {
        Root::Inline(node) => node,
        Root::Page(id, from) => state.node(id, from)?,
    };
    for _ in 0..DEPTH_MAX {
        if node.is_leaf() {
            let (index, found) = node.find(key)?;
            return if found { node.leaf(index).map(Some) } else { Ok(None) };
        }
        let element = node.branch(descend(&node, key)?)?;
        node = state.node(element.child, element.place)?;
    }
    Err(Error::corrupt("the tree is too deep", node.place()))
}

/// The child of a branch that has `key`, if any has: the last whose first key is not above it.
fn descend(node: &Node<'_>, key: &[u8]) -> Result<usize> {
    let (index, found) = node.find(key)?;
    Ok(if found { index } else { index.saturating_sub(1) })
}
