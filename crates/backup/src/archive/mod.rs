//! The tar of one shard.
//!
//! Order: the files by name, then `icecore.files`, then the end. The same files give the same bytes. Every byte is
//! checked before it leaves; a file that deletes have to be applied to is planned before its header is sent, while the one before
//! it is on its way, and behind a [comment](filler) that leaves bit by bit.
//!
//! ```text
//! per file     | comment, if it is long and deletes are applied to it | header | content |
//! the list     | comment, if files that are only listed are long | header | content |
//! ```

mod comment;
mod filler;
mod list;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use icecore_database::{Database, Error, OpenShard, ShardId};
use icecore_disk::Stat;
use icecore_tsm::{Chunks, Deletes, Listing, Member, Snapshot, Spool, Tombstone, prepare_all};

use crate::ustar::{self, EntryType};
use filler::{Filler, Manner};

/// Digits of a [tag](ShardArchive::tag).
const TAG_DIGITS: usize = 32;

/// Which files of a shard an archive has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only files that changed strictly after this time, ns since 1970; all without it.
    pub since: Option<i64>,
    /// Add the list of live files also to an archive that has no file.
    pub always_list: bool,
    /// Whether deletes are applied, or tombstones sent before their files.
    pub deletes: Deletes,
}

/// The archive of a shard at one cut, as chunks of bytes.
///
/// It pins the files of the cut and holds nothing else. The first `Err` ends it. An empty chunk says that the next bytes may be a while
/// in coming, a second as a rule: those before it should be handed on, and not be held back for them.
#[derive(Debug)]
pub struct ShardArchive {
    id: ShardId,
    /// `<bucket>/<policy>/<shard>/`
    prefix: String,
    cut_ns: i64,
    always_list: bool,
    copies: bool,
    /// The files to send, then those that are only listed.
    members: Vec<Member>,
    sent_count: usize,
    stage: Stage,
    ready: VecDeque<Bytes>,
    /// A comment before the next header.
    filler: Option<Filler>,
    manner: Manner,
    /// Bytes that are still to be left out.
    left_out: u64,
}

#[derive(Debug)]
enum Stage {
    /// This member comes next.
    Begin(usize),
    /// The header of this member comes next, when it is planned.
    Head(usize),
    /// The content of this member is being sent; so many bytes are left.
    Content {
        member: usize,
        chunks: Box<Chunks>,
        left: u64,
    },
    /// The list comes next.
    BeginList,
    /// The same, when the digests from this member on are known.
    List {
        member: usize,
        /// What is read of it.
        chunks: Option<Box<Chunks>>,
    },
    End,
    Done,
}

impl ShardArchive {
    /// Cuts the shard and decides what to send. Reads no block.
    ///
    /// # Errors
    /// `NoSuchShard`; `Shard` when the shard is known to be damaged.
    pub fn new(database: &Database, id: ShardId, selection: &Selection) -> Result<Self, Error> {
        let shard = database.shard(id)?;
        Ok(Self::of(&shard, &database.snapshot(id)?, selection).spooled(database.spool()))
    }

    /// The archive of a shard as a snapshot has it. Reads no block.
    pub fn of(shard: &OpenShard, snapshot: &Snapshot, selection: &Selection) -> Self {
        let id = ShardId(shard.id);
        let is_sent = |member: &Member| selection.since.is_none_or(|since| member.modified_ns() > since);
        let (sent, listed): (Vec<_>, Vec<_>) =
            snapshot.members(selection.deletes).into_iter().partition(is_sent);
        let sent_count = sent.len();
        Self {
            id,
            prefix: format!("{}/{}/{id}/", shard.bucket, shard.policy),
            cut_ns: snapshot.cut_ns(),
            always_list: selection.always_list,
            copies: false,
            members: sent.into_iter().chain(listed).collect(),
            sent_count,
            stage: Stage::Begin(0),
            ready: VecDeque::new(),
            filler: None,
            manner: Manner::default(),
            left_out: 0,
        }
    }

    /// Takes rewritten files out of the spool, and puts those there that are sent whole. To be called before anything else.
    #[must_use]
    pub fn spooled(mut self, spool: Option<&Arc<Spool>>) -> Self {
        if let Some(spool) = spool {
            self.members.iter_mut().for_each(|member| member.spooled(spool, self.id.0));
        }
        self
    }

    /// The same with a block of a comment for each `unit` bytes of files, steps of `step_len` bytes, and another clock: for tests,
    /// which have short files and no time. To be called before anything else.
    #[doc(hidden)]
    #[must_use]
    pub fn with_manner(self, unit: u64, step_len: u64, now: fn() -> Instant) -> Self {
        Self { manner: Manner { unit, step_len, now }, ..self }
    }

    /// The moment of the cut as the `since` of the next backup, ns since 1970.
    pub fn cut_ns(&self) -> i64 {
        self.cut_ns
    }

