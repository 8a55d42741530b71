//! Four connections write while three others take backups, again and again; each backup is unpacked and compared, value by
//! value, with what was sent. It has every write that was acknowledged before it was asked for, no write that was sent after it was
//! there, and of each write all points or none: in a shard that was asked for by itself all of that shard, in a cut of the
//! whole directory (`?cut=new`) all of all shards. And it is one moment: a write that it lacks was not acknowledged when a
//! write that it has was sent.
//!
//! `ICECORE_ROUNDS` is how often for three seconds, each time over a new directory; `ICECORE_SEED` what is written. Both are
//! printed. Times differ from run to run whatever the seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use icecore_testkit::Random;
use icecore_tests::http::{Answer, Client};
use icecore_tests::icecore::Server;
use icecore_tests::influxd2::{bucket_ids, set_up};
use icecore_tests::manifest::{self, Bucket};
use icecore_tests::values::{Value, Values};
use icecore_tests::workload::{MONDAY_NS, WEEK_NS};
use icecore_tests::{archive, fixture, multipart, tsm};

const TOKEN: &str = "an-operator-token-of-tests";
const WRITERS: usize = 4;
/// So many shards there are in the end; new ones are made while backups go on.
const WEEKS_MAX: usize = 6;
const ROUND: Duration = Duration::from_secs(3);
const ENCODINGS: [&str; 3] = ["identity", "gzip", "zstd"];

/// A row of a writer: its week, series and step in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    week: u16,
    series: u16,
    step: u16,
}

/// By writer and week: which write each row is of. Writes are numbered from 1.
type Rows = BTreeMap<(usize, u16), BTreeMap<Place, u32>>;

/// A request of a writer. It has a connection of its own, so that one was acknowledged before the next is sent.
struct Sent {
    places: Vec<Place>,
    begun: u64,
    acknowledged: Option<u64>,
}

/// All that was sent, in ticks of one clock.
struct Model {
    clock: AtomicU64,
    writers: Vec<Mutex<Vec<Sent>>>,
}

impl Model {
    fn new() -> Self {
        Self { clock: AtomicU64::new(0), writers: (0..WRITERS).map(|_| Mutex::default()).collect() }
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn write(&self, writer: usize, client: &Client, seed: u64, is_over: &AtomicBool) {
        let mut random = Random::new(seed.wrapping_mul(1009).wrapping_add(writer as u64));
        let mut connection = client.connect().unwrap();
        for number in 1_u32.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let places = places(&mut random, number);
            let lines = lines(writer, number, &places, &mut random);
            let sent = &self.writers[writer];
            sent.lock().unwrap().push(Sent { places, begun: self.now(), acknowledged: None });
            let answer = connection.post("/api/v2/write?org=main&bucket=first", lines.as_bytes()).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.text());
            sent.lock().unwrap().last_mut().unwrap().acknowledged = Some(self.now());
        }
    }

    fn sent(&self) -> usize {
        self.writers.iter().map(|sent| sent.lock().unwrap().len()).sum()
    }
}

/// Of up to three weeks, of which there are more and more.
fn places(random: &mut Random, number: u32) -> Vec<Place> {
    let weeks = (2 + number as usize / 40).min(WEEKS_MAX);
    let span = 1 + random.below(3);
    let most = if random.one_in(20) { 400 } else { 30 };
    let small = |number: usize| u16::try_from(number).unwrap();
    let place = |random: &mut Random| Place {
        week: small((number as usize + random.below(span)) % weeks),
        series: small(if random.one_in(100) { 4 + random.below(200) } else { random.below(4) }),
        step: small(random.below(100)),
    };
    (0..1 + random.below(most)).map(|_| place(random)).collect()
}

/// Both fields of a row carry the number of the write.
fn lines(writer: usize, number: u32, places: &[Place], random: &mut Random) -> String {
    let mut lines = String::new();
    for Place { week, series, step } in places {
        let time_ns = MONDAY_NS + i64::from(*week) * WEEK_NS + i64::from(*step) * 1_000_000_000;
        let padding = "x".repeat(random.below(40));
        let fields = format!("v={number}i,t=\"{number} {padding}\"");
        writeln!(lines, "m,series={series},writer={writer} {fields} {time_ns}").unwrap();
    }
    lines
}

fn week_of(time_ns: i64) -> u16 {
    u16::try_from((time_ns - MONDAY_NS).div_euclid(WEEK_NS)).unwrap()
}

