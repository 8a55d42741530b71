//! `icecore inspect tombstone`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use icecore_tsm::verify::{self, ShownKey};
use serde::Serialize;

use super::{STDOUT, Written, finish, open, stdout};
use crate::command::human::{Count, Times, counted};
use crate::command::json::{Document, Key};
use crate::command::{Failure, doing};

/// Show the deletes beside a TSM file
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file G-S.tombstone
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct DeleteJson {
    #[serde(flatten)]
    key: Key,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    version: u8,
    deletes: u64,
    bytes: u64,
    damage: Option<&'a str>,
    damage_offset: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = open(&arguments.file)?;
    let version = verify::tombstone_version(&*file)?;
    let mut out = stdout();
    let report = if arguments.json {
        let mut document = Document::new(&mut out, "deletes");
        let report = verify::tombstone(&*file, |key, range| {
            document.push(&DeleteJson { key: Key::of(key), min_time: range.min(), max_time: range.max() });
        })?;
        let damage = report.damage.listed().first();
        let summary = SummaryJson {
            version,
            deletes: report.counts.deletes,
            bytes: report.size,
            damage: damage.map(|damage| damage.what),
            damage_offset: damage.map(|damage| damage.offset.get()),
        };
        document.finish("summary", &summary).map_err(doing(STDOUT))?;
        report
    } else {
        let mut written = Written::new();
        written.then(|| writeln!(out, "tombstone of version {version}"));
        let report = verify::tombstone(&*file, |key, range| {
            written.then(|| writeln!(out, "  {}  {}", ShownKey(key), Times(range.min(), range.max())));
        })?;
        written.then(|| {
            let deletes = counted(report.counts.deletes, "delete", "deletes");
            writeln!(out, "{deletes}, {} bytes", Count(report.size))?;
            report.damage.listed().iter().try_for_each(|damage| writeln!(out, "damaged: {damage}"))
        });
        written.0.map_err(doing(STDOUT))?;
        report
    };
    finish(out, &report, &arguments.file)
}
