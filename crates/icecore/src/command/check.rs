//! `icecore check`: is every page of a Bolt file as it must be?

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use icecore_kvstore::Report;
use serde::Serialize;

use super::human::{Bytes, Count, counted};
use super::{Failure, bolt, doing};

/// Check every page of a Bolt file (influxd.bolt)
///
/// Structure, order of keys within and across pages, pages that are used twice or lost, the list of free pages; where
/// FILE.sums lies beside it, also every byte of the pages in use. A file that a running influxd holds is copied into memory
/// first, whole or not at all, and not compared with FILE.sums.
///
/// Exit code: 0 it is sound, 4 something is damaged, 1 it could not be read, 2 wrong usage (no such file).
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A BoltDB file
    file: PathBuf,
    /// Also make FILE.sums, the digests of all pages, once the file was found sound: later checks find every flipped bit.
    /// They hold until another program writes to the file
    #[arg(long)]
    keep_digests: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ReportJson {
    verdict: &'static str,
    transaction: u64,
    page_size: u32,
    pages: u64,
    used: u64,
    free: u64,
    buckets: u64,
    pairs: u64,
    /// Pages that were compared with their digests.
    digests: Option<u64>,
    #[serde(flatten)]
    findings: bolt::FindingsJson,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let view = match arguments.keep_digests {
        true => bolt::open_with_digests(&arguments.file)?,
        false => bolt::open(&arguments.file)?,
    };
    let report = view.check();
    let mut out = BufWriter::new(io::stdout());
    let printed = if arguments.json {
        serde_json::to_writer(&mut out, &ReportJson::of(&report))
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        print(&mut out, &report)
    };
    printed.and_then(|()| out.flush()).map_err(doing("standard output cannot be written"))?;
    bolt::outcome(&arguments.file, &report)
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { txid, page_size, pages, used, free, buckets, pairs, .. } = report;
    let bytes = Bytes(pages.saturating_mul(u64::from(*page_size)));
    writeln!(
        out,
        "transaction {txid}, {}, {bytes}: {} used, {} free",
        counted(*pages, "page", "pages"),
        Count(*used),
        Count(*free)
    )?;
    writeln!(out, "{}, {}", counted(*buckets, "bucket", "buckets"), counted(*pairs, "pair", "pairs"))?;
    if let Some(pages) = report.digests {
        writeln!(out, "{} compared with their digests", counted(pages, "page", "pages"))?;
    }
    bolt::print_findings(out, report)?;
    writeln!(out, "{}", verdict(report))
}

fn verdict(report: &Report) -> &'static str {
    if report.is_clean() { "sound" } else { "DAMAGED" }
}

impl ReportJson {
    fn of(report: &Report) -> Self {
        let Report { txid, page_size, pages, used, free, buckets, pairs, digests, .. } = *report;
        let (transaction, findings) = (txid.get(), bolt::FindingsJson::of(report));
        let verdict = if report.is_clean() { "sound" } else { "damaged" };
        Self { verdict, transaction, page_size, pages, used, free, buckets, pairs, digests, findings }
    }
}
