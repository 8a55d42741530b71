//! `icecore serve` is killed while four connections write and a fifth takes backups, again and again, now and then while
//! it starts. After each kill every acknowledged value is there, of a write that was not acknowledged all or nothing in
//! each shard, and nothing that was never sent.
//!
//! `ICECORE_KILLS` is how often, `ICECORE_SEED` what is written and when; both are printed. Times differ from run to run
//! whatever the seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use icecore_database::{Database, Format, Mode, Options, Paths};
use icecore_testkit::Random;
use icecore_tests::http::Client;
use icecore_tests::icecore::{self, Server};
use icecore_tests::influxd2::{bucket_ids, set_up};
use icecore_tests::process::Signal;
use icecore_tests::values::{Value, Values};
use icecore_tests::workload::{MONDAY_NS, WEEK_NS};
use icecore_tests::{fixture, tsm};

const TOKEN: &str = "an-operator-token-of-tests";
const CONNECTIONS: usize = 4;
const WEEKS: i64 = 5;
/// Series and field, and when.
type Place = ((String, String), i64);

/// What one connection has written.
struct Writer {
    number: usize,
    random: Random,
    /// Every value carries the number of its batch.
    batch: i64,
    acknowledged: BTreeMap<Place, i64>,
    /// The batch that was on its way.
    pending: BTreeMap<Place, i64>,
    values: u64,
}

impl Writer {
    fn new(number: usize, seed: u64) -> Self {
        let random = Random::new(seed.wrapping_mul(1009).wrapping_add(number as u64));
        Self { number, random, batch: 0, acknowledged: BTreeMap::new(), pending: BTreeMap::new(), values: 0 }
    }

    /// Lines of a new batch, and what it puts where.
    fn next(&mut self) -> (String, BTreeMap<Place, i64>) {
        self.batch += 1;
        let (mut lines, mut places) = (String::new(), BTreeMap::new());
        let (number, batch) = (self.number, self.batch);
        let weeks = 1 + self.random.below(3);
        let most = if self.random.one_in(10) { 1000 } else { 50 };
        let points = 1 + self.random.below(most);
        for _ in 0..points {
            let series = match self.random.below(200) {
                0 => format!("m,client={number},new={}", batch % 100),
                some => format!("m,client={number},series={}", some % 4),
            };
            let week = i64::try_from(self.random.below(weeks)).unwrap() + batch;
            let step = i64::try_from(self.random.below(100)).unwrap();
            let time_ns = MONDAY_NS + week % WEEKS * WEEK_NS + step * 1_000_000_000;
            let padding = "x".repeat(self.random.below(40));
            writeln!(lines, "{series} v={batch}i,t=\"{batch} {padding}\" {time_ns}").unwrap();
            for field in ["v", "t"] {
                places.insert(((series.clone(), field.to_owned()), time_ns), batch);
            }
        }
        (lines, places)
    }

    /// Writes until the connection breaks.
    fn run(&mut self, client: &Client) {
        let Ok(mut connection) = client.connect() else { return };
        loop {
            let (lines, places) = self.next();
            self.pending = places;
            match connection.post("/api/v2/write?org=main&bucket=first", lines.as_bytes()) {
                Err(_) => return,
                Ok(answer) => assert_eq!(answer.status, 204, "{}", answer.text()),
            }
            self.values += self.pending.len() as u64;
            self.acknowledged.append(&mut self.pending);
        }
    }

    /// Compares what was found of this client's series, and takes it for what is there from now on. Returns in how many
    /// shards the pending batch was found, and in how many not.
    fn check(&mut self, found: &BTreeMap<Place, i64>) -> [u64; 2] {
        let mut shards: BTreeMap<i64, BTreeSet<bool>> = BTreeMap::new();
        for (place, batch) in &self.pending {
            let known = self.acknowledged.get(place);
            let is_there = match found.get(place) {
                Some(found) if found == batch => true,
                other if other == known => false,
                other => panic!("{place:?}: found {other:?}, acknowledged {known:?}, pending {batch}"),
            };
            shards.entry((place.1 - MONDAY_NS) / WEEK_NS).or_default().insert(is_there);
        }
        for (place, known) in self.acknowledged.iter().filter(|(place, _)| !self.pending.contains_key(*place))
        {
            assert_eq!(found.get(place), Some(known), "{place:?} was acknowledged");
        }
        for place in found.keys() {
            let is_known = self.acknowledged.contains_key(place) || self.pending.contains_key(place);
            assert!(is_known, "{place:?} was never sent");
        }
        assert!(shards.values().all(|seen| seen.len() == 1), "a part of a batch in a shard: {shards:?}");
        self.pending.clear();
        self.acknowledged.clone_from(found);
        let there = shards.values().filter(|seen| seen.contains(&true)).count() as u64;
        [there, shards.len() as u64 - there]
    }
}

