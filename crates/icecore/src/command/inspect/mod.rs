//! `icecore inspect`: what is in a file of the engine.

mod bolt;
mod bolt_text;
mod log;
mod own_log;
mod tombstone;
mod tsm;
mod tsm_text;

use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use icecore_disk::{Disk as _, ReadAt, RealDisk};
use icecore_tsm::verify::Report;

use super::{Failure, doing};

/// Look into a file of the engine
///
/// Files are read from front to back and only read; damaged ones as far as they can be followed. Keys that are not plain
/// text are shown as b"…", with every other byte escaped. Exit code 4 when something is damaged.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Tsm(tsm::Arguments),
    Wal(log::Arguments),
    Tombstone(tombstone::Arguments),
    Bolt(bolt::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Tsm(arguments) => tsm::run(arguments),
        What::Wal(arguments) => log::run(arguments),
        What::Tombstone(arguments) => tombstone::run(arguments),
        What::Bolt(arguments) => bolt::run(arguments),
    }
}

const STDOUT: &str = "standard output cannot be written";

fn open(path: &Path) -> Result<Arc<dyn ReadAt>, Failure> {
    RealDisk.open(path).map_err(doing(path.display().to_string()))
}

fn stdout() -> BufWriter<Stdout> {
    BufWriter::new(io::stdout())
}

/// Writes what is still in the buffer. Damage is told last, and is the outcome.
fn finish(mut out: impl Write, report: &Report, file: &Path) -> Result<(), Failure> {
    out.flush().map_err(doing(STDOUT))?;
    match report.damage.listed().first() {
        Some(damage) => Err(Failure::Damaged(format!("{}: {damage}", file.display()))),
        None => Ok(()),
    }
}

/// Remembers the first write that failed; the reading around it goes on.
struct Written(io::Result<()>);

impl Written {
    fn new() -> Self {
        Self(Ok(()))
    }

    fn then(&mut self, write: impl FnOnce() -> io::Result<()>) {
        if self.0.is_ok() {
            self.0 = write();
        }
    }
}
