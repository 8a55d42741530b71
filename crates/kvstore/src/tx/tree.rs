//! Reading and changing a tree in memory, from its top down.
//!
//! Only the way to a change is copied out of the file. A node that outgrows many pages is cut in two on the way back,
//! so that inserting stays cheap; the cut into pages comes at the commit.

use std::ops::Bound;

use super::node::{Base, Body, Child, Data, Link, Node, Pair};
use crate::cursor::{self, Cursor};
use crate::error::{Error, Result};
use crate::format::bucket::Root;
use crate::format::node::LeafElement;
use crate::format::page::HEADER_LEN;
use crate::state::State;
use crate::units::Place;

/// A node longer than so many pages, with so many elements at least, is cut.
const PAGES_MAX: usize = 8;
const CUT_COUNT_MIN: usize = 64;

/// An element that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'t> {
    pub(super) is_bucket: bool,
    pub(super) key: &'t [u8],
    pub(super) value: &'t [u8],
    pub(super) value_place: Place,
}

impl<'t> Found<'t> {
    fn of(pair: &'t Pair, state: &'t State) -> Self {
        let (key, value) = (pair.key.bytes(state), pair.value.bytes(state));
        Self { is_bucket: pair.is_bucket, key, value, value_place: pair.value.place(state) }
    }
}

impl<'t> From<LeafElement<'t>> for Found<'t> {
    fn from(element: LeafElement<'t>) -> Self {
        let LeafElement { is_bucket, key, value, value_place, .. } = element;
        Self { is_bucket, key, value, value_place }
    }
}

/// The element `key`.
pub(super) fn get<'t>(mut child: &'t Child, state: &'t State, key: &[u8]) -> Result<Option<Found<'t>>> {
    loop {
        match child {
            Child::Page(id, from) => {
                let element = cursor::get(state, Root::Page(*id, *from), key)?;
                return Ok(element.map(Found::from));
            }
            Child::Node(node) => match &node.body {
                Body::Leaf(pairs) => {
                    let found = find(pairs, state, key).ok().and_then(|index| pairs.get(index));
                    return Ok(found.map(|pair| Found::of(pair, state)));
                }
                Body::Branch(links) => match links.get(way(links, state, key)) {
                    Some(link) => child = &link.child,
                    None => return Ok(None),
                },
            },
        }
    }
}

