//! One file that is open: its lock, what its meta pages hold, and which states of it are alive.
//!
//! Invariant: bytes of the meta pages are read and written under `metas` alone, once the file was loaded; and a state is
//! in `living` from before it can be read until after its last holder dropped it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};

use icecore_disk::{Lock, Map};
use parking_lot::{Mutex, RwLock};

use crate::TxId;
use crate::digests::Known;
use crate::format::meta::{META_PAGE_USED, META_PAGES};
use crate::state::State;

const METAS: usize = 2;
const _: () = assert!(METAS as u64 == META_PAGES);

#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    page_size: usize,
    /// What this process read or wrote there last; `None` after a failed write.
    metas: Mutex<[Option<Vec<u8>>; METAS]>,
    /// By transaction, ascending.
    living: Mutex<Vec<(TxId, Weak<State>)>>,
    digests: RwLock<Known>,
    /// Whether this process may write to it: then pages that no state shows may change at any time.
    is_written: AtomicBool,
    _lock: Box<dyn Lock>,
}

impl File {
    /// The file that will be called `path`, locked by `lock`, with the meta pages that `map` shows.
    pub(crate) fn new(path: &Path, page_size: usize, map: &Map, lock: Box<dyn Lock>) -> Self {
        let metas = Mutex::new([0, page_size].map(|start| Some(used(map, start).to_vec())));
        Self {
            path: path.to_owned(),
            page_size,
            metas,
            living: Mutex::default(),
            digests: RwLock::new(Known::Nothing),
            is_written: AtomicBool::new(false),
            _lock: lock,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the map shows a meta page that this process did not write: somebody writes in spite of the lock.
    pub(crate) fn is_changed(&self, map: &Map) -> bool {
        let metas = self.metas.lock();
        let differs = |(index, known): (usize, &Option<Vec<u8>>)| {
            known.as_ref().is_some_and(|known| known != used(map, index * self.page_size))
        };
        map.is_live() && metas.iter().enumerate().any(differs)
    }

    /// What is known of the digests of its pages.
    pub(crate) fn digests(&self) -> Known {
        self.digests.read().clone()
    }

    pub(crate) fn know_digests(&self, known: Known) {
        *self.digests.write() = known;
    }

    pub(crate) fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Relaxed)
    }

    /// From now on there is one who writes.
    pub(crate) fn will_be_written(&self) {
        self.is_written.store(true, Ordering::Relaxed);
    }

    /// What `read` makes of the bytes of meta page `index`, which do not change meanwhile.
    pub(crate) fn meta_page<T>(&self, map: &Map, index: usize, read: impl FnOnce(&[u8]) -> T) -> T {
        let _metas = self.metas.lock();
        let start = index * self.page_size;
        read(map.get(start..start.saturating_add(self.page_size)).unwrap_or_default())
    }

    /// Both meta pages, with what this process read or wrote there last.
    pub(crate) fn known_metas(&self) -> [(u64, Option<Vec<u8>>); METAS] {
        let [first, second] = &*self.metas.lock();
        [(0, first.clone()), (1, second.clone())]
    }

    /// Lets `write` put `page` in the place of meta page `index`.
    pub(crate) fn write_meta<E>(
        &self,
        index: usize,
        page: &[u8],
        write: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut metas = self.metas.lock();
        let written = write(page);
        let known = written.is_ok().then(|| page.get(..META_PAGE_USED).unwrap_or_default().to_vec());
        if let Some(meta) = metas.get_mut(index) {
            *meta = known;
        }
        written
    }

    /// Counts a state among the living; from now on nothing that it shows is written over.
    pub(crate) fn live(&self, state: &Arc<State>) {
        self.living.lock().push((state.txid(), Arc::downgrade(state)));
    }

    /// The transactions whose states somebody holds, ascending, and how many hold each: the store counts as one, so
    /// does each view, copy and chunk of a copy.
    pub(crate) fn living(&self) -> Vec<(TxId, usize)> {
        let mut living = self.living.lock();
        living.retain(|(_, state)| state.strong_count() > 0);
        // A count of zero was seen: whatever the last holder read, it read before.
        fence(Ordering::Acquire);
        living.iter().map(|(txid, state)| (*txid, state.strong_count())).collect()
    }
}

/// The part of the meta page at `start` that means something.
fn used(map: &Map, start: usize) -> &[u8] {
    map.get(start..start.saturating_add(META_PAGE_USED)).unwrap_or_default()
}
