//! `icecore verify`: is everything in a directory or a backup as it must be?

use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use icecore_backup::verify::{self as check, FileReport, Finding, Findings, Options, Summary, Verdict};
use serde::Serialize;

use super::human::{Bytes, Count, counted};
use super::json::{Document, Key};
use super::{Failure, doing};

/// Find everything that is damaged in data directories, files and backups
///
/// PATH is a TSM file, a tombstone, a log segment, influxd.bolt or influxd.sqlite; a directory with any of these below it
/// (a shard, an engine, a whole data directory, also one that a running influxd holds); an archive of a shard (.tar,
/// .tar.gz); or a directory that `influx backup` wrote. The files of a shard that Icecore wrote are held to its
/// icecore.manifest; where influxd has run since, what it changed is a note.
///
/// Nothing is written and no lock is taken. Every damaged place is a line `path: what at byte N (key …)`; what is odd
/// but loses nothing is a line that begins with `note:`.
///
/// Exit code: 0 everything is sound, 4 something is damaged, 1 something could not be read, 2 wrong usage (no such path,
/// or nothing there that can be verified).
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and directories
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// checksum: the index, and the checksum of every block, as `influxd inspect verify-tsm`. decode: also what is in each
    /// block: type, times and number of values
    #[arg(long, value_enum, default_value_t = Depth::Decode)]
    depth: Depth,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Threads; default: one for each core
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Depth {
    Checksum,
    Decode,
}

impl Depth {
    const fn name(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Decode => "decode",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let default = Options::default();
    let depth = match arguments.depth {
        Depth::Checksum => check::Depth::Checksum,
        Depth::Decode => check::Depth::Decode,
    };
    let options = Options { depth, threads: arguments.threads.unwrap_or(default.threads), ..default };
    let start = Instant::now();
    let mut out = BufWriter::new(io::stdout());
    let mut written = Ok(());
    let summary = match arguments.json {
        false => {
            let summary = check::verify(&arguments.paths, &options, &mut |report| {
                if written.is_ok() {
                    written = print(&mut out, report);
                }
            })?;
            written
                .and_then(|()| print_summary(&mut out, &summary, arguments.depth, start))
                .map_err(doing(STDOUT))?;
            summary
        }
        true => {
            let mut document = Document::new(&mut out, "files");
            let summary = check::verify(&arguments.paths, &options, &mut |report| {
                document.push(&FileJson::of(report, arguments.depth));
            })?;
            let tail = SummaryJson::of(&summary, arguments.depth, start);
            document.finish("summary", &tail).map_err(doing(STDOUT))?;
            summary
        }
    };
    out.flush().map_err(doing(STDOUT))?;
    match summary.verdict() {
        Verdict::Sound => Ok(()),
        Verdict::Damaged => Err(Failure::Damaged(damage_in_words(&summary))),
        Verdict::Unreadable => Err(Failure::Refused(format!(
            "{} could not be read",
            counted(summary.unreadable, "place", "places")
        ))),
    }
}

const STDOUT: &str = "standard output cannot be written";

fn print(out: &mut impl Write, report: &FileReport) -> io::Result<()> {
    let name = report.name();
    for (label, findings) in
        [("", &report.damage), ("unreadable: ", &report.unreadable), ("note: ", &report.notes)]
    {
        for finding in &findings.listed {
            writeln!(out, "{label}{name}: {finding}")?;
        }
        if findings.unlisted > 0 {
            writeln!(out, "{label}{name}: {} more like these", Count(findings.unlisted))?;
        }
    }
    Ok(())
}

fn damage_in_words(summary: &Summary) -> String {
    let places = counted(summary.damage, "damaged place", "damaged places");
    format!("{places} in {}", counted(summary.damaged_files, "file", "files"))
}

fn print_summary(out: &mut impl Write, summary: &Summary, depth: Depth, start: Instant) -> io::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    let check::Counts { keys, blocks, values, deletes, entries, .. } = summary.counts;
    let held = [
        (keys, "key", "keys"),
        (blocks, "block", "blocks"),
        (values, "value", "values"),
        (deletes, "delete", "deletes"),
        (entries, "log entry", "log entries"),
    ];
    let held: Vec<_> =
        held.iter().filter(|(n, ..)| *n > 0).map(|(n, one, many)| counted(*n, one, many)).collect();
    let files = counted(summary.files, "file", "files");
    write!(out, "{files}, {}", Bytes(summary.bytes))?;
    writeln!(out, "{}{}", if held.is_empty() { "" } else { ": " }, held.join(", "))?;
    if !summary.not_verified.is_empty() {
        let seen: Vec<_> =
            summary.not_verified.iter().map(|(what, n)| format!("{what} ({})", Count(*n))).collect();
        writeln!(out, "not verified: {}", seen.join(", "))?;
    }
    if summary.unlisted_archives > 0 {
        let archives = counted(summary.unlisted_archives, "archive has", "archives have");
        writeln!(out, "{archives} no list of files, so a missing file is not noticed")?;
    }
    let rate = summary.bytes as f64 / 1e9 / seconds.max(1e-9);
    writeln!(out, "depth {}, {seconds:.3} s, {rate:.2} GB/s", depth.name())?;
    let verdict = match summary.verdict() {
        Verdict::Sound => "sound".to_owned(),
        Verdict::Damaged => format!("DAMAGED: {}", damage_in_words(summary)),
        Verdict::Unreadable => "NOT KNOWN: not everything could be read".to_owned(),
    };
    writeln!(out, "{verdict}")
}

