//! Where the data lies: the flags and environment names of influxd, and one flag for all three parts.

use std::path::{Path, PathBuf};

use clap::Args;
use icecore::Paths;

/// Flags that name a data directory.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory with engine/, influxd.bolt and influxd.sqlite; default: ~/.influxdbv2
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Shards and their logs; default: engine/ in the data directory
    #[arg(long, value_name = "DIR", env = "INFLUXD_ENGINE_PATH")]
    engine_path: Option<PathBuf>,
    /// Key-value store; default: influxd.bolt in the data directory
    #[arg(long, value_name = "FILE", env = "INFLUXD_BOLT_PATH")]
    bolt_path: Option<PathBuf>,
    /// SQLite store; default: influxd.sqlite beside the key-value store
    #[arg(long, value_name = "FILE", env = "INFLUXD_SQLITE_PATH")]
    sqlite_path: Option<PathBuf>,
}

impl Place {
    /// The three paths. A part that is named alone wins over the directory; the SQLite store lies beside the Bolt file
    /// unless it is named, as with influxd.
    pub(crate) fn paths(&self) -> Paths {
        let dir = self.data_dir.clone().unwrap_or_else(|| match std::env::home_dir() {
            Some(home) => home.join(".influxdbv2"),
            None => PathBuf::from(".influxdbv2"),
        });
        let all = Paths::in_dir(&dir);
        let bolt = self.bolt_path.clone().unwrap_or(all.bolt);
        let beside_bolt = || bolt.parent().unwrap_or(Path::new("")).join("influxd.sqlite");
        Paths {
            engine: self.engine_path.clone().unwrap_or(all.engine),
            sqlite: self.sqlite_path.clone().unwrap_or_else(beside_bolt),
            bolt,
        }
    }
}
