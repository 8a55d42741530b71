use std::collections::BTreeMap;
use std::sync::Arc;

use super::cursor;
use super::damage::Damage;
use super::file_set::FileSet;
use super::overlay::Overlay;
use crate::cache::Cache;
use crate::error::Result;
use crate::format::column::{BlockType, Column};
use crate::format::key;
use crate::format::merge;
use crate::units::TimeRange;

/// All that a shard has at one moment.
///
/// Invariant: every point is in the files or in a cache; where a point is in both, it is the same. Of points of equal time
/// the one in the later cache counts, and one in a cache before one in a file.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(super) files: Arc<FileSet>,
    /// Oldest first. In a shard that is written the last one takes writes; those before it are frozen.
    pub(super) caches: Vec<Arc<Cache>>,
}

impl View {
    pub(super) fn of_files(files: Arc<FileSet>) -> Self {
        Self { files, caches: Vec::new() }
    }

    /// Calls `each` with the points of a composite key in a range, by time, in columns that are sorted, without repetition
    /// and not empty.
    ///
    /// # Errors
    /// `Corrupt` names the file and the block; what `each` returned.
    pub(super) fn read(
        &self,
        composite: &[u8],
        range: TimeRange,
        each: &mut dyn FnMut(&Column) -> Result<()>,
    ) -> Result<()> {
        let mut overlay = Overlay::new(self.cached(composite, range)?);
        cursor::read_key(&self.files, composite, range, |column| overlay.pass(column, each))?;
        overlay.finish(each)
    }

    /// Calls `each` with every composite key and its type, ascending, each once.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged, which is noted; `each` has seen nothing. What `each` returns.
    pub(super) fn keys(
        &self,
        damage: &Damage,
        mut each: impl FnMut(&[u8], BlockType) -> Result<()>,
    ) -> Result<()> {
        let mut cached = BTreeMap::new();
        for cache in &self.caches {
            cache.keys(&mut |composite, kind| {
                cached.insert(composite.to_vec(), kind);
            });
        }
        let mut cached = cached.into_iter().peekable();
        self.files.keys(damage, |composite, kind| {
            while let Some((before, kind)) = cached.next_if(|(key, _)| key.as_slice() < composite) {
                each(&before, kind)?;
            }
            cached.next_if(|(key, _)| key == composite);
            each(composite, kind)
        })?;
        cached.try_for_each(|(composite, kind)| each(&composite, kind))
    }

    /// The points of the caches.
    fn cached(&self, composite: &[u8], range: TimeRange) -> Result<Column> {
        let mut all = Column::new(BlockType::Float);
        let Some((series, field)) = key::split(composite) else { return Ok(all) };
        let (mut newer, mut merged) = (Column::new(BlockType::Float), Column::new(BlockType::Float));
        for cache in &self.caches {
            cache.read(series, field, range, &mut newer)?;
            if newer.is_empty() {
                continue;
            }
            if all.is_empty() {
                std::mem::swap(&mut all, &mut newer);
                continue;
            }
            merged.reset(all.kind());
            merge::merge(&all, &newer, &mut merged);
            std::mem::swap(&mut all, &mut merged);
        }
        Ok(all)
    }
}
