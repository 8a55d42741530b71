use std::path::Path;

use super::{self as shard, DATA, WAL};
use crate::MemDisk;

const SEGMENT: &str = "_00001.wal";
const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// Any bytes as a log give the same points read in memory, taken over into files, and backed up; or they are damaged,
/// and then the shard stays as it is.
///
/// Tried twice: as they are, and with the body of each entry taken for plain bytes and compressed, so that changed
/// bodies reach the decoder.
pub fn wal_shard(bytes: &[u8]) {
    replays(bytes.to_vec());
    replays(compress(bytes));
}

fn replays(log: Vec<u8>) {
    let disk = MemDisk::default();
    disk.put(&Path::new(DATA).join("fields.idxl"), Vec::new());
    disk.put(&Path::new(WAL).join(SEGMENT), log);
    let before = disk.files();

    let in_memory = shard::open(&disk);
    assert_eq!(disk.files(), before, "reading writes nothing");
    let taken_over = shard::open_to_write(&disk, || NOW_NS);
    let Ok(snapshot) = in_memory.snapshot() else {
        assert!(taken_over.snapshot().is_err() && disk.files() == before, "a damaged shard stays as it is");
        return;
    };
    assert_eq!(in_memory.recovery(), taken_over.recovery(), "reading finds what writing finds");
    assert!(disk.files().keys().all(|path| !path.ends_with(SEGMENT)), "the log is gone");
    let content = shard::content(&snapshot).expect("our own files");
    shard::backup_holds(&snapshot, &content);
    for shard in [taken_over, shard::open(&disk)] {
        let snapshot = shard.snapshot().expect("our own files");
        shard::same(&content, &shard::content(&snapshot).expect("our own files"));
    }
}

/// Takes `log` for entries whose bodies are not compressed, and compresses them; the last may be cut off.
fn compress(mut log: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((head, rest)) = log.split_first_chunk::<5>() {
        let [kind, len @ ..] = *head;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        let (body, rest) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let payload = snap::raw::Encoder::new().compress_vec(body).expect("a body below 4 GiB");
        out.push(kind);
        out.extend_from_slice(&u32::try_from(payload.len()).expect("a payload below 4 GiB").to_be_bytes());
        out.extend_from_slice(&payload);
        log = rest;
    }
    out
}
