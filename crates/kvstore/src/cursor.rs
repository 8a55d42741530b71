//! A walk through a tree in key order, both ways.
//!
//! Invariant: what it yields ascends strictly, or descends on the way back; a page that breaks this ends the walk with an error, as does a tree
//! that is deeper than any real one or visits more pages than the file has. So every walk ends. In a state that was checked as a
//! whole this is known already, and no key is looked at that the caller does not look at: that is half of a walk's time.

use crate::error::{Error, Result};
use crate::format::bucket::Root;
use crate::format::node::{LeafElement, Node, Run, order};
use crate::state::State;
use crate::units::Place;

/// Levels of pages below a bucket. bbolt's trees have two children or more per branch; sixteen levels would do.
pub(crate) const DEPTH_MAX: usize = 64;

/// Levels of buckets inside buckets. bbolt has no bound; without one a bucket that leads back to itself has no end.
pub(crate) const NESTING_MAX: usize = 64;

/// A gap between two elements, or at an end.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'v> {
    state: &'v State,
    /// From the root down: a branch with the child that the gap is in, last the leaf with the elements before the gap.
    stack: Vec<(Node<'v>, usize)>,
    visits_left: u64,
    /// Whether nobody has checked the pages yet.
    checks_order: bool,
    /// The element passed last, and whether forward, if that is checked.
    last: Option<(&'v [u8], Way)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

impl<'v> Cursor<'v> {
    /// The gap before the first element whose key is not below `key`.
    pub(crate) fn seek(state: &'v State, root: Root<'v>, key: &[u8]) -> Result<Self> {
        let mut cursor = Self::new(state);
        let mut node = cursor.enter(root)?;
        while !node.is_leaf() {
            let child = descend(&node, key)?;
            cursor.stack.push((node, child));
            node = cursor.child(&node, child)?;
        }
        let (index, _) = node.find(key)?;
        cursor.stack.push((node, index));
        Ok(cursor)
    }

    /// The gap behind the last element.
    pub(crate) fn end(state: &'v State, root: Root<'v>) -> Result<Self> {
        let mut cursor = Self::new(state);
        let node = cursor.enter(root)?;
        cursor.fall(node, Way::Back)?;
        Ok(cursor)
    }

    fn new(state: &'v State) -> Self {
        let (visits_left, checks_order) = (state.meta().high_water, !state.is_sound());
        Self { state, stack: Vec::new(), visits_left, checks_order, last: None }
    }

    /// The element behind the gap, which then moves behind it. After an error there is nothing more.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<LeafElement<'v>>> {
        self.step(Way::Forward)
    }

    /// The elements behind the gap that lie in one leaf; the gap then is behind them. `None` at the end, and in a state that
    /// nobody checked: there each is to be looked at by [`Cursor::next`].
    pub(crate) fn next_run(&mut self) -> Result<Option<Run<'v>>> {
        let run = self.pass_run();
        if run.is_err() {
            self.stack.clear();
        }
        run
    }

    fn pass_run(&mut self) -> Result<Option<Run<'v>>> {
        while !self.checks_order {
            let Some((leaf, before)) = self.stack.last_mut() else { return Ok(None) };
            if *before < leaf.count() {
                let run = leaf.run(*before)?;
                *before = leaf.count();
                return Ok(Some(run));
            }
            if !self.turn(Way::Forward)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The element before the gap, which then moves before it. After an error there is nothing more.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<Option<LeafElement<'v>>> {
        self.step(Way::Back)
    }

    #[inline]
    fn step(&mut self, way: Way) -> Result<Option<LeafElement<'v>>> {
        let passed = self.pass(way);
        if passed.is_err() {
            self.stack.clear();
        }
        passed
    }

    #[inline]
    fn pass(&mut self, way: Way) -> Result<Option<LeafElement<'v>>> {
        loop {
            let Some((leaf, before)) = self.stack.last_mut() else { return Ok(None) };
            let index = match way {
                Way::Forward if *before < leaf.count() => *before,
                Way::Back if *before > 0 => *before - 1,
                _ if self.turn(way)? => continue,
                _ => return Ok(None),
            };
            let element = leaf.leaf(index)?;
            *before = index + usize::from(way == Way::Forward);
            if self.checks_order {
                let place = leaf.place();
                self.follow(element.key, way, place)?;
            }
            return Ok(Some(element));
        }
    }

    /// That `key` may come after the one passed last.
    fn follow(&mut self, key: &'v [u8], way: Way, place: Place) -> Result<()> {
        match self.last.replace((key, way)) {
            Some((last, last_way)) if !follows(key, way, last, last_way) => {
                return Err(Error::corrupt("keys are out of order", place));
            }
            Some((_, last_way)) if last_way != way => self.visits_left = self.state.meta().high_water,
            _ => {}
        }
        Ok(())
    }

    /// Moves to the leaf beside this one; false where there is none, and then nothing moved.
    fn turn(&mut self, way: Way) -> Result<bool> {
        let branches = self.stack.len().saturating_sub(1);
        let fork = self.stack.iter().take(branches).rposition(|(branch, child)| match way {
            Way::Forward => child + 1 < branch.count(),
            Way::Back => *child > 0,
        });
        let Some(fork) = fork else { return Ok(false) };
        self.stack.truncate(fork + 1);
        let Some((branch, child)) = self.stack.last_mut() else { return Ok(false) };
        *child = if way == Way::Forward { *child + 1 } else { *child - 1 };
        let (branch, child) = (*branch, *child);
        let node = self.child(&branch, child)?;
        self.fall(node, way)?;
        Ok(true)
    }

    /// From `node` down to the leaf that comes first on this way.
    fn fall(&mut self, mut node: Node<'v>, way: Way) -> Result<()> {
        while !node.is_leaf() {
            let child = if way == Way::Forward { 0 } else { node.count() - 1 };
            self.stack.push((node, child));
            node = self.child(&node, child)?;
        }
        self.stack.push((node, if way == Way::Forward { 0 } else { node.count() }));
        Ok(())
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
        if self.checks_order {
            let Some(left) = self.visits_left.checked_sub(1) else {
                return Err(Error::corrupt("the tree leads to pages more than once", element.place));
            };
            self.visits_left = left;
        }
        self.state.node(element.child, element.place)
    }
}

/// Whether `key`, passed on this way, may come after `last`: the same element if the cursor has turned round.
#[inline]
fn follows(key: &[u8], way: Way, last: &[u8], last_way: Way) -> bool {
    match way {
        _ if way != last_way => key == last,
        Way::Forward => order(last, key).is_lt(),
        Way::Back => order(key, last).is_lt(),
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
