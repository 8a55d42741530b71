//! One file as a backup sends it: as it is, or rewritten without what was deleted from it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use icecore_disk::Stat;

use super::rewrite::Plan;
use crate::error::Result;
use crate::file::check::Digest;
use crate::file::name::FileName;
use crate::file::reader::{Tombstone, TsmFile};
use crate::shard::Damage;

/// Longest slice of a file handed out at once.
const CHUNK_LEN: u64 = 1 << 20;

/// What a backup does with the deletes of a file (design D5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// They are applied: the file leaves without the points, and nobody can bring them back.
    #[default]
    Apply,
    /// File and tombstone leave as they are.
    Keep,
}

/// A file of a snapshot as it leaves, under its own name.
#[derive(Clone, Debug)]
pub struct Member {
    file: Arc<TsmFile>,
    deletes: Deletes,
    damage: Arc<Damage>,
    prepared: OnceLock<Arc<Content>>,
}

#[derive(Debug)]
enum Content {
    AsIs,
    Rewritten(Plan),
    Gone,
}

impl Member {
    pub(super) fn new(file: Arc<TsmFile>, deletes: Deletes, damage: Arc<Damage>) -> Self {
        Self { file, deletes, damage, prepared: OnceLock::new() }
    }

    /// The tombstone that leaves before the file: with [`Deletes::Keep`], if there is one.
    pub fn tombstone(&self) -> Option<&Tombstone> {
        self.file.tombstone().filter(|_| self.deletes == Deletes::Keep)
    }

    /// The name in the archive, without a path.
    pub fn name(&self) -> FileName {
        self.file.name()
    }

    /// When the content last changed, by a write or a delete, ns since 1970.
    pub fn modified_ns(&self) -> i64 {
        self.file.modified_ns()
    }

    /// Owner and mode of the file.
    pub fn stat(&self) -> Stat {
        self.file.stat()
    }

    /// Checks every block of the file, and plans what is left of it if it has deletes. Done once; O(bytes).
    ///
    /// Returns the length it will have in a backup; `None` if nothing remains of it.
    ///
    /// # Errors
    /// `Corrupt` or `Io` with file and offset. The shard remembers damage and gives no snapshot from then on.
    pub fn prepare(&self) -> Result<Option<u64>> {
        let content = self.content().map_err(|error| self.damage.note(error))?;
        Ok(match &*content {
            Content::AsIs => Some(self.file.size()),
            Content::Rewritten(plan) => Some(plan.size()),
            Content::Gone => None,
        })
    }

    fn content(&self) -> Result<Arc<Content>> {
        if let Some(content) = self.prepared.get() {
            return Ok(Arc::clone(content));
        }
        self.file.check()?;
        let content = match self.deletes {
            Deletes::Apply if self.file.has_deletes() => {
                Plan::new(&self.file)?.map_or(Content::Gone, Content::Rewritten)
            }
            _ => Content::AsIs,
        };
        Ok(Arc::clone(self.prepared.get_or_init(|| Arc::new(content))))
    }

    /// The bytes as they leave; all together as many as [`prepare`](Self::prepare) said. Slices of the mapped file
    /// where nothing was deleted.
    ///
    /// # Errors
    /// As `prepare`, which this calls.
    pub fn chunks(&self) -> Result<Chunks> {
        let content = self.content().map_err(|error| self.damage.note(error))?;
        let (file, damage) = (Arc::clone(&self.file), Arc::clone(&self.damage));
        Ok(Chunks { file, damage, content, piece: 0, at: 0, hasher: blake3::Hasher::new() })
    }

    /// BLAKE3 of the bytes as they leave. A rewritten file that was not sent yet is produced for it, and not kept.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn digest(&self) -> Result<Digest> {
        let content = self.content().map_err(|error| self.damage.note(error))?;
        match &*content {
            Content::AsIs => self.file.check(),
            Content::Rewritten(plan) => match plan.digest.get() {
                Some(digest) => Ok(*digest),
                None => {
                    let mut chunks = self.chunks()?;
                    chunks.try_for_each(|chunk| chunk.map(drop))?;
                    Ok(*plan.digest.get_or_init(|| chunks.hasher.finalize()))
                }
            },
            Content::Gone => Ok(blake3::hash(&[])),
        }
    }
}

/// The bytes of a member, in order. After an `Err` the rest is worthless.
#[derive(Debug)]
pub struct Chunks {
    file: Arc<TsmFile>,
    damage: Arc<Damage>,
    content: Arc<Content>,
    piece: usize,
    /// Bytes handed out of the current piece.
    at: u64,
    /// Of what was handed out of a rewritten file; at its end that is the file's digest.
    hasher: blake3::Hasher,
}

impl Iterator for Chunks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        let next = match &*self.content {
            Content::AsIs => {
                let (start, end) = (self.at, self.file.size().min(self.at + CHUNK_LEN));
                self.at = end;
                (start < end).then(|| self.file.slice(start, end))
            }
            Content::Rewritten(plan) => {
                let chunk = plan.chunk(&self.file, &mut self.piece, &mut self.at, CHUNK_LEN);
                match &chunk {
                    Some(Ok(bytes)) => drop(self.hasher.update(bytes)),
                    Some(Err(_)) => {}
                    None => drop(plan.digest.set(self.hasher.finalize())),
                }
                chunk
            }
            Content::Gone => None,
        };
        next.map(|chunk| chunk.map_err(|error| self.damage.note(error)))
    }
}
