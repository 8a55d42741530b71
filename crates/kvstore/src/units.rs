//! The numbers of a Bolt file, one type per kind.

use std::fmt;

/// Number of a page: page n begins at byte n × page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(u64);

impl PageId {
    /// The page called `number`; whether a file has it is another question.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a transaction: each commit of a file has the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(u64);

impl TxId {
    /// The transaction called `number`.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The commit after this one; stands still at the end of the numbers, which no file reaches.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The commit before this one; 0 is its own.
    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Byte position in one file: not a length, not a slice index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The position `bytes` behind the start.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes between the start of the file and here.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a byte lies: the page and the position in the file. Every complaint about bytes carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) page: PageId,
    pub(crate) offset: Offset,
}

impl Place {
    pub(crate) const fn new(page: PageId, offset: u64) -> Self {
        Self { page, offset: Offset(offset) }
    }

    /// The byte `len` further on in the same page or node.
    pub(crate) const fn forward(self, len: usize) -> Self {
        Self { page: self.page, offset: Offset(self.offset.0.saturating_add(len as u64)) }
    }
}
