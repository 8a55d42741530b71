//! Reads a shard as influxd would answer it: all files merged, the newer file wins, deletes and the log applied.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use icecore_disk::RealDisk;
use icecore_tsm::block::Flavor;
use icecore_tsm::{Column, FileName, Shard, ShardDir, Trust, TsmWriter, Values, WriterOptions};

const KEY: &[u8] = b"ice,core=3#!~#depth";

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    std::fs::create_dir(&paths.data)?;

    // Two files over the same times, as after two flushes; the second corrects the point at 20.
    let files = [
        ("000000001-000000001.tsm", vec![10, 20, 30], vec![1.0, 2.0, 3.0]),
        ("000000002-000000001.tsm", vec![20, 25], vec![2.5, 2.75]),
    ];
    for (name, times, values) in files {
        let name = FileName::parse(name).ok_or("two numbers of nine digits")?;
        let mut writer = TsmWriter::new(&RealDisk, &paths.data, name, WriterOptions::default());
        writer.column(KEY, &Column { times, values: Values::Float(values) }, Flavor::Stream)?;
        writer.finish()?;
    }

    // Read-only: nothing in the directory changes, also where a log has to be replayed.
    let shard = Shard::open_read_only(&RealDisk, &paths, Trust::Manifest)?;
    let snapshot = shard.snapshot()?; // pinned: what happens to the shard from now on does not show in it
    let mut points = Vec::new();
    snapshot.keys(|key, kind| {
        println!("{} is {}", key.escape_ascii(), kind.name());
        snapshot.read(key, |column| {
            if let Values::Float(values) = &column.values {
                points.extend(column.times.iter().copied().zip(values.iter().copied()));
            }
            Ok(())
        })
    })?;
    assert_eq!(points, [(10, 1.0), (20, 2.5), (25, 2.75), (30, 3.0)]);
    println!("{points:?}");
    Ok(())
}
