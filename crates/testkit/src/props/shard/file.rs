use icecore_tsm::TsmFile;

use super::{self as shard, backup_holds, content, names_damage};
use crate::MemDisk;
use crate::props::mend;
use crate::props::tsm_file::{agrees, open};

/// Points decoded of one file; files that claim more are opened, not read.
const POINTS_MAX: usize = 1 << 18;

/// Any bytes are the one file of a shard, which has the keys of the file, and whose backup has its points; or they are
/// damaged.
///
/// Tried twice: as they are, and mended like those of a file alone.
pub fn shard(bytes: &[u8]) {
    let mut mended = Vec::new();
    let is_mended = mend::file(bytes, &mut mended);
    for bytes in [bytes, &mended].into_iter().take(1 + usize::from(is_mended)) {
        if let Ok(file) = open(bytes)
            && let Some(all_read) = agrees(&file, bytes, POINTS_MAX)
        {
            shard_agrees(&file, bytes, all_read);
        }
    }
}

/// A shard that consists of the file has its keys, and sends it as it is.
fn shard_agrees(file: &TsmFile, bytes: &[u8], all_read: bool) {
    let disk = MemDisk::default();
    disk.put(file.path(), bytes.to_vec());
    let opened = shard::open(&disk);
    let snapshot = opened.snapshot().expect("the file opened before");
    match content(&snapshot) {
        Ok(content) => {
            let keys = file.index().map(|index| index.len());
            assert!(all_read && keys.ok() == Some(content.len()), "every key has a point");
            backup_holds(&snapshot, &content);
        }
        Err(error) => {
            names_damage(&error);
            assert!(!all_read, "what was read once is read again: {error}");
            assert!(opened.snapshot().is_err(), "damage is remembered");
        }
    }
}
