//! The directory that programs of whole directories are compared on: the fixture `fleet` and beside its shard one for
//! each week of a made history, in the same bucket. The same bytes in every run.
//!
//! The series are those of servers watched by an agent: gauges of two decimals and of all digits, counters, sizes,
//! flags, states and messages, most every ten seconds, some at times of no pattern; and many containers that live for
//! ten minutes. No key has a value twice for one time, and nothing is deleted: a reader that merges files and one that does
//! not find the same values. A week is in two files, the later one smaller, as compactions leave them. The shards have no
//! series index, which programs that read TSM files do not look at.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use icecore_database::{Database, Mode, Options, Paths, Point};
use icecore_testkit::{fixtures, tsm};
use icecore_tsm::{Column, Values};
use tempfile::TempDir;

use crate::{BLOCK_POINTS, FLEET_BUCKET, FLEET_VALUES};

/// The first week begins on 2024-03-04.
const EPOCH_NS: u64 = 1_709_510_400 * NS;
const WEEK_NS: u64 = 7 * 86_400 * NS;
const STEP_NS: u64 = 10 * NS;
const NS: u64 = 1_000_000_000;
/// Points of a container: ten minutes.
const CONTAINER_POINTS: usize = 60;

/// How much history is made.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Weeks, a shard each.
    pub weeks: usize,
    /// Servers, the same in all weeks.
    pub hosts: usize,
    /// Containers in a week, others in each.
    pub containers: usize,
    /// Points of a server's field in a week.
    pub points: usize,
}

impl Scale {
    /// More than 500 MB of TSM files, about 80 million values.
    pub const FULL: Self = Self { weeks: 4, hosts: 20, containers: 10_000, points: 60_480 };
    /// More than 800 MB of TSM files.
    pub const BACKUP: Self = Self { weeks: 6, ..Self::FULL };
    /// For benches of what takes part of a second.
    pub const BENCH: Self = Self { weeks: 2, hosts: 4, containers: 2_000, points: 20_000 };
    /// For tests.
    pub const SMALL: Self = Self { weeks: 2, hosts: 2, containers: 10, points: 3_000 };
}

/// A made directory, removed when it is dropped.
#[derive(Debug)]
pub struct History {
    /// `influxd.bolt` and `engine/` are in it.
    pub dir: TempDir,
    /// Values in the bucket.
    pub values: u64,
    /// Bytes of all TSM files.
    pub tsm_bytes: u64,
}

impl History {
    /// Makes the system forget the TSM files, so that the next reader waits for the disk.
    ///
    /// # Panics
    /// When a file cannot be opened or the system refuses.
    pub fn drop_from_cache(&self) {
        for path in tsm_files(&policy(&self.dir)) {
            let file = fs::File::open(path).expect("a file that was made");
            file.sync_data().expect("what is not on the disk yet cannot be forgotten");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice to be taken");
        }
    }
}

/// How values follow each other.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Floats of two decimals, each near the one before.
    Percent,
    /// Floats with all their digits, each near the one before.
    Ratio,
    /// Integers that grow.
    Counter,
    /// Integers of 34 bits, each near the one before.
    Size,
    /// Unsigned integers that grow.
    Total,
    /// Of a few, mostly the first.
    Code,
    Flag,
    State,
    Message,
}

/// When the points of a field are.
#[derive(Clone, Copy, Debug)]
enum Rhythm {
    /// Every ten seconds.
    Steady,
    /// Once in ten seconds, at any nanosecond.
    Jittered,
}

/// Measurement, field and what is in it; in the order of keys.
const FIELDS: [(&str, &str, Shape, Rhythm); 15] = [
    ("cpu", "usage_idle", Shape::Ratio, Rhythm::Steady),
    ("cpu", "usage_iowait", Shape::Percent, Rhythm::Steady),
    ("cpu", "usage_system", Shape::Percent, Rhythm::Steady),
    ("cpu", "usage_user", Shape::Percent, Rhythm::Steady),
    ("http", "bytes", Shape::Size, Rhythm::Jittered),
    ("http", "request", Shape::Message, Rhythm::Jittered),
    ("http", "seconds", Shape::Ratio, Rhythm::Jittered),
    ("http", "status", Shape::Code, Rhythm::Jittered),
    ("mem", "used", Shape::Size, Rhythm::Steady),
    ("mem", "used_percent", Shape::Ratio, Rhythm::Steady),
    ("net", "bytes_sent", Shape::Total, Rhythm::Steady),
    ("net", "packets_sent", Shape::Counter, Rhythm::Steady),
    ("system", "load1", Shape::Percent, Rhythm::Steady),
    ("system", "state", Shape::State, Rhythm::Steady),
    ("system", "up", Shape::Flag, Rhythm::Steady),
];

