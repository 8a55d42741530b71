//! One state of a file: its bytes, and the meta that says what they mean.
//!
//! Invariant: while a `State` lives, no page that its meta leads to is written. Other processes are kept out by the lock
//! that its file holds; this one's writer asks which states live, and takes only pages that none of them refers to
//! (`tx/space.rs`). So everything that hands out bytes of the map holds the `State`, not the map alone, and bytes of
//! other pages are never borrowed. The meta pages do change: they are read through `File`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use icecore_disk::{Disk, Lock, Map};

use crate::error::{Error, Result};
use crate::file::File;
use crate::format::bucket::{BucketValue, Root};
use crate::format::freelist::Freelist;
use crate::format::meta::{META_PAGES, Meta};
use crate::format::node::Node;
use crate::format::page::{Header, Kind, PAGE_SIZE_MAX, PAGE_SIZE_MIN};
use crate::format::widen;
use crate::units::Place;
use crate::{PageId, TxId};

/// Tried first when the first meta page does not tell.
const USUAL_PAGE_SIZE: u32 = 4096;

#[derive(Debug)]
pub(crate) struct State {
    file: Arc<File>,
    map: Map,
    meta: Meta,
    /// The page that `meta` was read from.
    meta_page: PageId,
    /// What is wrong with the other meta page.
    spare: Option<Error>,
    /// Every page in use was checked, or follows from such a state: a reader need not check what a check has.
    is_sound: AtomicBool,
}

impl State {
    /// Maps the file `at`, which `lock` locks, and chooses its newest whole meta page. Errors and answers will name
    /// the file `path`, the name it has or is about to get.
    pub(crate) fn load(disk: &dyn Disk, at: &Path, path: &Path, lock: Box<dyn Lock>) -> Result<Arc<Self>> {
        let map = disk.map(at).map_err(|error| Error::io(error, at))?;
        Self::of(map, path, lock).map_err(|error| error.in_file(at))
    }

    /// The newest state that `map` shows; the errors do not name the file yet.
    pub(crate) fn of(map: Map, path: &Path, lock: Box<dyn Lock>) -> Result<Arc<Self>> {
        let (meta, meta_page, spare) = choose(&map)?;
        let file = Arc::new(File::new(path, widen(meta.page_size), &map, lock));
        let state = Self { file, map, meta, meta_page, spare, is_sound: AtomicBool::new(false) };
        state.holds_its_pages()?;
        Ok(state.alive())
    }

    /// What the file shows if this is its meta, which no longer has to be true.
    pub(crate) fn assume(
        map: Map,
        meta: Meta,
        meta_page: PageId,
        path: &Path,
        lock: Box<dyn Lock>,
    ) -> Arc<Self> {
        let file = Arc::new(File::new(path, widen(meta.page_size), &map, lock));
        Self { file, map, meta, meta_page, spare: None, is_sound: AtomicBool::new(false) }.alive()
    }

    /// The state that a commit left: `meta` is on its page, and `map` shows all that it leads to.
    pub(crate) fn committed(&self, map: Map, meta: Meta) -> Arc<Self> {
        let meta_page = PageId::new(meta.txid.get() % META_PAGES);
        let is_sound = AtomicBool::new(self.is_sound());
        Self { file: Arc::clone(&self.file), map, meta, meta_page, spare: None, is_sound }.alive()
    }

    fn alive(self) -> Arc<Self> {
        let state = Arc::new(self);
        state.file.live(&state);
        state
    }

    fn holds_its_pages(&self) -> Result<()> {
        let len = self.map.len() as u64;
        let whole = len / u64::from(self.meta.page_size);
        if whole >= self.meta.high_water {
            return Ok(());
        }
        Err(Error::corrupt("the file ends before its last page in use", Place::new(PageId::new(whole), len)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether a check of the whole state, or of one that this follows from, found nothing.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound.load(Ordering::Relaxed)
    }

    /// Remembers that a check of the whole state found nothing. Its bytes do not change while it lives.
    pub(crate) fn found_sound(&self) {
        self.is_sound.store(true, Ordering::Relaxed);
    }

    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The page that the meta was read from.
    pub(crate) fn meta_page(&self) -> PageId {
        self.meta_page
    }

    pub(crate) fn txid(&self) -> TxId {
        self.meta.txid
    }

    pub(crate) fn spare(&self) -> Option<&Error> {
        self.spare.as_ref()
    }

    pub(crate) fn page_size(&self) -> usize {
        widen(self.meta.page_size)
    }

    /// Bytes of the file that mean something.
    pub(crate) fn len_bytes(&self) -> u64 {
        // No overflow: the file was seen to be at least this long.
        self.meta.high_water.saturating_mul(u64::from(self.meta.page_size))
    }

    /// Bytes of the file from `start` on, or fewer than `len` where it ends.
    pub(crate) fn bytes(&self, start: usize, len: usize) -> &[u8] {
        let end = start.saturating_add(len).min(self.map.len());
        self.map.get(start..end).unwrap_or_default()
    }

    /// Both meta pages as they are in the file.
    pub(crate) fn known_metas(&self) -> [(u64, Result<Meta>); 2] {
        self.file.known_metas().map(|(id, bytes)| {
            let place = Place::new(PageId::new(id), self.page_offset(PageId::new(id)));
            (id, self.named(Meta::parse(bytes.as_deref().unwrap_or_default(), id, place)))
        })
    }

    /// What `read` makes of the bytes of meta page `id`.
    pub(crate) fn meta_page_bytes<T>(&self, id: u64, read: impl FnOnce(&[u8]) -> T) -> T {
        self.file.meta_page(&self.map, usize::from(id != 0), read)
    }

    /// Whether somebody wrote to the file in spite of the lock.
    pub(crate) fn is_changed(&self) -> bool {
        self.file.is_changed(&self.map)
    }

    /// The bucket that holds the buckets.
    pub(crate) fn root(&self) -> BucketValue<'_> {
        let from = Place::new(self.meta_page, self.page_offset(self.meta_page));
        BucketValue { root: Root::Page(self.meta.root, from), sequence: self.meta.sequence }
    }

    /// The node that begins at page `id`; `from` is where that number was read.
    pub(crate) fn node(&self, id: PageId, from: Place) -> Result<Node<'_>> {
        let (bytes, header, place) = self.pages(id, from)?;
        Node::page(bytes, header, place)
    }

