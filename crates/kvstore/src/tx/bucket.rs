//! Buckets that a transaction has opened.
//!
//! Invariant: while a bucket is in `nested`, its content is there, and its value in the parent's tree is only a name
//! holding its place; the value is made anew at the commit if anything inside changed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::balance::balance;
use super::node::{Base, Body, Child, Data, Node, Pair, depth};
use super::spill::{Spill, inline};
use super::tree::{self, Found};
use crate::PageId;
use crate::build::{KEY_LEN_MAX, VALUE_LEN_MAX};
use crate::cursor::NESTING_MAX;
use crate::error::{Error, Result};
use crate::format::bucket::{self, BucketValue, Root};
use crate::state::State;
use crate::units::Place;
use crate::view::Item;

/// How full a page is made when a node is cut, unless [`BucketMut::set_fill_percent`] says otherwise: bbolt's default.
const FILL_PERCENT: u8 = 50;
const FILL_PERCENT_MIN: u8 = 10;
const FILL_PERCENT_MAX: u8 = 100;

#[derive(Debug)]
pub(super) struct Open {
    pub(super) sequence: u64,
    root: Child,
    nested: BTreeMap<Vec<u8>, Open>,
    is_changed: bool,
    fill_percent: u8,
}

impl Open {
    fn new(root: Child, sequence: u64, is_changed: bool) -> Self {
        Self { sequence, root, nested: BTreeMap::new(), is_changed, fill_percent: FILL_PERCENT }
    }

    /// The bucket that this value describes.
    pub(super) fn of(value: BucketValue<'_>) -> Result<Self> {
        let root = match value.root {
            Root::Page(id, from) => Child::Page(id, from),
            Root::Inline(node) => Child::Node(Box::new(Node::of(&node)?)),
        };
        Ok(Self::new(root, value.sequence, false))
    }

    fn found<'t>(&'t self, state: &'t State, key: &[u8]) -> Result<Option<Found<'t>>> {
        tree::get(&self.root, state, key)
    }

    /// The first element behind `from`.
    pub(super) fn next<'t>(&'t self, state: &'t State, from: Bound<&[u8]>) -> Result<Option<Found<'t>>> {
        state.named(tree::next(&self.root, state, from))
    }

    /// The bucket `name`, opened if it was not yet.
    fn nested(&mut self, base: &Base, name: &[u8]) -> Result<Option<&mut Self>> {
        if !self.nested.contains_key(name) {
            match self.found(&base.state, name)? {
                Some(found) if found.is_bucket => {
                    let open = Self::of(BucketValue::parse(found.value, found.value_place)?)?;
                    self.nested.insert(name.to_vec(), open);
                }
                _ => return Ok(None),
            }
        }
        Ok(self.nested.get_mut(name))
    }

    fn create(&mut self, base: &mut Base, name: &[u8]) -> Result<&mut Self> {
        let pair = Pair { is_bucket: true, key: Data::new(name), value: Data::new(&[]) };
        tree::put(&mut self.root, base, pair)?;
        let empty = Child::Node(Box::new(Node::empty_leaf()));
        self.is_changed = true;
        Ok(self.nested.entry(name.to_vec()).or_insert_with(|| Self::new(empty, 0, true)))
    }

    fn delete(&mut self, base: &mut Base, name: &[u8], nesting: usize) -> Result<bool> {
        if self.nested(base, name)?.is_none() {
            return Ok(false);
        }
        if let Some(nested) = self.nested.remove(name) {
            nested.give_up(base, nesting)?;
        }
        tree::delete(&mut self.root, base, name)?;
        self.is_changed = true;
        Ok(true)
    }

    /// Gives up all pages of the bucket and of those inside it.
    fn give_up(self, base: &mut Base, nesting: usize) -> Result<()> {
        give_up(&self.root, &self.nested, base, 0, nesting)?;
        self.nested.into_values().try_for_each(|nested| nested.give_up(base, nesting + 1))
    }

    /// Makes pages of what changed; the value that describes the bucket now, if it is another one.
    pub(super) fn spill(&mut self, base: &mut Base, spill: &mut Spill<'_>) -> Result<Option<Vec<u8>>> {
        self.spill_nested(base, spill)?;
        if !self.is_changed {
            return Ok(None);
        }
        balance(&mut self.root, base)?;
        let mut value = Vec::new();
        if let Some(leaf) = inline(&self.root, spill.state)? {
            bucket::write(&mut value, 0, self.sequence);
            value.extend_from_slice(&leaf);
        } else {
            bucket::write(&mut value, self.top(spill)?.get(), self.sequence);
        }
        Ok(Some(value))
    }

    /// As [`Open::spill`], for the bucket that holds all others: it is never inside a value.
    pub(super) fn spill_root(&mut self, base: &mut Base, spill: &mut Spill<'_>) -> Result<Option<PageId>> {
        self.spill_nested(base, spill)?;
        if !self.is_changed {
            return Ok(None);
        }
        balance(&mut self.root, base)?;
        self.top(spill).map(Some)
    }

