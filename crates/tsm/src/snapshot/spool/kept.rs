use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use icecore_disk::{Disk, Map, ReadAt};

use super::Key;
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::format::sums::{PAGE_LEN, Sums};
use crate::snapshot::member::Reads;
use crate::units::Offset;

/// A whole file of the spool, and the sums of what was written into it.
#[derive(Debug)]
pub(in super::super) struct Kept {
    pub(super) key: Key,
    pub(super) path: PathBuf,
    sums: Sums,
    /// Every page was read and compared once.
    is_checked: AtomicBool,
}

impl Kept {
    pub(super) fn new(key: Key, path: PathBuf, sums: Sums) -> Self {
        Self { key, path, sums, is_checked: AtomicBool::new(false) }
    }

    pub(in super::super) fn size(&self) -> u64 {
        self.sums.len()
    }

    /// BLAKE3 of the bytes.
    pub(in super::super) fn digest(&self) -> Digest {
        self.sums.root()
    }
}

/// A file of the spool on its way out, each page compared with its sum before it leaves the first time. After an `Err` the bytes
/// [handed out](Self::at) are sound.
#[derive(Debug)]
pub(in super::super) struct Reading {
    kept: Arc<Kept>,
    file: Arc<dyn ReadAt>,
    map: Map,
    at: u64,
    window: Vec<u8>,
}

impl Reading {
    pub(super) fn open(disk: &dyn Disk, kept: Arc<Kept>) -> Result<Self> {
        let io = |error| Error::io(error, &kept.path);
        let file = disk.open(&kept.path).map_err(io)?;
        // Of this descriptor, so that the pages do not count as used.
        let map = file.map().map_or_else(|| disk.map(&kept.path), Ok).map_err(io)?;
        if map.len() as u64 != kept.size() {
            let error = Error::corrupt(
                "a file of the spool has another length than it was written with",
                Offset::START,
            );
            return Err(error.in_file(&kept.path));
        }
        Ok(Self { kept, file, map, at: 0, window: Vec::new() })
    }

    pub(in super::super) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Bytes handed out so far.
    pub(in super::super) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes.
    pub(in super::super) fn next(&mut self, reads: Reads) -> Option<Result<Bytes>> {
        if self.at == self.kept.size() {
            self.kept.is_checked.store(true, Ordering::Relaxed);
            return None;
        }
        let end = self.kept.size().min(self.at + reads.len_max());
        let part = self.part(reads, end).map_err(|error| error.in_file(&self.kept.path));
        if part.is_ok() {
            self.at = end;
        }
        Some(part)
    }

    fn part(&mut self, reads: Reads, end: u64) -> Result<Bytes> {
        let is_checked = self.kept.is_checked.load(Ordering::Relaxed);
        let range = usize::try_from(self.at).ok().zip(usize::try_from(end).ok());
        let (start, end) = range.ok_or_else(|| Error::unfit("a file is longer than memory can be"))?;
        if !is_checked || matches!(reads, Reads::Copied) {
            self.window.resize(end - start, 0);
            self.file.read_exact_at(&mut self.window, self.at).map_err(Error::io_unnamed)?;
        }
        if !is_checked {
            let mut pages = self.window.chunks(PAGE_LEN).enumerate();
            pages.try_for_each(|(nth, page)| self.kept.sums.check_page(start / PAGE_LEN + nth, page))?;
        }
        Ok(match reads {
            Reads::Mapped => self.map.slice(start..end),
            Reads::Copied => Bytes::copy_from_slice(&self.window),
        })
    }
}
