//! Writing a whole new file from sorted pairs.
//!
//! Invariant: pages are numbered in the order in which they are made, and each is made once, so the file has no free
//! page and its length is its high-water mark.
//!
//! ```text
//! pages 0, 1 metas | page 2 freelist, empty | leaves and branches of each bucket, children first | root of the file
//! ```
//! The metas come first and name the root, which is made last: pages wait in memory until the file is written.

mod tree;

use icecore_disk::Append;

use crate::cursor::NESTING_MAX;
use crate::error::{Error, Result};
use crate::format::meta::{META_PAGES, Meta};
use crate::format::node::FLAG_BUCKET;
use crate::format::page::is_page_size;
use crate::format::{bucket, freelist, widen};
use crate::{PageId, TxId};

use tree::{Pages, Tree};

/// Longest key, and longest name of a bucket, in bytes.
pub const KEY_LEN_MAX: usize = 32768;
/// Longest value in bytes.
pub const VALUE_LEN_MAX: usize = (1 << 31) - 2;

const FREELIST_PAGE: u64 = META_PAGES;

/// Builds the content of a new file: buckets by name, in each the pairs by key, both ascending as bytes.
///
/// Holds the whole file in memory until it is written. A refused call has added nothing.
///
/// ```
/// use icecore_kvstore::Builder;
/// let mut builder = Builder::new(4096)?;
/// builder.open_bucket(b"samples")?;
/// builder.put(b"depth", b"3200 m")?;
/// assert!(builder.put(b"age", b"800 ka").is_err(), "keys ascend");
/// builder.close_bucket()?;
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    txid: TxId,
    pages: Pages,
    root: Tree,
    /// From the outermost to the one that pairs go to.
    open: Vec<OpenBucket>,
}

#[derive(Debug)]
struct OpenBucket {
    name: Vec<u8>,
    sequence: u64,
    tree: Tree,
}

impl Builder {
    /// The first state of a new file with pages of `page_size` bytes: 4096, unless it is to fit another system.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) when it is not a power of two from 1 KiB to 64 KiB.
    pub fn new(page_size: u32) -> Result<Self> {
        if !is_page_size(page_size) {
            return Err(Error::unfit("page size is not a power of two from 1 KiB to 64 KiB"));
        }
        Ok(Self::after(page_size, TxId::new(0)))
    }

    /// The state that follows transaction `before`.
    pub(crate) fn after(page_size: u32, before: TxId) -> Self {
        let pages = Pages::new(page_size, FREELIST_PAGE + 1);
        Self { txid: before.next(), pages, root: Tree::default(), open: Vec::new() }
    }

    /// The transaction that this state will be.
    pub fn txid(&self) -> TxId {
        self.txid
    }

    /// Begins the bucket `name`, in the bucket that is open, or at the top level.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit): no name, one longer than [`KEY_LEN_MAX`], one that does not ascend, or the 65th
    /// level of buckets.
    pub fn open_bucket(&mut self, name: &[u8]) -> Result<()> {
        if self.open.len() >= NESTING_MAX {
            return Err(Error::unfit("buckets nested deeper than 64 levels"));
        }
        self.innermost().accepts(name, &[])?;
        self.open.push(OpenBucket { name: name.to_vec(), sequence: 0, tree: Tree::default() });
        Ok(())
    }

    /// Adds a pair to the bucket opened last.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit): no bucket is open; no key, or one that does not ascend; or a limit of the
    /// format, [`KEY_LEN_MAX`] or [`VALUE_LEN_MAX`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let bucket = self.open.last_mut().ok_or_else(|| Error::unfit("a pair outside of any bucket"))?;
        bucket.tree.accepts(key, value)?;
        bucket.tree.add(0, key, value, &mut self.pages)
    }

    /// Sets the counter of the bucket opened last; without this call it is 0.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) when no bucket is open.
    pub fn set_sequence(&mut self, sequence: u64) -> Result<()> {
        let bucket = self.open.last_mut().ok_or_else(|| Error::unfit("no bucket is open"))?;
        bucket.sequence = sequence;
        Ok(())
    }

    /// Ends the bucket opened last.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) when no bucket is open.
    pub fn close_bucket(&mut self) -> Result<()> {
        let OpenBucket { name, sequence, tree } =
            self.open.pop().ok_or_else(|| Error::unfit("no bucket is open"))?;
        let mut value = Vec::new();
        if tree.fits_inline(self.pages.page_size()) {
            bucket::write(&mut value, 0, sequence);
            tree.write_inline(&mut value)?;
        } else {
            bucket::write(&mut value, tree.finish(&mut self.pages)?, sequence);
        }
        let parent = self.open.last_mut().map_or(&mut self.root, |parent| &mut parent.tree);
        parent.add(FLAG_BUCKET, &name, &value, &mut self.pages)
    }

    /// Writes the whole file: pages 0 up to the high-water mark.
    ///
    /// # Errors
    /// [`Unfit`](crate::ErrorKind::Unfit) before the first byte when a bucket is still open; later what the disk says.
    ///
    /// # Durability
    /// None: whoever owns `out` syncs it.
    pub fn write(self, out: &mut dyn Append) -> Result<()> {
        let Self { txid, mut pages, root, open } = self;
        if !open.is_empty() {
            return Err(Error::unfit("a bucket is still open"));
        }
        let root = root.finish(&mut pages)?;
        let meta = Meta {
            page_size: pages.page_size(),
            root: PageId::new(root),
            sequence: 0,
            freelist: Some(PageId::new(FREELIST_PAGE)),
            high_water: pages.next(),
            txid,
        };
        let freelist = freelist::write(FREELIST_PAGE, 1, widen(meta.page_size), 0, std::iter::empty())?;
        let metas = (0..META_PAGES).map(|id| {
            // As after a commit: transaction t is on page t % 2, so that the next one overwrites the older.
            let txid = if id == txid.get() % META_PAGES { txid } else { txid.before() };
            Meta { txid, ..meta }.page(id)
        });
        for page in metas.chain([freelist]).chain(pages.into_bytes()) {
            out.append(&page).map_err(Error::write)?;
        }
        Ok(())
    }

    fn innermost(&self) -> &Tree {
        self.open.last().map_or(&self.root, |bucket| &bucket.tree)
    }
}
