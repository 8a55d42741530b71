//! One file as a backup sends it: as it is, or rewritten without what was deleted from it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use icecore_disk::Stat;

use super::rewrite::{Plan, Planner, Position};
use super::rewriting::{Rewriting, Spooling};
use super::spool::{Kept, Spool};
use crate::error::{Error, Result};
use crate::file::check::{Checker, Part};
use crate::file::digest::Digest;
use crate::file::name::FileName;
use crate::file::reader::{Tombstone, TsmFile};
use crate::file::window::Window;
use crate::format::sums::Summing;
use crate::shard::damage::Damage;
use crate::units::Offset;

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
            Self::Copied => 1 << 15,
        }
    }

    pub(super) fn read(self, file: &TsmFile, start: u64, end: u64) -> Result<Bytes> {
        match self {
            Self::Mapped => file.slice(start, end),
            Self::Copied => file.copy(start, end),
        }
    }

    /// The bytes from `start` to `end`, which were read to check them.
    pub(super) fn checked(self, file: &TsmFile, read: &[u8], start: u64, end: u64) -> Result<Bytes> {
        match self {
            Self::Mapped => file.slice(start, end),
            Self::Copied => Ok(Bytes::copy_from_slice(read)),
        }
    }
}

/// A file of a snapshot as it leaves, under its own name.
///
/// Nothing leaves unchecked: each part is checked before it goes. A file that has to be rewritten is planned before, because
/// its length must be known first; that reads the blocks which deletes cut.
#[derive(Debug)]
pub struct Member {
    file: Arc<TsmFile>,
    deletes: Deletes,
    damage: Arc<Damage>,
    /// How far the check has come; whether it is done, the file knows. Chunks go on from a copy of it.
    checker: Checker,
    /// Of a file that is being planned.
    planner: Planner,
    /// How far the blocks that a planned file copies were checked ahead.
    ahead: Position,
    /// Where it is kept when it was rewritten.
    spooling: Option<Spooling>,
    /// `None` while a file with deletes is not planned.
    content: Option<Content>,
}

#[derive(Clone, Debug)]
enum Content {
    AsIs,
    Rewritten(Arc<Plan>),
    /// Rewritten before.
    Kept(Arc<Kept>),
    Gone,
}

impl Member {
    pub(super) fn new(file: Arc<TsmFile>, deletes: Deletes, damage: Arc<Damage>) -> Self {
        let content = (!is_rewritten(&file, deletes)).then_some(Content::AsIs);
        let (checker, planner, ahead) = (Checker::default(), Planner::default(), Position::default());
        Self { file, deletes, damage, checker, planner, ahead, spooling: None, content }
    }

    /// Takes a file that has to be rewritten out of the spool if it is there, and puts it there if it is sent whole. `shard` is a
    /// number that no other shard of the spool has. To be called before anything else.
    pub fn spooled(&mut self, spool: &Arc<Spool>, shard: u64) {
        if !self.needs_plan() {
            return;
        }
        let mut hasher = blake3::Hasher::new();
        // Another version may encode differently what is left of a block.
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(&shard.to_be_bytes());
        self.fingerprint(&mut hasher);
        let spooling = Spooling::new(Arc::clone(spool), hasher.finalize());
        if let Some(kept) = spooling.find() {
            self.file.set_rewritten(kept.size(), kept.digest());
            self.content = Some(Content::Kept(kept));
        }
        self.spooling = Some(spooling);
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

    /// The length it will have in a backup, 0 if nothing remains of it; `None` before that is planned. A file that was sent whole
    /// before has its length at once.
    pub fn size(&self) -> Option<u64> {
        match &self.content {
            Some(Content::AsIs) => Some(self.file.size()),
            Some(Content::Rewritten(plan)) => Some(plan.size()),
            Some(Content::Kept(kept)) => Some(kept.size()),
            Some(Content::Gone) => Some(0),
            None => self.file.rewritten().map(|(size, _)| size),
        }
    }

    /// The length of the file on the disk.
    pub fn size_on_disk(&self) -> u64 {
        self.file.size()
    }

    /// Whether it leaves without what was deleted from it, and so has to be planned, or has been.
    pub fn is_rewritten(&self) -> bool {
        is_rewritten(&self.file, self.deletes)
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

    /// Plans what is left of a file that deletes have to be applied to, until that is done or `until` has come; a look at the
    /// clock for each few megabytes of blocks that are cut. Returns whether the length is known.
    ///
    /// # Errors
    /// `Corrupt` or `Io` with file and offset. The shard remembers damage and gives no snapshot from then on.
    pub fn plan(&mut self, until: Option<Instant>) -> Result<bool> {
        Ok(self.size().is_some() || self.advance(|_| is_past(until))?)
    }

    /// Whether it has to be planned before it can be sent, or has been, and something is left of it.
    pub fn needs_plan(&self) -> bool {
        !matches!(self.content, Some(Content::AsIs | Content::Gone))
    }

    /// Plans on until so many bytes of blocks that deletes cut were read, or all is planned.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_on(&mut self, bytes: u64) -> Result<()> {
        self.advance(|read| read >= bytes).map(drop)
    }

    /// Plans on by blocks of about so many bytes. Returns whether [`chunks`](Self::chunks) has nothing more to plan.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_step(&mut self, len: u64) -> Result<bool> {
        if let (Some(Content::Kept(kept)), Some(spooling)) = (&self.content, &self.spooling)
            && spooling.read(kept).is_none()
        {
            self.content = None; // it was lost since
        }
        if self.content.is_some() {
            return Ok(true);
        }
        let step = self.planner.step(&self.file, len).map_err(|error| self.damage.note(error));
        let (_, is_done) = step?;
        if is_done {
            self.end_plan();
        }
        Ok(is_done)
    }