/// Makes a directory, on all cores.
///
/// # Panics
/// When the fixtures are missing or the temporary directory does not take it.
pub fn make(scale: Scale) -> History {
    let dir = fixtures::unpack("fleet");
    let policy = policy(&dir);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // Shard 1 is that of the fixture.
                for week in std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)) {
                    if week >= scale.weeks {
                        return;
                    }
                    put_week(&policy.join((week + 2).to_string()), week, scale);
                }
            });
        }
    });
    let made =
        scale.weeks * (scale.hosts * FIELDS.len() * scale.points + scale.containers * 2 * CONTAINER_POINTS);
    History {
        values: FLEET_VALUES + made as u64,
        tsm_bytes: tsm_files(&policy).map(|file| file.metadata().expect("a file").len()).sum(),
        dir,
    }
}

/// Makes the weeks known to the metadata of the directory, so that servers have them as shards; returns the numbers of all
/// shards. Their directories lose whatever is not a TSM file.
///
/// # Panics
/// When the directory is no longer as [`make`] left it.
pub fn register(history: &History, scale: Scale) -> Vec<u64> {
    let policy = policy(&history.dir);
    let made = history.dir.path().join("made");
    fs::rename(&policy, &made).expect("the directory of the made shards");
    fs::create_dir(&policy).expect("a temporary directory takes files");
    write_into(history.dir.path(), scale);
    fs::remove_dir_all(&policy).expect("what was just written");
    fs::rename(&made, &policy).expect("the directory of the made shards");
    for left in ["engine/icecore.lock", "engine/wal"] {
        let path = history.dir.path().join(left);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("what a database leaves");
    }
    let shards: Vec<u64> = (1..).take(scale.weeks + 1).collect();
    assert!(shards.iter().all(|shard| policy.join(shard.to_string()).is_dir()), "a shard for each week");
    shards
}

/// Writes a point into each week of a directory, and flushes it: so its shards have manifests.
///
/// # Panics
/// When it is no directory of [`make`], or in use.
pub fn write_into(dir: &Path, scale: Scale) {
    let bucket = FLEET_BUCKET.parse().expect("16 digits");
    let database = Database::open(Paths::in_dir(dir), Options::new(Mode::ReadWrite));
    let database = database.expect("a sound directory");
    for week in 0..scale.weeks {
        // One after the other: shards are numbered as they are needed.
        let point = Point::new("made", time(Rhythm::Steady, week, 0, 0)).field("known", true);
        let written = database.write_points(bucket, &[point]).expect("a point that can be written");
        assert_eq!((written.points, written.partial), (1, None));
    }
}

/// Writes the files of a week.
fn put_week(shard: &Path, week: usize, scale: Scale) {
    fs::create_dir(shard).expect("a temporary directory takes files");
    let early = scale.points / 4 * 3;
    for (name, points) in [("000000004-000000003", 0..early), ("000000006-000000001", early..scale.points)] {
        let has_containers = points.start == 0;
        let of_hosts = FIELDS.iter().zip(0u64..).flat_map(|(field, nth)| {
            let points = points.clone();
            (0..scale.hosts as u64).map(move |host| {
                let (measurement, name, shape, rhythm) = *field;
                let key =
                    format!("{measurement},host=host-{host:03},zone=z{}#!~#{name}", host % 3).into_bytes();
                let seed = (week as u64) << 40 | host << 16 | nth;
                (key, rhythm, shape, seed, points.clone())
            })
        });
        let of_containers = (0..if has_containers { scale.containers } else { 0 }).flat_map(|container| {
            let name = format!("container,id={:06x}", week * scale.containers + container);
            let first = container % (scale.points - CONTAINER_POINTS + 1);
            [("cpu", Shape::Ratio), ("mem", Shape::Size)].map(|(field, shape)| {
                let key = format!("{name}#!~#{field}").into_bytes();
                (key, Rhythm::Steady, shape, container as u64, first..first + CONTAINER_POINTS)
            })
        });
        let mut keys: Vec<_> = of_hosts.chain(of_containers).collect();
        keys.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let columns = keys.into_iter().map(|(key, rhythm, shape, seed, points)| {
            let times = points.map(|point| time(rhythm, week, point as u64, seed)).collect();
            (key, column(shape, times, seed))
        });
        let file = tsm::file(columns, BLOCK_POINTS);
        fs::write(shard.join(format!("{name}.tsm")), file).expect("a temporary directory takes files");
    }
}

/// The time of a point, counted from the begin of its week. All fields of a series share it.
fn time(rhythm: Rhythm, week: usize, point: u64, seed: u64) -> i64 {
    let start = EPOCH_NS + week as u64 * WEEK_NS + point * STEP_NS;
    let time = match rhythm {
        Rhythm::Steady => start,
        Rhythm::Jittered => start + tsm::noise((seed >> 16) ^ point).next().unwrap_or(0) % STEP_NS,
    };
    time.cast_signed()
}