    /// The list of free pages, with its place and all of its bytes, if the file keeps one.
    pub(crate) fn freelist(&self) -> Result<Option<(Freelist<'_>, &[u8], Place)>> {
        let Some(id) = self.meta.freelist else { return Ok(None) };
        let (bytes, header, place) =
            self.pages(id, Place::new(self.meta_page, self.page_offset(self.meta_page)))?;
        if header.kind != Some(Kind::Freelist) {
            return Err(Error::corrupt("the page is not a freelist", place));
        }
        Ok(Some((Freelist::parse(bytes, header, place)?, bytes, place)))
    }

    /// All bytes of the pages that begin at `id`: `overflow + 1` of them, inside the pages in use.
    fn pages(&self, id: PageId, from: Place) -> Result<(&[u8], Header, Place)> {
        if !self.meta.holds(id) {
            return Err(Error::corrupt("refers to a page outside the pages in use", from));
        }
        let place = Place::new(id, self.page_offset(id));
        let beyond = || Error::corrupt("the page runs past the pages in use", place);
        let start = usize::try_from(place.offset.get()).map_err(|_| beyond())?;
        let header = Header::parse(self.bytes(start, self.page_size())).ok_or_else(beyond)?;
        if header.id != id.get() {
            return Err(Error::corrupt("the page carries another page's number", place));
        }
        let after = id.get().checked_add(u64::from(header.overflow)).ok_or_else(beyond)?;
        if after >= self.meta.high_water {
            return Err(beyond());
        }
        let len = widen(header.overflow).checked_add(1).and_then(|pages| pages.checked_mul(self.page_size()));
        let end = len.and_then(|len| start.checked_add(len)).ok_or_else(beyond)?;
        Ok((self.map.get(start..end).ok_or_else(beyond)?, header, place))
    }

    /// Where page `id` begins. For ids below the high-water mark this does not overflow.
    pub(crate) fn page_offset(&self, id: PageId) -> u64 {
        id.get().saturating_mul(u64::from(self.meta.page_size))
    }

    /// Names the file in an error of a deeper level.
    pub(crate) fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.in_file(self.path()))
    }
}

/// The newest whole meta, the page it is on, and what is wrong with the other.
///
/// When neither is whole the error is the first one's. Where the second lies is told by the page size in the first; if
/// that one is damaged, it is sought at each possible place and must name the page size that led there.
pub(crate) fn choose(map: &[u8]) -> Result<(Meta, PageId, Option<Error>)> {
    match meta_at(map, 0, 0) {
        Ok(first) => match second_meta(map, first.page_size) {
            Ok(second) if second.txid > first.txid => Ok((second, PageId::new(1), None)),
            Ok(_) => Ok((first, PageId::new(0), None)),
            Err(error) => Ok((first, PageId::new(0), Some(error))),
        },
        Err(error) => {
            let sizes = (PAGE_SIZE_MIN.ilog2()..=PAGE_SIZE_MAX.ilog2()).map(|log| 1 << log);
            let found =
                std::iter::once(USUAL_PAGE_SIZE).chain(sizes).find_map(|size| second_meta(map, size).ok());
            match found {
                Some(second) => Ok((second, PageId::new(1), Some(error))),
                None => Err(error),
            }
        }
    }
}

fn second_meta(map: &[u8], page_size: u32) -> Result<Meta> {
    let meta = meta_at(map, 1, widen(page_size))?;
    if meta.page_size == page_size {
        return Ok(meta);
    }
    let place = Place::new(PageId::new(1), u64::from(page_size));
    Err(Error::corrupt("the meta pages disagree about the page size", place))
}

fn meta_at(map: &[u8], id: u64, start: usize) -> Result<Meta> {
    const { assert!(META_PAGES == 2) }
    Meta::parse(map.get(start..).unwrap_or_default(), id, Place::new(PageId::new(id), start as u64))
}
