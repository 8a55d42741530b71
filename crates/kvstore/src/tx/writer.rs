//! The one who writes to the file.
//!
//! Order of a commit, and what each step makes true:
//! 1. make the file long enough; write the new pages, none of which any living state refers to;
//! 2. sync: the new state is durable, and nothing refers to it;
//! 3. map the file again if it outgrew its map: nothing can fail after the next step;
//! 4. write the meta page that is not the newest, sync: the new state is the file's.
//!
//! Where digests are kept (`digests.rs`), their file is written and synced with the pages, and after the meta page.
//!
//! A power loss at any moment leaves the state before or, from 4 on, this one. After a failed write or sync nothing more
//! is written: what the system did with the bytes is unknown.

use std::sync::Arc;

use icecore_disk::{Disk, Map, WriteAt};

use super::space::{Run, Space};
use crate::check;
use crate::digests::{self, Keeper, Known};
use crate::error::{Error, Result};
use crate::format::freelist;
use crate::format::meta::{META_PAGES, Meta};
use crate::state::State;
use crate::{PageId, TxId};

/// Files grow by doubling up to this, then in steps of it.
const GROWTH_BYTES: u64 = 16 << 20;
const SIZE_MIN_BYTES: u64 = 32 << 10;
/// Neighbouring pages are written together up to this.
const WRITE_BYTES: usize = 1 << 20;

/// New pages of a transaction, by the first page of each node.
pub(super) type Pages = Vec<(u64, Vec<u8>)>;

#[derive(Debug)]
pub(crate) struct Writer {
    file: Box<dyn WriteAt>,
    size_bytes: u64,
    /// Known from the first transaction on.
    space: Option<Space>,
    /// If digests are kept; from the first transaction on.
    keeper: Option<Keeper>,
    is_poisoned: bool,
}

/// What a transaction hands over.
pub(super) struct Commit {
    pub(super) root: PageId,
    pub(super) sequence: u64,
    pub(super) pages: Pages,
    pub(super) given_up: Vec<Run>,
}

impl Writer {
    pub(crate) fn new(file: Box<dyn WriteAt>, state: &State) -> Self {
        state.file().will_be_written();
        Self { file, size_bytes: state.map().len() as u64, space: None, keeper: None, is_poisoned: false }
    }

    /// Pages that are free, and that wait for older states; `None` before the first transaction.
    pub(crate) fn unused_pages(&self) -> Option<(u64, u64)> {
        self.space.as_ref().map(|space| (space.free_pages(), space.waiting_pages()))
    }

    /// Makes ready for a transaction upon `state`, the current one, and returns the space it may use.
    ///
    /// The first time every page is checked, so that no page is taken for free that is not; and the meta page of the
    /// state is written once more and synced. It may be one that a failed sync of an earlier process left in memory only,
    /// or a copy's, on the page that the next commit writes.
    pub(super) fn begin(&mut self, disk: &dyn Disk, state: &State) -> Result<()> {
        if self.is_poisoned {
            return Err(Error::poisoned(state.path()));
        }
        if self.space.is_none() {
            self.begin_first(disk, state)?;
        }
        let living: Vec<TxId> = state.file().living().into_iter().map(|(txid, _)| txid).collect();
        self.space(state)?.release(&living);
        Ok(())
    }

    fn begin_first(&mut self, disk: &dyn Disk, state: &State) -> Result<()> {
        let walked = check::walk(state);
        if let Some(error) = walked.report.error() {
            return state.named(Err(error));
        }
        self.write_meta(state, state.meta())?;
        match state.file().digests() {
            Known::Nothing => {}
            Known::Unusable(_) => self.make_digests(disk, state)?,
            Known::Digests(digests) => {
                self.keeper = Some(Keeper::go_on(disk, state.path(), digests)?);
                self.record(state, state.meta())?;
            }
        }
        self.space = Some(Space::new(walked.free, state.meta().high_water));
        Ok(())
    }

    /// Whether the file has digests, usable or not.
    pub(crate) fn keeps_digests(&self, state: &State) -> bool {
        self.keeper.is_some() || !matches!(state.file().digests(), Known::Nothing)
    }

    /// Makes the digests of `state`, the current one, unless they are there, and keeps them from now on.
    pub(crate) fn keep_digests(&mut self, disk: &dyn Disk, state: &State) -> Result<()> {
        self.begin(disk, state)?;
        if self.keeper.is_none() {
            self.make_digests(disk, state)?;
        }
        Ok(())
    }

    fn make_digests(&mut self, disk: &dyn Disk, state: &State) -> Result<()> {
        let keeper = Keeper::make(disk, state)?;
        state.file().know_digests(Known::Digests(Arc::clone(keeper.digests())));
        self.keeper = Some(keeper);
        Ok(())
    }

    pub(super) fn space(&mut self, state: &State) -> Result<&mut Space> {
        self.space.as_mut().ok_or_else(|| Error::poisoned(state.path()))
    }

    /// The transaction came to nothing: the pages it took are free again.
    pub(super) fn give_back(&mut self) {
        self.space.iter_mut().for_each(Space::give_back);
    }

