use std::path::Path;
use std::sync::Arc;

use icecore_disk::LockMode;
use icecore_kvstore::{Bucket, Error, PartKind, Result, Store, View, salvage};

use crate::MemDisk;

const FILE: &str = "/influxd.bolt";

/// Pairs and buckets read of a file that was not verified: its pages may refer to each other without end.
const STEPS_MAX: usize = 10_000;

const META_LEN: usize = 80;
const CHECKSUM: usize = 72;

/// Any bytes are a Bolt file whose pairs ascend and are found by key, and whose copy is a sound file with the same
/// pairs; or they are damaged, and then nothing is copied.
///
/// Tried twice: as they are, and with right checksums in the meta pages.
pub fn bolt(bytes: &[u8]) {
    reads(bytes.to_vec());
    let mended = mend(bytes);
    if mended != bytes {
        reads(mended);
    }
}

/// What is salvaged of a sound file is all of it; of any other bytes, whatever it is, it ends.
fn salvages(disk: &MemDisk, wanted: Option<usize>) {
    let mut pairs = 0;
    let report = salvage(disk, Path::new(FILE), |_| pairs += 1);
    if let Some(wanted) = wanted {
        assert!(report.is_ok_and(|report| report.is_clean()), "a sound file");
        assert_eq!(pairs, wanted);
    }
}

fn open(bytes: Vec<u8>) -> Result<Store> {
    let disk = MemDisk::default();
    disk.put(Path::new(FILE), bytes);
    Store::open(Arc::new(disk), Path::new(FILE), LockMode::Shared).inspect_err(names_damage)
}

fn names_damage(error: &Error) {
    assert!(error.is_damage(), "not about damage: {error}");
    assert_eq!(error.path(), Some(Path::new(FILE)), "{error}");
    assert!(error.page().is_some(), "names no page: {error}");
}

fn reads(bytes: Vec<u8>) {
    let disk = MemDisk::default();
    disk.put(Path::new(FILE), bytes.clone());
    let Ok(store) = open(bytes) else { return salvages(&disk, None) };
    let view = store.view();
    let copied = view.copy();
    if let Err(error) = view.verify() {
        names_damage(&error);
        assert!(copied.is_err(), "what is damaged is not copied");
        let _ = dump(&view, STEPS_MAX); // whatever it says, it says it in the end
        let _ = outlined_pairs(&view);
        salvages(&disk, None);
        return;
    }
    let pairs = dump(&view, usize::MAX).expect("a sound file is read");
    let count = pairs.iter().filter(|step| matches!(step, Step::Pair(..))).count();
    salvages(&disk, Some(count));
    assert_eq!(outlined_pairs(&view), Some(count as u64), "all parts of a sound file are shown");
    let copied = copied.expect("a sound file is copied");
    let len_bytes = copied.len_bytes();
    let copied = collect(copied);
    assert_eq!(copied.len() as u64, len_bytes, "as long as it was planned");
    let store = open(copied.clone()).expect("a copy opens");
    let again = store.view();
    again.verify().expect("a copy is sound");
    assert_eq!(again.txid(), view.txid());
    assert_eq!(dump(&again, usize::MAX).expect("a sound file is read"), pairs);
    assert!(
        collect(again.copy().expect("a sound file is copied")) == copied,
        "the same state, the same bytes"
    );
}

/// The pairs of all parts that are shown; `None` where one is damaged.
fn outlined_pairs(view: &View) -> Option<u64> {
    let mut pairs = Some(0);
    view.outline(|part| {
        let more = match part.kind {
            PartKind::Bucket { inline, .. } => Some(inline.map_or(0, |(pairs, _)| pairs)),
            PartKind::Node(node) => Some(node.pairs as u64),
            PartKind::Damaged(_) => None,
        };
        pairs = pairs.zip(more).map(|(pairs, more)| pairs + more);
    });
    pairs
}

fn collect(copy: icecore_kvstore::HotCopy) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in copy {
        bytes.extend_from_slice(&chunk.expect("nobody writes"));
    }
    bytes
}

/// A key with its value, or a bucket's name with its counter.
#[derive(Debug, PartialEq)]
enum Step<'v> {
    Pair(&'v [u8], &'v [u8]),
    Begin(&'v [u8], u64),
    End,
}

fn dump(view: &View, steps_max: usize) -> Result<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for bucket in view.buckets()? {
        let (name, bucket) = bucket?;
        walk(name, &bucket, steps_max, &mut steps)?;
    }
    Ok(steps)
}

fn walk<'v>(name: &'v [u8], bucket: &Bucket<'v>, steps_max: usize, steps: &mut Vec<Step<'v>>) -> Result<()> {
    let is_sound = steps_max == usize::MAX;
    steps.push(Step::Begin(name, bucket.sequence()));
    let mut before: Option<&[u8]> = None;
    for pair in bucket.iter()? {
        let (key, value) = pair?;
        if is_sound {
            assert!(before.is_none_or(|before| before < key), "keys ascend");
            assert_eq!(bucket.get(key)?, Some(value), "what is listed is found");
            before = Some(key);
        }
        steps.push(Step::Pair(key, value));
        if steps.len() >= steps_max {
            return Ok(());
        }
    }
    for inner in bucket.buckets()? {
        let (name, inner) = inner?;
        if steps.len() >= steps_max {
            return Ok(());
        }
        walk(name, &inner, steps_max, steps)?;
    }
    steps.push(Step::End);
    Ok(())
}

/// Puts right checksums (FNV-1a, 64 bits) into both meta pages, with pages of 4096 bytes.
fn mend(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    for page in mended.chunks_mut(4096).take(2) {
        let Some((head, checksum)) =
            page.get_mut(..META_LEN).and_then(|meta| meta.split_at_mut_checked(CHECKSUM))
        else {
            continue;
        };
        let fields = head.get(16..).unwrap_or_default();
        let hash = fields.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        checksum.copy_from_slice(&hash.to_le_bytes());
    }
    mended
}