/// What a backup has. A row has both of its fields, of one write.
fn rows(values: &Values) -> Rows {
    let mut fields: BTreeMap<(usize, Place), [Option<u32>; 2]> = BTreeMap::new();
    for ((series, field), time_ns, value) in values.iter() {
        let tags = series.strip_prefix("m,series=").and_then(|tags| tags.split_once(",writer="));
        let (series, writer) = tags.unwrap_or_else(|| panic!("{series} was never sent"));
        let week = week_of(time_ns);
        let second = (time_ns - MONDAY_NS - i64::from(week) * WEEK_NS) / 1_000_000_000;
        let place = Place { week, series: series.parse().unwrap(), step: u16::try_from(second).unwrap() };
        let (nth, number) = match (field.as_str(), value) {
            ("v", Value::Integer(number)) => (0, u32::try_from(*number).unwrap()),
            ("t", Value::String(text)) => (1, text.split_once(' ').unwrap().0.parse().unwrap()),
            other => panic!("{other:?} was never sent"),
        };
        fields.entry((writer.parse().unwrap(), place)).or_default()[nth] = Some(number);
    }
    let mut rows = Rows::new();
    for ((writer, place), found) in fields {
        let [Some(number), Some(other)] = found else { panic!("a half of {place:?} of writer {writer}") };
        assert_eq!(number, other, "two writes in {place:?} of writer {writer}");
        rows.entry((writer, place.week)).or_default().insert(place, number);
    }
    rows
}

/// One who takes backups and compares them. Its backups show later and later states.
struct Reader<'m> {
    model: &'m Model,
    client: &'m Client,
    random: Random,
    /// What so many first writes of a writer have left of a week.
    left: BTreeMap<(usize, u16), (usize, BTreeMap<Place, u32>)>,
    backups: u64,
    values: u64,
    /// Backups that have a write which was not acknowledged yet when they were asked for.
    had_more: u64,
}

impl<'m> Reader<'m> {
    fn new(model: &'m Model, client: &'m Client, seed: u64) -> Self {
        Self {
            model,
            client,
            random: Random::new(seed),
            left: BTreeMap::new(),
            backups: 0,
            values: 0,
            had_more: 0,
        }
    }

    fn get(&mut self, target: &str) -> Answer {
        let encoding = ENCODINGS[self.random.below(ENCODINGS.len())];
        let headers = [("Accept-Encoding", encoding), ("Gzip-Compression-Level", "")];
        self.client.send("GET", target, &headers, &[])
    }

    /// The metadata and all shards of one moment.
    fn back_up_all(&mut self) {
        let begun = self.model.now();
        let metadata = self.get("/api/v2/backup/metadata?cut=new");
        assert_eq!(metadata.status, 200, "{}", metadata.text());
        let ended = self.model.now();
        let cut = metadata.header("icecore-cut").unwrap().to_owned();
        let buckets = manifest::parse(multipart::content(&multipart::parts(&metadata), "buckets"));
        let mut found = Values::default();
        for shard in buckets.iter().flat_map(Bucket::shards) {
            let answer = self.get(&format!("/api/v2/backup/shards/{}?cut={cut}", shard.id));
            match answer.status {
                200 => {
                    found.extend(tsm::values(&archive::files(&answer.decoded(), &shard.bucket_id, shard.id)));
                }
                // Made after the cut; what it should have had is missed below.
                404 => {}
                other => panic!("{other}: {}", answer.text()),
            }
        }
        self.compare(&(0..).take(WEEKS_MAX).collect::<Vec<u16>>(), &found, begun, ended);
    }

