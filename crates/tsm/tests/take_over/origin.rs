//! Shards that influxd crashed in: those of the fixtures, with their log as it was, entry by entry in a segment of its
//! own, and with a torn tail; without files of ours, and with a manifest from before influxd ran.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_testkit::disk::MemDisk;
use icecore_testkit::fixtures;
use icecore_tsm::{Batch, Shard, ShardDir, Trust, Value};

use crate::{Content, read, writing};

/// A shard on a disk.
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) has_manifest: bool,
    pub(crate) is_small: bool,
    files: BTreeMap<PathBuf, (Vec<u8>, i64)>,
}

pub(crate) fn dir() -> ShardDir {
    ShardDir { data: "/data/1".into(), wal: "/wal/1".into() }
}

/// Whether influxd does not know a file.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name == "icecore.manifest" || [".tsmsum", ".iwal", ".wrr"].iter().any(|end| name.ends_with(end))
}

impl Origin {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (name, shard) in
            [("layers", "a5de34553b154f33/autogen/1"), ("kitchen-sink", "725e5d10302da261/autogen/1")]
        {
            let whole = Self::of_fixture(name, shard);
            let by_entry = whole.entry_by_entry();
            let torn = by_entry.torn();
            let origins = match whole.is_small {
                true => vec![whole, by_entry, torn],
                false => vec![by_entry], // a large one is not tried in every way
            };
            for origin in origins {
                all.push(origin.with_manifest());
                all.push(origin);
            }
        }
        all
    }

    fn of_fixture(name: &str, shard: &str) -> Self {
        let unpacked = fixtures::unpack(name);
        let mut files = BTreeMap::new();
        for (part, to) in [("data", dir().data), ("wal", dir().wal)] {
            let from = unpacked.path().join("engine").join(part).join(shard);
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    let bytes = std::fs::read(entry.path()).unwrap();
                    files.insert(to.join(entry.file_name()), (bytes, 1_600_000_000_000_000_000));
                }
            }
        }
        Self { name: name.to_owned(), has_manifest: false, is_small: name == "layers", files }
    }

    /// The one segment with content, one for each of its entries, and an empty one behind them.
    fn entry_by_entry(&self) -> Self {
        let mut files = self.files.clone();
        let is_log = |path: &PathBuf| path.starts_with(dir().wal);
        let (path, log) = files.iter().find(|(path, (bytes, _))| is_log(path) && !bytes.is_empty()).unwrap();
        let (path, mut rest) = (path.clone(), log.0.clone());
        files.remove(&path);
        let mut number = 3;
        while !rest.is_empty() {
            let len = 5 + u32::from_be_bytes(*rest[1..].first_chunk().unwrap()) as usize;
            let tail = rest.split_off(len);
            files.insert(dir().wal.join(format!("_{number:05}.wal")), (rest, 1));
            (rest, number) = (tail, number + 1);
        }
        files.insert(dir().wal.join(format!("_{number:05}.wal")), (Vec::new(), 1));
        Self { name: format!("{}, entry by entry", self.name), files, ..*self }
    }

    /// Behind the last entry an unfinished one.
    fn torn(&self) -> Self {
        let mut files = self.files.clone();
        let mut logs = files.iter_mut().filter(|(path, _)| path.starts_with(dir().wal));
        let (_, (bytes, _)) = logs.rfind(|(_, (bytes, _))| !bytes.is_empty()).unwrap();
        bytes.extend_from_slice(&[1, 0, 0, 1, 0, 7, 7, 7]);
        Self { name: format!("{}, torn", self.name), files, ..*self }
    }

    /// Icecore wrote to the shard before influxd made the log: there is a manifest, and a file that is ours.
    fn with_manifest(&self) -> Self {
        let disk = MemDisk::default();
        disk.create_dir(&dir().wal).unwrap();
        let of_log = |path: &PathBuf| path.starts_with(dir().wal);
        for (path, (bytes, modified_ns)) in self.files.iter().filter(|(path, _)| !of_log(path)) {
            disk.put(path, bytes.clone());
            disk.set_modified(path, *modified_ns).unwrap();
        }
        let over: Arc<dyn Disk> = Arc::new(disk.clone());
        let shard = Shard::open(&over, &dir(), &writing(Trust::Directory)).unwrap();
        let mut batch = Batch::new();
        batch.point(b"ours", 4, 7, [(&b"f"[..], Value::Float(7.0))]).unwrap();
        shard.write(&mut batch).unwrap();
        shard.flush().unwrap();
        drop(shard);
        let with_time = |(path, bytes): (PathBuf, Vec<u8>)| {
            let modified_ns = disk.stat(&path).unwrap().modified_ns;
            (path, (bytes, modified_ns))
        };
        let mut files: BTreeMap<_, _> = disk.files().into_iter().map(with_time).collect();
        assert!(files.contains_key(&dir().data.join("icecore.manifest")));
        let logs = self.files.iter().filter(|(path, _)| of_log(path));
        files.extend(logs.map(|(path, file)| (path.clone(), file.clone())));
        Self { name: format!("{}, with a manifest", self.name), has_manifest: true, files, ..*self }
    }

    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.files.iter().map(|(path, (bytes, _))| (path.clone(), bytes.clone())).collect()
    }

    /// A disk that keeps what was not synced apart.
    pub(crate) fn disk(&self) -> MemDisk {
        let disk = MemDisk::recording();
        disk.create_dir(&dir().wal).unwrap();
        for (path, (bytes, modified_ns)) in &self.files {
            disk.put(path, bytes.clone());
            disk.set_modified(path, *modified_ns).unwrap();
        }
        disk
    }

    /// What is in the shard, files and log. That this is what influxd recovered is tried with the whole fixtures.
    pub(crate) fn expected(&self) -> Content {
        read(&self.disk(), Trust::Directory)
    }
}
