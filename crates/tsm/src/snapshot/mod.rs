//! A pinned, immutable view of a shard, and what a backup sends of it.

mod ahead;
mod blocks;
mod cut;
pub(crate) mod listing;
mod member;
mod rewrite;
mod rewriting;
mod spool;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::reader::TsmFile;
use crate::format::column::{BlockType, Column};
use crate::shard::cursor;
use crate::shard::damage::Damage;
use crate::shard::file_set::FileSet;
use crate::units::{Ticket, TimeRange};

pub use ahead::prepare_all;
pub use listing::Listing;
pub use member::{Chunks, Deletes, Member};
pub use spool::{Spool, SpoolOptions};

/// The files of a shard at one moment. Holding it keeps them readable; it holds no lock.
#[derive(Clone, Debug)]
pub struct Snapshot {
    set: Arc<FileSet>,
    damage: Arc<Damage>,
    ticket: Option<Ticket>,
}

impl Snapshot {
    pub(crate) fn new(set: Arc<FileSet>, damage: Arc<Damage>, ticket: Option<Ticket>) -> Self {
        Self { set, damage, ticket }
    }

    /// The ticket of the cut: all writes with earlier ones are in it, and no others. `None` of a shard that is open to be
    /// read only.
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// The moment of this cut as a `since`: files that come later are modified strictly after it. Nanoseconds since
    /// 1970; the epoch when there is no file.
    pub fn cut_ns(&self) -> i64 {
        self.set.modified_ns().unwrap_or(0)
    }

    /// The files that a backup consists of, in the order of an archive.
    pub fn members(&self, deletes: Deletes) -> Vec<Member> {
        self.set
            .files()
            .iter()
            .map(|file| Member::new(Arc::clone(file), deletes, Arc::clone(&self.damage)))
            .collect()
    }

    /// The pinned files, oldest first.
    pub fn files(&self) -> &[Arc<TsmFile>] {
        self.set.files()
    }

    /// Calls `each` with every composite key and its type, ascending, each once. A key whose points are all deleted
    /// may be among them.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged; the shard remembers it, and `each` has seen nothing. What `each` returns.
    pub fn keys(&self, each: impl FnMut(&[u8], BlockType) -> Result<()>) -> Result<()> {
        self.set.keys(&self.damage, each)
    }

    /// From the first to the last time of any key, deletes not considered; `None` without files.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged; the shard remembers it.
    pub fn range(&self) -> Result<Option<TimeRange>> {
        let mut all: Option<TimeRange> = None;
        for file in self.files() {
            let range = file.index().map_err(|error| self.damage.note(error))?.range();
            all = Some(all.map_or(range, |all| all.join(range)));
        }
        Ok(all)
    }

    /// Calls `each` with the points of a composite key, by time: merged from all files, one per time, deletes
    /// applied. Columns are sorted and not empty.
    ///
    /// # Errors
    /// `Corrupt` names the file and the block; the shard remembers it. What `each` returns.
    pub fn read(&self, composite: &[u8], each: impl FnMut(&Column) -> Result<()>) -> Result<()> {
        cursor::read_key(&self.set, composite, TimeRange::ALL, each)
            .map_err(|error: Error| self.damage.note(error))
    }
}
