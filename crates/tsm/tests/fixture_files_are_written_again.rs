//! Every TSM file of a real influxd is taken apart and put together again: byte for byte the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use icecore_disk::RealDisk;
use icecore_testkit::fixtures;
use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{BlockType, Column, Entry, FileName, Key, TsmFile, TsmWriter, WriterOptions};

/// How many blocks each encoder gives back as they were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    both: usize,
    batch_only: usize,
    stream_only: usize,
}

impl Tally {
    fn count(&mut self, batch: bool, stream: bool) -> Flavor {
        match (batch, stream) {
            (true, true) => self.both += 1,
            (true, false) => self.batch_only += 1,
            (false, true) => self.stream_only += 1,
            (false, false) => panic!("neither encoder gives the block back"),
        }
        if batch { Flavor::Batch } else { Flavor::Stream }
    }
}

fn tsm_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tsm_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "tsm") {
            files.push(path);
        }
    }
}

/// Unpacks the shard archives of a folder, each into a folder of its own.
fn unpack_archives(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        if name.ends_with(".tar.gz") {
            tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(to.join(name)).unwrap();
        } else if name.ends_with(".tar") {
            tar::Archive::new(file).unpack(to.join(name)).unwrap();
        }
    }
}

/// Folders with all TSM files that the fixtures have: data directories, and archives that the server sent.
fn folders() -> Vec<tempfile::TempDir> {
    let archives = ["kitchen-sink/http/shards", "kitchen-sink/cli-backup"].map(|from| {
        let dir = tempfile::tempdir().unwrap();
        unpack_archives(&fixtures::path(from), dir.path());
        dir
    });
    ["kitchen-sink", "layers", "fleet"].map(fixtures::unpack).into_iter().chain(archives).collect()
}

fn encoded(column: &Column, flavor: Flavor) -> Vec<u8> {
    let mut bytes = Vec::new();
    block::encode(column, 0..column.len(), flavor, &mut bytes).unwrap();
    bytes
}

/// Writes a file again, block by block, and returns the bytes of the new one.
fn again(file: &TsmFile, mut put: impl FnMut(&mut TsmWriter<'_>, &Key<'_>, &Entry, &Column)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = TsmWriter::new(&RealDisk, dir.path(), file.name(), WriterOptions::default());
    let mut column = Column::new(BlockType::Float);
    for key in file.index().unwrap().keys() {
        for entry in key.entries() {
            file.read_block(&key, &entry, &mut column).unwrap();
            put(&mut writer, &key, &entry, &column);
        }
    }
    assert_eq!(writer.finish().unwrap(), [file.name()]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    std::fs::read(dir.path().join(file.name().to_string())).unwrap()
}

#[test]
fn decoded_and_encoded_or_copied_they_are_the_same_bytes() {
    let mut tallies = BTreeMap::<_, Tally>::new();
    let mut files = 0;
    for dir in folders() {
        let mut paths = Vec::new();
        tsm_files(dir.path(), &mut paths);
        for path in &paths {
            let name = FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
            let file = TsmFile::open(&RealDisk, path, name).unwrap();
            let bytes = std::fs::read(path).unwrap();
            let block = |entry: &Entry| {
                let start = usize::try_from(entry.offset.get()).unwrap();
                &bytes[start..start + entry.size as usize]
            };
            let encoded = again(&file, |writer, key, entry, column| {
                let [batch, stream] = [Flavor::Batch, Flavor::Stream]
                    .map(|flavor| encoded(column, flavor) == block(entry)[4..]);
                let flavor = tallies.entry(key.kind).or_default().count(batch, stream);
                writer.block(key.key, column, 0..column.len(), flavor).unwrap();
            });
            assert!(encoded == bytes, "{} encoded", path.display());
            let copied = again(&file, |writer, key, entry, _| {
                writer.copy(key.key, block(entry), entry.offset).unwrap();
            });
            assert!(copied == bytes, "{} copied", path.display());
        }
        files += paths.len();
    }
    println!("{files} files");
    let mut sum = 0;
    for (kind, tally) in &tallies {
        println!("{:>8}: {tally:?}", kind.name());
        sum += tally.both + tally.batch_only + tally.stream_only;
    }
    assert_eq!((files, sum, tallies.len()), (46, 2894, 5));
    assert!(tallies.values().any(|tally| tally.batch_only > 0));
    assert!(tallies.values().any(|tally| tally.stream_only > 0));
}
