//! Digests of pages, beside the file: what finds a flipped bit inside a value, which the format itself cannot.
//!
//! Order, when a transaction is committed with digests:
//! 1. the slots of the new pages are written, as the pages are; none of them belongs to a page that a living state shows;
//! 2. both files are synced, then the meta page is written and synced: the commit is durable;
//! 3. the record of that meta page is written: from now on the slots are taken for those of this state.
//!
//! The record is synced by the next commit. Power lost before that leaves digests that are of no state: they are not
//! used, which a check notes, and the next transaction makes them anew. They are never taken for those of a state that
//! somebody else wrote: each commit, of whatever program, changes the meta page that the record names.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Disk, WriteAt};
use parking_lot::RwLock;

use crate::PageId;
use crate::error::{Error, Result};
use crate::format::digests::{self, Digest, SLOT_LEN, SLOTS};
use crate::format::meta::{META_PAGES, Meta};
use crate::format::widen;
use crate::publish::directory;
use crate::state::State;

const EXTENSION: &str = ".sums";
const TEMPORARY: &str = ".sums.tmp";

/// What is known of the pages' digests.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// There is no side file.
    Nothing,
    /// There is one, and this keeps it from being used.
    Unusable(&'static str),
    Digests(Arc<Digests>),
}

/// The digests of a file's pages, as they were written.
#[derive(Debug)]
pub(crate) struct Digests(RwLock<Vec<Option<Digest>>>);

impl Digests {
    /// What page `id` came down to when it was written; `None` when that is not known.
    pub(crate) fn of(&self, id: u64) -> Option<Digest> {
        usize::try_from(id).ok().and_then(|index| self.0.read().get(index).copied().flatten())
    }

    fn set(&self, first: u64, digests: &[Digest]) {
        let mut slots = self.0.write();
        let Ok(first) = usize::try_from(first) else { return };
        if slots.len() < first + digests.len() {
            slots.resize(first + digests.len(), None);
        }
        slots.iter_mut().skip(first).zip(digests).for_each(|(slot, digest)| *slot = Some(*digest));
    }
}

/// Reads the side file of the file `path`, if it has one; `meta` is the newest, on page `meta_page`.
pub(crate) fn load(disk: &dyn Disk, path: &Path, meta: &Meta, meta_page: PageId) -> Result<Known> {
    let path = beside(path, EXTENSION);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::Nothing),
        Err(error) => return Err(Error::io(error, &path)),
    };
    let refused = |error| Error::io(error, &path);
    // No longer than it is, and no longer than the pages need.
    let wanted = file.size().map_err(refused)?.min(digests::slot_at(meta.high_water));
    let mut bytes =
        vec![0; usize::try_from(wanted).map_err(|_| refused(io::ErrorKind::FileTooLarge.into()))?];
    file.read_exact_at(&mut bytes, 0).map_err(refused)?;
    if let Some(why) = digests::refusal(&bytes, meta.page_size) {
        return Ok(Known::Unusable(why));
    }
    if !digests::fits(&bytes, meta_page.get(), meta) {
        return Ok(Known::Unusable("the digests beside the file are of another state"));
    }
    let slots = bytes.get(SLOTS..).unwrap_or_default().chunks_exact(SLOT_LEN);
    let slots = slots.zip(0..).map(|(slot, page)| digests::parse_slot(page, slot));
    Ok(Known::Digests(Arc::new(Digests(RwLock::new(slots.collect())))))
}

/// The one who keeps the side file of a file that is written.
#[derive(Debug)]
pub(crate) struct Keeper {
    file: Box<dyn WriteAt>,
    digests: Arc<Digests>,
}

impl Keeper {
    /// Goes on with the side file that `digests` was read from.
    pub(crate) fn go_on(disk: &dyn Disk, path: &Path, digests: Arc<Digests>) -> Result<Self> {
        let path = beside(path, EXTENSION);
        let file = disk.open_write(&path).map_err(|error| Error::io(error, &path))?;
        Ok(Self { file, digests })
    }

    /// Makes the side file anew of all pages of `state`, the current one; nobody writes meanwhile.
    ///
    /// # Durability
    /// On `Ok` it and its name are.
    pub(crate) fn make(disk: &dyn Disk, state: &State) -> Result<Self> {
        let (path, temporary) = (beside(state.path(), EXTENSION), beside(state.path(), TEMPORARY));
        let (bytes, digests) = all(state);
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(error, &temporary));
            }
            _ => {}
        }
        let mut file = disk.create(&temporary).map_err(|error| Error::io(error, &temporary))?;
        file.append(&bytes).and_then(|()| file.sync()).map_err(|error| Error::io(error, &temporary))?;
        let file = disk.open_write(&temporary).map_err(|error| Error::io(error, &temporary))?;
        disk.rename(&temporary, &path).map_err(|error| Error::io(error, &path))?;
        disk.sync_dir(directory(&path)).map_err(|error| Error::not_durable(error, &path))?;
        Ok(Self { file, digests: Arc::new(digests) })
    }

    pub(crate) fn digests(&self) -> &Arc<Digests> {
        &self.digests
    }

    /// The pages of a node that is being written from page `first` on.
    pub(crate) fn write(&mut self, first: u64, bytes: &[u8], page_size: u32) -> io::Result<()> {
        let digests: Vec<Digest> = bytes.chunks(widen(page_size)).map(digests::digest).collect();
        self.digests.set(first, &digests);
        let slots: Vec<_> =
            (first..).zip(&digests).flat_map(|(id, digest)| digests::slot(id, digest)).collect();
        self.file.write_all_at(&slots, digests::slot_at(first))
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// The record of a meta page that is durable; `page` are its bytes.
    pub(crate) fn record(&mut self, id: u64, meta: &Meta, page: &[u8]) -> io::Result<()> {
        self.write(id, page, meta.page_size)?;
        self.file.write_all_at(&digests::record(id, meta), digests::record_at(id) as u64)
    }
}

/// The whole side file of a state.
fn all(state: &State) -> (Vec<u8>, Digests) {
    let (page_size, pages) = (state.page_size(), state.meta().high_water);
    let mut bytes = digests::head(state.meta().page_size);
    for (id, meta) in state.known_metas() {
        if let Ok(meta) = meta {
            let (at, record) = (digests::record_at(id), digests::record(id, &meta));
            bytes.iter_mut().skip(at).zip(record).for_each(|(to, from)| *to = from);
        }
    }
    let digests = (0..pages).map(|id| match id {
        0..META_PAGES => state.meta_page_bytes(id, digests::digest),
        _ => digests::digest(
            state.bytes(usize::try_from(id).unwrap_or(usize::MAX).saturating_mul(page_size), page_size),
        ),
    });
    let digests: Vec<Digest> = digests.collect();
    bytes.extend((0..).zip(&digests).flat_map(|(id, digest)| digests::slot(id, digest)));
    (bytes, Digests(RwLock::new(digests.into_iter().map(Some).collect())))
}

/// Removes what an earlier file of the name `path` left beside it.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    let path = path_beside(path);
    match disk.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(error, &path)),
        _ => Ok(()),
    }
}

/// The side file of the file `path`.
pub(crate) fn path_beside(path: &Path) -> PathBuf {
    beside(path, EXTENSION)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(extension);
    name.into()
}
