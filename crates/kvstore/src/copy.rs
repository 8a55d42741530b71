//! The hot copy: one state as a file of its own, in slices of the map.
//!
//! Invariant: the same state gives the same bytes. What the state does not use leaves as zeros: free pages, and the
//! bytes behind the last element of a page (bbolt writes zeros there; other writers may have left old data), so that no
//! deleted value travels. bbolt reads neither.
//!
//! ```text
//! page 0: the state's meta | page 1: the same, one transaction older | pages 2 up to the high-water mark
//! ```
//! The freelist keeps its page and its ids, so page numbers stay as they are and bbolt's own check passes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::TxId;
use crate::check::{self, Extent};
use crate::error::{Error, Result};
use crate::format::meta::{META_PAGES, Meta};
use crate::state::State;

/// Longest chunk of the file.
const CHUNK_BYTES: usize = 256 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A consistent copy of one state, as the chunks of a file; see [`View::copy`](crate::View::copy).
///
/// Chunks are slices of the mapped file; each holds it, and its lock, until dropped. Nothing else is held while a
/// consumer takes its time: transactions commit, and put their pages elsewhere. A clone begins where the original stands.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("influxd.bolt");
/// # use std::sync::Arc;
/// # use icecore_disk::RealDisk;
/// # use icecore_kvstore::{Builder, Store};
/// # let store = Store::create(Arc::new(RealDisk), &path, Builder::new(4096)?)?;
/// let copy = store.view().copy()?;
/// let (state, len_bytes) = (copy.txid(), copy.len_bytes()); // known before the first chunk
/// store.write(|tx| tx.create_bucket(b"later").map(drop))?; // waits for nobody
/// let mut sent = Vec::new();
/// for chunk in copy {
///     sent.extend_from_slice(&chunk?);
/// }
/// assert_eq!((sent.len() as u64, state < store.txid()), (len_bytes, true));
/// # Ok::<(), icecore_kvstore::Error>(())
/// ```
///
/// An item is an error when another process wrote a new meta page in spite of the lock; nothing follows it. (It is seen
/// before the next chunk, not after: a chunk that was handed out earlier may be a mixture already.)
#[derive(Clone)]
pub struct HotCopy {
    state: Arc<State>,
    /// What is left to be sent, last piece first.
    pieces: Vec<Piece>,
    len_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Made for the copy.
    Made(Bytes),
    /// These bytes of the file.
    File {
        start: usize,
        len: usize,
    },
    Zeros(usize),
}

impl HotCopy {
    /// Checks the state, then decides what each byte of the copy will be.
    pub(crate) fn plan(state: Arc<State>) -> Result<Self> {
        let walked = check::walk(&state);
        if let Some(error) = walked.report.error() {
            return Err(error);
        }
        let len_bytes = state.len_bytes();
        let mut pieces = pieces(&state, walked.extents);
        pieces.reverse();
        Ok(Self { state, pieces, len_bytes })
    }

    /// Length of the whole copy: pages in use × page size, whatever has been taken already.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The transaction that the copy is a state of.
    pub fn txid(&self) -> TxId {
        self.state.txid()
    }

    fn chunk(&mut self) -> Option<Bytes> {
        match self.pieces.pop()? {
            Piece::Made(bytes) => Some(bytes),
            Piece::File { start, len } => {
                let now = len.min(CHUNK_BYTES);
                if len > now {
                    self.pieces.push(Piece::File { start: start + now, len: len - now });
                }
                Some(Bytes::from_owner(Chunk { state: Arc::clone(&self.state), start, len: now }))
            }
            Piece::Zeros(len) => {
                let zeros = ZEROS.get(..len).unwrap_or(&ZEROS);
                if len > zeros.len() {
                    self.pieces.push(Piece::Zeros(len - zeros.len()));
                }
                Some(Bytes::from_static(zeros))
            }
        }
    }
}

impl Iterator for HotCopy {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.pieces.is_empty() && self.state.is_changed() {
            self.pieces.clear();
            return Some(Err(Error::changed(self.state.path())));
        }
        self.chunk().map(Ok)
    }
}

impl fmt::Debug for HotCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotCopy")
            .field("txid", &self.txid())
            .field("len_bytes", &self.len_bytes)
            .finish_non_exhaustive()
    }
}

/// A part of a mapped file that keeps the map and the lock.
struct Chunk {
    state: Arc<State>,
    start: usize,
    len: usize,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.state.bytes(self.start, self.len)
    }
}

/// The copy from its first byte to its last.
fn pieces(state: &State, mut extents: Vec<Extent>) -> Vec<Piece> {
    let newest = *state.meta();
    let older = Meta { txid: newest.txid.before(), ..newest };
    let head = [newest.page(0), older.page(1)].concat();
    let mut plan =
        Plan { end: META_PAGES * u64::from(newest.page_size), pieces: vec![Piece::Made(head.into())] };
    extents.sort_unstable();
    for extent in extents {
        plan.zeros_up_to(extent.offset);
        let rest = extent.offset.saturating_add(extent.used_bytes as u64);
        let end = extent.offset.saturating_add(extent.len_bytes as u64);
        if is_zero(state, rest, end) {
            plan.file_up_to(end); // zeros already: the slice goes on
        } else {
            plan.file_up_to(rest);
            plan.zeros_up_to(end);
        }
    }
    plan.zeros_up_to(state.len_bytes());
    plan.pieces
}

struct Plan {
    /// Where the planned part of the copy ends.
    end: u64,
    pieces: Vec<Piece>,
}

impl Plan {
    fn file_up_to(&mut self, end: u64) {
        let (start, more) = (in_memory(self.end), in_memory(end.saturating_sub(self.end)));
        match self.pieces.last_mut() {
            _ if more == 0 => {}
            Some(Piece::File { len, .. }) => *len += more,
            _ => self.pieces.push(Piece::File { start, len: more }),
        }
        self.end = self.end.max(end);
    }

    fn zeros_up_to(&mut self, end: u64) {
        let more = in_memory(end.saturating_sub(self.end));
        match self.pieces.last_mut() {
            _ if more == 0 => {}
            Some(Piece::Zeros(len)) => *len += more,
            _ => self.pieces.push(Piece::Zeros(more)),
        }
        self.end = self.end.max(end);
    }
}

fn is_zero(state: &State, start: u64, end: u64) -> bool {
    state.bytes(in_memory(start), in_memory(end.saturating_sub(start))).iter().all(|&byte| byte == 0)
}

/// A position in the copied file, which is mapped as a whole.
fn in_memory(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
