//! A real influxd 2.9 and Icecore write to one directory by turns, each from where the other ended or crashed, and each
//! answers every value of both: new points, series, fields, measurements and shards, values written over, deletes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use icecore_tests::fixture::{self, KITCHEN_SINK, LAYERS};
use icecore_tests::http::Client;
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::process::Signal;
use icecore_tests::values::Values;
use icecore_tests::workload::{EXTREMES_NS, MONDAY_NS, WEEK_NS, Workload};
use icecore_tests::{flux, line_protocol, peers, tsm};
use serde_json::Value as Json;
use tempfile::TempDir;

const TOKEN: &str = "an-operator-token-of-tests";

/// A bucket and what it has to answer.
struct Bucket {
    name: String,
    org_id: String,
    keeps_everything: bool,
    expected: Values,
}

/// Who is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Icecore,
    Influxd,
}

/// A directory that changes hands.
struct Directory {
    influxd: PathBuf,
    dir: TempDir,
    token: &'static str,
    buckets: BTreeMap<String, Bucket>,
    workload: Workload,
}

impl Directory {
    fn of_fixture(influxd: PathBuf, fixture: &fixture::Fixture) -> Self {
        let dir = fixture.unpack();
        let server = Server::start_with(dir.path(), &["--read-only"]);
        let client = server.client().with_token(fixture.token);
        let buckets = fixture.buckets.iter().map(|id| (*id).to_owned());
        let buckets = buckets.map(|id| (id.clone(), bucket(&client, &id, fixture.expected(&id)))).collect();
        server.stop();
        Self { influxd, dir, token: fixture.token, buckets, workload: Workload::new(21) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&mut self, client: &Client, bucket: &str, lines: &str) {
        let known = self.buckets.get_mut(bucket).unwrap();
        client.write(&known.org_id, bucket, lines);
        known.expected.overwrite(line_protocol::parse_later_wins(lines));
    }

    /// Into every bucket: points over those that are there, and of series, fields, measurements and shards that are new.
    ///
    /// Not at the first time there is, if influxd takes them: started again it does not find the group of that time, and
    /// makes another one for it. It then answers what lies there twice (InfluxQL).
    fn write_everywhere(&mut self, client: &Client, round: i64, to: To) {
        for id in self.buckets.keys().cloned().collect::<Vec<_>>() {
            let mut lines = over(&self.buckets[&id].expected, round);
            for week in [0, 4, 8, 100 + round] {
                lines.push_str(&self.workload.lines(MONDAY_NS + week * WEEK_NS, 200));
            }
            for time_ns in EXTREMES_NS
                .into_iter()
                .filter(|_| self.buckets[&id].keeps_everything)
                .skip(usize::from(to == To::Influxd))
            {
                self.workload.line("cpu,host=a", time_ns, &mut lines);
            }
            for week in [0, 8, 100 + round] {
                let time_ns = MONDAY_NS + week * WEEK_NS + round;
                lines.push_str(&format!(
                    "cpu,host=h0,region=r2 new_{round}={round}i,other_{round}=\"{round}\" {time_ns}\n"
                ));
                lines.push_str(&format!("new\\ measurement\\ {round},round={round} f=-0,b=true {time_ns}\n"));
                lines.push_str(&format!("cpu,host=new-{round} f={round} {time_ns}\n"));
            }
            self.write(client, &id, &lines);
        }
    }

    /// Deletes through influxd, in every bucket.
    fn delete(&mut self, client: &Client, start_ns: i64, stop_ns: i64) {
        for (id, bucket) in &mut self.buckets {
            let at = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
            let body = serde_json::json!({"start": at(start_ns), "stop": at(stop_ns), "predicate": "_measurement=\"cpu\""});
            let target = format!("/api/v2/delete?orgID={}&bucketID={id}", bucket.org_id);
            let answer = client.send("POST", &target, &[], body.to_string().as_bytes());
            assert_eq!(answer.status, 204, "{}", answer.text());
            bucket.expected.delete(|series, _| match series.starts_with("cpu,") {
                true => vec![start_ns..=stop_ns],
                false => Vec::new(),
            });
        }
    }

    /// Asked by InfluxQL and by Flux.
    fn assert_influxd_answers(&self, client: &Client, when: &str) {
        for (id, bucket) in &self.buckets {
            let what = |how: &str| format!("{when}: {id} by {how}");
            influxd2::answered(client, id).assert_equal(&bucket.expected, &what("InfluxQL"));
            let reached = bucket.expected.within(&(i128::from(i64::MIN)..i128::from(i64::MAX - 1)));
            flux::values(client, &bucket.org_id, &bucket.name).assert_equal(&reached, &what("Flux"));
        }
    }

    fn assert_icecore_exports(&self, when: &str) {
        for (id, bucket) in &self.buckets {
            let found = Values::from_tsv(&icecore::export(self.path(), id, "tsv"));
            found.assert_equal(&bucket.expected, &format!("{when}: {id}, exported"));
        }
    }

    /// Icecore takes over, is written, and ends.
    fn icecore(&mut self, round: i64, end: Signal) {
        let when = format!("Icecore in round {round}");
        self.assert_icecore_exports(&format!("{when}, before"));
        let server = Server::start(self.path());
        let client = server.client().with_token(self.token);
        self.write_everywhere(&client, round, To::Icecore);
        let archives = fixture::archives(&client);
        assert!(!archives.is_empty());
        self.write_everywhere(&client, round, To::Icecore);
        let (status, log) = server.end_by(end);
        assert_eq!(status.success(), end == Signal::TERM, "{log}");
        assert!(!log.contains("ERROR"), "{log}");
        self.assert_icecore_exports(&when);
    }

    /// influxd takes over, is written, and ends gracefully or is killed.
    fn influxd(&mut self, round: i64, dies: bool) {
        let server = Influxd::start(&self.influxd, self.path());
        let client = server.client().with_token(self.token);
        self.assert_influxd_answers(&client, &format!("influxd in round {round}, at first"));
        self.write_everywhere(&client, round, To::Influxd);
        self.delete(&client, MONDAY_NS + round * 1_000_000_000, MONDAY_NS + (round + 5) * 1_000_000_000);
        self.write_everywhere(&client, round, To::Influxd);
        self.delete(&client, MONDAY_NS + 8 * WEEK_NS, MONDAY_NS + 8 * WEEK_NS + round * 2_000_000_000);
        self.assert_influxd_answers(&client, &format!("influxd in round {round}"));
        if dies { server.kill() } else { server.stop() }
    }

    /// influxd runs until it has replaced the files of every shard by a full compaction.
    fn influxd_compacts(&mut self, round: i64) {
        let before = tsm::paths(self.path());
        let flags = ["--storage-cache-snapshot-write-cold-duration", "1s"];
        let flags = [&flags[..], &["--storage-compact-full-write-cold-duration", "1s"]].concat();
        let server = Influxd::start_with(&self.influxd, self.path(), &flags);
        let client = server.client().with_token(self.token);
        self.write_everywhere(&client, round, To::Influxd);
        let (start, mut left) = (Instant::now(), before.len());
        while left > before.len() / 2 && start.elapsed() < Duration::from_secs(40) {
            std::thread::sleep(Duration::from_millis(200));
            left = before.iter().filter(|path| path.exists()).count();
        }
        println!("{left} of {} files are left by influxd's compactions", before.len());
        assert!(left < before.len(), "influxd compacted something");
        self.assert_influxd_answers(&client, "influxd that compacts");
        server.stop();
    }

    fn by_turns(&mut self) {
        self.icecore(1, Signal::TERM);
        self.influxd(2, false);
        self.icecore(3, Signal::KILL);
        self.icecore(4, Signal::TERM);
        self.influxd(5, true);
        self.icecore(6, Signal::TERM);
        self.influxd_compacts(7);
        self.icecore(8, Signal::TERM);
        self.influxd(9, false);
        self.assert_icecore_exports("at the end");
        let count: usize = self.buckets.values().map(|bucket| bucket.expected.len()).sum();
        println!("{count} values");
    }
}

fn bucket(client: &Client, id: &str, expected: Values) -> Bucket {
    let list: Json = serde_json::from_slice(&client.body_of(&format!("/api/v2/buckets?id={id}"))).unwrap();
    let text = |name: &str| list["buckets"][0][name].as_str().unwrap().to_owned();
    let keeps_everything = list["buckets"][0]["retentionRules"][0]["everySeconds"].as_u64() == Some(0);
    Bucket { name: text("name"), org_id: text("orgID"), keeps_everything, expected }
}

/// A point over the first and one over the last of every tenth column, of the type that it has.
fn over(expected: &Values, round: i64) -> String {
    let mut lines = String::new();
    for ((series, field), first, last) in expected.spans().step_by(10) {
        let column = expected.column(series, field);
        for time_ns in [first, last].into_iter().filter(|time_ns| *time_ns != EXTREMES_NS[0]) {
            let value = match &column[&time_ns] {
                icecore_tests::values::Value::Float(_) => format!("{round}.5"),
                icecore_tests::values::Value::Integer(_) => format!("{round}i"),
                icecore_tests::values::Value::Unsigned(_) => format!("{round}u"),
                icecore_tests::values::Value::Boolean(value) => (!value).to_string(),
                icecore_tests::values::Value::String(_) => format!("\"round {round}\""),
            };
            let field = field.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
            lines.push_str(&format!("{series} {field}={value} {time_ns}\n"));
        }
    }
    lines
}

#[test]
fn both_write_to_kitchen_sink_that_influxd_crashed_in() {
    let Some(influxd) = peers::influxd2() else { return };
    Directory::of_fixture(influxd, &KITCHEN_SINK).by_turns();
}

#[test]
fn both_write_to_layers_that_influxd_crashed_in() {
    let Some(influxd) = peers::influxd2() else { return };
    Directory::of_fixture(influxd, &LAYERS).by_turns();
}

#[test]
fn both_write_to_a_directory_that_influxd_made_and_crashed_in() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Influxd::start(&influxd, dir.path());
    influxd2::set_up(server.client(), TOKEN);
    let client = server.client().with_token(TOKEN);
    let id = influxd2::bucket_ids(&client)["first"].clone();
    let buckets = [(id.clone(), bucket(&client, &id, Values::default()))].into();
    let mut directory = Directory { influxd, dir, token: TOKEN, buckets, workload: Workload::new(22) };
    directory.write_everywhere(&client, 0, To::Influxd);
    server.kill();
    directory.by_turns();
}

