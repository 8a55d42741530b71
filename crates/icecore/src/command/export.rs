//! `icecore export`: every value of a bucket as text.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use icecore::{Database, Mode, Options};

use super::{Failure, doing};
use crate::place::Place;

/// Write every value of a bucket as text, one a line; merged, deduplicated, deletes applied
///
/// The data directory is only read, its logs are replayed in memory, and a directory that a running server holds is
/// refused.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The bucket, 16 hex digits
    #[arg(long, value_name = "ID")]
    bucket_id: String,
    /// lp: line protocol, one field a line. tsv: series key, field, type, value, time; exact and sorted
    #[arg(long, value_enum)]
    format: Format,
    /// A new file, a pipe or device that exists, or - for standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Lp,
    Tsv,
}

impl From<Format> for icecore::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Lp => Self::LineProtocol,
            Format::Tsv => Self::Tsv,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { bucket_id, output, .. } = arguments;
    let database = Database::open(arguments.place.paths(), Options::new(Mode::ReadOnly))?;
    let bucket = bucket_id.to_ascii_lowercase();
    let count = if output.as_os_str() == "-" {
        database.export(&bucket, arguments.format.into(), &mut io::stdout().lock())?
    } else if is_special(output) {
        let file = File::options().write(true).open(output);
        let mut file = file.map_err(doing(output.display().to_string()))?;
        database.export(&bucket, arguments.format.into(), &mut file)?
    } else {
        to_file(&database, &bucket, arguments.format, output)?
    };
    tracing::info!(%bucket, values = count, "exported");
    Ok(())
}

/// Whether `path` is a pipe, a device or the like, which is written to and not replaced.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// Writes under a temporary name beside `path`, so that a file of that name is always whole; an old one stays until
/// the new one is.
fn to_file(database: &Database, bucket: &str, format: Format, path: &Path) -> Result<u64, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let written = write_file(database, bucket, format, &part).and_then(|count| {
        std::fs::rename(&part, path).map(|()| count).map_err(doing(path.display().to_string()))
    });
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn write_file(database: &Database, bucket: &str, format: Format, part: &Path) -> Result<u64, Failure> {
    let named = || doing(part.display().to_string());
    let mut file = File::create(part).map_err(named())?;
    let count = database.export(bucket, format.into(), &mut file)?;
    file.sync_all().map_err(named())?;
    Ok(count)
}
