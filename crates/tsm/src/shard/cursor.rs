//! Reading the points of one key from all files of a set: merged, one per time, deletes applied.
//!
//! Blocks are taken in clusters: a cluster is a largest run of blocks, of any files, whose times overlap in a chain.
//! Clusters do not overlap, so each is decoded and merged for itself; after a compaction a cluster is one block. A cluster
//! whose blocks claim many points is read in slices of time, so that memory is that of a slice: a few bytes can claim any
//! number of points at equal distances, and many such blocks can lie over each other.

use std::sync::Arc;

use super::file_set::FileSet;
use super::slices::Slices;
use crate::error::{Error, Result};
use crate::file::deletes;
use crate::file::reader::TsmFile;
use crate::format::block;
use crate::format::column::{BlockType, Column};
use crate::format::index::{Entry, Key};
use crate::format::merge;
use crate::units::TimeRange;

/// Points that overlapping blocks may claim together and still be merged at once: as many as one block may have. Tests have
/// smaller blocks.
const SLICE_POINTS: usize = if cfg!(test) { 300 } else { block::MAX_POINTS };

/// Columns that have had more points are not used again.
const KEPT_POINTS: usize = 1 << 12;

/// A block of the key, and how old its file is: later files win.
pub(super) struct Source<'a> {
    pub(super) file: &'a TsmFile,
    pub(super) key: Key<'a>,
    pub(super) entry: Entry,
    age: usize,
}

/// Columns to decode into again and again.
struct Buffers {
    block: Column,
    runs: Runs,
    out: Column,
}

/// Points of a cluster on their way to one column.
///
/// Invariant: from older to newer, and each run longer than the one behind it; so that n points of k overlapping blocks
/// cost O(n log k), whatever the blocks claim.
struct Runs {
    stack: Vec<Column>,
    /// Columns that are not in use.
    spare: Vec<Column>,
    kind: BlockType,
}

/// Calls `each` with the points of `composite` in a range, by time, in columns that are sorted, without repetition and not
/// empty.
///
/// # Errors
/// `Corrupt` names the file and the block; what `each` returned; a key of two types is damage of the later file.
pub(crate) fn read_key(
    set: &FileSet,
    composite: &[u8],
    range: TimeRange,
    mut each: impl FnMut(&Column) -> Result<()>,
) -> Result<()> {
    let (kind, sources) = sources(set, composite, range)?;
    let runs = Runs { stack: Vec::new(), spare: Vec::new(), kind };
    let mut buffers = Buffers { block: Column::new(kind), runs, out: Column::new(kind) };
    for cluster in clusters(&sources) {
        let slices = Slices::of(cluster, SLICE_POINTS)?;
        for slice in slices {
            read_cluster(cluster, slice?, &mut buffers)?;
            cut_to(&mut buffers.out, range);
            if !buffers.out.is_empty() {
                each(&buffers.out)?;
            }
        }
    }
    Ok(())
}

/// The newest file that has live points of the key, and the key there.
///
/// # Errors
/// `Corrupt` when an index is damaged.
pub(crate) fn live_type<'a>(set: &'a FileSet, composite: &[u8]) -> Result<Option<(&'a TsmFile, Key<'a>)>> {
    for file in set.files().iter().rev() {
        let Some(key) = file.index()?.find(composite) else { continue };
        if file.live_entries(&key).next().is_some() {
            return Ok(Some((file, key)));
        }
    }
    Ok(None)
}

/// Removes the points outside a range from a sorted column.
fn cut_to(column: &mut Column, range: TimeRange) {
    let start = column.times.partition_point(|time| *time < range.min());
    let end = column.times.partition_point(|time| *time <= range.max());
    if (start, end) != (0, column.len()) {
        let mut kept = Column::new(column.kind());
        kept.extend_from(column, start..end.max(start));
        *column = kept;
    }
}

/// All blocks of the key that have times in a range and are not deleted as a whole, by first time, then age.
fn sources<'a>(set: &'a FileSet, composite: &[u8], range: TimeRange) -> Result<(BlockType, Vec<Source<'a>>)> {
    let mut sources = Vec::new();
    let mut kind = None;
    for (age, file) in set.files().iter().map(Arc::as_ref).enumerate() {
        let Some(key) = file.index()?.find(composite) else { continue };
        let mut live = file.live_entries(&key).peekable();
        if live.peek().is_none() {
            continue; // influxd allows another type after a delete
        }
        if *kind.get_or_insert(key.kind) != key.kind {
            let at = key.entries().next().map_or(crate::Offset::START, |entry| entry.offset);
            return Err(
                Error::corrupt("a key has another type than in an older file", at).in_file(file.path())
            );
        }
        let within = live.filter(|entry| entry.range.overlaps(range));
        sources.extend(within.map(|entry| Source { file, key, entry, age }));
    }
    sources.sort_by_key(|source| (source.entry.range.min(), source.age));
    Ok((kind.unwrap_or(BlockType::Float), sources))
}

