//! All values of a bucket as text, a value a line.

mod line_protocol;
mod tsv;

use std::collections::BTreeMap;
use std::io::{self, Write};

use icecore_catalog::ShardId;
use icecore_tsm::{Column, Snapshot, TimeRange, key};

use crate::error::Error;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Line protocol, one field a line, as `influxd inspect export-lp` prints it.
    LineProtocol,
    /// Series key, field, type, value and time, with tabs between: exact but for strings that
    /// are not UTF-8, sorted. For comparisons.
    Tsv,
}

/// Series key and field of a composite key; the order of the derive is the order of the export.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesField {
    series: Vec<u8>,
    field: Vec<u8>,
}

/// Writes every value of the snapshots, shards of one bucket, to `out`: by series key, field and time. Merged from
/// all files of a shard, one value per time, deletes applied. Returns the number of values.
///
/// Memory: the list of all keys, and the blocks of a key whose times overlap.
///
/// # Errors
/// `Shard` for damage, which names the file; `Output` when `out` fails. What was written before stays written.
pub(crate) fn run(
    snapshots: &BTreeMap<ShardId, Snapshot>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u64, Error> {
    let mut lines = Vec::new();
    let mut count = 0;
    for (SeriesField { series, field }, shards) in keys(snapshots)? {
        let composite = [&series, key::SEPARATOR, &field].concat();
        let prefix = match format {
            Format::LineProtocol => line_protocol::prefix(&series, &field),
            Format::Tsv => tsv::prefix(&series, &field),
        };
        for id in shards {
            let Some(snapshot) = snapshots.get(&id) else { continue };
            let mut failed = None;
            let read = snapshot.read(&composite, |column| {
                count += column.len() as u64;
                if failed.is_none() {
                    failed = put_lines(column, format, &prefix, &mut lines)
                        .and_then(|()| out.write_all(&lines))
                        .err();
                }
                Ok(())
            });
            read.map_err(|source| Error::Shard { id, source })?;
            failed.map_or(Ok(()), Err).map_err(Error::Output)?;
        }
    }
    out.flush().map_err(Error::Output)?;
    Ok(count)
}

/// All keys in the order of the export, each with the shards that have it, by the time their values begin.
fn keys(snapshots: &BTreeMap<ShardId, Snapshot>) -> Result<BTreeMap<SeriesField, Vec<ShardId>>, Error> {
    let mut by_time = Vec::with_capacity(snapshots.len());
    for (id, snapshot) in snapshots {
        let range = snapshot.range().map_err(|source| Error::Shard { id: *id, source })?;
        by_time.push((range.map(TimeRange::min), *id, snapshot));
    }
    by_time.sort_by_key(|(time, id, _)| (*time, *id));
    let mut keys: BTreeMap<SeriesField, Vec<ShardId>> = BTreeMap::new();
    for (_, id, snapshot) in by_time {
        let listed = snapshot.keys(|composite, _| {
            if let Some((series, field)) = key::split(composite) {
                keys.entry(SeriesField { series: series.to_vec(), field: field.to_vec() })
                    .or_default()
                    .push(id);
            }
            Ok(())
        });
        listed.map_err(|source| Error::Shard { id, source })?;
    }
    Ok(keys)
}

/// Replaces `lines` by the lines of a column.
fn put_lines(column: &Column, format: Format, prefix: &[u8], lines: &mut Vec<u8>) -> io::Result<()> {
    lines.clear();
    for (at, time) in column.times.iter().enumerate() {
        lines.extend_from_slice(prefix);
        match format {
            Format::LineProtocol => line_protocol::put_value(&column.values, at, lines)?,
            Format::Tsv => tsv::put_value(&column.values, at, lines)?,
        }
        lines.push(if format == Format::Tsv { b'\t' } else { b' ' });
        writeln!(lines, "{time}")?;
    }
    Ok(())
}

/// A column has as many values as times, so there is always one to write.
fn put<T>(value: Option<T>, write: impl FnOnce(T) -> io::Result<()>) -> io::Result<()> {
    value.map_or(Ok(()), write)
}