#[test]
fn influxd_refuses_a_directory_whose_log_is_not_flushed_and_takes_it_afterwards() {
    let Some(influxd) = peers::influxd2() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    influxd2::set_up(server.client(), TOKEN);
    let client = server.client().with_token(TOKEN);
    let id = influxd2::bucket_ids(&client)["first"].clone();
    let buckets = [(id.clone(), bucket(&client, &id, Values::default()))].into();
    let mut directory = Directory { influxd, dir, token: TOKEN, buckets, workload: Workload::new(23) };
    directory.write_everywhere(&client, 1, To::Icecore);
    let (status, _) = server.end_by(Signal::KILL);
    assert_eq!(status.code(), None);

    for round in 2..4 {
        let log = Influxd::log_of_a_start_that_fails(&directory.influxd, directory.path());
        assert!(log.contains("_v0_icecore.wrr"), "{log}");
        directory.assert_icecore_exports("after influxd refused");
        // Whoever comes after that may go on writing, too.
        let server = Server::start(directory.path());
        directory.write_everywhere(&server.client().with_token(TOKEN), round, To::Icecore);
        server.end_by(Signal::KILL);
    }
    let log = Influxd::log_of_a_start_that_fails(&directory.influxd, directory.path());
    assert!(log.contains("_v0_icecore.wrr"), "{log}");
    let flushed = icecore::run_on("flush", directory.path(), &["--json"]);
    let flushed: Json = serde_json::from_str(&flushed).unwrap();
    assert_eq!(flushed["damaged"], 0);
    assert_eq!(flushed["shards"], flushed["files"].as_u64().map_or(0, |files| files.min(8)));
    directory.assert_icecore_exports("flushed");
    directory.influxd(5, false);
    directory.icecore(6, Signal::TERM);
    directory.influxd(7, false);
}
