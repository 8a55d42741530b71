//! A Bolt file, opened: which state of it is current.
//!
//! Lock order: `writing` before `current`. Readers take `current` alone, for as long as it takes to count a reference; a
//! transaction holds `writing` from its begin to its end.
//! Durable on return: what `create`, `replace` and a commit wrote, a new file's name included.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::{Disk, LockMode};
use parking_lot::{Mutex, RwLock};

use crate::TxId;
use crate::build::Builder;
use crate::digests;
use crate::error::{Error, Result};
use crate::file::File;
use crate::format::page::PAGE_SIZE_MAX;
use crate::publish::publish;
use crate::state::{State, choose};
use crate::stats::Stats;
use crate::tx::{Tx, Writer};
use crate::view::View;

/// How many replaced files stay locked. A process that opened the old file just before the rename still waits
/// for its lock (influxd for a second), and must not get it: it would work on a file that has no name any more.
const REPLACED_KEPT: usize = 16;

/// A BoltDB file, held by its lock for as long as this or a [`View`] of it lives.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("influxd.bolt");
/// use std::sync::Arc;
/// use icecore_disk::RealDisk;
/// use icecore_kvstore::{Builder, Store};
///
/// fn fill(mut builder: Builder, depth: &[u8]) -> icecore_kvstore::Result<Builder> {
///     builder.open_bucket(b"samples")?;
///     builder.put(b"depth", depth)?;
///     builder.close_bucket()?;
///     Ok(builder)
/// }
/// let store = Store::create(Arc::new(RealDisk), &path, fill(Builder::new(4096)?, b"3200 m")?)?;
/// let before = store.view();
/// store.replace(fill(store.builder(), b"3270 m")?)?;
///
/// let now = store.view();
/// assert_eq!(now.bucket(b"samples")?.unwrap().get(b"depth")?.unwrap(), b"3270 m");
/// assert_eq!(before.bucket(b"samples")?.unwrap().get(b"depth")?.unwrap(), b"3200 m", "a view stays what it was");
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    current: RwLock<Arc<State>>,
    writing: Mutex<Writing>,
}

/// What the one who writes holds.
#[derive(Debug)]
pub(crate) struct Writing {
    /// None in a store that was opened to read.
    writer: Option<Writer>,
    replaced: VecDeque<Arc<File>>,
}

impl Writing {
    pub(crate) fn writer(&mut self, state: &State) -> Result<&mut Writer> {
        self.writer
            .as_mut()
            .ok_or_else(|| Error::unfit("the store was opened to read only").in_file(state.path()))
    }
}

