//! Blocks that deletes touch: read, cut and encoded again, on all cores where there are many.
//!
//! The encoding is deterministic: a block that is cut twice has the same bytes.

use std::num::NonZero;
use std::thread;

use super::blocks::{WINDOW_LEN, Window};
use crate::error::{Error, Result};
use crate::file::check::{column_fits, contradicts_index};
use crate::file::deletes;
use crate::file::reader::TsmFile;
use crate::file::writer;
use crate::format::block::{self, Flavor};
use crate::format::column::{BlockType, Column};
use crate::format::index::{CRC_LEN, Entry, Key};
use crate::units::TimeRange;

/// Bytes of blocks that are worth a thread.
const THREAD_LEN: u64 = 1 << 17;

/// A block that is to be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its key.
    pub(super) ordinal: u32,
    pub(super) entry: Entry,
}

/// What is left of blocks, in their order.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Of each its times and its length with checksum; `None` where no point is left.
    pub(super) blocks: Vec<Option<(TimeRange, u32)>>,
    /// All that is left, one behind the other. Empty when only lengths were asked for.
    pub(super) bytes: Vec<u8>,
}

/// Cuts blocks. The result has a part for each thread that worked, in the order of the blocks.
///
/// # Errors
/// `Corrupt` or `Io` name the file and the block; of several damaged blocks the first.
pub(super) fn cut(file: &TsmFile, blocks: &[Block], with_bytes: bool) -> Result<Vec<Left>> {
    let size: u64 = blocks.iter().map(|block| u64::from(block.entry.size)).sum();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = usize::try_from(size / THREAD_LEN).unwrap_or(cores).clamp(1, cores);
    if threads == 1 {
        return Ok(vec![cut_part(file, blocks, with_bytes)?]);
    }
    thread::scope(|scope| {
        let parts = blocks.chunks(blocks.len().div_ceil(threads));
        let begun: Vec<_> = parts
            .map(|part| {
                let builder = thread::Builder::new().name("icecore-cut".to_owned());
                let thread = builder.spawn_scoped(scope, move || cut_part(file, part, with_bytes));
                thread.map_err(|_| part) // no thread to be had: done here, below
            })
            .collect();
        let done = begun.into_iter().map(|begun| match begun {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(part) => cut_part(file, part, with_bytes),
        });
        done.collect()
    })
}

fn cut_part(file: &TsmFile, blocks: &[Block], with_bytes: bool) -> Result<Left> {
    let index = file.index()?;
    let (mut cutter, mut window, mut left) = (Cutter::default(), Window::default(), Left::default());
    for (nth, Block { ordinal, entry }) in blocks.iter().enumerate() {
        if !window.holds(entry) {
            window.read(file, entry.offset.get(), run_end(blocks.get(nth..).unwrap_or_default()))?;
        }
        let key = index.key(*ordinal).ok_or_else(|| contradicts_index(entry.offset));
        let cut = key.and_then(|key| cutter.cut(file, &window, &key, entry));
        left.blocks.push(cut.map_err(|error| error.in_file(file.path()))?);
        if with_bytes {
            left.bytes.extend_from_slice(&cutter.out);
        }
    }
    Ok(left)
}

/// How far the blocks lie side by side from the first on, within a window.
fn run_end(blocks: &[Block]) -> u64 {
    let ends = |block: &Block| block.entry.offset.get() + u64::from(block.entry.size);
    let start = blocks.first().map_or(0, |block| block.entry.offset.get());
    let mut end = blocks.first().map_or(0, ends);
    for block in blocks.iter().skip(1) {
        if block.entry.offset.get() != end || ends(block) - start > WINDOW_LEN {
            break;
        }
        end = ends(block);
    }
    end
}

/// Buffers for cutting blocks.
struct Cutter {
    block: Column,
    kept: Column,
    /// What is left of the last block, its checksum in front.
    out: Vec<u8>,
}

impl Default for Cutter {
    fn default() -> Self {
        let column = || Column::new(BlockType::Float);
        Self { block: column(), kept: column(), out: Vec::new() }
    }
}

impl Cutter {
    /// Puts what is left of a block into `out`; its times and length. `None` if nothing is.
    fn cut(
        &mut self,
        file: &TsmFile,
        window: &Window,
        key: &Key<'_>,
        entry: &Entry,
    ) -> Result<Option<(TimeRange, u32)>> {
        self.out.clear();
        block::decode(window.body(entry)?, entry.offset.forward(CRC_LEN), &mut self.block)?;
        let Self { block, kept, out } = self;
        if !column_fits(block, key.kind, entry) {
            return Err(contradicts_index(entry.offset));
        }
        kept.reset(key.kind);
        deletes::copy_undeleted(block, file.deleted(key.ordinal), kept);
        let (Some(min), Some(max)) = (kept.times.first(), kept.times.last()) else { return Ok(None) };
        let range = TimeRange::new(*min, *max)?;
        let size = writer::put_block(kept, 0..kept.len(), Flavor::Batch, out)?;
        Ok(Some((range, size)))
    }
}

/// That blocks could be cut once and not now, or to other bytes.
pub(super) fn changed(entry: &Entry) -> Error {
    Error::corrupt("a block changed while it was sent", entry.offset)
}
