//! Points that are put into batches, and shards to write them to.

use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};
use icecore_testkit::disk::{Hooked, without_sync};
use icecore_testkit::tsm::noise;
use icecore_tsm::{Batch, Shard, ShardDir, Value, Writing};

/// Points of a batch.
pub(crate) const BATCH_POINTS: usize = 5_000;
pub(crate) const FIELDS: [&str; 10] =
    ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
const START_NS: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 10_000_000_000;
const MEASUREMENT: &str = "cpu";

/// Keys of series, in the order in which they are written.
pub(crate) struct Series(Vec<String>);

impl Series {
    pub(crate) fn new(count: usize) -> Self {
        let key = |host| {
            format!("{MEASUREMENT},host=host-{host:07},rack=r{:03},zone=z{}", host / 40 % 1000, host % 3)
        };
        Self((0..count).map(key).collect())
    }

    /// Fills a batch with the points `first` and on: one of each series after the other, and again ten seconds later.
    pub(crate) fn fill(&self, batch: &mut Batch, first: usize) {
        batch.clear();
        for point in first..first + BATCH_POINTS {
            let (step, host) = (point / self.0.len(), point % self.0.len());
            let key = self.0.get(host).map_or("", String::as_str);
            let time_ns = START_NS + i64::try_from(step).expect("not so many") * STEP_NS;
            let mut noise = noise(point as u64);
            let mut value = || Value::Float((noise.next().unwrap_or(0) % 10_000) as f64 / 100.0);
            let fields = FIELDS.map(|name| (name.as_bytes(), value()));
            batch.point(key.as_bytes(), MEASUREMENT.len(), time_ns, fields).expect("a point");
        }
    }
}

pub(crate) fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

pub(crate) fn unsynced() -> Arc<dyn Disk> {
    Arc::new(Hooked::new(RealDisk, without_sync))
}

/// Opens the shard in a directory, with memory for anything.
pub(crate) fn open(disk: &Arc<dyn Disk>, root: &Path) -> Shard {
    let dir = ShardDir { data: root.join("data"), wal: root.join("wal") };
    disk.create_dir(&dir.data).expect("a directory");
    disk.create_dir(&dir.wal).expect("a directory");
    let budget = icecore_tsm::Budget::new(u64::MAX, std::time::Duration::ZERO);
    let writing = Writing { budget: Arc::new(budget), ..Writing::new(|| START_NS) };
    let shard = Shard::open(disk, &dir, &writing).expect("a shard");
    assert!(shard.is_writable(), "{:?}", shard.damage());
    shard
}

/// Calls `work` and gives the seconds that it took.
pub(crate) fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = std::time::Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}
