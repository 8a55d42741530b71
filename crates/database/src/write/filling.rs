//! From points, in whatever form they come, to one batch for each shard.

use icecore_catalog::{ShardGroups, Slice};
use icecore_lineprotocol::{Parser, Precision};
use icecore_tsm::{Refused, Value, Written, series};

use super::buffers::Buffers;
use super::point::Point;
use super::rejected::{Outdated, Partial, Reason, Rejected};
use super::told::Told;
use super::{Error, WriteError};

/// The longest string that influxd takes as a value.
const STRING_LEN_MAX: usize = 1 << 20;
/// A field of this name cannot be queried; influxd says so and stores it all the same.
const TIME: &[u8] = b"time";

/// Where points come from. They can be gone through more than once.
pub(super) trait Points {
    /// Hands every point to `take`.
    ///
    /// # Errors
    /// What is no point; `take` may have seen others.
    fn each(&self, parser: &mut Parser, take: &mut impl Take) -> Result<(), WriteError>;
}

/// What is done with a point.
pub(super) trait Take {
    /// `number` counts the points from 1.
    fn take<'f>(
        &mut self,
        number: u32,
        key: &[u8],
        measurement_len: usize,
        time_ns: i64,
        fields: impl Iterator<Item = (&'f [u8], Value<'f>)> + Clone,
    );
}

/// A batch of line protocol.
pub(super) struct Lines<'l> {
    pub(super) text: &'l [u8],
    pub(super) precision: Precision,
    pub(super) now_ns: i64,
}

impl Points for Lines<'_> {
    /// Once a line is no point, the rest is looked at for others of that kind alone.
    fn each(&self, parser: &mut Parser, take: &mut impl Take) -> Result<(), WriteError> {
        let (mut told, mut number) = (Told::default(), 0u32);
        let mut lines = parser.lines(self.text, self.precision, self.now_ns);
        while let Some(line) = lines.next_line() {
            number = number.saturating_add(1);
            match line {
                Ok(line) if told.is_empty() => {
                    let fields = line.fields().map(|field| (field.key, value(field.value)));
                    take.take(number, line.key(), line.measurement().len(), line.time_ns(), fields);
                }
                Ok(_) => {}
                Err(error) => told.push(&error),
            }
        }
        told.into_text().map_or(Ok(()), |text| Err(WriteError::Lines(text)))
    }
}

impl Points for [Point] {
    fn each(&self, _: &mut Parser, take: &mut impl Take) -> Result<(), WriteError> {
        for (point, number) in self.iter().zip(1..) {
            let key =
                point.series_key().map_err(|source| WriteError::Database(Error::Point { number, source }))?;
            let measurement_len = series::SeriesKey::new(&key).measurement().as_stored().len();
            take.take(number, &key, measurement_len, point.time_ns(), point.fields());
        }
        Ok(())
    }
}

/// A request on its way into batches.
///
/// Its points are gone through once more when a shard group is missing, or when some turn out to be older than what
/// retention keeps: influxd takes those whose group another point of the request needs.
#[derive(Debug)]
pub(super) struct Filling {
    now_ns: i64,
    /// Shards that take old points too: another point of the request goes there. `None` before the first look.
    needed: Option<Vec<u64>>,
    rejected: Vec<Rejected>,
    outdated: Option<Outdated>,
}

impl Filling {
    pub(super) fn new(now_ns: i64) -> Self {
        Self { now_ns, needed: None, rejected: Vec::new(), outdated: None }
    }

    /// Fills the batches. Returns the times that have no shard group yet; with any, the batches are not complete.
    ///
    /// # Errors
    /// What is no point.
    pub(super) fn run(
        &mut self,
        points: &(impl Points + ?Sized),
        buffers: &mut Buffers,
        groups: &ShardGroups,
    ) -> Result<Vec<i64>, WriteError> {
        let missing = self.pass(points, buffers, groups)?;
        if missing.is_empty() && self.outdated.is_some() && self.needed.is_none() {
            self.needed = Some(buffers.batches.iter().map(|(shard, _)| *shard).collect());
            return self.pass(points, buffers, groups);
        }
        Ok(missing)
    }

    fn pass(
        &mut self,
        points: &(impl Points + ?Sized),
        buffers: &mut Buffers,
        groups: &ShardGroups,
    ) -> Result<Vec<i64>, WriteError> {
        buffers.clear();
        self.rejected.clear();
        self.outdated = None;
        let mut parser = std::mem::take(&mut buffers.parser);
        let oldest_ns = groups.oldest_kept_ns(self.now_ns).unwrap_or(i64::MIN);
        let mut pass = Pass { filling: self, buffers, groups, oldest_ns, place: None, missing: Vec::new() };
        let done = points.each(&mut parser, &mut pass);
        let missing = pass.missing;
        buffers.parser = parser;
        done.map(|()| missing)
    }

    fn reject(&mut self, batch: usize, line: u32, reason: Reason) {
        self.rejected.push(Rejected { batch, line, points: 1, reason });
    }

