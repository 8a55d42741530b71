//! From lines to one batch for each shard.

use icecore_catalog::{ShardGroups, Slice};
use icecore_lineprotocol::{Line, Precision};
use icecore_tsm::{Refused, Value, Written};

use super::WriteError;
use super::buffers::Buffers;
use super::rejected::{Outdated, Partial, Reason, Rejected};
use super::told::Told;

/// The longest string that influxd takes as a value.
const STRING_LEN_MAX: usize = 1 << 20;
/// A field of this name cannot be queried; influxd says so and stores it all the same.
const TIME: &[u8] = b"time";

/// A request on its way into batches.
///
/// Its lines are parsed once more when a shard group is missing, or when points turn out to be older than what retention
/// keeps: influxd takes those whose group another point of the request needs.
#[derive(Debug)]
pub(super) struct Filling<'l> {
    lines: &'l [u8],
    precision: Precision,
    now_ns: i64,
    /// Shards that take old points too: another point of the request goes there. `None` before the first look.
    needed: Option<Vec<u64>>,
    rejected: Vec<Rejected>,
    outdated: Option<Outdated>,
}

impl<'l> Filling<'l> {
    pub(super) fn new(lines: &'l [u8], precision: Precision, now_ns: i64) -> Self {
        Self { lines, precision, now_ns, needed: None, rejected: Vec::new(), outdated: None }
    }

    /// Fills the batches. Returns the times that have no shard group yet; with any, the batches are not complete.
    ///
    /// # Errors
    /// Every line that is no point.
    pub(super) fn run(
        &mut self,
        buffers: &mut Buffers,
        groups: &ShardGroups,
    ) -> Result<Vec<i64>, WriteError> {
        let missing = self.pass(buffers, groups)?;
        if missing.is_empty() && self.outdated.is_some() && self.needed.is_none() {
            self.needed = Some(buffers.batches.iter().map(|(shard, _)| *shard).collect());
            return self.pass(buffers, groups);
        }
        Ok(missing)
    }

    fn pass(&mut self, buffers: &mut Buffers, groups: &ShardGroups) -> Result<Vec<i64>, WriteError> {
        buffers.clear();
        self.rejected.clear();
        self.outdated = None;
        let oldest_ns = groups.oldest_kept_ns(self.now_ns).unwrap_or(i64::MIN);
        let (mut missing, mut errors) = (Vec::new(), Told::default());
        let mut place: Option<(Slice, usize)> = None;
        let mut parser = std::mem::take(&mut buffers.parser);
        let mut lines = parser.lines(self.lines, self.precision, self.now_ns);
        let mut number = 0u32;
        while let Some(line) = lines.next_line() {
            number = number.saturating_add(1);
            let line = match line {
                Ok(line) if errors.is_empty() => line,
                Ok(_) => continue,
                Err(error) => {
                    errors.push(&error);
                    continue;
                }
            };
            let time_ns = line.time_ns();
            if !place.is_some_and(|(slice, _)| (slice.start_ns..slice.end_ns).contains(&time_ns)) {
                let slice = groups.slice_at(time_ns);
                place = slice.map(|slice| (slice, usize::MAX));
            }
            if time_ns < oldest_ns && !self.is_needed(place) {
                Outdated::add(&mut self.outdated, line.key(), time_ns, oldest_ns);
                continue;
            }
            match &mut place {
                None => missing.push(time_ns),
                Some((slice, at)) => {
                    if *at == usize::MAX {
                        *at = buffers.place_of(slice.shard.0);
                    }
                    self.put(buffers, *at, number, &line);
                }
            }
        }
        buffers.parser = parser;
        errors.into_text().map_or(Ok(missing), |text| Err(WriteError::Lines(text)))
    }

    fn is_needed(&self, place: Option<(Slice, usize)>) -> bool {
        let shard = place.map(|(slice, _)| slice.shard.0);
        shard.is_some_and(|shard| self.needed.as_ref().is_some_and(|needed| needed.contains(&shard)))
    }

    /// Puts a point into the batch at a place, or says why not.
    fn put(&mut self, buffers: &mut Buffers, at: usize, number: u32, line: &Line<'_>) {
        let (Some((_, batch)), Some(numbers)) = (buffers.batches.get_mut(at), buffers.lines.get_mut(at))
        else {
            return;
        };
        let fields = line.fields().map(|field| (field.key, value(field.value)));
        let mut has_time = false;
        for (name, value) in fields.clone() {
            has_time |= name == TIME;
            if let Value::String(text) = value
                && text.len() > STRING_LEN_MAX
            {
                return self.reject(at, number, Reason::too_long(name, line.measurement(), text.len()));
            }
        }
        let (key, len, time_ns) = (line.key(), line.measurement().len(), line.time_ns());
        let outcome = match has_time {
            false => batch.point(key, len, time_ns, fields),
            true => batch.point(key, len, time_ns, fields.filter(|(name, _)| *name != TIME)),
        };
        match outcome {
            Ok(()) => {
                numbers.push(number);
                if has_time {
                    self.reject(at, number, Reason::stripped(line.measurement()));
                }
            }
            Err(Refused::NoFields) => self.reject(at, number, Reason::only_time(line.measurement())),
            Err(refused) => self.reject(at, number, Reason::refused(&refused, line.measurement())),
        }
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
        let first = |of: &[Rejected]| {
            of.iter()
                .filter(|rejected| rejected.reason.drops())
                .map(|rejected| (rejected.batch, rejected.line))
                .min()
        };
        if let Some((batch, line)) = first(&self.rejected) {
            let in_batch =
                self.rejected.iter().filter(|rejected| rejected.batch == batch && rejected.reason.drops());
            let dropped = in_batch.clone().map(|rejected| rejected.points).sum();
            let reason = in_batch.into_iter().find(|rejected| rejected.line == line)?;
            return Some(Partial { reason: reason.reason.to_string(), dropped, bucket: None });
        }
        let bucket = Some(bucket.to_owned());
        if let Some(stripped) = self.rejected.pop() {
            return Some(Partial { reason: stripped.reason.to_string(), dropped: 0, bucket });
        }
        let outdated = self.outdated?;
        Some(Partial { reason: outdated.text(groups.retention_ns()), dropped: outdated.points, bucket })
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