    /// Frees the memory of the plan of a file that was sent whole, and its place in the spool if that is needed.
    pub fn forget_plan(&mut self) {
        let is_planned = matches!(self.content, Some(Content::Rewritten(_) | Content::Kept(_)));
        if is_planned && self.file.rewritten().is_some() {
            self.content = None;
        }
    }

    fn advance(&mut self, is_enough: impl Fn(u64) -> bool) -> Result<bool> {
        if self.content.is_some() {
            return Ok(true);
        }
        let done = self.planner.advance(&self.file, is_enough).map_err(|error| self.damage.note(error))?;
        if done {
            self.end_plan();
        }
        Ok(done)
    }

    fn end_plan(&mut self) {
        let plan = std::mem::take(&mut self.planner).finish();
        self.content = Some(plan.map_or(Content::Gone, |plan| Content::Rewritten(Arc::new(plan))));
    }

    /// Checks the blocks that leave as they are, and plans what is left of the others if deletes are applied, until all
    /// is done or `until` has come. Returns whether all is done. What this process has sent whole before is done.
    ///
    /// # Errors
    /// `Corrupt` or `Io` with file and offset. The shard remembers damage and gives no snapshot from then on.
    pub fn prepare(&mut self, until: Option<Instant>) -> Result<bool> {
        if matches!(self.content, Some(Content::AsIs)) {
            return self.try_prepare(until).map_err(|error| self.damage.note(error));
        }
        if !self.plan(until)? {
            return Ok(false);
        }
        match &self.content {
            Some(Content::Rewritten(plan)) if self.file.rewritten().is_none() => {
                plan.check_copies(&self.file, &mut self.ahead, until).map_err(|error| self.damage.note(error))
            }
            _ => Ok(true),
        }
    }

    /// Of a file that leaves as it is.
    fn try_prepare(&mut self, until: Option<Instant>) -> Result<bool> {
        let mut sound = 0u64;
        while !self.file.is_sound() {
            if is_past(until) {
                return Ok(false);
            }
            sound = self.checker.advance(&self.file, sound.saturating_add(STEP_LEN))?;
            if sound == self.file.size() {
                self.checker.finish(&self.file)?;
            }
        }
        Ok(true)
    }

