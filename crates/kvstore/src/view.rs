//! Reading: a fixed state of a store, its buckets and their pairs.

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use crate::TxId;
use crate::check;
use crate::copy::HotCopy;
use crate::cursor::{self, Cursor, NESTING_MAX};
use crate::error::{Error, Result};
use crate::format::bucket::{BucketValue, Root};
use crate::format::node::LeafElement;
use crate::report::Report;
use crate::state::State;

/// A fixed state of a store: what one transaction left.
///
/// A view costs a counter, blocks nobody and outlives the [`Store`](crate::Store); what was replaced since stays
/// readable through it. While a view lives, the lock of its file is held.
#[derive(Clone, Debug)]
pub struct View(Arc<State>);

impl View {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self(state)
    }

    /// The transaction that left this state.
    pub fn txid(&self) -> TxId {
        self.0.txid()
    }

    /// The file it is read from.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u32 {
        self.0.meta().page_size
    }

    /// The top-level bucket `name`.
    ///
    /// # Errors
    /// Damage on the way to it, with page and offset; the same holds for every read below.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket<'_>>> {
        self.top().bucket(name)
    }

    /// All top-level buckets, by name.
    ///
    /// # Errors
    /// As [`View::bucket`].
    pub fn buckets(&self) -> Result<Buckets<'_>> {
        self.top().buckets()
    }

    /// Reads every page in use and says what contradicts the format: structure, key order within and across pages,
    /// pages that are used twice, lost, or both free and used. Never fails: damage is what it looks for.
    ///
    /// Costs one pass over the file and one byte of memory per page.
    pub fn check(&self) -> Report {
        check::walk(&self.0).report
    }

    /// [`View::check`] for those who go on only with a sound file.
    ///
    /// # Errors
    /// The first problem that the check found, with file, page and offset.
    pub fn verify(&self) -> Result<Report> {
        let report = self.check();
        match report.error() {
            Some(error) => self.0.named(Err(error)),
            None => Ok(report),
        }
    }

    /// A copy of this state as a file of its own, ready to be sent.
    ///
    /// # Errors
    /// The first problem of [`View::check`]: what is damaged is not copied.
    pub fn copy(&self) -> Result<HotCopy> {
        self.0.named(HotCopy::plan(Arc::clone(&self.0)))
    }

    fn top(&self) -> Bucket<'_> {
        Bucket { state: &self.0, value: self.0.root(), nesting: 0 }
    }
}

/// A bucket of a [`View`]: pairs in the order of their keys, and other buckets among them.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'v> {
    state: &'v State,
    value: BucketValue<'v>,
    /// How many buckets are around this one; the top level counts.
    nesting: usize,
}