    fn spill_nested(&mut self, base: &mut Base, spill: &mut Spill<'_>) -> Result<()> {
        for (name, nested) in &mut self.nested {
            if let Some(value) = nested.spill(base, spill)? {
                let value = Data::New(value.into());
                let pair = Pair { is_bucket: true, key: Data::new(name), value };
                tree::put(&mut self.root, base, pair)?;
                self.is_changed = true;
            }
        }
        Ok(())
    }

    fn top(&mut self, spill: &mut Spill<'_>) -> Result<PageId> {
        let root = std::mem::replace(&mut self.root, Child::Node(Box::new(Node::empty_leaf())));
        spill.tree(root, self.fill_percent)
    }
}

/// Gives up the pages below `child` and those of the buckets in its leaves, except the ones that are open.
fn give_up(
    child: &Child,
    open: &BTreeMap<Vec<u8>, Open>,
    base: &mut Base,
    level: usize,
    nesting: usize,
) -> Result<()> {
    match child {
        Child::Page(id, from) => give_up_page(*id, *from, open, base, level, nesting),
        Child::Node(node) => match &node.body {
            Body::Branch(links) => {
                links.iter().try_for_each(|link| give_up(&link.child, open, base, level + 1, nesting))
            }
            Body::Leaf(pairs) => {
                let state = Arc::clone(&base.state);
                let buckets = pairs.iter().filter(|pair| pair.is_bucket);
                for pair in buckets.filter(|pair| !open.contains_key(pair.key.bytes(&state))) {
                    let value = pair.value.bytes(&state);
                    give_up_bucket(value, pair.value.place(&state), base, nesting)?;
                }
                Ok(())
            }
        },
    }
}

fn give_up_page(
    id: PageId,
    from: Place,
    open: &BTreeMap<Vec<u8>, Open>,
    base: &mut Base,
    level: usize,
    nesting: usize,
) -> Result<()> {
    let level = depth(level, from)?;
    let state = Arc::clone(&base.state);
    let node = state.node(id, from)?;
    base.give_up(&node)?;
    for index in 0..node.count() {
        if node.is_leaf() {
            let element = node.leaf(index)?;
            if element.is_bucket && !open.contains_key(element.key) {
                give_up_bucket(element.value, element.value_place, base, nesting)?;
            }
        } else {
            let element = node.branch(index)?;
            give_up_page(element.child, element.place, open, base, level, nesting)?;
        }
    }
    Ok(())
}

fn give_up_bucket(value: &[u8], place: Place, base: &mut Base, nesting: usize) -> Result<()> {
    if nesting >= NESTING_MAX {
        return Err(Error::corrupt("buckets are nested too deep", place));
    }
    match BucketValue::parse(value, place)?.root {
        Root::Page(id, from) => give_up_page(id, from, &BTreeMap::new(), base, 0, nesting + 1),
        Root::Inline(_) => Ok(()),
    }
}

/// A bucket that a [`Tx`](super::Tx) may change.
///
/// What it shows includes the transaction's own changes; nobody else sees them before the commit.
#[derive(Debug)]
pub struct BucketMut<'t> {
    base: &'t mut Base,
    open: &'t mut Open,
    /// How many buckets are around this one; the top level counts.
    nesting: usize,
}

impl<'t> BucketMut<'t> {
    pub(super) fn top(base: &'t mut Base, open: &'t mut Open) -> Self {
        Self { base, open, nesting: 0 }
    }