    /// As [`prepare`](Self::prepare), for a file that is only listed: nothing of it is read where its digest is known.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn prepare_to_list(&mut self, until: Option<Instant>) -> Result<bool> {
        match self.known_digest() {
            Some(_) if !self.is_rewritten() => Ok(true),
            _ => self.prepare(until),
        }
    }

    /// Whether nothing of the file was checked so far.
    pub(super) fn is_unchecked(&self) -> bool {
        matches!(self.content, Some(Content::AsIs)) && !self.file.is_sound() && self.checker.is_new()
    }

    pub(super) fn file(&self) -> &TsmFile {
        &self.file
    }

    /// A part of the file was checked, and all before it.
    pub(super) fn pass(&mut self, part: &Part) -> Result<()> {
        self.checker.pass(part);
        if part.is_last() {
            self.checker.finish(&self.file).map_err(|error| self.damage.note(error))
        } else {
            Ok(())
        }
    }

    /// The shard remembers what is wrong with the file.
    pub(super) fn note(&self, error: Error) -> Error {
        self.damage.note(error)
    }

    /// The bytes as they leave; all together as many as [`size`](Self::size) says. Slices of the mapped file where
    /// nothing was deleted. What is not checked yet is checked before it is handed out.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), which is done before if it was not.
    pub fn chunks(&mut self) -> Result<Chunks> {
        self.chunks_that(true)
    }

    /// The same; `keeps`: a file that is rewritten goes to the spool.
    fn chunks_that(&mut self, keeps: bool) -> Result<Chunks> {
        let reading = match (&self.content, &self.spooling) {
            (Some(Content::Kept(kept)), Some(spooling)) => spooling.read(kept),
            _ => None,
        };
        if reading.is_none() && matches!(self.content, Some(Content::Kept(_))) {
            self.content = None; // it was lost since
        }
        if reading.is_none() {
            self.advance(|_| false)?;
        }
        if let (Some(Content::Rewritten(plan)), Some((size, _))) = (&self.content, self.file.rewritten())
            && plan.size() != size
        {
            let error = Error::corrupt("deletes leave another length than before", Offset::START);
            return Err(self.damage.note(error.in_file(self.file.path())));
        }
        let (file, spooling) = (Arc::clone(&self.file), self.spooling.clone());
        let rewriting = match (&self.content, reading) {
            (_, Some(reading)) => Some(Rewriting::of_spool(file, reading, spooling)),
            (Some(Content::Rewritten(plan)), _) => {
                Some(Rewriting::of_plan(file, Arc::clone(plan), spooling.filter(|_| keeps)))
            }
            _ => None,
        };
        Ok(Chunks {
            file: Arc::clone(&self.file),
            damage: Arc::clone(&self.damage),
            is_gone: matches!(self.content, Some(Content::Gone)),
            rewriting,
            checker: self.checker.clone(),
            reads: Reads::Mapped,
            at: 0,
            window: Window::default(),
            summing: Summing::default(),
        })
    }

    /// BLAKE3 of the bytes as they leave: what a manifest says of the file, else it is read as a whole, if it was not sent yet.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn digest(&mut self) -> Result<Digest> {
        if self.known_digest().is_none() {
            self.chunks_unkept()?.try_for_each(|chunk| chunk.map(drop))?;
        }
        // The file knows it now, unless nothing is left of it.
        Ok(self.known_digest().unwrap_or_else(|| blake3::hash(&[])))
    }

    /// The digest, if nothing has to be read for it.
    pub fn known_digest(&self) -> Option<Digest> {
        match self.is_rewritten() {
            true => self.file.rewritten().map(|(_, digest)| digest),
            false => self.file.known_digest(),
        }
    }

    /// The bytes as [`chunks`](Self::chunks) has them, for the digest alone, which is known behind the last: a file that is rewritten
    /// is not kept.
    ///
    /// # Errors
    /// As `chunks`.
    pub fn chunks_unkept(&mut self) -> Result<Chunks> {
        self.chunks_that(false)
    }
}

fn is_rewritten(file: &TsmFile, deletes: Deletes) -> bool {
    deletes == Deletes::Apply && file.has_deletes()
}

fn is_past(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// The bytes of a member, in order. After an `Err` the rest is worthless.
#[derive(Debug)]
pub struct Chunks {
    file: Arc<TsmFile>,
    damage: Arc<Damage>,
    /// Nothing is left of the file.
    is_gone: bool,
    /// Of a file that does not leave as it is.
    rewriting: Option<Rewriting>,
    /// Of a file that leaves as it is, until it is checked.
    checker: Checker,
    reads: Reads,
    /// Bytes handed out of a file that leaves as it is.
    at: u64,
    window: Window,
    /// Of a file that leaves as it is and whose digest nobody knows: of what was handed out.
    summing: Summing,
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
        Some(self.reads.read(&self.file, start, end).and_then(|bytes| {
            self.hash(start..end, &bytes)?;
            Ok(bytes)
        }))
    }

    /// Makes the digest of a file that nobody knows of, while its bytes pass.
    fn hash(&mut self, range: Range<u64>, bytes: &[u8]) -> Result<()> {
        if self.file.known_digest().is_some() {
            return Ok(());
        }
        let is_whole = range.end == self.file.size();
        match self.reads {
            Reads::Copied => self.summing.update(bytes),
            Reads::Mapped => {
                let part = self.window.get(self.file.source(), range.clone(), range.end);
                self.summing.update(part.map_err(|error| error.in_file(self.file.path()))?);
            }
        }
        if is_whole {
            self.file.set_digest(std::mem::take(&mut self.summing).finish().root())?;
        }
        Ok(())
    }

    /// Checks at least up to `to`; the last part leaves only when the whole file was found sound.
    fn sound_until(&mut self, to: u64) -> Result<u64> {
        let size = self.file.size();
        if self.file.is_sound() {
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
        let next = match &mut self.rewriting {
            _ if self.is_gone => None,
            Some(rewriting) => rewriting.next(self.reads),
            None => self.part(),
        };
        next.map(|chunk| chunk.map_err(|error| self.damage.note(error)))
    }
}