/// Splits sources, which are ordered by first time, where no block reaches over.
fn clusters<'s, 'a>(mut rest: &'s [Source<'a>]) -> impl Iterator<Item = &'s [Source<'a>]> {
    std::iter::from_fn(move || {
        let mut reach: TimeRange = rest.first()?.entry.range;
        let len = rest
            .iter()
            .take_while(|source| {
                let range = source.entry.range;
                let joins = range.min() <= reach.max();
                if joins && range.max() > reach.max() {
                    reach = range;
                }
                joins
            })
            .count();
        let (cluster, behind) = rest.split_at_checked(len)?;
        rest = behind;
        Some(cluster)
    })
}

/// Decodes a cluster, or a slice of it, into `buffers.out`.
fn read_cluster(cluster: &[Source<'_>], slice: Option<TimeRange>, buffers: &mut Buffers) -> Result<()> {
    let Some(first) = cluster.first() else { return Ok(()) };
    let kind = first.key.kind;
    buffers.out.reset(kind);
    if let [single] = cluster {
        return read_source(single, slice, &mut buffers.block, &mut buffers.out);
    }
    let is_touched = |source: &&Source<'_>| slice.is_none_or(|slice| source.entry.range.overlaps(slice));
    let mut by_age: Vec<&Source<'_>> = cluster.iter().filter(is_touched).collect();
    by_age.sort_by_key(|source| source.age); // stable: within a file the order of time stays
    let Buffers { block, runs, out } = buffers;
    for source in by_age {
        let mut run = runs.column();
        read_source(source, slice, block, &mut run)?;
        runs.push(run).map_err(|error| error.in_file(source.file.path()))?;
    }
    runs.finish(out).map_err(|error| error.in_file(first.file.path()))
}

/// Appends the undeleted points of a block, or of a slice of it, to `out`. Blocks of old files may repeat a time: the last
/// counts.
fn read_source(
    source: &Source<'_>,
    slice: Option<TimeRange>,
    block: &mut Column,
    out: &mut Column,
) -> Result<()> {
    match slice {
        Some(slice) => source.file.read_block_within(&source.entry, slice, block)?,
        None => source.file.read_block(&source.key, &source.entry, block)?,
    }
    merge::sort_last_wins(block);
    let deleted = source.file.deleted(source.key.ordinal);
    if deletes::touch(deleted, source.entry.range) {
        deletes::copy_undeleted(block, deleted, out);
    } else {
        out.extend_from(block, 0..block.len());
    }
    Ok(())
}

impl Runs {
    /// An empty column.
    fn column(&mut self) -> Column {
        let mut column = self.spare.pop().unwrap_or_else(|| Column::new(self.kind));
        column.reset(self.kind);
        column
    }

    /// Takes back a column, unless it is large: there can be many.
    fn keep(&mut self, column: Column) {
        if column.times.capacity() <= KEPT_POINTS {
            self.spare.push(column);
        }
    }

    /// Adds points that win over all before them.
    fn push(&mut self, run: Column) -> Result<()> {
        self.stack.push(run);
        while let [.., older, newer] = self.stack.as_slice()
            && (older.times.last() < newer.times.first() || older.len() <= newer.len())
        {
            self.join()?;
        }
        Ok(())
    }

    /// Merges the newest two; O(newer) when it lies behind.
    fn join(&mut self) -> Result<()> {
        let (Some(newer), Some(mut older)) = (self.stack.pop(), self.stack.pop()) else { return Ok(()) };
        if !older.can_extend(&newer) {
            return Err(Error::unfit("overlapping blocks of one key hold more than 4 GiB of strings"));
        }
        if older.times.last() < newer.times.first() {
            older.extend_from(&newer, 0..newer.len());
        } else {
            let mut merged = self.column();
            merge::merge(&older, &newer, &mut merged);
            self.keep(std::mem::replace(&mut older, merged));
        }
        self.keep(newer);
        self.stack.push(older);
        Ok(())
    }

    /// Hands everything over in `out`.
    fn finish(&mut self, out: &mut Column) -> Result<()> {
        while self.stack.len() > 1 {
            self.join()?;
        }
        if let Some(all) = self.stack.pop() {
            self.keep(std::mem::replace(out, all));
        }
        Ok(())
    }
}
