//! Reading: a fixed state of a store, its buckets and their pairs.

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use crate::build::Builder;
use crate::check;
use crate::copy::HotCopy;
use crate::cursor::{self, NESTING_MAX};
use crate::error::{Error, Result};
use crate::format::bucket::{BucketValue, Root};
use crate::format::node::{Bare, LeafElement, Run, order};
use crate::outline::{self, MetaPage, Part};
use crate::report::Report;
use crate::state::State;
use crate::{PageId, TxId};

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

    /// Both meta pages of the file, as they are now; one of them, or an older one, is this state's.
    ///
    /// # Errors
    /// What is wrong with that meta page.
    pub fn metas(&self) -> [Result<MetaPage>; 2] {
        outline::metas(&self.0)
    }

    /// The pages that this state does not use, as runs of a first page and a count, ascending. Costs what
    /// [`View::check`] costs; damage makes the runs wrong.
    pub fn free_runs(&self) -> Vec<(PageId, u64)> {
        let runs = check::walk(&self.0).free.into_iter();
        runs.map(|(first, count)| (PageId::new(first), count)).collect()
    }

    /// Gives every bucket and every node to `found`, from the root down, each before what is in it: how the state lies in
    /// its pages. Damage is handed out where it was met, and the walk goes on behind it.
    pub fn outline<'v>(&'v self, mut found: impl FnMut(Part<'v>)) {
        outline::walk(&self.0, &mut found);
    }

    /// A copy of this state as a file of its own, ready to be sent.
    ///
    /// # Errors
    /// The first problem of [`View::check`]: what is damaged is not copied.
    pub fn copy(&self) -> Result<HotCopy> {
        self.0.named(HotCopy::plan(Arc::clone(&self.0)))
    }

    /// A builder with all that this view shows: the state that follows it, without free pages and with full ones.
    ///
    /// [`Store::create`](crate::Store::create) makes a new, compact file of it; [`Store::replace`](crate::Store::replace)
    /// makes it this file's content, unless something was committed since.
    ///
    /// # Errors
    /// As [`View::bucket`].
    pub fn to_builder(&self) -> Result<Builder> {
        let mut builder = Builder::after(self.page_size(), self.txid());
        for bucket in self.buckets()? {
            let (name, bucket) = bucket?;
            self.0.named(bucket.add_to(&mut builder, name))?;
        }
        Ok(builder)
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
        let cursor = self.state.named(cursor::Cursor::seek(self.state, self.value.root, b""))?;
        Ok(Buckets { outer: *self, cursor })
    }

    /// A cursor before the first pair or bucket.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub fn cursor(&self) -> Result<Cursor<'v>> {
        let cursor = self.state.named(cursor::Cursor::seek(self.state, self.value.root, b""))?;
        Ok(Cursor { bucket: *self, cursor })
    }

    /// The counter that bbolt keeps with each bucket; influxd leaves it at 0.
    pub fn sequence(&self) -> u64 {
        self.value.sequence
    }

    /// Whether the bucket lies inside its name's value, without a page of its own.
    pub fn is_inline(&self) -> bool {
        matches!(self.value.root, Root::Inline(_))
    }

    /// Adds the whole bucket to what is being built, under `name`.
    fn add_to(&self, builder: &mut Builder, name: &[u8]) -> Result<()> {
        builder.open_bucket(name)?;
        builder.set_sequence(self.value.sequence)?;
        let mut cursor = cursor::Cursor::seek(self.state, self.value.root, b"")?;
        while let Some(element) = cursor.next()? {
            if element.is_bucket {
                self.open(&element)?.add_to(builder, element.key)?;
            } else {
                builder.put(element.key, element.value)?;
            }
        }
        builder.close_bucket()
    }

    fn open(&self, element: &LeafElement<'v>) -> Result<Bucket<'v>> {
        if self.nesting >= NESTING_MAX {
            return Err(Error::corrupt("buckets are nested too deep", element.value_place));
        }
        let value = BucketValue::parse(element.value, element.value_place)?;
        Ok(Bucket { state: self.state, value, nesting: self.nesting + 1 })
    }

    fn pairs(&self, start: &[u8], end: Option<Vec<u8>>) -> Result<Pairs<'v>> {
        let cursor = self.state.named(cursor::Cursor::seek(self.state, self.value.root, start))?;
        Ok(Pairs { state: self.state, cursor, run: None, end, is_done: false })
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
    cursor: cursor::Cursor<'v>,
    /// What is left of the leaf before the cursor's gap, in a state that was checked.
    run: Option<Run<'v>>,
    /// The first key that is no longer wanted.
    end: Option<Vec<u8>>,
    is_done: bool,
}

