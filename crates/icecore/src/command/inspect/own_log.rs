//! `icecore inspect wal` of a segment of Icecore's own log.

use std::io::Write;
use std::path::Path;

use icecore_disk::RealDisk;
use icecore_tsm::verify::{self, LogRecord, Report};
use serde::Serialize;

use super::{STDOUT, Written, finish, stdout};
use crate::command::human::{Count, counted};
use crate::command::json::Document;
use crate::command::{Failure, doing};

pub(super) fn run(file: &Path, json: bool) -> Result<(), Failure> {
    let mut out = stdout();
    let report = if json {
        let mut document = Document::new(&mut out, "records");
        let report =
            verify::own_log_segment(&RealDisk, file, |record| document.push(&RecordJson::of(record)))?;
        document.finish("summary", &SummaryJson::of(&report)).map_err(doing(STDOUT))?;
        report
    } else {
        let mut written = Written::new();
        let report = verify::own_log_segment(&RealDisk, file, |record| {
            written.then(|| print(&mut out, record));
        })?;
        written.then(|| print_summary(&mut out, &report));
        written.0.map_err(doing(STDOUT))?;
        report
    };
    finish(out, &report, file)
}

fn print(out: &mut impl Write, record: &LogRecord) -> std::io::Result<()> {
    let LogRecord { number, ticket, at, size } = record;
    writeln!(out, "byte {:<10} {:>9} B  record {number}, ticket {ticket}", at.get(), Count(*size))
}

fn print_summary(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let records = counted(report.counts.entries, "record", "records");
    writeln!(out, "{records}, {} bytes", Count(report.size))?;
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
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    records: u64,
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
    fn of(record: &LogRecord) -> Self {
        let LogRecord { number, ticket, at, size } = *record;
        Self { offset: at.get(), bytes: size, number, ticket: ticket.get() }
    }
}

impl<'a> SummaryJson<'a> {
    fn of(report: &'a Report) -> Self {
        let damage = report.damage.listed().first();
        Self {
            records: report.counts.entries,
            bytes: report.size,
            torn_tail: report.notes.listed().first().map(|note| note.offset.get()),
            damage: damage.map(|damage| DamageJson { what: damage.what, offset: damage.offset.get() }),
        }
    }
}
