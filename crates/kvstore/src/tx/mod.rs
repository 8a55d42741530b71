//! Changing a store: transactions.
//!
//! A transaction works on copies of the nodes it changes (`node`, `tree`, `bucket`). Its commit joins what shrank
//! (`balance`), makes pages of what changed (`spill`) in places that nobody reads (`space`), and writes them (`writer`).

mod balance;
mod bucket;
mod node;
mod space;
mod spill;
mod tree;
mod writer;

use std::ops::Bound;
use std::sync::Arc;

use icecore_disk::Map;
use parking_lot::MutexGuard;

use crate::TxId;
use crate::error::Result;
use crate::format::meta::Meta;
use crate::state::State;
use crate::store::{Store, Writing};

pub use bucket::BucketMut;
use bucket::Open;
use node::Base;
use spill::Spill;
use writer::Commit;
pub(crate) use writer::Writer;

/// A transaction that may change the store: all of it comes true at the commit, or nothing.
///
/// There is one at a time; views do not wait for it, nor it for them. Dropped without a commit, nothing happened.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("influxd.bolt");
/// # use std::sync::Arc;
/// # use icecore_disk::RealDisk;
/// # use icecore_kvstore::{Builder, Store};
/// # let store = Store::create(Arc::new(RealDisk), &path, Builder::new(4096)?)?;
/// let before = store.view();
/// let mut tx = store.begin()?;
/// let mut samples = tx.create_bucket(b"samples")?;
/// samples.put(b"depth", b"3200 m")?;
/// samples.create_bucket(b"drill")?.put(b"site", b"Dome C")?;
/// tx.commit()?;
///
/// let view = store.view();
/// assert_eq!(view.bucket(b"samples")?.unwrap().get(b"depth")?.unwrap(), b"3200 m");
/// assert!(before.bucket(b"samples")?.is_none(), "a view stays what it was");
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
#[derive(Debug)]
pub struct Tx<'s> {
    store: &'s Store,
    writing: MutexGuard<'s, Writing>,
    base: Base,
    root: Open,
}

impl<'s> Tx<'s> {
    /// A transaction upon `state`, the current one.
    pub(crate) fn begin(
        store: &'s Store,
        mut writing: MutexGuard<'s, Writing>,
        state: Arc<State>,
    ) -> Result<Self> {
        writing.writer(&state)?.begin(store.disk(), &state)?;
        let root = state.named(Open::of(state.root()))?;
        Ok(Self { store, writing, base: Base::new(state), root })
    }

    /// The transaction that this one will be.
    pub fn txid(&self) -> TxId {
        self.base.state.txid().next()
    }

    /// The top-level bucket `name`.
    ///
    /// # Errors
    /// Damage on the way to it, with page and offset; the same holds for every call below.
    pub fn bucket(&mut self, name: &[u8]) -> Result<Option<BucketMut<'_>>> {
        self.top().into_bucket(name)
    }

    /// Makes an empty top-level bucket.
    ///
    /// # Errors
    /// As [`BucketMut::create_bucket`].
    pub fn create_bucket(&mut self, name: &[u8]) -> Result<BucketMut<'_>> {
        self.top().into_created(name)
    }

    /// The top-level bucket `name`, made if there is none.
    ///
    /// # Errors
    /// As [`BucketMut::bucket_or_create`].
    pub fn bucket_or_create(&mut self, name: &[u8]) -> Result<BucketMut<'_>> {
        self.top().into_bucket_or_created(name)
    }

    /// Takes out the top-level bucket `name` with all that is in it; says whether there was one.
    ///
    /// # Errors
    /// As [`Tx::bucket`].
    pub fn delete_bucket(&mut self, name: &[u8]) -> Result<bool> {
        self.top().delete_bucket(name)
    }

    /// The name of the first top-level bucket behind `from`.
    ///
    /// # Errors
    /// As [`Tx::bucket`].
    pub fn next_bucket(&self, from: Bound<&[u8]>) -> Result<Option<&[u8]>> {
        let found = self.root.next(&self.base.state, from)?;
        Ok(found.map(|found| found.key))
    }

    /// Makes the changes durable and shows them to the views that are taken from now on. Without any change nothing is
    /// written, and the transaction is the one before.
    ///
    /// # Errors
    /// What the disk says: after a failed write or sync the state of the file is the one before or this one, which is
    /// seen when it is opened again; this store goes on to show the one before and writes no more
    /// ([`Poisoned`](crate::ErrorKind::Poisoned)). Damage that the transaction met, or meets now: nothing was changed.
    ///
    /// # Durability
    /// On `Ok` all of the transaction is.
    pub fn commit(mut self) -> Result<TxId> {
        let committed = self.write();
        if committed.is_err()
            && let Ok(writer) = self.writing.writer(&self.base.state)
        {
            writer.give_back();
        }
        let Some((meta, map)) = committed? else { return Ok(self.base.state.txid()) };
        self.store.publish(self.base.state.committed(map, meta));
        Ok(meta.txid)
    }

    fn write(&mut self) -> Result<Option<(Meta, Map)>> {
        self.base.is_whole()?;
        let state = Arc::clone(&self.base.state);
        let writer = self.writing.writer(&state)?;
        let mut spill = Spill { state: &state, space: writer.space(&state)?, pages: Vec::new() };
        let root = self.root.spill_root(&mut self.base, &mut spill);
        let Some(root) = state.named(root)? else { return Ok(None) };
        let pages = spill.pages;
        let commit = Commit { root, sequence: self.root.sequence, pages, given_up: self.base.given_up() };
        writer.commit(self.store.disk(), &state, commit).map(Some)
    }

    fn top(&mut self) -> BucketMut<'_> {
        BucketMut::top(&mut self.base, &mut self.root)
    }
}
