//! influxd 1.x as a reader of archives: TSM files are put into its shards, and it is asked for every value.
//!
//! Each archive gets a database of its own, so that the answer tells which shard a value came from. The server makes
//! the shard's folder when a first point is written; that point is taken out again while the server is down.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::archive::Files;
use crate::http::Client;
use crate::influxql;
use crate::manifest::Shard;
use crate::process::{Process, Signal, free_address};
use crate::values::Values;

/// The first nanosecond that a point may have.
const TIME_MIN_NS: i128 = i64::MIN as i128 + 2;
/// Ports are chosen before the server binds them, so another process can be faster.
const STARTS_MAX: usize = 5;

/// What influxd 1.x answers for each of the archives.
///
/// # Panics
/// When the server does not do what it is asked.
pub fn values_of(influxd: &Path, archives: &[(Shard, Files)]) -> BTreeMap<u64, Values> {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(influxd, &dir);
    let folders: Vec<_> = archives.iter().map(|(shard, _)| server.make_shard(shard)).collect();
    server.stop();
    for ((_, files), folder) in archives.iter().zip(&folders) {
        replace_contents(dir.path(), folder, files);
    }
    let server = Server::start(influxd, &dir);
    let values = archives
        .iter()
        .map(|(shard, _)| (shard.id, influxql::values(&server.client, &database(shard))))
        .collect();
    server.stop();
    values
}

fn database(shard: &Shard) -> String {
    format!("shard{}", shard.id)
}

/// `<database>/<policy>/<shard>`, below `data` and `wal`.
fn replace_contents(dir: &Path, folder: &str, files: &Files) {
    let data = dir.join("data").join(folder);
    for folder in [&data, &dir.join("wal").join(folder)] {
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    for (name, content) in files {
        std::fs::write(data.join(name), content).unwrap();
    }
}

struct Server {
    process: Process,
    client: Client,
}

impl Server {
    fn start(influxd: &Path, dir: &TempDir) -> Self {
        for _ in 0..STARTS_MAX {
            if let Some(server) = Self::try_start(influxd, dir.path()) {
                return server;
            }
        }
        panic!("influxd 1.x did not come up in {STARTS_MAX} attempts");
    }

    fn try_start(influxd: &Path, dir: &Path) -> Option<Self> {
        let client = Client::new(&free_address());
        let config = dir.join("influxd.conf");
        std::fs::write(&config, configuration(dir, client.address())).unwrap();
        let mut process = Process::spawn(Command::new(influxd).arg("-config").arg(&config));
        let up =
            |_: &str| client.try_send("GET", "/ping", &[], &[]).is_ok_and(|a| a.status == 204).then_some(());
        process.wait_until(up)?;
        Some(Self { process, client })
    }

    /// Makes a database with one shard for the times of `shard`; gives the folder that it has.
    fn make_shard(&self, shard: &Shard) -> String {
        let database = database(shard);
        let policy =
            format!("WITH DURATION INF REPLICATION 1 SHARD DURATION {}ns NAME autogen", shard.group_ns);
        influxql::query(&self.client, "", &format!("CREATE DATABASE {database} {policy}"));
        let point = format!("first_point v=0 {}", shard.times.start.max(TIME_MIN_NS));
        let answer = self.client.send("POST", &format!("/write?db={database}"), &[], point.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
        let shards = influxql::rows(&self.client, "", "SHOW SHARDS");
        let mut ids = shards.iter().filter(|row| row[1] == database).map(|row| &row[0]);
        let (Some(id), None) = (ids.next(), ids.next()) else { panic!("not one shard: {shards:?}") };
        format!("{database}/autogen/{id}")
    }

    /// SIGINT is the graceful one.
    fn stop(self) {
        let (status, log) = self.process.end_by(Signal::INT);
        assert!(status.success(), "{status}\n{log}");
    }
}

fn configuration(dir: &Path, http: &str) -> String {
    let rpc = free_address();
    let dir = dir.display();
    format!(
        r#"
reporting-disabled = true
bind-address = "{rpc}"
[meta]
dir = "{dir}/meta"
[data]
dir = "{dir}/data"
wal-dir = "{dir}/wal"
query-log-enabled = false
[http]
bind-address = "{http}"
log-enabled = false
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
"#
    )
}
