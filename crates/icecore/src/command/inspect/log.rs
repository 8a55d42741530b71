//! `icecore inspect wal`.

use std::io::{BufWriter, Stdout, Write};
use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use icecore_tsm::verify::{self, Report, ShownKey};
use icecore_tsm::wal::Entry;
use icecore_tsm::{Column, Offset, TimeRange};
use serde::Serialize;

use super::{STDOUT, Written, finish, open, stdout};
use crate::command::human::{Count, Times, counted};
use crate::command::json::{Document, Key};
use crate::command::{Failure, doing};

/// Show the entries of a segment of a log: influxd's, or Icecore's own
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file _NNNNN.wal, or NNNNNNNN.iwal
    file: PathBuf,
    /// Show the keys of each entry, too
    #[arg(long)]
    keys: bool,
    /// Show the points of each record of Icecore's own log, too, as line protocol
    #[arg(long)]
    points: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.file.extension().is_some_and(|extension| extension == "iwal") {
        let show = super::own_log::Show { keys: arguments.keys, points: arguments.points };
        return super::own_log::run(&arguments.file, show, arguments.json);
    }
    if arguments.points {
        return Err(Failure::Usage("--points is for Icecore's own log, NNNNNNNN.iwal".to_owned()));
    }
    let file = open(&arguments.file)?;
    let mut out = stdout();
    // Whether it may have a torn tail depends on the segments beside it; alone, it may.
    let report = if arguments.json {
        let mut document = Document::new(&mut out, "entries");
        let report = verify::log_segment(&*file, true, |place, entry| {
            document.push(&EntryJson::of(&place, entry, arguments.keys));
        })?;
        document.finish("summary", &SummaryJson::of(&report)).map_err(doing(STDOUT))?;
        report
    } else {
        let mut written = Written::new();
        let report = verify::log_segment(&*file, true, |place, entry| {
            written.then(|| print(&mut out, &place, entry, arguments.keys));
        })?;
        written.then(|| print_summary(&mut out, &report));
        written.0.map_err(doing(STDOUT))?;
        report
    };
    finish(out, &report, &arguments.file)
}

/// From the first to the last time of any key.
fn range(groups: &[(Vec<u8>, Column)]) -> Option<TimeRange> {
    let times = || groups.iter().flat_map(|(_, column)| &column.times).copied();
    TimeRange::new(times().min()?, times().max()?).ok()
}

fn points(groups: &[(Vec<u8>, Column)]) -> u64 {
    groups.iter().map(|(_, column)| column.len() as u64).sum()
}

fn print(
    out: &mut BufWriter<Stdout>,
    place: &Range<Offset>,
    entry: &Entry,
    with_keys: bool,
) -> std::io::Result<()> {
    let bytes = place.end.get() - place.start.get();
    write!(out, "byte {:<10} {:>9} B  ", place.start.get(), Count(bytes))?;
    match entry {
        Entry::Write(groups) => {
            let keys = counted(groups.len() as u64, "key", "keys");
            write!(out, "write   {keys:>12}, {:<14}", counted(points(groups), "point", "points"))?;
            match range(groups) {
                Some(range) => writeln!(out, "  {}", Times(range.min(), range.max()))?,
                None => writeln!(out)?,
            }
            for (key, column) in groups.iter().filter(|_| with_keys) {
                let points = counted(column.len() as u64, "point", "points");
                writeln!(out, "    {:<8} {points:>12}  {}", column.kind().name(), ShownKey(key))?;
            }
        }
        Entry::Delete { range, keys } => {
            let counted = counted(keys.len() as u64, "key", "keys");
            writeln!(out, "delete  {counted:>12}  {:<14}  {}", "", Times(range.min(), range.max()))?;
            for key in keys.iter().filter(|_| with_keys) {
                writeln!(out, "    {}", ShownKey(key))?;
            }
        }
    }
    Ok(())
}

fn print_summary(out: &mut BufWriter<Stdout>, report: &Report) -> std::io::Result<()> {
    let entries = counted(report.counts.entries, "entry", "entries");
    let points = counted(report.counts.values, "point", "points");
    writeln!(out, "{entries}, {points}, {} bytes", Count(report.size))?;
    for note in report.notes.listed() {
        let torn = Count(report.size.saturating_sub(note.offset.get()));
        writeln!(out, "torn tail: {torn} bytes from byte {} on are an unfinished write", note.offset)?;
    }
    report
        .damage
        .listed()
        .iter()
        .try_for_each(|damage| writeln!(out, "damaged: {damage}; nothing behind it is read"))
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum EntryJson {
    Write {
        #[serde(flatten)]
        place: PlaceJson,
        keys: usize,
        points: u64,
        min_time: Option<i64>,
        max_time: Option<i64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        columns: Vec<ColumnJson>,
    },
    Delete {
        #[serde(flatten)]
        place: PlaceJson,
        keys: usize,
        min_time: i64,
        max_time: i64,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        deleted: Vec<Key>,
    },
}

#[derive(Serialize)]
struct PlaceJson {
    offset: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ColumnJson {
    #[serde(flatten)]
    key: Key,
    r#type: &'static str,
    points: usize,
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    entries: u64,
    points: u64,
    bytes: u64,
    torn_tail: Option<u64>,
    damage: Option<DamageJson<'a>>,
}

#[derive(Serialize)]
struct DamageJson<'a> {
    what: &'a str,
    offset: u64,
}

impl EntryJson {
    fn of(place: &Range<Offset>, entry: &Entry, with_keys: bool) -> Self {
        let bytes = place.end.get() - place.start.get();
        let place = PlaceJson { offset: place.start.get(), bytes };
        match entry {
            Entry::Write(groups) => {
                let range = range(groups);
                let columns = groups.iter().filter(|_| with_keys).map(|(key, column)| ColumnJson {
                    key: Key::of(key),
                    r#type: column.kind().name(),
                    points: column.len(),
                });
                Self::Write {
                    place,
                    keys: groups.len(),
                    points: points(groups),
                    min_time: range.map(TimeRange::min),
                    max_time: range.map(TimeRange::max),
                    columns: columns.collect(),
                }
            }
            Entry::Delete { range, keys } => {
                let deleted = keys.iter().filter(|_| with_keys).map(|key| Key::of(key)).collect();
                let (min_time, max_time) = (range.min(), range.max());
                Self::Delete { place, keys: keys.len(), min_time, max_time, deleted }
            }
        }
    }
}

impl<'a> SummaryJson<'a> {
    fn of(report: &'a Report) -> Self {
        let damage = report.damage.listed().first();
        Self {
            entries: report.counts.entries,
            points: report.counts.values,
            bytes: report.size,
            torn_tail: report.notes.listed().first().map(|note| note.offset.get()),
            damage: damage.map(|damage| DamageJson { what: damage.what, offset: damage.offset.get() }),
        }
    }
}
