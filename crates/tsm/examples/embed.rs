//! A storage engine inside another program: shards are made, written, read, and found again after a crash.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};
use icecore_tsm::{Batch, Engine, EngineOptions, TimeRange, Value, Values};

/// Files take it as their time of modification.
fn now() -> i64 {
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let engine = Engine::open(&disk, dir.path(), &EngineOptions::new(now))?;

    // Which shard takes which time is up to you; here one for everything.
    engine.create(1, "weather", "autogen")?;
    let mut batch = Batch::new();
    for (minute, celsius) in (0i64..).zip([-41.5, -41.25, -41.0]) {
        let fields = [(&b"temperature"[..], Value::Float(celsius)), (b"crew", Value::Unsigned(12))];
        batch.point(b"ice,station=vostok", 3, minute * 60_000_000_000, fields)?;
    }
    let written = engine.write(&mut [(1, batch)])?; // returns when it is durable
    assert_eq!(written.iter().map(|part| part.values).sum::<u64>(), 6);
    drop(engine); // as in a crash: nothing was flushed, the log has it all

    let engine = Engine::open(&disk, dir.path(), &EngineOptions::new(now))?;
    let open = engine.shard(1).ok_or("the shard was created above")?;
    let mut celsius = Vec::new();
    let range = TimeRange::new(60_000_000_000, 120_000_000_000)?;
    open.shard.read(b"ice,station=vostok#!~#temperature", range, |column| {
        if let Values::Float(values) = &column.values {
            celsius.extend_from_slice(values);
        }
        Ok(())
    })?;
    assert_eq!(celsius, [-41.25, -41.0]);
    engine.close().map_err(|(_, error)| error)?; // flushes: the points are in TSM files now, and the log is gone
    println!("{celsius:?}");
    Ok(())
}
