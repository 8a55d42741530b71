//! `icecore inspect wal` of a segment of Icecore's own log.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use icecore_disk::RealDisk;
use icecore_tsm::verify::{self, LogRecord, Report, ShownKey};
use icecore_tsm::{Batch, BatchPoint, BlockType, Value, key};
use serde::Serialize;

use super::{STDOUT, Written, finish, stdout};
use crate::command::human::{Count, Times, counted};
use crate::command::json::{Document, Key};
use crate::command::{Failure, doing};

/// What is shown of each record beside its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) keys: bool,
    pub(super) points: bool,
}

pub(super) fn run(file: &Path, show: Show, json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    let report = if json {
        let mut document = Document::new(&mut out, "records");
        let report = verify::own_log_segment(&RealDisk, file, |record, batch| {
            document.push(&RecordJson::of(record, batch, show));
        })?;
        document.finish("summary", &SummaryJson::of(&report)).map_err(doing(STDOUT))?;
        report
    } else {
        let mut written = Written::new();
        let report = verify::own_log_segment(&RealDisk, file, |record, batch| {
            written.then(|| print(&mut out, record, batch, show));
        })?;
        written.then(|| print_summary(&mut out, &report));
        written.0.map_err(doing(STDOUT))?;
        report
    };
    finish(out, &report, file)
}

/// The first and the last time.
fn range(batch: &Batch) -> Option<(i64, i64)> {
    let times = || batch.points().map(|point| point.time_ns);
    Some((times().min()?, times().max()?))
}

/// Composite keys with type and number of values.
fn keys(batch: &Batch) -> BTreeMap<Vec<u8>, (BlockType, u64)> {
    let mut keys = BTreeMap::new();
    for point in batch.points() {
        for (field, value) in point.fields() {
            let composite = [point.series, key::SEPARATOR, field].concat();
            keys.entry(composite).or_insert((value.kind(), 0)).1 += 1;
        }
    }
    keys
}

/// A point as line protocol, with its time in nanoseconds.
fn line(point: &BatchPoint<'_>) -> Vec<u8> {
    let mut line = point.series.to_vec();
    for (nth, (field, value)) in point.fields().enumerate() {
        line.push(if nth == 0 { b' ' } else { b',' });
        put_escaped(field, b", =", &mut line);
        line.push(b'=');
        put_value(value, &mut line);
    }
    line.extend_from_slice(format!(" {}", point.time_ns).as_bytes());
    line
}

fn put_value(value: Value<'_>, line: &mut Vec<u8>) {
    let number = match value {
        Value::Float(value) => value.to_string(),
        Value::Integer(value) => format!("{value}i"),
        Value::Unsigned(value) => format!("{value}u"),
        Value::Boolean(value) => value.to_string(),
        Value::String(text) => {
            line.push(b'"');
            put_escaped(text, b"\"\\", line);
            return line.push(b'"');
        }
    };
    line.extend_from_slice(number.as_bytes());
}

fn put_escaped(text: &[u8], special: &[u8], line: &mut Vec<u8>) {
    for byte in text {
        if special.contains(byte) {
            line.push(b'\\');
        }
        line.push(*byte);
    }
}

fn print(out: &mut impl Write, record: &LogRecord, batch: &Batch, show: Show) -> std::io::Result<()> {
    let LogRecord { number, ticket, at, size } = record;
    write!(out, "byte {:<10} {:>9} B  record {number}, ticket {ticket}: ", at.get(), Count(*size))?;
    let points = counted(batch.len() as u64, "point", "points");
    write!(out, "{points}, {}", counted(batch.values(), "value", "values"))?;
    match range(batch) {
        Some((min, max)) => writeln!(out, "  {}", Times(min, max))?,
        None => writeln!(out)?,
    }
    if show.keys {
        for (composite, (kind, count)) in keys(batch) {
            let values = counted(count, "value", "values");
            writeln!(out, "    {:<8} {values:>12}  {}", kind.name(), ShownKey(&composite))?;
        }
    }
    if show.points {
        for point in batch.points() {
            match String::from_utf8(line(&point)) {
                Ok(text) if !text.contains(char::is_control) => writeln!(out, "    {text}")?,
                Ok(text) => writeln!(out, "    b\"{}\"", text.as_bytes().escape_ascii())?,
                Err(error) => writeln!(out, "    b\"{}\"", error.as_bytes().escape_ascii())?,
            }
        }
    }
    Ok(())
}

fn print_summary(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let records = counted(report.counts.entries, "record", "records");
    let values = counted(report.counts.values, "value", "values");
    writeln!(out, "{records}, {values}, {} bytes", Count(report.size))?;
    for note in report.notes.listed() {
        writeln!(out, "torn tail: nothing says that what begins at byte {} was acknowledged", note.offset)?;
    }
    let mut damage = report.damage.listed().iter();
    damage.try_for_each(|damage| writeln!(out, "damaged: {damage}; nothing behind it is read"))
}

#[derive(Serialize)]
struct RecordJson {
    offset: u64,
    bytes: u64,
    number: u64,
    ticket: u64,
    points: usize,
    values: u64,
    min_time: Option<i64>,
    max_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineJson>>,
}

#[derive(Serialize)]
struct ColumnJson {
    #[serde(flatten)]
    key: Key,
    r#type: &'static str,
    values: u64,
}

/// As text, where it is UTF-8; otherwise what can be shown of it, and all of it in hexadecimal digits.
#[derive(Serialize)]
struct LineJson {
    line: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_hex: Option<String>,
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    records: u64,
    values: u64,
    bytes: u64,
    torn_tail: Option<u64>,
    damage: Option<DamageJson<'a>>,
}

#[derive(Serialize)]
struct DamageJson<'a> {
    what: &'a str,
    offset: u64,
}

impl RecordJson {
    fn of(record: &LogRecord, batch: &Batch, show: Show) -> Self {
        let LogRecord { number, ticket, at, size } = *record;
        let range = range(batch);
        let column = |(composite, (kind, values)): (Vec<u8>, (BlockType, u64))| ColumnJson {
            key: Key::of(&composite),
            r#type: kind.name(),
            values,
        };
        Self {
            offset: at.get(),
            bytes: size,
            number,
            ticket: ticket.get(),
            points: batch.len(),
            values: batch.values(),
            min_time: range.map(|(min, _)| min),
            max_time: range.map(|(_, max)| max),
            columns: show.keys.then(|| keys(batch).into_iter().map(column).collect()),
            lines: show.points.then(|| batch.points().map(|point| LineJson::of(line(&point))).collect()),
        }
    }
}

impl LineJson {
    fn of(line: Vec<u8>) -> Self {
        match String::from_utf8(line) {
            Ok(line) => Self { line, line_hex: None },
            Err(error) => {
                let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                Self { line: String::from_utf8_lossy(error.as_bytes()).into_owned(), line_hex: Some(hex) }
            }
        }
    }
}

impl<'a> SummaryJson<'a> {
    fn of(report: &'a Report) -> Self {
        let damage = report.damage.listed().first();
        Self {
            records: report.counts.entries,
            values: report.counts.values,
            bytes: report.size,
            torn_tail: report.notes.listed().first().map(|note| note.offset.get()),
            damage: damage.map(|damage| DamageJson { what: damage.what, offset: damage.offset.get() }),
        }
    }
}
