//! After deletions: nodes that hold too little join a neighbour.
//!
//! As bbolt does it: a node that lost an element and fills a quarter of a page or less, or has fewer elements than its
//! kind needs, goes into the node on its left, or takes in the one on its right if it is the first. What becomes too
//! long by that is cut at the commit. A top branch with one child gives way to it.

use super::node::{Base, Body, Child, Link, Node};
use crate::error::Result;
use crate::format::page::HEADER_LEN;

/// A node this part of a page long is worth keeping.
const WORTH_PARTS: usize = 4;
const LEAF_COUNT_MIN: usize = 1;
const BRANCH_COUNT_MIN: usize = 2;

/// Joins what shrank in the tree under `root`.
pub(super) fn balance(root: &mut Child, base: &mut Base) -> Result<()> {
    let Child::Node(top) = root else { return Ok(()) };
    below(top, base)?;
    // What is left of a top branch: its only child, or an empty leaf.
    loop {
        let Child::Node(top) = root else { return Ok(()) };
        let Body::Branch(links) = &mut top.body else { return Ok(()) };
        if links.len() > 1 {
            return Ok(());
        }
        *root = match links.pop() {
            Some(link) => link.child,
            None => Child::Node(Box::new(Node::empty_leaf())),
        };
        base.open(root)?; // so that a bucket of one small leaf can go into its name's value
    }
}

fn below(node: &mut Node, base: &mut Base) -> Result<()> {
    let Body::Branch(links) = &mut node.body else { return Ok(()) };
    for link in links.iter_mut() {
        if let Child::Node(child) = &mut link.child {
            below(child, base)?;
        }
    }
    let count = links.len();
    let mut index = 0;
    while index < links.len() {
        match links.get(index) {
            Some(link) if is_empty(link) => {
                links.remove(index);
            }
            Some(link) if is_too_small(link, base) && links.len() > 1 => {
                let left = index.saturating_sub(1);
                let mut right = links.remove(left + 1);
                let joined = links.get_mut(left).map_or(Ok(false), |link| join(link, &mut right, base))?;
                if joined {
                    index = left; // it may still be too small
                } else {
                    links.insert(left + 1, right);
                    index += 1;
                }
            }
            _ => index += 1,
        }
    }
    if links.len() < count {
        node.has_shrunk = true;
        node.len_bytes = HEADER_LEN + links.iter().map(Link::len_bytes).sum::<usize>();
    }
    Ok(())
}

fn is_empty(link: &Link) -> bool {
    matches!(&link.child, Child::Node(node) if node.count() == 0)
}

fn is_too_small(link: &Link, base: &Base) -> bool {
    let Child::Node(node) = &link.child else { return false };
    let count_min = match node.body {
        Body::Leaf(_) => LEAF_COUNT_MIN,
        Body::Branch(_) => BRANCH_COUNT_MIN,
    };
    node.has_shrunk && (node.len_bytes <= base.page_size() / WORTH_PARTS || node.count() < count_min)
}

/// Puts all of `right` behind what `left` has; not when one is a leaf and the other a branch, as no tree of bbolt's has.
fn join(left: &mut Link, right: &mut Link, base: &mut Base) -> Result<bool> {
    let right = base.open(&mut right.child)?;
    let left = base.open(&mut left.child)?;
    match (&mut left.body, &mut right.body) {
        (Body::Leaf(pairs), Body::Leaf(more)) => pairs.append(more),
        (Body::Branch(links), Body::Branch(more)) => links.append(more),
        _ => return Ok(false),
    }
    left.len_bytes += right.len_bytes - HEADER_LEN;
    left.has_shrunk |= right.has_shrunk;
    Ok(true)
}
