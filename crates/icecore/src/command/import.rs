//! `icecore import`: line protocol into a bucket.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flate2::read::MultiGzDecoder;
use icecore::{Database, Id, Mode, Options, Precision};
use serde::Serialize;

use super::progress::Progress;
use super::{Failure, doing};
use crate::place::Place;

/// Bytes of lines that are written at once; a longer line is read whole.
const BATCH_LEN: usize = 1 << 20;
/// A line that is longer is refused.
const LINE_LEN_MAX: usize = 64 << 20;

/// Write line protocol into a bucket
///
/// Batches are durable one by one, so that an import that ends early can be repeated: the same points are there once. A
/// batch with a line that is no point is not written, and the import ends there.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The bucket, 16 hex digits
    #[arg(long, value_name = "ID")]
    bucket_id: String,
    /// What a unit of the timestamps is
    #[arg(long, value_enum, default_value = "ns")]
    precision: Unit,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Line protocol; compressed if the name ends in .gz; - for standard input
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unit {
    Ns,
    Us,
    Ms,
    S,
}

impl From<Unit> for Precision {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Ns => Self::Nanoseconds,
            Unit::Us => Self::Microseconds,
            Unit::Ms => Self::Milliseconds,
            Unit::S => Self::Seconds,
        }
    }
}

/// What was written.
#[derive(Debug, Default, Serialize)]
struct Imported {
    points: u64,
    values: u64,
    /// Batches of which not every point was taken.
    partial: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let bucket = arguments.bucket_id.to_ascii_lowercase();
    let bucket =
        bucket.parse().map_err(|_| Failure::Refused(format!("{bucket:?} is not the id of a bucket")))?;
    let mut source = Source::open(&arguments.file)?;
    let database = Database::open(arguments.place.paths(), Options::new(Mode::ReadWrite))?;
    let mut imported = Imported::default();
    let outcome = import(arguments, &database, bucket, &mut source, &mut imported);
    drop(source);
    // What is durable stays, whatever came behind it, and influxd can have the directory.
    let flushed = database.flush();
    outcome?;
    flushed?;
    match arguments.json {
        true => println!("{}", serde_json::json!(imported)),
        false => println!("{} points, {} values", imported.points, imported.values),
    }
    match imported.partial {
        0 => Ok(()),
        1 => Err(Failure::Refused("one batch was not taken whole".to_owned())),
        batches => Err(Failure::Refused(format!("{batches} batches were not taken whole"))),
    }
}

/// Writes batch after batch, and counts what is durable.
fn import(
    arguments: &Arguments,
    database: &Database,
    bucket: Id,
    source: &mut Source,
    imported: &mut Imported,
) -> Result<(), Failure> {
    while let Some(lines) = source.next()? {
        let report =
            database.write(bucket, lines, arguments.precision.into()).map_err(|error| match error {
                icecore::WriteError::Lines(text) => {
                    let (file, points) = (arguments.file.display(), imported.points);
                    Failure::Refused(format!("{file}: behind {points} points: {text}"))
                }
                icecore::WriteError::Database(error) => Failure::Database(error),
            })?;
        imported.points += report.points;
        imported.values += report.values;
        if let Some(partial) = report.partial {
            imported.partial += 1;
            tracing::warn!("{partial}");
        }
    }
    Ok(())
}

/// Whole lines of a file, a batch at a time.
struct Source {
    name: String,
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were handed out.
    taken: usize,
    ended: bool,
    progress: Progress,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
        let (reader, total): (Box<dyn Read>, _) = if name == "-" {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(doing(name.clone()))?;
            let size = file.metadata().map_err(doing(name.clone()))?.len();
            match is_gzip {
                true => (Box::new(MultiGzDecoder::new(file)), None),
                false => (Box::new(file), Some(size)),
            }
        };
        let progress = Progress::new("import", total);
        Ok(Self { name, reader, buffer: Vec::new(), taken: 0, ended: false, progress })
    }

    /// The next lines; `None` at the end.
    fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.buffer.drain(..self.taken);
        self.progress.add(self.taken as u64);
        self.taken = 0;
        let mut wanted = BATCH_LEN;
        while !self.ended {
            let before = self.buffer.len();
            let missing = wanted.saturating_sub(before) as u64;
            let read = self.reader.by_ref().take(missing).read_to_end(&mut self.buffer);
            read.map_err(doing(self.name.clone()))?;
            self.ended = self.buffer.len() < wanted;
            self.taken = icecore_lineprotocol::whole_lines(&self.buffer);
            if self.taken > 0 && !self.ended {
                break;
            }
            if wanted > LINE_LEN_MAX {
                return Err(Failure::Refused(format!(
                    "{}: a line of more than {LINE_LEN_MAX} bytes",
                    self.name
                )));
            }
            wanted *= 2;
        }
        if self.ended {
            self.taken = self.buffer.len();
        }
        Ok(self.buffer.get(..self.taken).filter(|lines| !lines.is_empty()))
    }
}