impl<'v> Pairs<'v> {
    /// The next pair that does not come from a run: the first of the next one, or the cursor's. Not for each pair.
    fn turn(&mut self) -> Result<Option<Bare<'v>>> {
        if let Some(run) = self.run.take() {
            run.end()?;
        }
        self.run = self.cursor.next_run()?;
        match &mut self.run {
            Some(run) => match run.next() {
                Some(element) => Ok(Some(element)),
                None => run.end().map(|()| None),
            },
            None => {
                let element = self.cursor.next()?;
                Ok(element.map(|element| (element.is_bucket, element.key, element.value)))
            }
        }
    }
}

impl<'v> Iterator for Pairs<'v> {
    type Item = Result<(&'v [u8], &'v [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            let element = match self.run.as_mut().and_then(Run::next) {
                Some(element) => Some(element),
                None => match self.turn() {
                    Ok(element) => element,
                    Err(error) => {
                        self.is_done = true;
                        return Some(self.state.named(Err(error)));
                    }
                },
            };
            match element {
                Some((is_bucket, key, value))
                    if self.end.as_deref().is_none_or(|end| order(key, end).is_lt()) =>
                {
                    if !is_bucket {
                        return Some(Ok((key, value)));
                    }
                }
                _ => self.is_done = true,
            }
        }
        None
    }
}

/// Buckets in the order of their names; pairs are passed over.
#[derive(Clone, Debug)]
pub struct Buckets<'v> {
    outer: Bucket<'v>,
    cursor: cursor::Cursor<'v>,
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

/// A place in a bucket between two neighbours, or at one of its ends; goes both ways.
///
/// ```
/// # use icecore_kvstore::{Builder, Item, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("influxd.bolt");
/// # let store = Store::create(std::sync::Arc::new(icecore_disk::RealDisk), &path, Builder::new(4096)?)?;
/// store.write(|tx| {
///     let mut depths = tx.create_bucket(b"depths")?;
///     depths.put(b"1000", b"Holocene")?;
///     depths.put(b"3200", b"Pleistocene")
/// })?;
/// let view = store.view();
/// let mut cursor = view.bucket(b"depths")?.unwrap().cursor()?;
/// cursor.seek(b"2000")?;
/// assert_eq!(cursor.next()?, Some(Item::Pair(b"3200", b"Pleistocene")));
/// assert_eq!(cursor.next()?, None);
/// assert_eq!(cursor.prev()?, Some(Item::Pair(b"3200", b"Pleistocene")));
/// assert_eq!(cursor.prev()?, Some(Item::Pair(b"1000", b"Holocene")));
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'v> {
    bucket: Bucket<'v>,
    cursor: cursor::Cursor<'v>,
}

impl<'v> Cursor<'v> {
    /// Goes before the first key that is not below `key`.
    ///
    /// # Errors
    /// Damage on the way to it, with page and offset; the same holds for every step below. A step that failed ends the
    /// walk: what follows is `None` until the next call of this or of [`Cursor::seek_end`].
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        let Bucket { state, value, .. } = self.bucket;
        self.cursor = state.named(cursor::Cursor::seek(state, value.root, key))?;
        Ok(())
    }

    /// Goes behind the last key.
    ///
    /// # Errors
    /// As [`Cursor::seek`].
    pub fn seek_end(&mut self) -> Result<()> {
        let Bucket { state, value, .. } = self.bucket;
        self.cursor = state.named(cursor::Cursor::end(state, value.root))?;
        Ok(())
    }

    /// Passes the pair or bucket that comes next, and returns it; at the end it stays.
    ///
    /// # Errors
    /// As [`Cursor::seek`].
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot go back")]
    pub fn next(&mut self) -> Result<Option<Item<'v>>> {
        Ok(self.bucket.state.named(self.cursor.next())?.map(item))
    }

    /// Passes the pair or bucket that comes before, and returns it; at the start it stays.
    ///
    /// # Errors
    /// As [`Cursor::seek`].
    pub fn prev(&mut self) -> Result<Option<Item<'v>>> {
        Ok(self.bucket.state.named(self.cursor.prev())?.map(item))
    }
}

fn item(element: LeafElement<'_>) -> Item<'_> {
    if element.is_bucket { Item::Bucket(element.key) } else { Item::Pair(element.key, element.value) }
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
