//! All values of a bucket as text, a value a line.

mod float;
mod in_order;
mod keys;
mod line_protocol;
mod rows;
mod time;
mod tsv;

use std::collections::BTreeMap;
use std::io::Write;

use icecore_catalog::ShardId;
use icecore_tsm::{BlockType, Column, Snapshot};

use crate::error::Error;
use in_order::Lines;
use keys::ShardKey;
use rows::Prefix;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Line protocol, one field a line, as `influxd inspect export-lp` prints it.
    LineProtocol,
    /// Series key, field, type, value and time, with tabs between: exact but for strings that
    /// are not UTF-8, sorted. For comparisons.
    Tsv,
}

/// Writes every value of the snapshots, shards of one bucket, to `out`: by series key, field and time. Merged from
/// all files of a shard, one value per time, deletes applied. Returns the number of values.
///
/// Keys are read and printed on all cores; `out` is written by the caller's thread, in large parts.
///
/// Memory: the list of all keys, the output that waits to be written (see [`in_order`]), and for each core the blocks of
/// a key whose times overlap.
///
/// # Errors
/// `Shard` for damage, which names the file; `Output` when `out` fails. What was written before stays written.
pub(crate) fn run(
    snapshots: &BTreeMap<ShardId, Snapshot>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u64, Error> {
    let keys = keys::list(snapshots.iter().map(|(id, snapshot)| (*id, snapshot)))?;
    let pieces: Vec<_> = keys::pieces(&keys).collect();
    let put_keys = |keys: &&[ShardKey<'_>], lines: &mut Lines<'_, Error>| {
        let mut prefix = Prefix::default();
        keys.iter().try_fold(0, |count, key| Ok(count + put_key(key, format, &mut prefix, lines)?))
    };
    let count = in_order::run(&pieces, put_keys, |part| out.write_all(part).map_err(Error::Output))?;
    out.flush().map_err(Error::Output)?;
    Ok(count)
}

/// Puts out the values of a key in a shard. Returns their number. `prefix` is memory to use again.
fn put_key(
    key: &ShardKey<'_>,
    format: Format,
    prefix: &mut Prefix,
    lines: &mut Lines<'_, Error>,
) -> Result<u64, Error> {
    let (series, field) = key.parts();
    let mut kind = None;
    let mut count = 0;
    let read = key.snapshot.read(key.composite, |column| {
        if kind.replace(column.kind()) != Some(column.kind()) {
            prefix.set(|out| format.put_prefix(series, field, column.kind(), out));
        }
        let mut at = 0;
        while !lines.is_stopped() {
            let put = format.put_rows(column, at, prefix, lines.buffer());
            if put == 0 {
                break;
            }
            at += put;
            lines.end_line();
        }
        count += at as u64;
        Ok(())
    });
    read.map_err(|source| Error::Shard { id: key.id, source })?;
    Ok(count)
}

impl Format {
    /// Appends what all lines of a key begin with.
    fn put_prefix(self, series: &[u8], field: &[u8], kind: BlockType, out: &mut Vec<u8>) {
        match self {
            Self::LineProtocol => line_protocol::put_prefix(series, field, out),
            Self::Tsv => tsv::put_prefix(series, field, kind, out),
        }
    }

    /// Appends lines of the points from `start` on, as [`rows::put`] does.
    fn put_rows(self, column: &Column, start: usize, prefix: &Prefix, out: &mut Vec<u8>) -> usize {
        match self {
            Self::LineProtocol => line_protocol::put_rows(column, start, prefix, out),
            Self::Tsv => tsv::put_rows(column, start, prefix, out),
        }
    }
}
