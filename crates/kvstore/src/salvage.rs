//! What can still be read of a damaged file.
//!
//! First the tree is walked from its root, past whatever is damaged; then what the walk did not reach and the list of free
//! pages does not have: trees that lost their root from their top down, then single leaves. So a pair is lost only with
//! its own leaf, or with its own element.
//!
//! Invariant: no page is read twice, so the walk ends; and whatever is handed out lies in the file as it is handed out.

use std::collections::BTreeSet;
use std::path::Path;

use icecore_disk::{Disk, LockMode};

use crate::cursor::NESTING_MAX;
use crate::error::{Error, Result};
use crate::format::bucket::{BucketValue, Root};
use crate::format::meta::{META_PAGES, Meta};
use crate::format::node::{LeafElement, Node};
use crate::format::page::{Header, PAGE_SIZE_MAX, PAGE_SIZE_MIN};
use crate::format::widen;
use crate::report::Report;
use crate::state::{State, choose};
use crate::units::Place;
use crate::{PageId, TxId};

/// How many pages may lie above one another, over all buckets; real files have about ten.
const PAGES_DEEP_MAX: usize = 256;

/// A pair of a damaged file.
#[derive(Clone, Copy, Debug)]
pub struct Salvaged<'v> {
    /// The names of the buckets around it, the outermost first.
    pub bucket: &'v [Vec<u8>],
    /// Nothing leads from the root to the pair any more: outer buckets may be missing in its path.
    pub is_adrift: bool,
    /// Its key.
    pub key: &'v [u8],
    /// Its value. Bytes of keys and values have no checksum: they may be damaged too.
    pub value: &'v [u8],
}

struct Walk<'v, F> {
    state: &'v State,
    seen: Vec<bool>,
    /// Pages above the one that is read, over all buckets.
    depth: usize,
    is_adrift: bool,
    report: Report,
    found: F,
}