    /// The value of `key`; `None` also when the name belongs to a bucket.
    ///
    /// # Errors
    /// Damage on the way to it, with page and offset; the same holds for every call below. A transaction that met damage
    /// in a call that changes something cannot be committed.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        let found = self.base.state.named(self.open.found(&self.base.state, key))?;
        Ok(found.filter(|found| !found.is_bucket).map(|found| found.value))
    }

    /// The first pair or bucket behind `from`, by key.
    ///
    /// # Errors
    /// As [`BucketMut::get`].
    pub fn next(&self, from: Bound<&[u8]>) -> Result<Option<Item<'_>>> {
        Ok(self.open.next(&self.base.state, from)?.map(item))
    }

    /// The last pair or bucket before `to`, by key.
    ///
    /// # Errors
    /// As [`BucketMut::get`].
    pub fn prev(&self, to: Bound<&[u8]>) -> Result<Option<Item<'_>>> {
        let found = self.base.state.named(tree::prev(&self.open.root, &self.base.state, to))?;
        Ok(found.map(item))
    }

    /// Puts a pair in its place, or a new value in the place of the key's old one.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit): no key, one that is a bucket's, or a limit of the format,
    /// [`KEY_LEN_MAX`] or [`VALUE_LEN_MAX`]; nothing was changed then. As [`BucketMut::get`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.accepts(key)?;
        if value.len() > VALUE_LEN_MAX {
            return self.unfit("a value longer than 2147483646 bytes");
        }
        let pair = Pair { is_bucket: false, key: Data::new(key), value: Data::new(value) };
        let put = tree::put(&mut self.open.root, self.base, pair);
        self.open.is_changed |= put.is_ok();
        self.base.note(put)
    }

    /// Takes out a pair; says whether there was one.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) when the key is a bucket's. As [`BucketMut::get`].
    pub fn delete(&mut self, key: &[u8]) -> Result<bool> {
        match self.base.state.named(self.open.found(&self.base.state, key))? {
            None => Ok(false),
            Some(found) if found.is_bucket => self.unfit("a key that is a bucket's"),
            Some(_) => {
                let deleted = tree::delete(&mut self.open.root, self.base, key);
                self.open.is_changed = true;
                self.base.note(deleted).map(|()| true)
            }
        }
    }

    /// The counter that bbolt keeps with each bucket; influxd leaves it at 0.
    pub fn sequence(&self) -> u64 {
        self.open.sequence
    }

    /// Sets the counter.
    pub fn set_sequence(&mut self, sequence: u64) {
        self.open.is_changed |= self.open.sequence != sequence;
        self.open.sequence = sequence;
    }

    /// Counts one up, and returns the new number.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) at the end of the numbers.
    pub fn next_sequence(&mut self) -> Result<u64> {
        match self.open.sequence.checked_add(1) {
            Some(next) => {
                self.set_sequence(next);
                Ok(next)
            }
            None => self.unfit("a sequence at its end"),
        }
    }

    /// How full pages are made where a node of this bucket is cut, from 10 to 100 per cent; 50 without this call. A node
    /// that grew at its end alone in this transaction is filled to 90 at least. Not kept in the file.
    pub fn set_fill_percent(&mut self, percent: u8) {
        self.open.fill_percent = percent.clamp(FILL_PERCENT_MIN, FILL_PERCENT_MAX);
    }

    /// The bucket `name` inside this one.
    ///
    /// # Errors
    /// As [`BucketMut::get`].
    pub fn bucket(&mut self, name: &[u8]) -> Result<Option<BucketMut<'_>>> {
        self.reborrow().into_bucket(name)
    }

    /// Makes an empty bucket inside this one.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit): the name is taken, is none, is longer than [`KEY_LEN_MAX`], or would be the 65th
    /// level of buckets. As [`BucketMut::get`].
    pub fn create_bucket(&mut self, name: &[u8]) -> Result<BucketMut<'_>> {
        self.reborrow().into_created(name)
    }

    /// The bucket `name` inside this one, made if there is none.
    ///
    /// # Errors
    /// As [`BucketMut::create_bucket`], except that a bucket may have the name.
    pub fn bucket_or_create(&mut self, name: &[u8]) -> Result<BucketMut<'_>> {
        self.reborrow().into_bucket_or_created(name)
    }

    /// Takes out the bucket `name` with all that is in it; says whether there was one.
    ///
    /// # Errors
    /// As [`BucketMut::get`].
    pub fn delete_bucket(&mut self, name: &[u8]) -> Result<bool> {
        let deleted = self.open.delete(self.base, name, self.nesting + 1);
        self.base.note(deleted)
    }

    /// As [`BucketMut::bucket`]; the result lives as long as what this one was borrowed from.
    pub(super) fn into_bucket(self, name: &[u8]) -> Result<Option<Self>> {
        let Self { base, open, nesting } = self;
        let nested = open.nested(base, name);
        let nested = base.note(nested)?;
        Ok(nested.map(|open| Self { base, open, nesting: nesting + 1 }))
    }

    /// As [`BucketMut::create_bucket`].
    pub(super) fn into_created(self, name: &[u8]) -> Result<Self> {
        self.accepts(name)?;
        if self.nesting >= NESTING_MAX {
            return self.unfit("buckets nested deeper than 64 levels");
        }
        if self.base.state.named(self.open.found(&self.base.state, name))?.is_some() {
            return self.unfit("a name that is taken");
        }
        let Self { base, open, nesting } = self;
        let created = open.create(base, name);
        let open = base.note(created)?;
        Ok(Self { base, open, nesting: nesting + 1 })
    }

    /// As [`BucketMut::bucket_or_create`].
    pub(super) fn into_bucket_or_created(mut self, name: &[u8]) -> Result<Self> {
        let is_there = self.bucket(name)?.is_some();
        if !is_there {
            return self.into_created(name);
        }
        self.into_bucket(name)?.ok_or_else(|| Error::unfit("no such bucket"))
    }

    fn reborrow(&mut self) -> BucketMut<'_> {
        BucketMut { base: self.base, open: self.open, nesting: self.nesting }
    }

    fn accepts(&self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            return self.unfit("a key or name without a byte");
        }
        if key.len() > KEY_LEN_MAX {
            return self.unfit("a key or name longer than 32768 bytes");
        }
        Ok(())
    }

    fn unfit<T>(&self, what: &'static str) -> Result<T> {
        self.base.state.named(Err(Error::unfit(what)))
    }
}

fn item(found: Found<'_>) -> Item<'_> {
    if found.is_bucket { Item::Bucket(found.key) } else { Item::Pair(found.key, found.value) }
}