    /// What the answer says of points that were left out: of the first shard that left any out, its first reason and how
    /// many they were there; else of a field that was; else of points that retention does not keep.
    pub(super) fn partial(
        mut self,
        buffers: &Buffers,
        written: &[Written],
        bucket: &str,
        groups: &ShardGroups,
    ) -> Option<Partial> {
        for (batch, part) in written.iter().enumerate() {
            let line_of = |point: usize| buffers.lines.get(batch).and_then(|lines| lines.get(point)).copied();
            self.rejected.extend(part.conflicts.iter().map(|conflict| Rejected {
                batch,
                line: line_of(conflict.first).unwrap_or(0),
                points: conflict.points,
                reason: Reason::conflict(conflict),
            }));
        }
        let dropped = || self.rejected.iter().filter(|rejected| rejected.reason.drops());
        if let Some(first) = dropped().min_by_key(|rejected| (rejected.batch, rejected.line)) {
            let in_batch = dropped().filter(|rejected| rejected.batch == first.batch);
            let points = in_batch.map(|rejected| rejected.points).sum();
            return Some(Partial { reason: first.reason.to_string(), dropped: points, bucket: None });
        }
        let bucket = Some(bucket.to_owned());
        if let Some(stripped) = self.rejected.last() {
            return Some(Partial { reason: stripped.reason.to_string(), dropped: 0, bucket });
        }
        let outdated = self.outdated?;
        Some(Partial { reason: outdated.text(groups.retention_ns()), dropped: outdated.points, bucket })
    }
}

/// One way through the points of a request.
struct Pass<'a> {
    filling: &'a mut Filling,
    buffers: &'a mut Buffers,
    groups: &'a ShardGroups,
    oldest_ns: i64,
    /// The slice of time that the point before was in, and the place of its batch, if it has one.
    place: Option<(Slice, Option<usize>)>,
    missing: Vec<i64>,
}

impl Take for Pass<'_> {
    fn take<'f>(
        &mut self,
        number: u32,
        key: &[u8],
        measurement_len: usize,
        time_ns: i64,
        fields: impl Iterator<Item = (&'f [u8], Value<'f>)> + Clone,
    ) {
        if !self.place.is_some_and(|(slice, _)| (slice.start_ns..slice.end_ns).contains(&time_ns)) {
            self.place = self.groups.slice_at(time_ns).map(|slice| (slice, None));
        }
        if time_ns < self.oldest_ns && !self.is_needed() {
            return Outdated::add(&mut self.filling.outdated, key, time_ns, self.oldest_ns);
        }
        match &mut self.place {
            None => self.missing.push(time_ns),
            Some((slice, place)) => {
                let at = *place.get_or_insert_with(|| self.buffers.place_of(slice.shard.0));
                self.put(at, number, key, measurement_len, time_ns, fields);
            }
        }
    }
}

impl Pass<'_> {
    fn is_needed(&self) -> bool {
        let shard = self.place.map(|(slice, _)| slice.shard.0);
        shard.is_some_and(|shard| self.filling.needed.as_ref().is_some_and(|needed| needed.contains(&shard)))
    }

    /// Puts a point into the batch at a place, or says why not.
    fn put<'f>(
        &mut self,
        at: usize,
        number: u32,
        key: &[u8],
        measurement_len: usize,
        time_ns: i64,
        fields: impl Iterator<Item = (&'f [u8], Value<'f>)> + Clone,
    ) {
        let Buffers { batches, lines, .. } = &mut *self.buffers;
        let (Some((_, batch)), Some(numbers)) = (batches.get_mut(at), lines.get_mut(at)) else { return };
        let measurement = key.get(..measurement_len).unwrap_or_default();
        let mut has_time = false;
        for (name, value) in fields.clone() {
            has_time |= name == TIME;
            if let Value::String(text) = value
                && text.len() > STRING_LEN_MAX
            {
                return self.filling.reject(at, number, Reason::too_long(name, measurement, text.len()));
            }
        }
        let outcome = match has_time {
            false => batch.point(key, measurement_len, time_ns, fields),
            true => batch.point(key, measurement_len, time_ns, fields.filter(|(name, _)| *name != TIME)),
        };
        match outcome {
            Ok(()) => numbers.push(number),
            Err(Refused::NoFields) => self.filling.reject(at, number, Reason::only_time(measurement)),
            Err(refused) => self.filling.reject(at, number, Reason::refused(&refused, measurement)),
        }
        if has_time && outcome.is_ok() {
            self.filling.reject(at, number, Reason::stripped(measurement));
        }
    }
}

fn value(value: icecore_lineprotocol::Value<'_>) -> Value<'_> {
    match value {
        icecore_lineprotocol::Value::Float(value) => Value::Float(value),
        icecore_lineprotocol::Value::Integer(value) => Value::Integer(value),
        icecore_lineprotocol::Value::Unsigned(value) => Value::Unsigned(value),
        icecore_lineprotocol::Value::Boolean(value) => Value::Boolean(value),
        icecore_lineprotocol::Value::String(value) => Value::String(value),
    }
}
