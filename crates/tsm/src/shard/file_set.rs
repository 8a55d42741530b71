use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::damage::Damage;
use crate::error::{Error, Result};
use crate::file::name::FileName;
use crate::file::reader::TsmFile;
use crate::format::column::BlockType;

/// The live files of a shard at one moment.
///
/// Invariant: ordered by name, no name twice; of points of equal time the one in the later file counts.
#[derive(Debug, Default)]
pub(crate) struct FileSet {
    files: Vec<Arc<TsmFile>>,
}

impl FileSet {
    pub(crate) fn new(mut files: Vec<Arc<TsmFile>>) -> Self {
        files.sort_by_key(|file| file.name());
        assert!(files.is_sorted_by(|a, b| a.name() < b.name()), "a directory has a name once");
        Self { files }
    }

    pub(crate) fn files(&self) -> &[Arc<TsmFile>] {
        &self.files
    }

    /// What is damaged in the indexes of the files. O(keys + blocks) for those that were not used before.
    pub(crate) fn damaged_indexes(&self) -> impl Iterator<Item = Error> {
        self.files.iter().filter_map(|file| file.index().err())
    }

    /// Calls `each` with every composite key and its type, ascending, each once.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged, which is noted; `each` has seen nothing. What `each` returns.
    pub(crate) fn keys(
        &self,
        damage: &Damage,
        mut each: impl FnMut(&[u8], BlockType) -> Result<()>,
    ) -> Result<()> {
        let mut lists = Vec::new();
        for file in &self.files {
            lists.push(file.index().map_err(|error| damage.note(error))?.keys());
        }
        let mut next = |age: usize| {
            let key = lists.get_mut(age)?.next()?;
            Some(Reverse((key.key, age, key.kind)))
        };
        let mut heads: BinaryHeap<_> = (0..self.files.len()).filter_map(&mut next).collect();
        let mut before: Option<&[u8]> = None;
        while let Some(Reverse((composite, age, kind))) = heads.pop() {
            if before != Some(composite) {
                each(composite, kind)?;
                before = Some(composite);
            }
            heads.extend(next(age));
        }
        Ok(())
    }

    /// The newest name, of the file that wins over all others.
    pub(crate) fn newest(&self) -> Option<FileName> {
        self.files.last().map(|file| file.name())
    }

    /// The latest time at which a file or its deletes changed, ns since 1970.
    pub(crate) fn modified_ns(&self) -> Option<i64> {
        self.files.iter().map(|file| file.modified_ns()).max()
    }
}