fn column(shape: Shape, times: Vec<i64>, seed: u64) -> Column {
    let noise = tsm::noise(seed).take(times.len());
    let values = match shape {
        Shape::Percent => Values::Float(walk(noise, 10_000, 200).map(|value| value as f64 / 100.0).collect()),
        Shape::Ratio => {
            let total = 16_777_216 + seed % 4096;
            let part = walk(noise, total, total / 500);
            Values::Float(part.map(|part| 100.0 * part as f64 / total as f64).collect())
        }
        Shape::Counter => Values::Integer(sums(noise, 5_000).map(u64::cast_signed).collect()),
        Shape::Size => Values::Integer(walk(noise, 1 << 34, 1 << 22).map(u64::cast_signed).collect()),
        Shape::Total => Values::Unsigned(sums(noise, 3_000_000).collect()),
        Shape::Code => {
            let codes = [200, 200, 200, 200, 204, 304, 404, 500];
            Values::Integer(noise.filter_map(|bits| pick(&codes, bits)).collect())
        }
        Shape::Flag => Values::Boolean(noise.map(|bits| bits % 64 > 0).collect()),
        Shape::State => {
            let states = ["running", "running", "running", "idle", "degraded \"disk\"", "stopped"];
            Values::String(noise.filter_map(|bits| pick(&states, bits)).collect())
        }
        Shape::Message => Values::String(
            noise
                .map(|bits| {
                    let (user, id, ms) = (bits % 997, bits >> 32, bits % 463);
                    format!("GET /api/users/{user}/orders/{id:08x} HTTP/1.1 took {ms} ms")
                })
                .collect(),
        ),
    };
    Column { times, values }
}

/// One of a list.
fn pick<T: Copy>(list: &[T], bits: u64) -> Option<T> {
    list.get(usize::try_from(bits % list.len() as u64).ok()?).copied()
}

/// Numbers from 0 to `limit`, each at most `step` from the one before.
fn walk(noise: impl Iterator<Item = u64>, limit: u64, step: u64) -> impl Iterator<Item = u64> {
    noise.scan(limit / 2, move |at, bits| {
        *at = (*at + bits % (2 * step + 1)).saturating_sub(step).min(limit);
        Some(*at)
    })
}

/// Numbers that grow by less than `step`.
fn sums(noise: impl Iterator<Item = u64>, step: u64) -> impl Iterator<Item = u64> {
    noise.scan(0, move |sum, bits| {
        *sum += bits % step;
        Some(*sum)
    })
}

/// Where the shards lie.
fn policy(dir: &TempDir) -> PathBuf {
    dir.path().join("engine/data").join(FLEET_BUCKET).join("autogen")
}

/// The TSM files in all shards of a policy.
fn tsm_files(policy: &Path) -> impl Iterator<Item = PathBuf> {
    let entries =
        |dir: &Path| fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = entries(policy).flat_map(move |shard| entries(&shard));
    files.filter(|file| file.extension().is_some_and(|extension| extension == "tsm"))
}

#[cfg(test)]
mod tests {
    use icecore_database::Format;

    use super::*;

    #[test]
    fn a_made_directory_has_the_values_that_it_says_and_every_line_once() {
        let history = make(Scale::SMALL);
        let database =
            Database::open(Paths::in_dir(history.dir.path()), Options::new(Mode::ReadOnly)).unwrap();
        assert!(database.shards().iter().all(|shard| shard.shard.damage().is_empty()));
        let mut out = Vec::new();
        let values = database.export(FLEET_BUCKET, Format::LineProtocol, &mut out).unwrap();
        assert_eq!(values, history.values);
        let mut lines: Vec<_> = out.split(|byte| *byte == b'\n').collect();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), count);
    }

    #[test]
    fn registered_weeks_are_shards_that_both_modes_open() {
        let history = make(Scale::SMALL);
        let shards = register(&history, Scale::SMALL);
        for mode in [Mode::ReadOnly, Mode::ReadWrite] {
            let database = Database::open(Paths::in_dir(history.dir.path()), Options::new(mode)).unwrap();
            let mut open: Vec<u64> = database.shards().iter().map(|shard| shard.id).collect();
            open.sort_unstable();
            assert_eq!(open, shards, "{mode:?}");
            assert!(database.shards().iter().all(|shard| shard.shard.damage().is_empty()));
            let values = database.export(FLEET_BUCKET, Format::LineProtocol, &mut std::io::sink()).unwrap();
            assert_eq!(values, history.values);
        }
    }
}
