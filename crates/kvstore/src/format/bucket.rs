//! The value of a leaf element that is a bucket.
//!
//! Invariant: a bucket has its own tree of pages, or, while it is small, one leaf inside this value; never both.
//!
//! ```text
//! | 0 root page u64 | 8 sequence u64 | 16 if root is 0: a leaf with its own header |
//! ```
//! The leaf inside lies at any byte offset. Its positions count from its own elements, like those of a page.

use super::node::Node;
use super::page::Header;
use super::u64_at;
use crate::PageId;
use crate::error::{Error, Result};
use crate::units::Place;

const ROOT: usize = 0;
const SEQUENCE: usize = ROOT + size_of::<u64>();
pub(crate) const BUCKET_LEN: usize = SEQUENCE + size_of::<u64>();
const _: () = assert!(BUCKET_LEN == 16, "Bolt bucket value");

/// Where the pairs of a bucket are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Root<'a> {
    /// In a tree whose top is this page; the place is where that is written.
    Page(PageId, Place),
    /// Here.
    Inline(Node<'a>),
}

/// A bucket value, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketValue<'a> {
    pub(crate) root: Root<'a>,
    pub(crate) sequence: u64,
}

impl<'a> BucketValue<'a> {
    /// Reads a value that lies at `place`. A root page is not looked at yet.
    pub(crate) fn parse(value: &'a [u8], place: Place) -> Result<Self> {
        let short = || Error::corrupt("a bucket's value is too short", place);
        let root = u64_at(value, ROOT).ok_or_else(short)?;
        let sequence = u64_at(value, SEQUENCE).ok_or_else(short)?;
        let inside = value.get(BUCKET_LEN..).ok_or_else(short)?;
        let root = match root {
            0 => Root::Inline(Node::inline(inside, place.forward(BUCKET_LEN))?),
            _ if inside.is_empty() => Root::Page(PageId::new(root), place),
            _ => return Err(Error::corrupt("a bucket has both a root page and bytes of its own", place)),
        };
        Ok(Self { root, sequence })
    }
}

/// Whether a value that is no bucket's begins as one of an inline bucket does: told without reading further.
pub(crate) fn may_be_inline(value: &[u8]) -> bool {
    u64_at(value, ROOT) == Some(0)
        && value
            .get(BUCKET_LEN..)
            .and_then(Header::parse)
            .is_some_and(|leaf| leaf.id == 0 && leaf.kind.is_some())
}

/// The first bytes of a bucket's value; `root` 0 announces that a leaf follows.
pub(crate) fn write(out: &mut Vec<u8>, root: u64, sequence: u64) {
    out.extend_from_slice(&root.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
}
