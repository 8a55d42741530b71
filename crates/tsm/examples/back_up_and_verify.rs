//! Copies what a shard holds, deletes applied, and verifies the copy; then a bit flips, and the place is named.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};
use icecore_tsm::block::Flavor;
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{
    Column, Delete, Deletes, FileName, Scope, Shard, ShardDir, TimeRange, Trust, TsmFile, TsmWriter, Values,
    WriterOptions,
};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    fs::create_dir(&paths.data)?;
    let name = FileName::parse("000000001-000000001.tsm").ok_or("two numbers of nine digits")?;
    let mut writer = TsmWriter::new(&RealDisk, &paths.data, name, WriterOptions::default());
    let column = Column { times: (0..3_000).collect(), values: Values::Unsigned((0..3_000).collect()) };
    writer.column(b"ice,core=3#!~#layer", &column, Flavor::Batch)?;
    writer.finish()?;
    let file = TsmFile::open(&RealDisk, &paths.data.join(name.to_string()), name)?;
    let range = TimeRange::new(500, 2_499)?;
    file.delete(&RealDisk, &[Delete { scope: Scope::Series(b"ice,core=3"), range }], None)?;

    // What leaves has no tombstone: the deleted points are not in it.
    let snapshot = Shard::open_read_only(&RealDisk, &paths, Trust::Manifest)?.snapshot()?;
    let copies = dir.path().join("copy");
    fs::create_dir(&copies)?;
    for mut member in snapshot.members(Deletes::Apply) {
        let mut copy = File::create_new(copies.join(member.name().to_string()))?;
        for chunk in member.chunks()? {
            copy.write_all(&chunk?)?; // checked before it is handed out
        }
        println!("{}: {:?} bytes, {}", member.name(), member.size(), member.digest()?);
    }

    let path = copies.join(name.to_string());
    let report = verify::file(&RealDisk.open(&path)?, &Options::default());
    assert!(report.damage.is_empty() && report.counts.values == 1_000);

    let mut bytes = fs::read(&path)?;
    *bytes.get_mut(20).ok_or("longer than that")? ^= 1; // in the first block
    fs::write(&path, bytes)?;
    let file: Arc<_> = RealDisk.open(&path)?;
    let report = verify::file(&file, &Options::default());
    let findings: Vec<String> = report.damage.listed().iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 1);
    println!("{findings:?}");
    Ok(())
}
