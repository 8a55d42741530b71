//! Reading the points of one key from all files of a set: merged, one per time, deletes applied.
//!
//! Blocks are taken in clusters: a cluster is a largest run of blocks, of any files, whose times overlap in a chain.
//! Clusters do not overlap, so each is decoded and merged for itself; after a compaction a cluster is one block, and
//! memory is that of the largest cluster.

use std::sync::Arc;

use super::file_set::FileSet;
use crate::error::{Error, Result};
use crate::file::deletes;
use crate::file::reader::TsmFile;
use crate::format::column::{BlockType, Column};
use crate::format::index::{Entry, Key};
use crate::format::merge;
use crate::units::TimeRange;

/// A block of the key, and how old its file is: later files win.
struct Source<'a> {
    file: &'a TsmFile,
    key: Key<'a>,
    entry: Entry,
    age: usize,
}

/// Columns to decode into again and again.
struct Buffers {
    block: Column,
    kept: Column,
    merged: Column,
    out: Column,
}

/// Calls `each` with the points of `composite`, by time, in columns that are sorted, without repetition and not
/// empty.
///
/// # Errors
/// `Corrupt` names the file and the block; what `each` returned; a key of two types is damage of the later file.
pub(crate) fn read_key(
    set: &FileSet,
    composite: &[u8],
    mut each: impl FnMut(&Column) -> Result<()>,
) -> Result<()> {
    let (kind, sources) = sources(set, composite)?;
    let column = || Column::new(kind);
    let mut buffers = Buffers { block: column(), kept: column(), merged: column(), out: column() };
    for cluster in clusters(&sources) {
        read_cluster(cluster, &mut buffers)?;
        if !buffers.out.is_empty() {
            each(&buffers.out)?;
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

/// All blocks of the key that are not deleted as a whole, by first time, then age.
fn sources<'a>(set: &'a FileSet, composite: &[u8]) -> Result<(BlockType, Vec<Source<'a>>)> {
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
        sources.extend(live.map(|entry| Source { file, key, entry, age }));
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

/// Decodes a cluster into `buffers.out`.
fn read_cluster(cluster: &[Source<'_>], buffers: &mut Buffers) -> Result<()> {
    let Some(first) = cluster.first() else { return Ok(()) };
    let kind = first.key.kind;
    buffers.out.reset(kind);
    if let [single] = cluster {
        return read_source(single, &mut buffers.block, &mut buffers.out);
    }
    let mut by_age: Vec<&Source<'_>> = cluster.iter().collect();
    by_age.sort_by_key(|source| source.age); // stable: within a file the order of time stays
    let mut run = Column::new(kind);
    for of_file in by_age.chunk_by(|a, b| a.age == b.age) {
        run.reset(kind);
        for source in of_file {
            buffers.kept.reset(kind);
            read_source(source, &mut buffers.block, &mut buffers.kept)?;
            add(&mut run, &buffers.kept, &mut buffers.merged, source)?;
        }
        if let Some(source) = of_file.last() {
            add(&mut buffers.out, &run, &mut buffers.merged, source)?;
        }
    }
    Ok(())
}

/// Appends the undeleted points of a block to `out`. Blocks of old files may repeat a time: the last counts.
fn read_source(source: &Source<'_>, block: &mut Column, out: &mut Column) -> Result<()> {
    source.file.read_block(&source.key, &source.entry, block)?;
    merge::sort_last_wins(block);
    let deleted = source.file.deleted(source.key.ordinal);
    if deletes::touch(deleted, source.entry.range) {
        deletes::copy_undeleted(block, deleted, out);
    } else {
        out.extend_from(block, 0..block.len());
    }
    Ok(())
}

/// Merges `newer`, which came from `source`, into `older`; O(newer) when it lies behind.
fn add(older: &mut Column, newer: &Column, spare: &mut Column, source: &Source<'_>) -> Result<()> {
    if !older.can_extend(newer) {
        let error = Error::unfit("overlapping blocks of one key hold more than 4 GiB of strings");
        return Err(error.in_file(source.file.path()));
    }
    if older.times.last() < newer.times.first() {
        older.extend_from(newer, 0..newer.len());
    } else {
        spare.reset(older.kind());
        merge::merge(older, newer, spare);
        std::mem::swap(older, spare);
    }
    Ok(())
}
