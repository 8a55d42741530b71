//! A directory that Icecore wrote and closed, in many copies: what is done to a copy is seen by who opens it then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_database::{Database, Error, Id, Mode, Options, Paths, Precision, ShardId};
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::Store;
use icecore_tests::fixture::KITCHEN_SINK;
use icecore_tests::influxd2::Influxd;
use icecore_tests::values::Values;
use icecore_tests::workload::Workload;
use icecore_tests::{line_protocol, tree, tsm};
use icecore_tsm::Deletes;
use tempfile::TempDir;

/// The shard to which everything is done. influxd made it; it has a tombstone.
pub(crate) const SHARD: u64 = 8;
/// One of the same bucket, with files of both.
pub(crate) const OTHER: u64 = 7;
const BUCKET: &str = "83fa952f192155e3";
/// Of the file that influxd made, and of those of our first and second flush.
pub(crate) const FILES: [&str; 3] = ["000000001-000000001", "000000002-000000001", "000000003-000000001"];

/// Who had the directory since Icecore closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    OnlyWe,
    /// The transaction number of `influxd.bolt` moved, as it does when influxd starts.
    Moved,
    /// A real influxd was started, written to, and stopped.
    Influxd,
}

/// What of the points is in no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Flushed,
    /// Three segments of our log, a record of one point in each of two, and of two points in the last.
    Left,
}

/// A directory, and what each of its shards holds.
pub(crate) struct Scene {
    template: TempDir,
    pub(crate) since: Since,
    pub(crate) values: BTreeMap<u64, Values>,
    /// Of `SHARD`, one behind the other: what the fixture had, what each flush added, and what stands behind.
    pub(crate) layers: Vec<Values>,
}

/// A copy of a scene.
pub(crate) struct Copy {
    pub(crate) dir: TempDir,
}

pub(crate) fn bucket() -> Id {
    BUCKET.parse().unwrap()
}

pub(crate) fn shard_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join("engine/data").join(BUCKET).join("autogen").join(id.to_string())
}

pub(crate) fn wal_dir(dir: &Path) -> PathBuf {
    dir.join("engine/wal").join(BUCKET).join("autogen").join(SHARD.to_string())
}

pub(crate) fn open(dir: &Path, mode: Mode) -> Result<Database, Error> {
    Database::open(Paths::in_dir(dir), Options::new(mode))
}

/// A time in `SHARD`.
pub(crate) fn time_ns(database: &Database) -> i64 {
    let groups = database.shard_groups(bucket()).unwrap();
    let slice = groups.slices().iter().find(|slice| slice.shard == ShardId(SHARD)).unwrap();
    slice.start_ns + 3_600_000_000_000
}

pub(crate) fn write(database: &Database, lines: &str) -> Values {
    let report = database.write(bucket(), lines.as_bytes(), Precision::Nanoseconds).unwrap();
    assert!(report.partial.is_none(), "{:?}", report.partial);
    line_protocol::parse_later_wins(lines)
}

/// What a backup of a shard would send, every value of it.
pub(crate) fn back_up(database: &Database, id: u64) -> Result<Values, Error> {
    let shard = |source| Error::Shard { id: ShardId(id), source };
    let snapshot = database.snapshot(ShardId(id))?;
    for mut member in snapshot.members(Deletes::Apply) {
        member.digest().map_err(shard)?;
    }
    tsm::of_shard(&database.shard(ShardId(id))?.shard).map_err(shard)
}

