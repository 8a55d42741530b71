//! Writing points: lines or values to batches, one for each shard they belong to, and what is refused on the way.

mod buffers;
mod filling;
mod point;
mod rejected;
mod told;

use icecore_catalog::Id;
use icecore_lineprotocol::Precision;

pub(crate) use self::buffers::Pool;
use self::filling::{Filling, Lines, Points};
pub use self::point::{FieldValue, Point};
pub use self::rejected::Partial;
use crate::database::{Database, now_ns};
use crate::error::Error;

/// The retention policy of every bucket of influxd 2.x.
const POLICY: &str = "autogen";

/// What became of a request to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// Points that are durable now.
    pub points: u64,
    /// Values of these.
    pub values: u64,
    /// Why other points were left out, or a field of them; the first reason, as influxd tells it.
    pub partial: Option<Partial>,
}

/// Why nothing of a request was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Lines that are no points: a text for each, one below the other; bounded.
    #[error("{0}")]
    Lines(String),
    /// The directory cannot be written, or not now.
    #[error(transparent)]
    Database(#[from] Error),
}

impl Database {
    /// Writes a batch of line protocol into a bucket. Timestamps are in units of `precision`; points without one get the
    /// time of this call. Shard groups and shards that are missing are made.
    ///
    /// # Durability
    /// On `Ok` the points that the report counts are, and every backup that starts from now on has them.
    ///
    /// # Errors
    /// `Lines` when any line is no point: nothing is written then. `ReadOnly`, `NoSuchBucket`; `Shard`, `Unavailable` among
    /// it, when a shard could not be written: points of other shards may be durable all the same.
    pub fn write(&self, bucket: Id, lines: &[u8], precision: Precision) -> Result<WriteReport, WriteError> {
        let now_ns = now_ns();
        self.write_all(bucket, &Lines { text: lines, precision, now_ns }, now_ns)
    }

    /// Writes points into a bucket, as [`write`](Self::write) does.
    ///
    /// # Errors
    /// As [`write`](Self::write); `Point` names the first that has no series key, and nothing is written then.
    pub fn write_points(&self, bucket: Id, points: &[Point]) -> Result<WriteReport, WriteError> {
        self.write_all(bucket, points, now_ns())
    }

    fn write_all(
        &self,
        bucket: Id,
        points: &(impl Points + ?Sized),
        now_ns: i64,
    ) -> Result<WriteReport, WriteError> {
        self.must_write()?;
        let mut buffers = self.write_buffers().take();
        let outcome = self.write_with(&mut buffers, bucket, points, now_ns);
        self.write_buffers().give(buffers);
        outcome
    }

    fn write_with(
        &self,
        buffers: &mut buffers::Buffers,
        bucket: Id,
        points: &(impl Points + ?Sized),
        now_ns: i64,
    ) -> Result<WriteReport, WriteError> {
        let mut groups = self.shard_groups(bucket)?;
        let mut filling = Filling::new(now_ns);
        loop {
            let missing = filling.run(points, buffers, &groups)?;
            if missing.is_empty() {
                break;
            }
            groups = self.ensure_shards(bucket, missing, now_ns)?;
        }
        let name = bucket.to_string();
        for (id, _) in &buffers.batches {
            self.engine().create(*id, &name, POLICY).map_err(|source| Error::shard(*id, source))?;
        }
        let first = buffers.batches.first().map_or(0, |(id, _)| *id);
        let written =
            self.engine().write(&mut buffers.batches).map_err(|source| Error::shard(first, source))?;
        let points = written.iter().map(|part| part.points as u64).sum();
        let values = written.iter().map(|part| part.values).sum();
        let partial = filling.partial(buffers, &written, &name, &groups);
        Ok(WriteReport { points, values, partial })
    }
}