impl Store {
    /// Opens an existing file, [`Shared`](LockMode::Shared) to read or [`Exclusive`](LockMode::Exclusive) to write too. Reads the meta pages and nothing else: [`View::verify`] reads the rest.
    ///
    /// A file that is cut short by another process while it is open raises SIGBUS when it is read, as any mapped file.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) when another process holds the file (two readers may share it); damage when
    /// neither meta page is whole (the first one's is told) or the file ends before its last page in use.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, mode: LockMode) -> Result<Self> {
        let lock = disk.lock(path, mode).map_err(|error| Error::lock(error, path))?;
        let state = State::load(disk.as_ref(), path, path, lock)?;
        state.file().know_digests(digests::load(disk.as_ref(), path, state.meta(), state.meta_page())?);
        let writer = match mode {
            LockMode::Shared => None,
            LockMode::Exclusive => {
                Some(Writer::new(disk.open_write(path).map_err(|error| Error::io(error, path))?, &state))
            }
        };
        Ok(Self::of(disk, path, writer, state))
    }

    /// The newest transaction that the meta pages of a file tell, and what is wrong with one of them, if something is. Takes
    /// no lock and reads no other page: where another process writes, it is the answer of a moment ago.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); damage when neither meta page is whole.
    pub fn peek(disk: &dyn Disk, path: &Path) -> Result<(TxId, Option<Error>)> {
        const HEAD_LEN: usize = 2 * PAGE_SIZE_MAX as usize;
        let read = || {
            let file = disk.open(path)?;
            let mut head = vec![0; usize::try_from(file.size()?).unwrap_or(HEAD_LEN).min(HEAD_LEN)];
            file.read_exact_at(&mut head, 0)?;
            Ok(head)
        };
        let head = read().map_err(|error| Error::io(error, path))?;
        let (meta, _, spare) = choose(&head).map_err(|error| error.in_file(path))?;
        Ok((meta.txid, spare.map(|error| error.in_file(path))))
    }

    /// Makes a new file with what `builder` holds, and opens it to write.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with `AlreadyExists` when there is a file; otherwise as [`Store::replace`]. When the
    /// file could be made but not its name synced, it stays: open it.
    pub fn create(disk: Arc<dyn Disk>, path: &Path, builder: Builder) -> Result<Self> {
        match disk.stat(path) {
            Ok(_) => return Err(Error::io(io::ErrorKind::AlreadyExists.into(), path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(error, path)),
        }
        digests::remove(disk.as_ref(), path)?;
        let (state, writer, named) = publish(disk.as_ref(), path, builder)?;
        named?;
        Ok(Self::of(disk, path, Some(writer), state))
    }

    fn of(disk: Arc<dyn Disk>, path: &Path, writer: Option<Writer>, state: Arc<State>) -> Self {
        let writing = Mutex::new(Writing { writer, replaced: VecDeque::new() });
        Self { disk, path: path.to_owned(), current: RwLock::new(state), writing }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The transaction of the current state.
    pub fn txid(&self) -> TxId {
        self.current.read().txid()
    }

    /// The current state, to read.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.current.read()))
    }

    /// Begins a transaction; waits for the one before it to end. A thread that has one and begins another waits for ever.
    ///
    /// The first one after the file was opened reads and checks all of it.
    ///
    /// # Errors
    /// [`Poisoned`](crate::ErrorKind::Poisoned) after a failed write; [`Unfit`](crate::ErrorKind::Unfit) when the store was
    /// opened to read; the first problem of [`View::check`]: nothing is written to a damaged file.
    pub fn begin(&self) -> Result<Tx<'_>> {
        let writing = self.writing.lock();
        let state = Arc::clone(&self.current.read());
        Tx::begin(self, writing, state)
    }

    /// Runs `change` in a transaction and commits it; when `change` fails, nothing happened.
    ///
    /// # Errors
    /// What `change` says; as [`Store::begin`] and [`Tx::commit`].
    pub fn write<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<(TxId, T), E> {
        let mut tx = self.begin()?;
        let answer = change(&mut tx)?;
        Ok((tx.commit()?, answer))
    }

    /// Keeps digests of all pages beside the file, in `<name>.sums`, from now on and in all stores that open it to write:
    /// every check then finds every flipped bit of a page in use, also inside keys and values, and damage of that kind is
    /// neither copied nor written upon. Reads do not compare. A commit writes 16 bytes more for each page, and syncs
    /// twice more.
    ///
    /// Whoever writes to the file without them (bbolt, influxd) leaves them behind: they are not used then, which a check
    /// notes, and the next transaction of a store makes them anew. Remove the side file, and nothing is kept any more.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("influxd.bolt");
    /// # use std::sync::Arc;
    /// # use icecore_disk::RealDisk;
    /// # use icecore_kvstore::{Builder, Store};
    /// # let store = Store::create(Arc::new(RealDisk), &path, Builder::new(4096)?)?;
    /// store.keep_digests()?;
    /// store.write(|tx| tx.create_bucket(b"samples")?.put(b"depth", b"3200 m"))?;
    /// let report = store.view().verify()?;
    /// assert_eq!(report.digests, Some(report.used - 2)); // here not the meta pages, which have checksums
    /// # Ok::<(), icecore_kvstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::begin`]; what the disk says.
    ///
    /// # Durability
    /// On `Ok` the side file is. After a power loss it may be one of no state, until the next transaction.
    pub fn keep_digests(&self) -> Result<()> {
        let mut writing = self.writing.lock();
        let state = Arc::clone(&self.current.read());
        writing.writer(&state)?.keep_digests(self.disk.as_ref(), &state)
    }

    /// How the file stands, and who reads which states of it. Waits for a transaction to end.
    pub fn stats(&self) -> Stats {
        let writing = self.writing.lock();
        let state = Arc::clone(&self.current.read());
        let unused = writing.writer.as_ref().and_then(Writer::unused_pages);
        Stats::of(&state, unused)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Lets the views that are taken from now on show `state`.
    pub(crate) fn publish(&self, state: Arc<State>) -> Arc<State> {
        std::mem::replace(&mut *self.current.write(), state)
    }

    /// A builder for the state after the current one. It begins empty: what is to stay is put again.
    pub fn builder(&self) -> Builder {
        let state = Arc::clone(&self.current.read());
        Builder::after(state.meta().page_size, state.txid())
    }

    /// Replaces the whole content of the file: the new one is written beside it, synced, checked, locked and renamed
    /// over it. Readers never wait; views of the old state keep it.
    ///
    /// # Errors
    /// [`Stale`](crate::ErrorKind::Stale) when the builder did not come from [`Store::builder`] or the content was
    /// replaced since; [`Unfit`](crate::ErrorKind::Unfit) when the store was opened to read, or a bucket is still open;
    /// and what the disk says. After all these the old file is in place and served, and nothing is left beside it,
    /// unless removing failed too; the next attempt removes it then.
    /// [`NotDurable`](crate::ErrorKind::NotDurable) means that the new one is in place and served; so does a failure to write
    /// its digests, where they are [kept](Store::keep_digests): that error names the side file.
    ///
    /// # Durability
    /// On `Ok` the new content and its name are.
    pub fn replace(&self, builder: Builder) -> Result<TxId> {
        self.replace_by(&mut self.writing.lock(), builder)
    }

    /// Makes the file as small as its content allows: all of it is built anew, and replaces the old file.
    ///
    /// Transactions wait meanwhile, views do not; those that exist keep the old file, and its space, until they end.
    ///
    /// # Errors
    /// As [`Store::replace`]; the first problem of [`View::check`]: what is damaged is not made anew.
    ///
    /// # Durability
    /// As [`Store::replace`].
    pub fn compact(&self) -> Result<TxId> {
        let mut writing = self.writing.lock();
        let view = self.view();
        view.verify()?; // or a damaged value would look like one that was meant
        let builder = view.to_builder()?;
        self.replace_by(&mut writing, builder)
    }

    fn replace_by(&self, writing: &mut Writing, builder: Builder) -> Result<TxId> {
        let txid = builder.txid();
        let state = Arc::clone(&self.current.read());
        writing.writer(&state)?;
        if txid != state.txid().next() {
            return Err(Error::stale(&self.path));
        }
        let keeps_digests = writing.writer(&state)?.keeps_digests(&state);
        let (state, writer, named) = publish(self.disk.as_ref(), &self.path, builder)?;
        let old = self.publish(Arc::clone(&state));
        writing.writer = Some(writer);
        writing.replaced.push_back(Arc::clone(old.file()));
        if writing.replaced.len() > REPLACED_KEPT {
            writing.replaced.pop_front();
        }
        named?;
        if keeps_digests {
            writing.writer(&state)?.keep_digests(self.disk.as_ref(), &state)?;
        }
        Ok(txid)
    }
}
