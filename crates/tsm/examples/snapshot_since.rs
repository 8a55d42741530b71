//! Backups that cost what has changed: the second one takes the files that came after the cut of the first.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use std::collections::BTreeMap;
use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};
use icecore_tsm::{Batch, Deletes, FileName, Shard, ShardDir, Snapshot, Value, Writing};

type Backup = BTreeMap<FileName, Vec<u8>>;

/// Adds the files of a snapshot that changed strictly after `since`, nanoseconds since 1970.
fn add(backup: &mut Backup, snapshot: &Snapshot, since: Option<i64>) -> icecore_tsm::Result<usize> {
    let members = snapshot.members(Deletes::Apply);
    let newer = members.into_iter().filter(|member| since.is_none_or(|since| member.modified_ns() > since));
    let mut added = 0;
    for mut member in newer {
        let mut bytes = Vec::new();
        for chunk in member.chunks()? {
            bytes.extend_from_slice(&chunk?);
        }
        backup.insert(member.name(), bytes);
        added += 1;
    }
    Ok(added)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let paths = ShardDir { data: dir.path().join("data"), wal: dir.path().join("wal") };
    disk.create_dir(&paths.data)?;
    disk.create_dir(&paths.wal)?;
    let shard = Shard::open(&disk, &paths, &Writing::new(|| 1_700_000_000_000_000_000))?;
    let write = |depth: i64| {
        let mut batch = Batch::new();
        batch.point(b"ice,core=3", 3, depth, [(&b"age"[..], Value::Integer(depth * 12))])?;
        shard.write(&mut batch).map_err(Box::<dyn std::error::Error>::from)
    };

    write(100)?;
    let mut backup = Backup::new();
    let first = shard.snapshot()?; // has every write that was acknowledged before
    assert_eq!(add(&mut backup, &first, None)?, 1);

    write(200)?;
    write(300)?;
    let second = shard.snapshot()?;
    assert_eq!(
        add(&mut backup, &second, Some(first.cut_ns()))?,
        1,
        "one new file, the old one is not sent again"
    );
    let live: Vec<_> = second.files().iter().map(|file| file.name()).collect();
    assert_eq!(backup.into_keys().collect::<Vec<_>>(), live, "together they are the shard");
    println!("{} files", live.len());
    Ok(())
}