/// Reads what can still be read of the file, damaged as it may be, and gives each pair to `found`; the file stays as it
/// is. Says what was damaged.
///
/// Pairs that the root leads to come first, in order; then those adrift. When the list of free pages is damaged too, these
/// may include pairs that were deleted or replaced.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("influxd.bolt");
/// # use std::sync::Arc;
/// # use icecore_disk::RealDisk;
/// # use icecore_kvstore::{Builder, Store};
/// # let store = Store::create(Arc::new(RealDisk), &path, Builder::new(4096)?)?;
/// # store.write(|tx| tx.create_bucket(b"samples")?.put(b"depth", b"3200 m"))?;
/// # drop(store);
/// # let mut bytes = std::fs::read(&path).unwrap();
/// # bytes[..2 * 4096].fill(0);
/// # std::fs::write(&path, bytes).unwrap();
/// // Both meta pages are gone: the file does not open any more.
/// let mut pairs = Vec::new();
/// let report = icecore_kvstore::salvage(&RealDisk, &path, |pair| {
///     pairs.push((pair.key.to_vec(), pair.value.to_vec()));
/// })?;
/// assert!(!report.is_clean() && pairs.contains(&(b"depth".to_vec(), b"3200 m".to_vec())));
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
///
/// # Errors
/// [`Locked`](crate::ErrorKind::Locked); what the disk says; damage when no page at all is one of a Bolt file.
pub fn salvage(disk: &dyn Disk, path: &Path, found: impl FnMut(Salvaged<'_>)) -> Result<Report> {
    let lock = disk.lock(path, LockMode::Shared).map_err(|error| Error::lock(error, path))?;
    let map = disk.map(path).map_err(|error| Error::io(error, path))?;
    let lost = match choose(&map) {
        // A file that was cut off keeps its meta, and what is left of its pages.
        Ok((meta, page, _)) => {
            let whole = (map.len() / widen(meta.page_size)) as u64;
            let high_water = meta.high_water.min(whole);
            (
                Meta { high_water, ..meta },
                page,
                (whole < meta.high_water).then_some("the file ends before its last page in use"),
            )
        }
        Err(error) => match guess(&map) {
            Some(meta) => (meta, PageId::new(0), Some("neither meta page is whole")),
            None => return Err(error.in_file(path)),
        },
    };
    let (meta, meta_page, lost) = lost;
    let state = State::assume(map, meta, meta_page, path, lock);
    let pages = usize::try_from(state.meta().high_water).unwrap_or_default();
    let report = Report::new(state.txid(), state.meta().page_size, state.meta().high_water);
    let mut walk =
        Walk { state: &state, seen: vec![false; pages], depth: 0, is_adrift: false, report, found };
    if let Some(what) = lost {
        walk.report.problem(&Error::corrupt(what, Place::new(meta_page, state.page_offset(meta_page))));
    }
    walk.tree();
    walk.rest();
    walk.report.sort();
    Ok(walk.report)
}

/// What a file without a whole meta page may be: pages of the size at which most of them carry their own numbers.
fn guess(map: &[u8]) -> Option<Meta> {
    let sizes = (PAGE_SIZE_MIN.ilog2()..=PAGE_SIZE_MAX.ilog2()).map(|log| 1_u32 << log);
    let numbered = |page_size: u32| {
        let pages = map.chunks_exact(widen(page_size)).zip(0_u64..).skip(2);
        pages
            .filter(|(page, id)| {
                Header::parse(page).is_some_and(|header| header.id == *id && header.kind.is_some())
            })
            .count()
    };
    let (count, page_size) = sizes.map(|size| (numbered(size), size)).max()?;
    let high_water = (map.len() / widen(page_size)) as u64;
    let meta =
        Meta { page_size, root: PageId::new(0), sequence: 0, freelist: None, high_water, txid: TxId::new(0) };
    (count > 0).then_some(meta)
}

impl<'v, F: FnMut(Salvaged<'_>)> Walk<'v, F> {
    fn tree(&mut self) {
        if let Root::Page(page, from) = self.state.root().root
            && page.get() >= META_PAGES
        {
            self.page(page, from, &mut Vec::new());
        }
    }

    /// What can be read at and below a page of the bucket `path`.
    fn page(&mut self, page: PageId, from: Place, path: &mut Vec<Vec<u8>>) {
        if self.depth >= PAGES_DEEP_MAX {
            return self.report.problem(&Error::corrupt("the tree is too deep", from));
        }
        self.depth += 1;
        match self.state.node(page, from).and_then(|node| self.enter(&node).map(|()| node)) {
            Ok(node) => self.node(&node, path),
            Err(error) => self.report.problem(&error),
        }
        self.depth -= 1;
    }

    fn node(&mut self, node: &Node<'v>, path: &mut Vec<Vec<u8>>) {
        for index in 0..node.count() {
            let read = if node.is_leaf() {
                node.leaf(index).map(|element| self.element(&element, path))
            } else {
                node.branch(index).map(|element| self.page(element.child, element.place, path))
            };
            if let Err(error) = read {
                self.report.problem(&error);
            }
        }
    }

    fn element(&mut self, element: &LeafElement<'v>, path: &mut Vec<Vec<u8>>) {
        if !element.is_bucket {
            self.report.pairs += 1;
            let LeafElement { key, value, .. } = *element;
            return (self.found)(Salvaged { bucket: path, is_adrift: self.is_adrift, key, value });
        }
        self.report.buckets += 1;
        if path.len() >= NESTING_MAX {
            return self.report.problem(&Error::corrupt("buckets are nested too deep", element.value_place));
        }
        path.push(element.key.to_vec());
        match BucketValue::parse(element.value, element.value_place).map(|bucket| bucket.root) {
            Ok(Root::Inline(node)) => self.node(&node, path),
            Ok(Root::Page(page, from)) => self.page(page, from, path),
            Err(error) => self.report.problem(&error),
        }
        path.pop();
    }

    /// Marks the pages of a node, unless it was read already.
    fn enter(&mut self, node: &Node<'v>) -> Result<()> {
        let first = usize::try_from(node.place().page.get()).unwrap_or(usize::MAX);
        match self.seen.get_mut(first) {
            Some(seen) if !*seen => {}
            _ => return Err(Error::corrupt("the page is used twice", node.place())),
        }
        let count = node.bytes().len() / self.state.page_size();
        self.seen.iter_mut().skip(first).take(count).for_each(|seen| *seen = true);
        self.report.used += count as u64;
        Ok(())
    }

    /// What the walk did not reach.
    fn rest(&mut self) {
        match self.state.freelist() {
            Ok(Some((list, ..))) => list.ids().for_each(|(id, _)| self.see(id)),
            Ok(None) => {}
            Err(error) => self.report.problem(&error),
        }
        self.is_adrift = true;
        let adrift: Vec<u64> =
            (META_PAGES..self.state.meta().high_water).filter(|&id| self.unseen(id).is_some()).collect();
        let inner: BTreeSet<u64> =
            adrift.iter().filter_map(|&id| self.unseen(id)).flat_map(|node| below(&node)).collect();
        let (inner, tops): (Vec<u64>, Vec<u64>) = adrift.into_iter().partition(|id| inner.contains(id));
        for id in tops.into_iter().chain(inner) {
            if let Some(node) = self.unseen(id) {
                self.report.problem(&Error::corrupt("nothing leads to the page", node.place()));
                self.page(PageId::new(id), node.place(), &mut Vec::new());
            }
        }
    }

    fn see(&mut self, id: u64) {
        if let Some(seen) = usize::try_from(id).ok().and_then(|id| self.seen.get_mut(id)) {
            *seen = true;
        }
    }

    /// The node on page `id`, if there is one that was not read.
    fn unseen(&self, id: u64) -> Option<Node<'v>> {
        let is_seen = usize::try_from(id).ok().and_then(|id| self.seen.get(id)).is_none_or(|seen| *seen);
        let page = PageId::new(id);
        if is_seen {
            None
        } else {
            self.state.node(page, Place::new(page, self.state.page_offset(page))).ok()
        }
    }
}

/// The pages that a node leads to.
fn below(node: &Node<'_>) -> Vec<u64> {
    let page = |index| {
        if !node.is_leaf() {
            return node.branch(index).ok().map(|element| element.child.get());
        }
        let element = node.leaf(index).ok().filter(|element| element.is_bucket)?;
        match BucketValue::parse(element.value, element.value_place).ok()?.root {
            Root::Page(page, _) => Some(page.get()),
            Root::Inline(_) => None,
        }
    };
    (0..node.count()).filter_map(page).collect()
}
