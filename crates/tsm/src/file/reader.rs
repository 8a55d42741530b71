//! A TSM file, mapped: its index is checked before its first use, a block whenever it is read.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use icecore_disk::{Disk, Map, ReadAt, Stat};

use super::check::{Checker, bounds_fit, column_fits, contradicts_index};
use super::deletes::{self, Collector, Deletes};
use super::digest::{self, Digest};
use super::expected::Expected;
use super::name::FileName;
use super::window::Source;
use crate::error::{Error, Result};
use crate::format::block;
use crate::format::column::Column;
use crate::format::index::{self, CRC_LEN, Entry, Index, Key, Outline};
use crate::format::tombstone;
use crate::units::{Offset, TimeRange};

/// The file with the deletes of a TSM file, as it lies beside it.
#[derive(Clone, Debug)]
pub struct Tombstone {
    /// Length, owner, mode and time.
    pub stat: Stat,
    /// Its bytes.
    pub bytes: Map,
}

/// A sealed TSM file with its deletes.
pub struct TsmFile {
    name: FileName,
    path: PathBuf,
    stat: Stat,
    map: Map,
    /// The same bytes for checks, where a bad sector must be an error (design D3).
    file: Arc<dyn ReadAt>,
    /// Of `file`, made by the first who works through it; `None` where it has none. What is touched here does not count as used
    /// (`docs/adr/0014`).
    passing: OnceLock<Option<Map>>,
    index_start: Offset,
    /// Made by the first use of the index.
    outline: OnceLock<Outline>,
    deletes: Deletes,
    tombstone: Option<Tombstone>,
    /// Set when every block was checked.
    sound: OnceLock<()>,
    /// Of the bytes as they were read.
    digest: OnceLock<Digest>,
    /// Length and digest of the file with its deletes applied.
    rewritten: OnceLock<(u64, Digest)>,
    expected: Option<Expected>,
}

impl TsmFile {
    /// Opens `path` and the tombstone beside it. O(1): header and footer are checked, the index at its first use (see
    /// [`index`](Self::index)); with a tombstone that is now, since its keys are looked up.
    ///
    /// # Errors
    /// `Corrupt` or `Version` names the file, the TSM file's or the tombstone's, and the offset.
    pub fn open(disk: &dyn Disk, path: &Path, name: FileName) -> Result<Self> {
        Self::open_as(disk, path, name, None)
    }

    /// Opens a file that a manifest lists, in the same time: its index is compared with its sums at its first use, which
    /// finds every changed byte of it, and [`check`](Self::check) ends in the listed digest or in an error.
    ///
    /// # Errors
    /// As [`open`](Self::open); `Corrupt` also where the tombstone is not the expected one.
    pub fn open_expected(disk: &dyn Disk, path: &Path, name: FileName, expected: Expected) -> Result<Self> {
        Self::open_as(disk, path, name, Some(expected))
    }

    fn open_as(disk: &dyn Disk, path: &Path, name: FileName, expected: Option<Expected>) -> Result<Self> {
        let io = |error| Error::io(error, path);
        let stat = disk.stat(path).map_err(io)?;
        let file = disk.open(path).map_err(io)?;
        let map = disk.map(path).map_err(io)?;
        let mut opened = Self::from_parts(name, path.to_owned(), stat, map, file)?;
        opened.expected = expected;
        opened.load_deletes(disk, &path.with_file_name(name.tombstone()))?;
        Ok(opened)
    }

    /// A file that lies in memory alone, under the name and times it would have on disk.
    pub(crate) fn in_memory(name: FileName, path: PathBuf, stat: Stat, bytes: Vec<u8>) -> Result<Self> {
        let map = Map::from(bytes);
        let file = Arc::new(Memory(map.clone()));
        Self::from_parts(name, path, stat, map, file)
    }

    fn from_parts(
        name: FileName,
        path: PathBuf,
        stat: Stat,
        map: Map,
        file: Arc<dyn ReadAt>,
    ) -> Result<Self> {
        let index_start = index::index_start(&map).map_err(|error| error.in_file(&path))?;
        Ok(Self {
            name,
            path,
            stat,
            map,
            file,
            passing: OnceLock::new(),
            index_start,
            outline: OnceLock::new(),
            deletes: Deletes::default(),
            tombstone: None,
            sound: OnceLock::new(),
            digest: OnceLock::new(),
            rewritten: OnceLock::new(),
            expected: None,
        })
    }

