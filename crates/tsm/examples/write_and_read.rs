//! Writes a TSM file and reads a range of times back: what an engine does after a flush.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use icecore_disk::RealDisk;
use icecore_tsm::block::Flavor;
use icecore_tsm::{Column, FileName, TimeRange, TsmFile, TsmWriter, Values, WriterOptions};

const SECOND: i64 = 1_000_000_000;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let name = FileName::parse("000000001-000000001.tsm").ok_or("two numbers of nine digits")?;

    // Keys ascend; a column of any length becomes blocks of 1,000 points.
    let mut writer = TsmWriter::new(&RealDisk, dir.path(), name, WriterOptions::default());
    let times: Vec<i64> = (0..5_000).map(|second| second * SECOND).collect();
    let depth = Values::Float((0..5_000).map(|step| f64::from(step) * 0.55).collect());
    writer.column(b"ice,core=3#!~#depth", &Column { times: times.clone(), values: depth }, Flavor::Batch)?;
    let layer = Values::Integer((0..5_000).map(|step| step / 40).collect());
    writer.column(b"ice,core=3#!~#layer", &Column { times, values: layer }, Flavor::Batch)?;
    let written = writer.finish()?; // durable from here on

    let file = TsmFile::open(&RealDisk, &dir.path().join(name.to_string()), name)?;
    let index = file.index()?;
    println!("{written:?}: {} keys, {} bytes", index.len(), file.size());

    // Two of the five blocks share a time with this range; the others are not touched.
    let range = TimeRange::new(1_900 * SECOND, 2_100 * SECOND)?;
    let key = index.find(b"ice,core=3#!~#layer").ok_or("it was written")?;
    let mut column = Column::new(key.kind);
    let mut layers = Vec::new();
    for entry in key.entries_within(range) {
        file.read_block(&key, &entry, &mut column)?; // the buffers of the block before are used again
        let Values::Integer(values) = &column.values else { return Err("layers are integers".into()) };
        let inside = column.times.iter().zip(values).filter(|(time, _)| range.contains(**time));
        layers.extend(inside.map(|(_, layer)| *layer));
    }
    assert_eq!((layers.len(), layers.first(), layers.last()), (201, Some(&47), Some(&52)));
    println!("{} points of {} blocks", layers.len(), key.entries_within(range).count());
    Ok(())
}