    /// Names the bytes of this archive: 32 hex digits that are equal where all bytes are, also in another process, and other
    /// ones where any byte may differ. Costs O(files).
    pub fn tag(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Another version may encode differently what is left of a block.
        for text in [env!("CARGO_PKG_VERSION"), &self.prefix] {
            hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
        }
        hasher.update(&self.cut_ns.to_be_bytes()).update(&[u8::from(self.is_listed())]);
        hasher.update(&(self.sent_count as u64).to_be_bytes());
        self.members.iter().for_each(|member| member.fingerprint(&mut hasher));
        hasher.finalize().to_hex().chars().take(TAG_DIGITS).collect()
    }

    /// The same without its first bytes, for those who have them. Files that lie before are neither checked nor read, where
    /// [`size`](Self::size) is known. To be called before anything was taken.
    #[must_use]
    pub fn without_first(self, bytes: u64) -> Self {
        Self { left_out: bytes, ..self }
    }

    /// Plans the files that deletes have to be applied to, after which the [`size`](Self::size) is known, and then checks the
    /// files on all cores, those to be sent first, until all are done or `until` has come. Returns whether all are.
    ///
    /// # Errors
    /// `Shard` with the damage; the shard is known to be damaged from then on.
    pub fn prepare(&mut self, until: Instant) -> Result<bool, Error> {
        let id = self.id;
        let damaged = |source| Error::Shard { id, source };
        for member in &mut self.members {
            if !member.plan(Some(until)).map_err(damaged)? {
                return Ok(false);
            }
        }
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (sent, listed) = self.members.split_at_mut(self.sent_count);
        if !prepare_all(sent, until, threads).map_err(damaged)? {
            return Ok(false);
        }
        for member in listed {
            if !member.prepare_to_list(Some(until)).map_err(damaged)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same bytes, but read into memory and not mapped: for those who work on them, as a compressor does. There a bad
    /// sector is an error, and under a map a signal (design D3).
    #[must_use]
    pub fn copied(self) -> Self {
        Self { copies: true, ..self }
    }

    /// Bytes of the whole archive; `None` while a file with deletes is not planned yet.
    pub fn size(&self) -> Option<u64> {
        let sizes = self.members.iter().map(Member::size).collect::<Option<Vec<u64>>>()?;
        let (mut all, mut is_commented) = (ustar::END_LEN, false);
        for member in self.members.iter().take(self.sent_count) {
            let comment = self.comment_len(member, is_commented);
            all += comment + len_of(member)?;
            is_commented = (is_commented || comment > 0) && member.size()? == 0;
        }
        if self.is_listed() {
            let live = self.members.iter().zip(sizes).filter(|(_, size)| *size > 0);
            all += self.comment_len_of_list(is_commented);
            all += entry_len(Listing::size_of(live.map(|(member, size)| (member.name(), size))));
        }
        Some(all)
    }

    /// Whether the list of files is sent: also when nothing is left of the files to send, since that is news.
    fn is_listed(&self) -> bool {
        self.always_list || self.sent_count > 0
    }

    /// Puts the next bytes into `ready`; leaves it empty only when a stage had none or the archive is done.
    fn step(&mut self) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Begin(member) if *member == self.sent_count => self.stage = Stage::BeginList,
            Stage::Begin(member) => {
                let member = *member;
                self.begin(member)?;
            }
            Stage::Head(member) => {
                let at = *member;
                let planned = self.members.get_mut(at).map(|member| member.plan_step(self.manner.step_len));
                match self.sound(planned.unwrap_or(Ok(true)))? {
                    true => self.head(at)?,
                    false => self.wait(),
                }
            }
            Stage::Content { member, chunks, left } => match chunks.next() {
                Some(chunk) => {
                    let chunk = chunk.map_err(|source| Error::Shard { id: self.id, source })?;
                    *left = left
                        .checked_sub(chunk.len() as u64)
                        .expect("a file is not longer than its header says");
                    let (member, len) = (*member, chunk.len() as u64);
                    self.ready.push_back(chunk);
                    self.plan_ahead(member + 1, len)?;
                }
                None => {
                    let (member, left) = (*member, *left);
                    self.end_content(member, left);
                }
            },
            Stage::BeginList => self.begin_list()?,
            Stage::List { .. } => self.list_on()?,
            Stage::End => {
                self.ready.push_back(Bytes::from_static(&ustar::ZEROS));
                self.stage = Stage::Done;
            }
            Stage::Done => {}
        }
        Ok(())
    }

    /// Begins with a member: with its comment, or with nothing where all of it is left out.
    fn begin(&mut self, at: usize) -> Result<(), Error> {
        if self.left_out > 0
            && let Some(rest) = self.filler.as_mut().map(Filler::take)
            && !rest.is_empty()
        {
            self.ready.push_back(rest); // whether there is more to leave out shows behind it
            return Ok(());
        }
        let Some(member) = self.members.get(at) else { return Ok(()) };
        let comment = self.comment_len(member, self.filler.is_some());
        if let Some(len) = len_of(member).map(|len| len + comment)
            && len <= self.left_out
        {
            self.left_out -= len;
            match member.size() {
                Some(0) if comment > 0 => self.filler = Some(Filler::default()),
                Some(0) => {} // one that stands here still does
                _ => self.filler = None,
            }
            self.stage = Stage::Begin(at + 1);
            return Ok(());
        }
        if comment > 0 {
            let (stat, modified_ns) = (member.stat(), member.modified_ns());
            self.comment(self.manner.len_for(member.size_on_disk()), modified_ns, &stat)?;
        }
        self.stage = Stage::Head(at);
        Ok(())
    }

