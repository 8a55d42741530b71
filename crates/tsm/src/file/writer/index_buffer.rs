//! The index of a file that is still being written: it lies behind all blocks, so it has to wait.
//!
//! Invariant: what the temporary file holds comes before what memory holds.

use std::path::PathBuf;

use icecore_disk::{Append, Disk};

use crate::error::{Error, Result};

/// Read back at a time.
const PIECE_LEN: usize = 1 << 18;

/// Index bytes, in memory up to a limit.
#[derive(Debug)]
pub(super) struct IndexBuffer {
    memory: Vec<u8>,
    memory_max: usize,
    path: PathBuf,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    file: Box<dyn Append>,
    len: u64,
}

impl IndexBuffer {
    /// `path` is where the bytes go that pass `memory_max`.
    pub(super) fn new(path: PathBuf, memory_max: usize) -> Self {
        Self { memory: Vec::new(), memory_max, path, spilled: None }
    }

    pub(super) fn push(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<()> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() <= self.memory_max {
            return Ok(());
        }
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => {
                let file = disk.create(&self.path).map_err(|error| Error::io(error, &self.path))?;
                none.insert(Spilled { file, len: 0 })
            }
        };
        spilled.file.append(&self.memory).map_err(|error| Error::io(error, &self.path))?;
        spilled.len += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Gives all bytes in order, in pieces, and removes the temporary file.
    pub(super) fn drain(&mut self, disk: &dyn Disk, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some(Spilled { len, .. }) = self.spilled {
            let file = disk.open(&self.path).map_err(|error| Error::io(error, &self.path))?;
            let mut piece = Vec::new();
            for start in (0..len).step_by(PIECE_LEN) {
                piece.resize(usize::try_from(len - start).unwrap_or(PIECE_LEN).min(PIECE_LEN), 0);
                file.read_exact_at(&mut piece, start).map_err(|error| Error::io(error, &self.path))?;
                each(&piece)?;
            }
            self.remove(disk)?;
        }
        let outcome = each(&self.memory);
        self.memory.clear();
        outcome
    }

    /// Removes the temporary file, if there is one.
    pub(super) fn remove(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.spilled.is_some() {
            disk.remove(&self.path).map_err(|error| Error::io(error, &self.path))?;
            self.spilled = None;
        }
        Ok(())
    }
}
