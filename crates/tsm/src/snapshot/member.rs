//! One file as a backup sends it: as it is, or rewritten without what was deleted from it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use icecore_disk::Stat;

use super::rewrite::Plan;
use crate::error::Result;
use crate::file::check::{Checker, Digest};
use crate::file::name::FileName;
use crate::file::reader::{Tombstone, TsmFile};
use crate::shard::damage::Damage;

/// Checked between two looks at the clock.
const STEP_LEN: u64 = 4 << 20;

/// What a backup does with the deletes of a file (design D5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// They are applied: the file leaves without the points, and nobody can bring them back.
    #[default]
    Apply,
    /// File and tombstone leave as they are.
    Keep,
}

/// How the bytes of a file are handed out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reads {
    /// As slices of the map, for those who hand them on.
    Mapped,
    /// Read with `pread`, for those who work on them.
    Copied,
}

impl Reads {
    /// The longest part handed out at once: a copy takes memory.
    pub(super) fn len_max(self) -> u64 {
        match self {
            Self::Mapped => 1 << 20,
            Self::Copied => 1 << 18,
        }
    }

    pub(super) fn read(self, file: &TsmFile, start: u64, end: u64) -> Result<Bytes> {
        match self {
            Self::Mapped => file.slice(start, end),
            Self::Copied => file.copy(start, end),
        }
    }
}

/// A file of a snapshot as it leaves, under its own name.
///
/// Nothing leaves unchecked. A file that leaves as it is can be checked while it is sent, each part before it goes; one
/// that has to be rewritten is checked and planned before, because its length must be known first.
#[derive(Debug)]
pub struct Member {
    file: Arc<TsmFile>,
    deletes: Deletes,
    damage: Arc<Damage>,
    /// How far the check has come; whether it is done, the file knows. Chunks go on from a copy of it.
    checker: Checker,
    content: Option<Arc<Content>>,
}

#[derive(Debug)]
enum Content {
    AsIs,
    Rewritten(Plan),
    Gone,
}

impl Member {
    pub(super) fn new(file: Arc<TsmFile>, deletes: Deletes, damage: Arc<Damage>) -> Self {
        let is_rewritten = deletes == Deletes::Apply && file.has_deletes();
        let content = (!is_rewritten).then(|| Arc::new(Content::AsIs));
        Self { file, deletes, damage, checker: Checker::default(), content }
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

    /// The length it will have in a backup, 0 if nothing remains of it; `None` before that is planned.
    pub fn size(&self) -> Option<u64> {
        self.content.as_deref().map(|content| match content {
            Content::AsIs => self.file.size(),
            Content::Rewritten(plan) => plan.size(),
            Content::Gone => 0,
        })
    }

    /// Puts what decides over its bytes in a backup into `hasher`, without reading them: name, owner, mode, length and time of
    /// the file, and its deletes. A name is not given twice, and a file does not change under its time; the digest of a
    /// manifest is not put, since a file gets it later than its bytes.
    pub fn fingerprint(&self, hasher: &mut blake3::Hasher) {
        let put_stat = |hasher: &mut blake3::Hasher, stat: Stat| {
            hasher.update(&stat.size.to_be_bytes()).update(&stat.modified_ns.to_be_bytes());
            hasher.update(&stat.mode.to_be_bytes());
            hasher.update(&stat.uid.to_be_bytes()).update(&stat.gid.to_be_bytes());
        };
        hasher.update(self.name().to_string().as_bytes());
        put_stat(hasher, self.file.stat());
        match self.file.tombstone() {
            Some(tombstone) => {
                hasher.update(&[1, u8::from(self.deletes == Deletes::Keep)]);
                put_stat(hasher, tombstone.stat);
                hasher.update(blake3::hash(&tombstone.bytes).as_bytes());
            }
            None => drop(hasher.update(&[0])),
        }
    }

    /// Checks the blocks of the file, and plans what is left of it if deletes are applied, until all is done or `until`
    /// has come. Returns whether all is done. Planning alone is not interrupted.
    ///
    /// # Errors
    /// `Corrupt` or `Io` with file and offset. The shard remembers damage and gives no snapshot from then on.
    pub fn prepare(&mut self, until: Option<Instant>) -> Result<bool> {
        self.try_prepare(until).map_err(|error| self.damage.note(error))
    }

    fn try_prepare(&mut self, until: Option<Instant>) -> Result<bool> {
        while self.file.checked().is_none() {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(false);
            }
            let step_end = self.checker.hashed().saturating_add(STEP_LEN);
            if self.checker.advance(&self.file, step_end)? == self.file.size() {
                self.checker.finish(&self.file)?;
            }
        }
        if self.content.is_none() {
            let content = Plan::new(&self.file)?.map_or(Content::Gone, Content::Rewritten);
            self.content = Some(Arc::new(content));
        }
        Ok(true)
    }

