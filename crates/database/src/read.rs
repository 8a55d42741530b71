//! Reading one field of one series from all shards of a bucket.

use icecore_catalog::Id;
use icecore_tsm::{Column, TimeRange, key};

use crate::database::Database;
use crate::error::Error;

impl Database {
    /// Calls `each` with the points of a field in a range, by time: from all shards of the bucket, files and logs, one per
    /// time, deletes applied. Every write that was acknowledged before is among them.
    ///
    /// `series_key` is measurement and tags as they are stored: escaped, tags sorted by their keys.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Shard` for damage; what `each` returns.
    pub fn read(
        &self,
        bucket: Id,
        series_key: &[u8],
        field: &[u8],
        range: TimeRange,
        mut each: impl FnMut(&Column) -> Result<(), icecore_tsm::Error>,
    ) -> Result<(), Error> {
        let groups = self.shard_groups(bucket)?;
        let composite = [series_key, key::SEPARATOR, field].concat();
        for slice in groups.slices() {
            let from = range.min().max(slice.start_ns);
            let to = range.max().min(slice.end_ns.saturating_sub(1));
            let Some(open) = self.engine().shard(slice.shard.0) else { continue };
            let Ok(part) = TimeRange::new(from, to) else { continue };
            let read = open.shard.read(&composite, part, &mut each);
            read.map_err(|source| Error::Shard { id: slice.shard, source })?;
        }
        Ok(())
    }
}