#[derive(Serialize)]
struct FileJson<'a> {
    path: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    kind: &'static str,
    verdict: &'static str,
    bytes: u64,
    #[serde(flatten)]
    counts: CountsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    damage: FindingsJson<'a>,
    unreadable: FindingsJson<'a>,
    notes: FindingsJson<'a>,
}

/// What a file of this kind can have; the rest is left out.
#[derive(Default, Serialize)]
struct CountsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

#[derive(Serialize)]
struct FindingsJson<'a> {
    count: u64,
    listed: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    kind: &'static str,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
}

#[derive(Serialize)]
struct SummaryJson {
    verdict: &'static str,
    depth: &'static str,
    files: u64,
    bytes: u64,
    #[serde(flatten)]
    counts: CountsJson,
    damaged_files: u64,
    damage: u64,
    unreadable: u64,
    notes: u64,
    archives_without_list: u64,
    not_verified: std::collections::BTreeMap<&'static str, u64>,
    seconds: f64,
}

impl CountsJson {
    fn of(kind: check::FileKind, counts: &check::Counts, depth: Depth) -> Self {
        let check::Counts { keys, blocks, values, deletes, entries, .. } = *counts;
        let is_log = matches!(kind, check::FileKind::Log | check::FileKind::OwnLog);
        let values = (depth == Depth::Decode || is_log).then_some(values);
        match kind {
            check::FileKind::Tsm => {
                Self { keys: Some(keys), blocks: Some(blocks), values, ..Self::default() }
            }
            check::FileKind::Tombstone => Self { deletes: Some(deletes), ..Self::default() },
            check::FileKind::Log | check::FileKind::OwnLog => {
                Self { entries: Some(entries), values, ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

impl<'a> FileJson<'a> {
    fn of(report: &'a FileReport, depth: Depth) -> Self {
        let verdict = match (report.damage.is_empty(), report.unreadable.is_empty()) {
            (true, true) => Verdict::Sound,
            (true, false) => Verdict::Unreadable,
            (false, _) => Verdict::Damaged,
        };
        Self {
            path: report.path.to_string_lossy(),
            member: report.member.as_deref(),
            kind: report.kind.name(),
            verdict: verdict.name(),
            bytes: report.size,
            counts: CountsJson::of(report.kind, &report.counts, depth),
            blake3: report.digest.map(|digest| digest.to_hex().to_string()),
            damage: FindingsJson::of(&report.damage),
            unreadable: FindingsJson::of(&report.unreadable),
            notes: FindingsJson::of(&report.notes),
        }
    }
}

impl<'a> FindingsJson<'a> {
    fn of(findings: &'a Findings) -> Self {
        let listed = findings.listed.iter().map(|Finding { kind, what, offset, key }| FindingJson {
            kind,
            what,
            offset: *offset,
            key: key.as_deref().map(Key::of),
        });
        Self { count: findings.count(), listed: listed.collect() }
    }
}

impl SummaryJson {
    fn of(summary: &Summary, depth: Depth, start: Instant) -> Self {
        let check::Counts { keys, blocks, values, deletes, entries, .. } = summary.counts;
        Self {
            verdict: summary.verdict().name(),
            depth: depth.name(),
            files: summary.files,
            bytes: summary.bytes,
            counts: CountsJson {
                keys: Some(keys),
                blocks: Some(blocks),
                values: (depth == Depth::Decode).then_some(values),
                deletes: Some(deletes),
                entries: Some(entries),
            },
            damaged_files: summary.damaged_files,
            damage: summary.damage,
            unreadable: summary.unreadable,
            notes: summary.notes,
            archives_without_list: summary.unlisted_archives,
            not_verified: summary.not_verified.clone(),
            seconds: start.elapsed().as_secs_f64(),
        }
    }
}