    /// What the shard says.
    fn sound<T>(&self, outcome: Result<T, icecore_tsm::Error>) -> Result<T, Error> {
        outcome.map_err(|source| Error::Shard { id: self.id, source })
    }

    /// Plans the next file from `from` on that needs it, by as many bytes as were just sent: so the client does not wait for it
    /// when its turn comes. One file alone: a plan takes memory.
    fn plan_ahead(&mut self, from: usize, bytes: u64) -> Result<(), Error> {
        let behind = self.members.get_mut(from..self.sent_count).unwrap_or_default();
        let next = behind.iter_mut().find(|member| member.needs_plan());
        let planned = next.map_or(Ok(()), |next| next.plan_on(bytes));
        self.sound(planned)
    }

    /// # Panics
    /// When a file was not sent as long as its header said: that would shift all that follows.
    fn end_content(&mut self, member: usize, left: u64) {
        assert_eq!(left, 0, "a file is sent as long as its header says");
        self.pad(self.members.get(member).and_then(Member::size).unwrap_or(0));
        if let Some(member) = self.members.get_mut(member) {
            member.forget_plan();
        }
        self.stage = Stage::Begin(member + 1);
    }

    fn head(&mut self, at: usize) -> Result<(), Error> {
        let Some(member) = self.members.get_mut(at) else { return Ok(()) };
        let chunks = member.chunks();
        let chunks = self.sound(chunks)?;
        let chunks = if self.copies { chunks.copied() } else { chunks };
        let Some(member) = self.members.get(at) else { return Ok(()) };
        let size = member.size().unwrap_or(0);
        if size == 0 {
            self.stage = Stage::Begin(at + 1); // nothing remains of it
            return Ok(());
        }
        let tombstone = member.tombstone().cloned();
        let modified_ns = if tombstone.is_some() { member.stat().modified_ns } else { member.modified_ns() };
        let name = member.name();
        let header = file_header(&format!("{}{name}", self.prefix), size, modified_ns, &member.stat())?;
        self.end_comment();
        if let Some(Tombstone { stat, bytes }) = tombstone {
            let path = format!("{}{}", self.prefix, name.tombstone());
            let size = bytes.len();
            let header = file_header(&path, size as u64, stat.modified_ns, &stat)?;
            self.ready.extend([header, bytes.slice(0..size)]);
            self.pad(size as u64);
        }
        self.ready.push_back(header);
        self.stage = Stage::Content { member: at, chunks: Box::new(chunks), left: size };
        Ok(())
    }

    fn pad(&mut self, size: u64) {
        let zeros = Bytes::from_static(&ustar::ZEROS);
        let len = usize::try_from(ustar::padding(size)).unwrap_or(0);
        if len > 0 {
            self.ready.push_back(zeros.slice(..len));
        }
    }
}

/// The header of a file.
fn file_header(path: &str, size: u64, modified_ns: i64, stat: &Stat) -> Result<Bytes, Error> {
    header_of(EntryType::Regular, path, size, modified_ns, stat)
}

fn header_of(kind: EntryType, path: &str, size: u64, modified_ns: i64, stat: &Stat) -> Result<Bytes, Error> {
    let header = ustar::header(kind, path, size, modified_ns, stat)
        .map_err(|source| Error::Io { path: path.into(), source })?;
    Ok(Bytes::copy_from_slice(&header))
}

/// What an entry takes with its header.
fn entry_len(size: u64) -> u64 {
    ustar::BLOCK_LEN + size.next_multiple_of(ustar::BLOCK_LEN)
}

/// What a member takes with its tombstone; `None` while it is not planned.
fn len_of(member: &Member) -> Option<u64> {
    let size = member.size()?;
    let tombstone = member.tombstone().map_or(0, |tombstone| entry_len(tombstone.bytes.len() as u64));
    Some(if size == 0 { 0 } else { entry_len(size) + tombstone })
}

impl Iterator for ShardArchive {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut bytes) = self.ready.pop_front() {
                if bytes.is_empty() {
                    return Some(Ok(bytes));
                }
                if self.left_out > 0 {
                    let left_out = bytes.len().min(usize::try_from(self.left_out).unwrap_or(usize::MAX));
                    self.left_out -= bytes.split_to(left_out).len() as u64;
                }
                if bytes.is_empty() {
                    continue;
                }
                return Some(Ok(bytes));
            }
            if matches!(self.stage, Stage::Done) {
                return None;
            }
            if let Err(error) = self.step() {
                self.stage = Stage::Done;
                self.ready.clear();
                return Some(Err(error));
            }
        }
    }
}