    /// Writes what follows upon `state` and makes it durable.
    ///
    /// # Errors
    /// What the disk says; after a failed write or sync the writer is poisoned. Any other failure changes nothing.
    pub(super) fn commit(&mut self, disk: &dyn Disk, state: &State, commit: Commit) -> Result<(Meta, Map)> {
        let Commit { root, sequence, mut pages, mut given_up } = commit;
        let txid = state.txid().next();
        let freelist = self.list(state, &mut pages, &mut given_up)?;
        let high_water = self.space(state)?.high_water();
        let meta = Meta { root, sequence, freelist, high_water, txid, ..*state.meta() };

        pages.sort_unstable_by_key(|(id, _)| *id);
        let needed = high_water.saturating_mul(u64::from(meta.page_size));
        self.write(state, |writer| {
            writer.grow(needed)?;
            writer.write_pages(&pages, meta.page_size)?;
            writer.file.sync()
        })?;
        self.digest_pages(state, &pages, meta.page_size)?;
        drop(pages);
        let map = match state.map() {
            map if map.is_live() && map.len() as u64 >= needed => map.clone(),
            _ => disk.map(state.path()).map_err(|error| Error::io(error, state.path()))?,
        };
        self.write_meta(state, &meta)?;
        self.space(state)?.commit(txid, given_up);
        // Durable without it, and done: a failure is told to the next transaction, which may not write any more.
        drop(self.record(state, &meta));
        Ok((meta, map))
    }

    /// Adds the list of free pages, if the file keeps one; the old list's pages are given up.
    fn list(&mut self, state: &State, pages: &mut Pages, given_up: &mut Vec<Run>) -> Result<Option<PageId>> {
        let Some((_, bytes, place)) = state.named(state.freelist())? else { return Ok(None) };
        let page_size = state.page_size();
        given_up.push(Run { first: place.page.get(), count: (bytes.len() / page_size) as u64 });
        let space = self.space(state)?;
        let count = |runs: &[Run]| {
            let count = runs.iter().map(|run| run.count).sum::<u64>();
            usize::try_from(count).map_err(|_| Error::unfit("more free pages than memory can hold"))
        };
        // Taking its pages makes the list shorter, never longer.
        let taken = freelist::pages_for(count(&space.listed(given_up))?, page_size);
        let id = space.take(taken as u64)?;
        let runs = space.listed(given_up);
        let ids = runs.iter().flat_map(|run| run.first..run.first + run.count);
        pages.push((id, freelist::write(id, taken, page_size, count(&runs)?, ids)?));
        Ok(Some(PageId::new(id)))
    }

    fn grow(&mut self, needed: u64) -> std::io::Result<()> {
        if needed <= self.size_bytes {
            return Ok(());
        }
        let size = if needed <= GROWTH_BYTES {
            needed.next_power_of_two().max(SIZE_MIN_BYTES)
        } else {
            needed.next_multiple_of(GROWTH_BYTES)
        };
        self.file.set_size(size)?;
        self.size_bytes = size;
        Ok(())
    }

    /// Writes nodes that are sorted by page.
    fn write_pages(&mut self, pages: &[(u64, Vec<u8>)], page_size: u32) -> std::io::Result<()> {
        let start_of = |id: u64| id.saturating_mul(u64::from(page_size));
        let mut rest = pages;
        while let Some(&(first, _)) = rest.first() {
            let (start, mut len) = (start_of(first), 0);
            let neighbours = rest.iter().take_while(|(id, bytes)| {
                let joins =
                    start_of(*id) == start + len as u64 && (len == 0 || len + bytes.len() <= WRITE_BYTES);
                len += bytes.len();
                joins
            });
            let (together, after) = rest.split_at(neighbours.count());
            match together {
                [(_, bytes)] => self.file.write_all_at(bytes, start)?,
                _ => self.file.write_all_at(&joined(together), start)?,
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes the digests of nodes that are sorted by page, if they are kept, and syncs them.
    fn digest_pages(&mut self, state: &State, pages: &[(u64, Vec<u8>)], page_size: u32) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let written = pages
            .iter()
            .try_for_each(|(first, bytes)| keeper.write(*first, bytes, page_size))
            .and_then(|()| keeper.sync());
        self.digested(state, written)
    }

    /// Writes the meta page of a transaction and syncs it.
    fn write_meta(&mut self, state: &State, meta: &Meta) -> Result<()> {
        let page = meta.txid.get() % META_PAGES;
        let (index, start) = if page == 0 { (0, 0) } else { (1, u64::from(meta.page_size)) };
        self.write(state, |writer| {
            let bytes = meta.page(page);
            state.file().write_meta(index, &bytes, |bytes| writer.file.write_all_at(bytes, start))?;
            writer.file.sync()
        })
    }

    /// Writes down whose the digests are, if they are kept: those of `meta`, which is durable.
    fn record(&mut self, state: &State, meta: &Meta) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let page = meta.txid.get() % META_PAGES;
        let recorded = keeper.record(page, meta, &meta.page(page));
        self.digested(state, recorded)
    }

    fn digested(&mut self, state: &State, written: std::io::Result<()>) -> Result<()> {
        self.is_poisoned |= written.is_err();
        written.map_err(|error| Error::io(error, &digests::path_beside(state.path())))
    }

    fn write(&mut self, state: &State, write: impl FnOnce(&mut Self) -> std::io::Result<()>) -> Result<()> {
        let written = write(self);
        self.is_poisoned |= written.is_err();
        written.map_err(|error| Error::io(error, state.path()))
    }
}

fn joined(pages: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(WRITE_BYTES);
    pages.iter().for_each(|(_, page)| bytes.extend_from_slice(page));
    bytes
}