    fn load_deletes(&mut self, disk: &dyn Disk, path: &Path) -> Result<()> {
        let stat = match disk.stat(path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return self.check_tombstone(None).map_err(|error| error.in_file(path));
            }
            Err(error) => return Err(Error::io(error, path)),
        };
        let bytes = disk.map(path).map_err(|error| Error::io(error, path))?;
        self.check_tombstone(Some(&bytes)).map_err(|error| error.in_file(path))?;
        let index = self.index()?;
        let mut collector = Collector::default();
        let mut key_ranges = HashMap::new(); // a key may be named many times, and finding its range walks its entries
        tombstone::walk(&bytes, |key, range| {
            let Some(key) = index.find(key) else { return };
            if key_ranges.entry(key.ordinal).or_insert_with(|| key.range()).overlaps(range) {
                collector.add(key.ordinal, range);
            }
        })
        .map_err(|error| error.in_file(path))?;
        self.deletes = collector.finish();
        self.tombstone = Some(Tombstone { stat, bytes });
        Ok(())
    }

    fn check_tombstone(&self, bytes: Option<&[u8]>) -> Result<()> {
        self.expected.as_ref().map_or(Ok(()), |expected| expected.check_tombstone(bytes))
    }

    /// The file once more, as it lies on disk now; other deletes may lie beside it.
    pub(super) fn open_again(&self, disk: &dyn Disk) -> Result<Self> {
        let expected = self.expected.clone().map(Expected::with_any_tombstone);
        Self::open_as(disk, &self.path, self.name, expected)
    }

    /// Generation and sequence.
    pub fn name(&self) -> FileName {
        self.name
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length, owner, mode and time of the file itself.
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// When the content last changed, ns since 1970: the later of the file's time and its tombstone's.
    pub fn modified_ns(&self) -> i64 {
        let deleted_ns = self.tombstone.as_ref().map_or(i64::MIN, |tombstone| tombstone.stat.modified_ns);
        self.stat.modified_ns.max(deleted_ns)
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Keys and blocks, deleted ones too. The first call walks the index and checks all of it, O(keys + blocks) without
    /// touching a block; later ones are O(1).
    ///
    /// # Errors
    /// `Corrupt` names the file and the place; nothing is remembered then.
    pub fn index(&self) -> Result<Index<'_>> {
        let outline = match self.outline.get() {
            Some(outline) => outline,
            None => {
                let walked = self.check_index().and_then(|()| Outline::walk(&self.map, self.index_start));
                let walked = walked.map_err(|error| error.in_file(&self.path))?;
                self.outline.get_or_init(|| walked)
            }
        };
        Ok(Index::new(&self.map, outline))
    }

    /// Compares the index and what lies with it in pages with the sums, where the file is a listed one.
    fn check_index(&self) -> Result<()> {
        self.expected
            .as_ref()
            .map_or(Ok(()), |expected| expected.check_from(self, &self.map, self.index_start))
    }

    /// What a manifest says of it, if one lists it.
    pub(crate) fn expected(&self) -> Option<&Expected> {
        self.expected.as_ref()
    }

    /// Whether some delete hits a key of this file.
    pub fn has_deletes(&self) -> bool {
        !self.deletes.is_empty()
    }

    /// The file with its deletes, if there is one.
    pub fn tombstone(&self) -> Option<&Tombstone> {
        self.tombstone.as_ref()
    }

    /// The deleted ranges of a key: sorted, apart from each other.
    pub(crate) fn deleted(&self, ordinal: u32) -> &[TimeRange] {
        self.deletes.of(ordinal)
    }

    /// The blocks of a key that are not deleted as a whole, by time.
    pub(crate) fn live_entries<'a>(&'a self, key: &Key<'a>) -> impl Iterator<Item = Entry> + use<'a> {
        let deleted = self.deleted(key.ordinal);
        key.entries().filter(move |entry| !deletes::cover(deleted, entry.range))
    }

    pub(crate) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    /// Reads a block into `out`: checksum, encoding, type, and the times against the index. Deletes are not applied.
    ///
    /// # Errors
    /// `Corrupt` names the file and the offset of what contradicts.
    pub fn read_block(&self, key: &Key<'_>, entry: &Entry, out: &mut Column) -> Result<()> {
        let (body, at) = self.body(entry)?;
        block::decode(body, at, out).map_err(|error| error.in_file(&self.path))?;
        if column_fits(out, key.kind, entry) {
            Ok(())
        } else {
            Err(contradicts_index(at).in_file(&self.path))
        }
    }

    /// That [`read_block`](Self::read_block) would read a block, and how many points; none is kept. Strings are decompressed
    /// into `plain`.
    ///
    /// # Errors
    /// As [`read_block`](Self::read_block).
    pub(crate) fn validate_block(&self, key: &Key<'_>, entry: &Entry, plain: &mut Vec<u8>) -> Result<usize> {
        let (body, at) = self.body(entry)?;
        let found = block::validate(body, at, plain).map_err(|error| error.in_file(&self.path))?;
        match bounds_fit(&found, key.kind, entry) {
            true => Ok(found.count),
            false => Err(contradicts_index(at).in_file(&self.path)),
        }
    }

    /// The number of a block's points, or of those within a range, found without decoding it.
    ///
    /// # Errors
    /// `Corrupt` names the file and the offset when the times are damaged.
    pub(crate) fn count_points(&self, entry: &Entry, range: Option<TimeRange>) -> Result<usize> {
        let (body, at) = self.body(entry)?;
        let count = match range {
            Some(range) => block::count_within(body, at, range),
            None => block::count(body, at),
        };
        count.map_err(|error| error.in_file(&self.path))
    }

    /// Reads the points of a block within a range into `out`. What lies outside it is not looked at: [validated
    /// before](Self::validate_block).
    ///
    /// # Errors
    /// `Corrupt` names the file and the offset.
    pub(crate) fn read_block_within(&self, entry: &Entry, range: TimeRange, out: &mut Column) -> Result<()> {
        let (body, at) = self.body(entry)?;
        block::decode_range(body, at, range, out).map_err(|error| error.in_file(&self.path))
    }

    /// What lies behind the checksum of a block, and where.
    ///
    /// # Errors
    /// `Corrupt` names the file and the offset when the checksum is wrong.
    fn body(&self, entry: &Entry) -> Result<(&[u8], Offset)> {
        let range = usize::try_from(entry.offset.get()).ok().and_then(|start| {
            let end = start.checked_add(entry.size as usize)?;
            self.map.get(start..end)
        });
        let outside = || Error::corrupt("a block lies outside the file", entry.offset);
        let body = range.ok_or_else(outside).and_then(|block| entry.checked_body(block));
        Ok((body.map_err(|error| error.in_file(&self.path))?, entry.offset.forward(CRC_LEN)))
    }

    /// A part of the file as it is, without a copy, kept alive after the file is unlinked.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Result<Bytes> {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        match range {
            Some((start, end)) if start <= end && end <= self.map.len() => {
                Ok(self.passing().unwrap_or(&self.map).slice(start..end))
            }
            _ => Err(Error::unfit("a slice outside a file").in_file(&self.path)),
        }
    }

    /// The bytes of a range, read with `pread` into memory of their own: a bad sector is an error here.
    pub(crate) fn copy(&self, start: u64, end: u64) -> Result<Bytes> {
        let len = end.checked_sub(start).and_then(|len| usize::try_from(len).ok());
        let fits = len.filter(|_| end <= self.size());
        let len = fits.ok_or_else(|| Error::unfit("a slice outside a file").in_file(&self.path))?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| Error::io(error, &self.path))?;
        Ok(Bytes::from(bytes))
    }

    /// Compares every block with its checksum and the index, and reads the whole for its digest, once: later calls return
    /// what was found. A bad sector is an error here.
    ///
    /// # Errors
    /// `Io` or `Corrupt` with file and offset, also where the digest is not the listed one; nothing is remembered then.
    pub fn check(&self) -> Result<Digest> {
        if !self.is_sound() {
            Checker::default().finish(self)?;
        }
        self.digest()
    }

    /// Whether every block was checked.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound.get().is_some()
    }

    pub(crate) fn set_sound(&self) {
        self.sound.get_or_init(|| ());
    }

    /// The digest of the bytes, read as a whole if they were not yet.
    ///
    /// # Errors
    /// `Io`; `Corrupt` where it is not the listed one. Both name the file.
    pub(crate) fn digest(&self) -> Result<Digest> {
        if let Some(digest) = self.digest.get() {
            return Ok(*digest);
        }
        let read = digest::of_file(self.source());
        self.set_digest(read.map_err(|(error, _)| error.in_file(&self.path))?)
    }

    /// The digest that the manifest has, or that was found; `None` while nobody knows it.
    pub(crate) fn known_digest(&self) -> Option<Digest> {
        self.digest.get().copied().or_else(|| self.expected.as_ref().map(|expected| expected.digest))
    }

    /// That `digest`, of all bytes of the file, is the listed one where the file is listed.
    ///
    /// # Errors
    /// `Corrupt` names the file, and the first page that differs.
    pub(crate) fn set_digest(&self, digest: Digest) -> Result<Digest> {
        let outcome = self.expected.as_ref().map_or(Ok(()), |expected| expected.check_digest(self, digest));
        outcome.map_err(|error| error.in_file(&self.path))?;
        Ok(*self.digest.get_or_init(|| digest))
    }

    /// What is known of `other`'s bytes, which are the same.
    pub(super) fn is_known_as(&self, other: &Self) {
        if let Some(digest) = other.digest.get() {
            self.digest.get_or_init(|| *digest);
        }
        if other.is_sound() {
            self.set_sound();
        }
    }

    /// The bytes, for who works through them.
    pub(crate) fn source(&self) -> Source<'_> {
        Source { file: &*self.file, map: self.passing() }
    }

    fn passing(&self) -> Option<&Map> {
        let map = || self.file.map().filter(|map| map.len() == self.map.len());
        self.passing.get_or_init(map).as_ref()
    }

    /// Length and digest of what the file becomes when its deletes are applied, if that was made whole once.
    pub(crate) fn rewritten(&self) -> Option<(u64, Digest)> {
        self.rewritten.get().copied()
    }

    pub(crate) fn set_rewritten(&self, size: u64, digest: Digest) {
        self.rewritten.get_or_init(|| (size, digest));
    }
}

impl fmt::Debug for TsmFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsmFile")
            .field("path", &self.path)
            .field("size", &self.map.len())
            .finish_non_exhaustive()
    }
}

/// A file in memory, read like one on disk.
#[derive(Debug)]
struct Memory(Map);

impl ReadAt for Memory {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buf.len())?))
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
