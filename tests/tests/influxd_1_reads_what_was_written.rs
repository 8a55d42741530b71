//! influxd 1.6.7 opens the TSM files that Icecore wrote, and answers every value: of points that came over HTTP, with
//! flushes in between, and of points that were imported.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::Path;

use icecore_tests::archive::Files;
use icecore_tests::fixture;
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{bucket_ids, set_up};
use icecore_tests::manifest::{Bucket, Shard};
use icecore_tests::process::Signal;
use icecore_tests::values::Values;
use icecore_tests::workload::{EXTREMES_NS, MONDAY_NS, WEEK_NS, Workload};
use icecore_tests::{influxd1, line_protocol, peers, tsm};

const TOKEN: &str = "an-operator-token-of-tests";
const WEEKS: i64 = 5;

/// Lines in five shards and in the first and the last one that there can be.
fn lines(workload: &mut Workload, points: usize) -> String {
    let mut text = String::new();
    for week in [3, 0, 4, 1, 2] {
        text.push_str(&workload.lines(MONDAY_NS + week % WEEKS * WEEK_NS, points));
    }
    for time_ns in EXTREMES_NS {
        workload.line("cpu,host=a", time_ns, &mut text);
    }
    text
}

/// The TSM files of every shard as they lie in the directory, and nothing that lies beside them.
fn files(dir: &Path) -> Vec<(Shard, Files)> {
    let server = Server::start_with(dir, &["--read-only"]);
    let buckets = fixture::manifest(&server.client().with_token(TOKEN));
    server.stop();
    let shards = buckets.iter().flat_map(Bucket::shards);
    shards
        .map(|shard| {
            let folder = dir.join(format!("engine/data/{}/autogen/{}", shard.bucket_id, shard.id));
            let files = tsm::paths(&folder).into_iter().map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read(&path).unwrap())
            });
            (shard, files.collect())
        })
        .collect()
}

/// Every shard answers what lies in its times, and all together everything.
fn assert_influxd_1_answers(influxd: &Path, shards: &[(Shard, Files)], expected: &Values) {
    assert_eq!(shards.len(), 7);
    let found: BTreeMap<u64, Values> = influxd1::values_of(influxd, shards);
    let mut count = 0;
    for (shard, _) in shards {
        let expected = expected.within(&shard.times);
        assert!(!expected.is_empty());
        found[&shard.id].assert_equal(&expected, &format!("shard {}", shard.id));
        count += expected.len();
    }
    assert_eq!(count, expected.len());
    println!("{count} values");
}

#[test]
fn influxd_1_answers_every_value_that_came_over_http() {
    let Some(influxd) = peers::influxd1() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    set_up(server.client(), TOKEN);
    server.stop();
    let (mut workload, mut expected) = (Workload::new(11), Values::default());
    // The log is flushed by an end of the server, or it is killed and the next one goes on.
    for signal in [Signal::TERM, Signal::KILL, Signal::TERM, Signal::TERM] {
        let server = Server::start(dir.path());
        let client = server.client().with_token(TOKEN);
        for _ in 0..3 {
            let text = lines(&mut workload, 1000);
            client.write("main", "first", &text);
            expected.overwrite(line_protocol::parse_later_wins(&text));
        }
        server.end_by(signal);
    }
    let files = files(dir.path());
    let generations = files.iter().filter(|(_, files)| files.len() >= 3).count();
    assert_eq!(generations, 7, "later files lie over earlier ones in every shard");
    assert_influxd_1_answers(&influxd, &files, &expected);

    let server = Server::start(dir.path());
    let archives = fixture::archives(&server.client().with_token(TOKEN));
    server.stop();
    assert_influxd_1_answers(&influxd, &archives, &expected);
}

#[test]
fn influxd_1_answers_every_value_that_was_imported() {
    let Some(influxd) = peers::influxd1() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    set_up(server.client(), TOKEN);
    let bucket = bucket_ids(&server.client().with_token(TOKEN))["first"].clone();
    server.stop();
    let (mut workload, mut expected) = (Workload::new(12), Values::default());
    for round in 0..3 {
        let text = lines(&mut workload, 3000);
        let file = dir.path().join(format!("{round}.lp"));
        std::fs::write(&file, &text).unwrap();
        icecore::run_on("import", dir.path(), &["--bucket-id", &bucket, file.to_str().unwrap()]);
        expected.overwrite(line_protocol::parse_later_wins(&text));
    }
    let found = Values::from_tsv(&icecore::export(dir.path(), &bucket, "tsv"));
    found.assert_equal(&expected, "our own export");
    assert_influxd_1_answers(&influxd, &files(dir.path()), &expected);
}