impl<'v> Bucket<'v> {
    /// The value of `key`; `None` also when the name belongs to a bucket.
    ///
    /// # Errors
    /// Damage on the way to it, with page and offset; the same holds for every read below.
    pub fn get(&self, key: &[u8]) -> Result<Option<&'v [u8]>> {
        let element = self.state.named(cursor::get(self.state, self.value.root, key))?;
        Ok(element.filter(|element| !element.is_bucket).map(|element| element.value))
    }

    /// The bucket `name` inside this one.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket<'v>>> {
        match self.state.named(cursor::get(self.state, self.value.root, name))? {
            Some(element) if element.is_bucket => self.state.named(self.open(&element)).map(Some),
            _ => Ok(None),
        }
    }

    /// All pairs.
    ///
    /// # Errors
    /// As [`Bucket::get`]; each step can fail too, and ends the iteration then.
    pub fn iter(&self) -> Result<Pairs<'v>> {
        self.range::<&[u8]>(..)
    }

    /// The pairs whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`Bucket::iter`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<Pairs<'v>> {
        self.pairs(prefix, behind_prefix(prefix))
    }

    /// The pairs whose keys lie in `range`, compared as bytes.
    ///
    /// # Errors
    /// As [`Bucket::iter`].
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Pairs<'v>> {
        let start = match range.start_bound() {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.as_ref().to_vec(),
            Bound::Excluded(key) => behind(key.as_ref()),
        };
        let end = match range.end_bound() {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(behind(key.as_ref())),
            Bound::Excluded(key) => Some(key.as_ref().to_vec()),
        };
        self.pairs(&start, end)
    }

    /// The buckets inside this one, by name.
    ///
    /// # Errors
    /// As [`Bucket::iter`].
    pub fn buckets(&self) -> Result<Buckets<'v>> {
        let cursor = self.state.named(Cursor::seek(self.state, self.value.root, b""))?;
        Ok(Buckets { outer: *self, cursor })
    }

    /// The counter that bbolt keeps with each bucket; influxd leaves it at 0.
    pub fn sequence(&self) -> u64 {
        self.value.sequence
    }

    /// Whether the bucket lies inside its name's value, without a page of its own.
    pub fn is_inline(&self) -> bool {
        matches!(self.value.root, Root::Inline(_))
    }

    fn open(&self, element: &LeafElement<'v>) -> Result<Bucket<'v>> {
        if self.nesting >= NESTING_MAX {
            return Err(Error::corrupt("buckets are nested too deep", element.value_place));
        }
        let value = BucketValue::parse(element.value, element.value_place)?;
        Ok(Bucket { state: self.state, value, nesting: self.nesting + 1 })
    }

    fn pairs(&self, start: &[u8], end: Option<Vec<u8>>) -> Result<Pairs<'v>> {
        let cursor = self.state.named(Cursor::seek(self.state, self.value.root, start))?;
        Ok(Pairs { state: self.state, cursor, end, is_done: false })
    }
}

/// The least key above `key`.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The least key above all that begin with `prefix`; `None` when there is none.
fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=kept)?.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1; // not 255, by the search above
    }
    Some(end)
}

/// What a bucket has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'v> {
    /// A key and its value.
    Pair(&'v [u8], &'v [u8]),
    /// The name of a bucket.
    Bucket(&'v [u8]),
}

impl<'v> Item<'v> {
    /// The key or name.
    pub fn key(&self) -> &'v [u8] {
        match self {
            Self::Pair(key, _) | Self::Bucket(key) => key,
        }
    }
}

/// Pairs of a bucket in the order of their keys; nested buckets are passed over.
#[derive(Clone, Debug)]
pub struct Pairs<'v> {
    state: &'v State,
    cursor: Cursor<'v>,
    /// The first key that is no longer wanted.
    end: Option<Vec<u8>>,
    is_done: bool,
}

impl<'v> Iterator for Pairs<'v> {
    type Item = Result<(&'v [u8], &'v [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            match self.state.named(self.cursor.next()) {
                Err(error) => return Some(Err(error)),
                Ok(Some(element)) if self.end.as_deref().is_none_or(|end| element.key < end) => {
                    if !element.is_bucket {
                        return Some(Ok((element.key, element.value)));
                    }
                }
                Ok(_) => self.is_done = true,
            }
        }
        None
    }
}

/// Buckets in the order of their names; pairs are passed over.
#[derive(Clone, Debug)]
pub struct Buckets<'v> {
    outer: Bucket<'v>,
    cursor: Cursor<'v>,
}

impl<'v> Iterator for Buckets<'v> {
    type Item = Result<(&'v [u8], Bucket<'v>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.outer.state.named(self.cursor.next()) {
                Err(error) => return Some(Err(error)),
                Ok(None) => return None,
                Ok(Some(element)) if element.is_bucket => {
                    let bucket = self.outer.state.named(self.outer.open(&element));
                    return Some(bucket.map(|bucket| (element.key, bucket)));
                }
                Ok(Some(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_is_the_next_key_that_does_not_have_it() {
        assert_eq!(behind_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind_prefix(b"\xff"), None);
        assert_eq!(behind_prefix(b""), None);
    }
}