    /// The bytes as they leave; all together as many as [`size`](Self::size) says. Slices of the mapped file where
    /// nothing was deleted. What is not checked yet is checked before it is handed out.
    ///
    /// # Errors
    /// As `prepare`, which plans what has to be.
    pub fn chunks(&mut self) -> Result<Chunks> {
        if self.content.is_none() {
            self.prepare(None)?;
        }
        Ok(Chunks {
            file: Arc::clone(&self.file),
            damage: Arc::clone(&self.damage),
            content: self.content.clone().unwrap_or_else(|| Arc::new(Content::Gone)),
            checker: self.checker.clone(),
            reads: Reads::Mapped,
            piece: 0,
            at: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// BLAKE3 of the bytes as they leave. A rewritten file that was not sent yet is produced for it, and not kept.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn digest(&mut self) -> Result<Digest> {
        self.prepare(None)?;
        let known = match self.content.as_deref() {
            Some(Content::AsIs) => return self.file.check().map_err(|error| self.damage.note(error)),
            Some(Content::Rewritten(plan)) => plan.digest.get().copied(),
            Some(Content::Gone) | None => None,
        };
        if let Some(digest) = known {
            return Ok(digest);
        }
        let mut chunks = self.chunks()?;
        chunks.try_for_each(|chunk| chunk.map(drop))?;
        Ok(chunks.hasher.finalize())
    }
}

/// The bytes of a member, in order. After an `Err` the rest is worthless.
#[derive(Debug)]
pub struct Chunks {
    file: Arc<TsmFile>,
    damage: Arc<Damage>,
    content: Arc<Content>,
    /// Of a file that leaves as it is, until it is checked.
    checker: Checker,
    reads: Reads,
    piece: usize,
    /// Bytes handed out: of the file, or of the current piece.
    at: u64,
    /// Of what was handed out of a rewritten file; at its end that is the file's digest.
    hasher: blake3::Hasher,
}

impl Chunks {
    /// The same bytes, but read with `pread` into memory of their own, for those who work on them: where a bad sector would
    /// be a signal under a map it is an error here (design D3).
    #[must_use]
    pub fn copied(self) -> Self {
        Self { reads: Reads::Copied, ..self }
    }

    /// The next part of a file that leaves as it is.
    fn part(&mut self) -> Option<Result<Bytes>> {
        let (start, size) = (self.at, self.file.size());
        if start == size {
            return None;
        }
        let end_max = start + self.reads.len_max();
        let end = match self.sound_until(end_max.min(size)) {
            Ok(sound) => sound.min(end_max),
            Err(error) => return Some(Err(error)),
        };
        self.at = end;
        Some(self.reads.read(&self.file, start, end))
    }

    /// Checks at least up to `to`; the last part leaves only when the whole file was found sound.
    fn sound_until(&mut self, to: u64) -> Result<u64> {
        let size = self.file.size();
        if self.file.checked().is_some() {
            return Ok(size);
        }
        let sound = self.checker.advance(&self.file, to)?;
        if sound == size {
            self.checker.finish(&self.file)?;
        }
        Ok(sound)
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        let content = Arc::clone(&self.content);
        let next = match &*content {
            Content::AsIs => self.part(),
            Content::Rewritten(plan) => {
                let (piece, at) = (&mut self.piece, &mut self.at);
                let chunk = plan.chunk(&self.file, piece, at, self.reads);
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
