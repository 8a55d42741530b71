//! A shard of large and small files, each with a tombstone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::RealDisk;
use icecore_testkit::tsm;
use icecore_tests::icecore::Server;
use icecore_tests::influxd2;
use icecore_tsm::block::Flavor;
use icecore_tsm::{BlockType, Delete, FileName, Scope, TimeRange, TsmFile, TsmWriter, WriterOptions};
use tempfile::TempDir;

/// Points of a key in a block, blocks of a key in a file, and the time between two points.
const BLOCK_POINTS: usize = 1000;
const KEY_BLOCKS: usize = 100;
const STEP_NS: i64 = 1_000_000_000;
/// Columns of random values that take turns.
const COLUMNS: u64 = 8;

/// What is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cuts {
    /// Ten blocks in the middle of each key, and parts of the two beside them.
    Edges,
    /// A few points of each block.
    EveryBlock,
}

impl Cuts {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Edges => "the edges of a time range, every key",
            Self::EveryBlock => "every block",
        }
    }

    /// Points from and to, in the order of a key.
    fn points(self) -> Vec<(usize, usize)> {
        match self {
            Self::Edges => vec![(44_500, 55_500)],
            Self::EveryBlock => {
                (0..KEY_BLOCKS).map(|nth| (nth * BLOCK_POINTS + 400, nth * BLOCK_POINTS + 420)).collect()
            }
        }
    }
}

/// A data directory with one shard that has no log.
pub(crate) struct Made {
    pub(crate) dir: TempDir,
    pub(crate) files: Vec<PathBuf>,
}

/// Makes a set-up directory in `parent`, with a shard of number 1.
///
/// # Panics
/// When the disk refuses.
pub(crate) fn make(parent: &Path, token: &str, small: bool) -> Made {
    let dir = TempDir::with_prefix_in("icecore-first-byte-", parent).expect("a directory");
    let server = Server::start(dir.path());
    influxd2::set_up(server.client(), token);
    let bucket = influxd2::bucket_ids(&server.client().with_token(token))
        .remove("first")
        .expect("the bucket of the setup");
    server.stop();
    let shard = dir.path().join("engine/data").join(bucket).join("autogen/1");
    fs::create_dir_all(&shard).expect("room for a shard");
    let scale = if small { 1000 } else { 1 };
    let small_count = if small { 5 } else { 100 };
    let sizes = [2_130_000_000 / scale, 1_900_000_000 / scale]
        .into_iter()
        .chain(std::iter::repeat_n(1 << 20, small_count));
    let columns: Vec<_> = (0..COLUMNS)
        .map(|seed| {
            tsm::column(
                BlockType::Float,
                (0..).step_by(1_000_000_000).take(KEY_BLOCKS * BLOCK_POINTS).collect(),
                seed,
            )
        })
        .collect();
    let files = (1..).zip(sizes).map(|(generation, size)| {
        let name = FileName::parse(&format!("{generation:09}-000000001.tsm")).expect("two numbers");
        let mut writer = TsmWriter::new(&RealDisk, &shard, name, WriterOptions::default());
        let (mut written, mut key) = (0, 0);
        while written < size {
            let text = format!("cpu,host=host-{key:06},region=eu#!~#usage");
            let column = columns.get(key % columns.len()).expect("one of them");
            writer.column(text.as_bytes(), column, Flavor::Batch).expect("room for points");
            // Random floats take eight bytes, but for their sign and exponent.
            written += KEY_BLOCKS as u64 * 7_380;
            key += 1;
        }
        assert_eq!(writer.finish().expect("room for an index"), [name]);
        shard.join(name.to_string())
    });
    let files = files.collect();
    Made { dir, files }
}

impl Made {
    /// Bytes of all files.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|path| fs::metadata(path).expect("a file").len()).sum()
    }

    /// Puts deletes in the place of all before.
    ///
    /// # Panics
    /// When the disk refuses.
    pub(crate) fn delete(&self, cuts: Cuts) {
        let time = |point: usize| i64::try_from(point).expect("few points") * STEP_NS;
        let range = |(from, to): (usize, usize)| TimeRange::new(time(from), time(to) - 1).expect("ascending");
        let deletes: Vec<_> = cuts
            .points()
            .into_iter()
            .map(|points| Delete { scope: Scope::Prefix(b"cpu"), range: range(points) })
            .collect();
        for path in &self.files {
            match fs::remove_file(path.with_extension("tombstone")) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
            let name =
                path.file_name().and_then(|name| FileName::parse(name.to_str()?)).expect("as it was made");
            let file = TsmFile::open(&RealDisk, path, name).expect("a sound file");
            file.delete(&RealDisk, &deletes, None).expect("room for a tombstone");
        }
    }
}
