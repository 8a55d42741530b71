//! `icecore flush`: what only a log has goes into TSM files.

use clap::Args;
use icecore::{Database, Mode, Options};
use serde::Serialize;

use super::Failure;
use crate::place::Place;

/// Put all points that only a log has into TSM files, so that influxd can have the directory
///
/// Takes influxd's logs over, too. A directory that a running server holds is refused.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Flushed {
    shards: usize,
    damaged: usize,
    files: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let database = Database::open(arguments.place.paths(), Options::new(Mode::ReadWrite))?;
    database.flush()?;
    let shards = database.shards();
    let damaged = shards.iter().filter(|open| !open.shard.damage().is_empty()).count();
    let files = shards.iter().map(|open| open.shard.files_len()).sum();
    let flushed = Flushed { shards: shards.len(), damaged, files };
    match arguments.json {
        true => println!("{}", serde_json::json!(flushed)),
        false => println!("{} shards, {} files", flushed.shards, flushed.files),
    }
    match damaged {
        0 => Ok(()),
        1 => Err(Failure::Damaged("one damaged shard was left as it is".to_owned())),
        _ => Err(Failure::Damaged(format!("{damaged} damaged shards were left as they are"))),
    }
}