impl Scene {
    pub(crate) fn new(since: Since, log: Log, influxd: Option<&Path>) -> Self {
        let template = KITCHEN_SINK.unpack();
        keep_two_shards(template.path());
        let mut workload = Workload::new(61);
        let database = open(template.path(), Mode::ReadWrite).unwrap();
        let mut layers = vec![back_up(&database, SHARD).unwrap()];
        let time_ns = time_ns(&database);
        for _ in 0..2 {
            layers.push(write(&database, &workload.lines(time_ns, 300)));
            // Another one gets a manifest, too.
            for slice in database.shard_groups(bucket()).unwrap().slices() {
                if slice.shard == ShardId(OTHER) {
                    write(&database, &workload.lines(slice.start_ns + 60_000_000_000, 20));
                }
            }
            database.flush().unwrap();
        }
        drop(database);
        drop(open(template.path(), Mode::ReadWrite).unwrap()); // removes what the first writes left for that
        if log == Log::Left {
            for points in [1, 1, 2] {
                let database = open(template.path(), Mode::ReadWrite).unwrap();
                let lines = |nth: usize| format!("left,points={points} f={nth} {time_ns}\n");
                (0..points).for_each(|nth| layers.push(write(&database, &lines(nth))));
            }
        }
        match since {
            Since::OnlyWe => {}
            Since::Moved => move_on(template.path()),
            Since::Influxd => {
                let lines = workload.lines(time_ns, 100);
                run_influxd(influxd.unwrap(), template.path(), &lines);
                layers.push(line_protocol::parse_later_wins(&lines));
            }
        }
        let mut scene = Self { template, since, values: BTreeMap::new(), layers };
        let copy = scene.copy();
        let database = open(copy.dir.path(), Mode::ReadWrite).unwrap();
        let ids: Vec<u64> = database.shards().iter().map(|shard| shard.id).collect();
        scene.values = ids.into_iter().map(|id| (id, back_up(&database, id).unwrap())).collect();
        let all = scene.layers_without(usize::MAX);
        scene.values[&SHARD].assert_equal(&all, "the untouched directory");
        scene
    }

    /// What `SHARD` holds when one of its layers is not there.
    pub(crate) fn layers_without(&self, nth: usize) -> Values {
        let mut values = Values::default();
        let left = self.layers.iter().enumerate().filter(|(at, _)| *at != nth);
        left.for_each(|(_, layer)| values.overwrite(layer.clone()));
        values
    }

    pub(crate) fn copy(&self) -> Copy {
        let dir = TempDir::with_prefix("icecore-").unwrap();
        tree::copy(self.template.path(), dir.path());
        Copy { dir }
    }
}

/// Every copy is opened and synced many times: two shards are enough.
fn keep_two_shards(dir: &Path) {
    for part in ["data", "wal"] {
        for bucket in fs::read_dir(dir.join("engine").join(part)).unwrap().map(Result::unwrap) {
            if bucket.file_name() != BUCKET {
                fs::remove_dir_all(bucket.path()).unwrap();
                continue;
            }
            for shard in fs::read_dir(bucket.path().join("autogen")).unwrap().map(Result::unwrap) {
                if ![SHARD, OTHER].iter().any(|id| *shard.file_name() == *id.to_string()) {
                    fs::remove_dir_all(shard.path()).unwrap();
                }
            }
        }
    }
}

/// influxd commits more than once when it starts.
fn move_on(dir: &Path) {
    let disk = Arc::new(RealDisk);
    let store = Store::open(disk, &dir.join("influxd.bolt"), LockMode::Exclusive).unwrap();
    for nth in 0..3 {
        let write = store.write(|tx| tx.create_bucket(format!("started {nth}").as_bytes()).map(drop));
        write.unwrap();
    }
}

fn run_influxd(influxd: &Path, dir: &Path, lines: &str) {
    let txid = |dir: &Path| {
        let store = Store::open(Arc::new(RealDisk), &dir.join("influxd.bolt"), LockMode::Shared).unwrap();
        store.txid().get()
    };
    let before = txid(dir);
    let server = Influxd::start(influxd, dir);
    let client = server.client().with_token(KITCHEN_SINK.token);
    let list = client.body_of(&format!("/api/v2/buckets?id={BUCKET}"));
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    client.write(list["buckets"][0]["orgID"].as_str().unwrap(), BUCKET, lines);
    server.stop();
    println!("influxd made {} transactions", txid(dir) - before);
    assert!(txid(dir) > before + 1, "one alone could be lost with its meta page, and nobody would know");
}

impl Copy {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn shard(&self) -> PathBuf {
        shard_dir(self.path(), SHARD)
    }

    /// Flips a bit, and nothing else: the time of the file stays.
    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, bytes).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}