/// The first element whose key lies behind `from`.
pub(super) fn next<'t>(child: &'t Child, state: &'t State, from: Bound<&[u8]>) -> Result<Option<Found<'t>>> {
    let (key, skips) = match from {
        Bound::Unbounded => (&[][..], false),
        Bound::Included(key) => (key, false),
        Bound::Excluded(key) => (key, true),
    };
    match child {
        Child::Page(id, place) => {
            let mut cursor = Cursor::seek(state, Root::Page(*id, *place), key)?;
            let mut element = cursor.next()?;
            if skips && element.as_ref().is_some_and(|element| element.key == key) {
                element = cursor.next()?;
            }
            Ok(element.map(Found::from))
        }
        Child::Node(node) => match &node.body {
            Body::Leaf(pairs) => {
                let index = match find(pairs, state, key) {
                    Ok(index) => index + usize::from(skips),
                    Err(index) => index,
                };
                Ok(pairs.get(index).map(|pair| Found::of(pair, state)))
            }
            Body::Branch(links) => {
                for link in links.iter().skip(way(links, state, key)) {
                    if let Some(found) = next(&link.child, state, from)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        },
    }
}

/// The last element whose key lies before `to`.
pub(super) fn prev<'t>(child: &'t Child, state: &'t State, to: Bound<&[u8]>) -> Result<Option<Found<'t>>> {
    match child {
        Child::Page(id, place) => {
            let mut cursor = match to {
                Bound::Unbounded => Cursor::end(state, Root::Page(*id, *place))?,
                Bound::Included(key) | Bound::Excluded(key) => {
                    Cursor::seek(state, Root::Page(*id, *place), key)?
                }
            };
            if let Bound::Included(key) = to
                && let Some(element) = cursor.clone().next()?
                && element.key == key
            {
                return Ok(Some(Found::from(element)));
            }
            Ok(cursor.prev()?.map(Found::from))
        }
        Child::Node(node) => match &node.body {
            Body::Leaf(pairs) => {
                let before = match to {
                    Bound::Unbounded => pairs.len(),
                    Bound::Included(key) => pairs.partition_point(|pair| pair.key.bytes(state) <= key),
                    Bound::Excluded(key) => pairs.partition_point(|pair| pair.key.bytes(state) < key),
                };
                Ok(before
                    .checked_sub(1)
                    .and_then(|index| pairs.get(index))
                    .map(|pair| Found::of(pair, state)))
            }
            Body::Branch(links) => {
                let last = match to {
                    Bound::Unbounded => links.len(),
                    Bound::Included(key) | Bound::Excluded(key) => way(links, state, key) + 1,
                };
                for link in links.iter().take(last).rev() {
                    if let Some(found) = prev(&link.child, state, to)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        },
    }
}

/// Puts an element in its place, or in the place of the one that has its key.
///
/// # Errors
/// `Unfit` when the key is a bucket's and the element is not, or the other way round.
pub(super) fn put(root: &mut Child, base: &mut Base, pair: Pair) -> Result<()> {
    if let Some(right) = put_below(root, base, pair)? {
        let left = std::mem::replace(root, Child::Node(Box::new(Node::empty_leaf())));
        let key = match &left {
            Child::Node(node) => node.first_key().cloned(),
            Child::Page(..) => None,
        };
        let key = key.unwrap_or_else(|| Data::new(&[]));
        *root = Child::Node(Box::new(Node::branch(vec![Link { key, child: left }, right])));
    }
    Ok(())
}

/// Puts an element below `child`; what was cut off at its right is returned.
fn put_below(child: &mut Child, base: &mut Base, pair: Pair) -> Result<Option<Link>> {
    let node = base.open(child)?;
    let more = pair.len_bytes();
    match &mut node.body {
        Body::Leaf(pairs) => match find(pairs, &base.state, pair.key.bytes(&base.state)) {
            Ok(index) => {
                if let Some(old) = pairs.get_mut(index) {
                    if old.is_bucket != pair.is_bucket {
                        return Err(Error::unfit("a key that is a bucket's, or a name that is a pair's"));
                    }
                    node.len_bytes = node.len_bytes - old.len_bytes() + more;
                    *old = pair;
                }
            }
            Err(index) => {
                let is_end = index == pairs.len();
                pairs.insert(index, pair);
                node.len_bytes += more;
                node.grew_at(is_end);
            }
        },
        Body::Branch(links) => {
            let index = way(links, &base.state, pair.key.bytes(&base.state));
            let is_end = index + 1 == links.len();
            if let Some(link) = links.get_mut(index) {
                if pair.key.bytes(&base.state) < link.key.bytes(&base.state) {
                    node.len_bytes = node.len_bytes - link.key.len() + pair.key.len();
                    link.key = pair.key.clone();
                }
                if let Some(right) = put_below(&mut link.child, base, pair)? {
                    node.len_bytes += right.len_bytes();
                    links.insert(index + 1, right);
                }
            }
            node.grew_at(is_end);
        }
    }
    Ok(cut(node, base.page_size()))
}

/// Cuts a node that has become long, and returns its right half.
fn cut(node: &mut Node, page_size: usize) -> Option<Link> {
    if node.len_bytes <= PAGES_MAX * page_size || node.count() < CUT_COUNT_MIN {
        return None;
    }
    let middle = node.count() / 2;
    let right = match &mut node.body {
        Body::Leaf(pairs) => Node::leaf(pairs.split_off(middle)),
        Body::Branch(links) => Node::branch(links.split_off(middle)),
    };
    // The header is counted in both halves.
    node.len_bytes = node.len_bytes + HEADER_LEN - right.len_bytes;
    let right = Node { has_shrunk: node.has_shrunk, grew: node.grew, ..right };
    let key = right.first_key()?.clone();
    Some(Link { key, child: Child::Node(Box::new(right)) })
}

/// Takes out the element `key`, which is there.
pub(super) fn delete(child: &mut Child, base: &mut Base, key: &[u8]) -> Result<()> {
    let node = base.open(child)?;
    match &mut node.body {
        Body::Leaf(pairs) => {
            if let Ok(index) = find(pairs, &base.state, key) {
                node.len_bytes -= pairs.remove(index).len_bytes();
                node.has_shrunk = true;
            }
            Ok(())
        }
        Body::Branch(links) => {
            let index = way(links, &base.state, key);
            links.get_mut(index).map_or(Ok(()), |link| delete(&mut link.child, base, key))
        }
    }
}

/// Where `key` is among the pairs, or would be.
fn find(pairs: &[Pair], state: &State, key: &[u8]) -> std::result::Result<usize, usize> {
    pairs.binary_search_by(|pair| pair.key.bytes(state).cmp(key))
}

/// The link whose child has `key`, if any has.
fn way(links: &[Link], state: &State, key: &[u8]) -> usize {
    links.partition_point(|link| link.key.bytes(state) <= key).saturating_sub(1)
}