/// Which batch every value is of; both fields say the same in their ways.
fn batches(found: &Values, client: usize) -> BTreeMap<Place, i64> {
    let prefix = format!("m,client={client},");
    let of_client = found.iter().filter(|((series, _), ..)| series.starts_with(&prefix));
    of_client
        .map(|(column, time_ns, value)| {
            let batch = match value {
                Value::Integer(batch) => *batch,
                Value::String(text) => text.split_once(' ').unwrap().0.parse().unwrap(),
                other => panic!("{other:?}"),
            };
            ((column.clone(), time_ns), batch)
        })
        .collect()
}

/// The log is replayed in memory by the library, and nothing is written.
fn exported(dir: &Path, bucket: &str) -> Values {
    let database = Database::open(Paths::in_dir(dir), Options::new(Mode::ReadOnly)).unwrap();
    assert!(database.shards().iter().all(|open| open.shard.damage().is_empty()));
    let mut out = Vec::new();
    database.export(bucket, Format::Tsv, &mut out).unwrap();
    Values::from_tsv(std::str::from_utf8(&out).unwrap())
}

/// The next server goes on with the log, and its backups have everything.
fn backed_up(client: &Client) -> Values {
    let mut values = Values::default();
    fixture::archives(client).iter().for_each(|(_, files)| values.extend(tsm::values(files)));
    values
}

/// Takes backups, which flushes every shard, until the connection breaks.
fn back_up(client: &Client, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        for shard in 1..=WEEKS {
            if client.try_send("GET", &format!("/api/v2/backup/shards/{shard}"), &[], &[]).is_err() {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn no_acknowledged_write_is_lost_by_kills_under_load() {
    let (kills, seed) = (number("ICECORE_KILLS", 100), number("ICECORE_SEED", 1));
    println!("seed {seed}, {kills} kills");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    set_up(server.client(), TOKEN);
    let bucket = bucket_ids(&server.client().with_token(TOKEN))["first"].clone();
    server.stop();
    let mut random = Random::new(seed);
    let mut writers: Vec<Writer> = (0..CONNECTIONS).map(|number| Writer::new(number, seed)).collect();
    let (mut starts, mut pending) = (0, [0, 0]);
    let mut check = |writers: &mut [Writer], found: &Values, kill: u64| {
        for writer in writers {
            let [there, not] = writer.check(&batches(found, writer.number));
            pending = [pending[0] + there, pending[1] + not];
        }
        if kill.is_multiple_of(25) {
            println!("{kill} kills, {} values", found.len());
        }
    };
    for kill in 1..=kills {
        if random.one_in(6) {
            // While it starts, and perhaps goes on with a log.
            let process = icecore::spawn(dir.path(), &[]);
            std::thread::sleep(Duration::from_millis(random.below(80) as u64));
            process.end_by(Signal::KILL);
            starts += 1;
        }
        let server = Server::start(dir.path());
        let client = server.client().with_token(TOKEN);
        if kill % 2 == 0 {
            check(&mut writers, &backed_up(&client), kill);
        }
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| writer.run(&client));
            }
            if random.one_in(3) {
                scope.spawn(|| back_up(&client, &ends));
            }
            std::thread::sleep(Duration::from_millis(20 + random.below(200) as u64));
            let (status, log) = server.end_by(Signal::KILL);
            ends.store(true, Ordering::Relaxed);
            assert!(status.code().is_none() && !log.contains("ERROR"), "{log}");
        });
        if kill % 2 == 0 {
            check(&mut writers, &exported(dir.path(), &bucket), kill);
        }
    }
    let server = Server::start(dir.path());
    check(&mut writers, &backed_up(&server.client().with_token(TOKEN)), kills);
    server.stop();
    check(&mut writers, &exported(dir.path(), &bucket), kills);
    let batches: i64 = writers.iter().map(|writer| writer.batch).sum();
    let values: u64 = writers.iter().map(|writer| writer.values).sum();
    println!(
        "{batches} batches and {values} values were acknowledged; of batches on their way {} were there and {} not, by shard; {starts} more kills at starts",
        pending[0], pending[1]
    );
    assert!(values > kills * 100, "under load");
}
