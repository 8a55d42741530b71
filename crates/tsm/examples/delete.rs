//! Deletes points beside a file that is never written again: by key, by series and by prefix.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use icecore_disk::RealDisk;
use icecore_tsm::block::Flavor;
use icecore_tsm::{
    Column, Delete, FileName, Scope, Shard, ShardDir, TimeRange, Trust, TsmFile, TsmWriter, Values,
    WriterOptions,
};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    std::fs::create_dir(&paths.data)?;
    let name = FileName::parse("000000001-000000001.tsm").ok_or("two numbers of nine digits")?;
    let mut writer = TsmWriter::new(&RealDisk, &paths.data, name, WriterOptions::default());
    let column = Column { times: (0..10).collect(), values: Values::Integer((0..10).collect()) };
    for key in ["ice,core=1#!~#depth", "ice,core=1#!~#layer", "ice,core=12#!~#depth", "snow,site=a#!~#depth"]
    {
        writer.column(key.as_bytes(), &column, Flavor::Batch)?;
    }
    writer.finish()?;

    let file = TsmFile::open(&RealDisk, &paths.data.join(name.to_string()), name)?;
    let deletes = [
        // One field, a range of times with both ends.
        Delete { scope: Scope::Key(b"ice,core=12#!~#depth"), range: TimeRange::new(3, 7)? },
        // A series with all its fields; `ice,core=12` only begins with the same bytes and is another one.
        Delete { scope: Scope::Series(b"ice,core=1"), range: TimeRange::ALL },
        // Whatever begins with these bytes.
        Delete { scope: Scope::Prefix(b"snow,"), range: TimeRange::new(0, 8)? },
    ];
    let file = file.delete(&RealDisk, &deletes, None)?.ok_or("there was something to delete")?;
    assert!(file.has_deletes());
    assert!(file.delete(&RealDisk, &deletes, None)?.is_none(), "nothing is recorded twice");

    let snapshot = Shard::open_read_only(&RealDisk, &paths, Trust::Manifest)?.snapshot()?;
    let mut left = Vec::new();
    snapshot.keys(|key, _| {
        let mut times = Vec::new();
        snapshot.read(key, |column| {
            times.extend_from_slice(&column.times);
            Ok(())
        })?;
        left.push((String::from_utf8_lossy(key).into_owned(), times));
        Ok(())
    })?;
    left.retain(|(_, times)| !times.is_empty());
    assert_eq!(
        left,
        [
            ("ice,core=12#!~#depth".to_owned(), vec![0, 1, 2, 8, 9]),
            ("snow,site=a#!~#depth".to_owned(), vec![9]),
        ]
    );
    println!("{left:?}");
    Ok(())
}
