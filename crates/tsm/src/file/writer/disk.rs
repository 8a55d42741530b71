//! Files in a directory: under temporary names until all are complete, then under their own.
//!
//! Invariant: `open` and `whole` name every temporary file that there is; dropping this removes them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::{Append, Disk};

use super::WriterOptions;
use super::index_buffer::IndexBuffer;
use super::rolling::Sink;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::format::sums::{Summing, Sums};

/// What is handed to the system at a time, unless a block is longer.
const PIECE_LEN: usize = 1 << 18;

/// A directory that gets new files.
#[derive(Debug)]
pub(super) struct OnDisk<'d> {
    disk: &'d dyn Disk,
    dir: PathBuf,
    index_memory_max: usize,
    modified_ns: Option<i64>,
    open: Option<Open>,
    /// Complete and synced under their temporary names, oldest first.
    whole: VecDeque<(FileName, Sums)>,
}

/// The file being written.
#[derive(Debug)]
struct Open {
    name: FileName,
    blocks: Buffered,
    index: IndexBuffer,
}

/// A file that is written in pieces.
#[derive(Debug)]
struct Buffered {
    path: PathBuf,
    file: Box<dyn Append>,
    /// What the system has not got yet.
    piece: Vec<u8>,
    /// Of what the system has got.
    sums: Summing,
}

impl<'d> OnDisk<'d> {
    pub(super) fn new(disk: &'d dyn Disk, dir: &Path, options: &WriterOptions) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            index_memory_max: options.index_memory_max,
            modified_ns: options.modified_ns,
            open: None,
            whole: VecDeque::new(),
        }
    }

    /// Gives all files their names and makes those durable.
    ///
    /// # Errors
    /// `Io`. Names that were given are taken back: a reader that opens the directory must not find half of the files.
    pub(super) fn publish(mut self) -> Result<Vec<(FileName, Sums)>> {
        let mut named = Vec::new();
        let outcome = self
            .name_all(&mut named)
            .and_then(|()| self.disk.sync_dir(&self.dir).map_err(|error| Error::io(error, &self.dir)));
        if let Err(error) = outcome {
            // The first error is the one to report; a name that stays leads to a complete file.
            named.iter().for_each(|(name, _)| drop(self.disk.remove(&self.dir.join(name.to_string()))));
            return Err(error);
        }
        Ok(named)
    }

    fn name_all(&mut self, named: &mut Vec<(FileName, Sums)>) -> Result<()> {
        while let Some((name, _)) = self.whole.front() {
            let path = self.dir.join(name.to_string());
            let temporary = self.dir.join(name.temporary());
            self.disk.rename(&temporary, &path).map_err(|error| Error::io(error, &path))?;
            named.extend(self.whole.pop_front());
        }
        Ok(())
    }

    /// A new file must neither replace one nor inherit the deletes of one that is gone.
    fn refuse_existing(&self, path: PathBuf) -> Result<()> {
        match self.disk.stat(&path) {
            Ok(_) => Err(Error::io(io::ErrorKind::AlreadyExists.into(), &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(error, &path)),
        }
    }
}

impl Sink for OnDisk<'_> {
    fn begin(&mut self, name: FileName) -> Result<()> {
        self.refuse_existing(self.dir.join(name.to_string()))?;
        self.refuse_existing(self.dir.join(name.tombstone()))?;
        let path = self.dir.join(name.temporary());
        let file = self.disk.create(&path).map_err(|error| Error::io(error, &path))?;
        let index = IndexBuffer::new(self.dir.join(name.index_temporary()), self.index_memory_max);
        let blocks = Buffered { path, file, piece: Vec::new(), sums: Summing::default() };
        self.open = Some(Open { name, blocks, index });
        Ok(())
    }

    fn blocks(&mut self, bytes: &[u8]) -> Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.blocks.append(bytes))
    }

    fn index(&mut self, bytes: &[u8]) -> Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.index.push(self.disk, bytes))
    }

    fn end(&mut self, footer: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Open { name, blocks, index } = open;
        index.drain(self.disk, |piece| blocks.append(piece))?;
        blocks.append(footer)?;
        blocks.write_piece()?;
        if let Some(modified_ns) = self.modified_ns {
            let timed = self.disk.set_modified(&blocks.path, modified_ns);
            timed.map_err(|error| Error::io(error, &blocks.path))?;
        }
        blocks.file.sync().map_err(|error| Error::io(error, &blocks.path))?;
        self.whole.push_back((*name, std::mem::take(&mut blocks.sums).finish()));
        self.open = None;
        Ok(())
    }
}

impl Buffered {
    /// Large blocks are passed on without a copy.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.piece.len() + bytes.len() > PIECE_LEN {
            self.write_piece()?;
        }
        if bytes.len() > PIECE_LEN {
            self.sums.update(bytes);
            return self.file.append(bytes).map_err(|error| Error::io(error, &self.path));
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn write_piece(&mut self) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.sums.update(&self.piece);
        let outcome = self.file.append(&self.piece).map_err(|error| Error::io(error, &self.path));
        self.piece.clear();
        outcome
    }
}

impl Drop for OnDisk<'_> {
    /// There is nobody to tell of a failure; what stays ends in `.tmp`.
    fn drop(&mut self) {
        if let Some(Open { blocks, mut index, .. }) = self.open.take() {
            drop(self.disk.remove(&blocks.path));
            drop(index.remove(self.disk));
        }
        self.whole.drain(..).for_each(|(name, _)| drop(self.disk.remove(&self.dir.join(name.temporary()))));
    }
}