    /// Any shard, as it is now; now and then it is kept, and comes once more as it was.
    fn back_up_one(&mut self) {
        let buckets = fixture::manifest(self.client);
        let shards: Vec<_> = buckets.iter().flat_map(Bucket::shards).collect();
        if shards.is_empty() {
            return; // nothing was written yet
        }
        let shard = &shards[self.random.below(shards.len())];
        let path = format!("/api/v2/backup/shards/{}", shard.id);
        let is_kept = self.random.one_in(4);
        let begun = self.model.now();
        let answer = self.get(&if is_kept { format!("{path}?cut=new") } else { path.clone() });
        let ended = self.model.now();
        if answer.status == 404 {
            return; // it is in the metadata, and its first write is on its way
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let bytes = answer.decoded();
        if is_kept {
            let again = self.get(&format!("{path}?cut={}", answer.header("icecore-cut").unwrap()));
            assert_eq!(again.status, 200, "{}", again.text());
            assert!(again.decoded() == bytes, "shard {} as it was kept", shard.id);
        }
        let found = tsm::values(&archive::files(&bytes, &shard.bucket_id, shard.id));
        let week = week_of(i64::try_from(shard.times.start).unwrap());
        self.compare(&[week], &found, begun, ended);
    }

    /// Compares a backup of these weeks with the model.
    fn compare(&mut self, weeks: &[u16], found: &Values, begun: u64, ended: u64) {
        let mut rows = rows(found);
        // Of each writer: when the last write that the backup has was sent, and when the first that it lacks was acknowledged.
        let (mut last_begun, mut first_lacked, mut has_more) = (0, u64::MAX, false);
        for writer in 0..WRITERS {
            let sent = self.model.writers[writer].lock().unwrap();
            let of_weeks = weeks.iter().filter_map(|week| rows.get(&(writer, *week)));
            let count = of_weeks.flat_map(BTreeMap::values).max().map_or(0, |last| *last as usize);
            assert!(count <= sent.len(), "write {count} of writer {writer} was never sent");
            if let Some(last) = count.checked_sub(1).map(|last| &sent[last]) {
                assert!(last.begun < ended, "write {count} of writer {writer} was sent later");
                last_begun = last_begun.max(last.begun);
                has_more |= last.acknowledged.is_none_or(|at| at > begun);
            }
            let is_here = |sent: &&Sent| sent.places.iter().any(|place| weeks.contains(&place.week));
            if let Some(at) = sent[count..].iter().find(is_here).and_then(|lacked| lacked.acknowledged) {
                assert!(at > begun, "writer {writer}: the write after {count} was acknowledged before");
                first_lacked = first_lacked.min(at);
            }
            for week in weeks {
                let (applied, expected) = self.left.entry((writer, *week)).or_default();
                assert!(
                    *applied <= count,
                    "writer {writer}, week {week}: {applied} writes before, {count} now"
                );
                for number in *applied + 1..=count {
                    let places = sent[number - 1].places.iter().filter(|place| place.week == *week);
                    expected.extend(places.map(|place| (*place, u32::try_from(number).unwrap())));
                }
                *applied = count;
                let found = rows.remove(&(writer, *week)).unwrap_or_default();
                assert_same(&found, expected, &format!("writer {writer}, week {week}, {count} writes"));
            }
        }
        assert!(rows.is_empty(), "rows of other weeks: {rows:?}");
        assert!(
            first_lacked > last_begun,
            "a write was acknowledged before one was sent that came before it"
        );
        self.backups += 1;
        self.values += found.len() as u64;
        self.had_more += u64::from(has_more);
    }
}

#[track_caller]
fn assert_same(found: &BTreeMap<Place, u32>, expected: &BTreeMap<Place, u32>, what: &str) {
    if found == expected {
        return;
    }
    let places = found.keys().chain(expected.keys());
    let differ = places.filter(|place| found.get(place) != expected.get(place));
    let first: Vec<_> = differ.map(|place| (place, found.get(place), expected.get(place))).take(5).collect();
    panic!("{what}: the first that differ, found and expected: {first:?}");
}

/// Sets what it refers to when it is dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes backups until the time is over.
fn read<'m>(mut reader: Reader<'m>, is_over: &AtomicBool, back_up: fn(&mut Reader<'m>)) -> Reader<'m> {
    let _end = End(is_over);
    let start = std::time::Instant::now();
    while start.elapsed() < ROUND && !is_over.load(Ordering::Relaxed) {
        back_up(&mut reader);
    }
    reader
}

/// Returns how many writes there were, backups, values in them, and backups that have writes from after they were asked for.
fn round(seed: u64) -> [u64; 4] {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    set_up(server.client(), TOKEN);
    let client = server.client().with_token(TOKEN);
    assert!(bucket_ids(&client).contains_key("first"));
    let (model, is_over) = (Model::new(), AtomicBool::new(false));
    let readers = [seed + 1, seed + 2, seed + 3].map(|seed| Reader::new(&model, &client, seed));
    let mut readers = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (model, client, is_over) = (&model, &client, &is_over);
            scope.spawn(move || {
                let _end = End(is_over);
                model.write(writer, client, seed, is_over);
            });
        }
        let [all, one, other] = readers;
        let is_over = &is_over;
        let readers = [
            scope.spawn(move || read(all, is_over, Reader::back_up_all)),
            scope.spawn(move || read(one, is_over, Reader::back_up_one)),
            scope.spawn(move || read(other, is_over, Reader::back_up_one)),
        ];
        readers.map(|reader| reader.join().unwrap())
    });
    // In the end everything is there.
    readers[0].back_up_all();
    let counts = model.writers.iter().map(|sent| sent.lock().unwrap().len());
    for (writer, count) in counts.enumerate() {
        assert_eq!(readers[0].left[&(writer, 0)].0, count, "writer {writer}");
    }
    server.stop();
    let sum = |of: fn(&Reader<'_>) -> u64| readers.iter().map(of).sum();
    [
        model.sent() as u64,
        sum(|reader| reader.backups),
        sum(|reader| reader.values),
        sum(|reader| reader.had_more),
    ]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn each_backup_has_what_was_acknowledged_and_no_part_of_a_write() {
    let (rounds, seed) = (number("ICECORE_ROUNDS", 1), number("ICECORE_SEED", 1));
    println!("seed {seed}, {rounds} rounds");
    let mut totals = [0; 4];
    for nth in 0..rounds {
        let counts = round(seed + nth * 10);
        println!("round {nth}: {counts:?}");
        totals = [0, 1, 2, 3].map(|at| totals[at] + counts[at]);
    }
    let [writes, backups, values, had_more] = totals;
    println!(
        "{writes} writes; {backups} backups with {values} values, all compared; {had_more} of them have a write that \
         was on its way when they were asked for"
    );
    assert!(writes > rounds * 50 && backups > rounds * 5, "under load");
}
