//! A verification finds what is wrong with a TSM file, all of it, each with its place and key; and nothing in a sound one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use icecore_disk::{Disk, Map, ReadAt, RealDisk};
use icecore_testkit::{fixtures, tsm};
use icecore_tsm::verify::{self, Depth, FindingKind, Findings, Options, Report};
use icecore_tsm::{BlockType, Column, Entry, FileName, TsmFile};

/// A file in memory, of which a part cannot be read.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    bad_sector: std::ops::Range<u64>,
}

impl ReadAt for Memory {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset < self.bad_sector.end && offset + buf.len() as u64 > self.bad_sector.start {
            return Err(io::Error::other("bad sector"));
        }
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(self.bytes.get(start..start + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn verify_with(bytes: &[u8], options: &Options) -> Report {
    let read = |bytes: &[u8]| Memory { bytes: bytes.to_vec(), bad_sector: 0..0 };
    let file: Arc<dyn ReadAt> = Arc::new(read(bytes));
    let report = verify::file(&file, options);
    let mapped: Arc<dyn ReadAt> = Arc::new(Mapped(read(bytes)));
    assert_eq!(verify::file(&mapped, options), report, "the same is found in a map");
    report
}

/// The same file, of which there is a map.
#[derive(Debug)]
struct Mapped(Memory);

impl ReadAt for Mapped {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn map(&self) -> Option<Map> {
        Some(Map::from(self.0.bytes.clone()))
    }
}

fn verify(bytes: &[u8]) -> Report {
    verify_with(bytes, &Options::default())
}

fn texts(findings: &Findings) -> Vec<String> {
    findings.listed().iter().map(ToString::to_string).collect()
}

const TYPES: [BlockType; 5] =
    [BlockType::Float, BlockType::Integer, BlockType::Boolean, BlockType::String, BlockType::Unsigned];

/// Bytes of a key's part of the index of the sample: key, type and count, two entries.
const SECTION_LEN: usize = 2 + KEY_LEN + 3 + 2 * 28;
const KEY_LEN: usize = 10;

/// All types, two blocks of ten points each.
fn sample() -> Vec<u8> {
    let columns = TYPES.iter().enumerate().map(|(nth, kind)| {
        let times = (0..20).map(|time| 1_000 + time * time).collect();
        (format!("m,t={nth}#!~#f"), tsm::column(*kind, times, nth as u64))
    });
    tsm::file(columns, 10)
}

fn index_start(file: &[u8]) -> usize {
    usize::try_from(u64::from_be_bytes(*file.last_chunk().unwrap())).unwrap()
}

/// Where the entries of the only key of a file begin.
fn first_entry(file: &[u8], key: &str) -> usize {
    index_start(file) + 2 + key.len() + 3
}

fn one_key(times: &[i64], block_points: usize) -> Vec<u8> {
    tsm::file([("m#!~#f", tsm::column(BlockType::Integer, times.to_vec(), 1))], block_points)
}

#[test]
fn a_sound_file_has_no_finding_and_is_counted() {
    let report = verify(&sample());
    assert!(report.is_sound() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.counts.keys, report.counts.blocks, report.counts.values), (5, 10, 100));
    assert_eq!(report.size, sample().len() as u64);
    let checksums = verify_with(&sample(), &Options { depth: Depth::Checksum, ..Options::default() });
    assert_eq!((checksums.counts.blocks, checksums.counts.values), (10, 0));
    let digest = verify_with(&sample(), &Options { digest: true, ..Options::default() }).digest;
    assert_eq!(digest, Some(blake3::hash(&sample())));
}

/// The sweep: what is not found, is nothing but another key that fits the order, or a last time that is too late.
#[test]
fn every_flipped_bit_is_found_but_for_keys_that_fit_and_late_ends() {
    let sound = sample();
    let index = index_start(&sound);
    let mut unseen: BTreeMap<&str, u32> = BTreeMap::new();
    for bit in 0..sound.len() * 8 {
        let mut file = sound.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let report = verify(&file);
        if !report.is_sound() {
            continue;
        }
        assert!(bit / 8 >= index, "bit {bit} of the blocks");
        let section = (bit / 8 - index) % SECTION_LEN;
        let why = match section {
            2..12 => "key",
            // The last time of a block; stated later than it is, since files of old versions do.
            23..31 | 51..59 if !report.notes.is_empty() => "late end",
            _ => panic!("bit {bit}, byte {section} of a key's part of the index"),
        };
        *unseen.entry(why).or_default() += 1;
    }
    assert!(unseen["key"] > 0 && unseen["late end"] > 0);
}

#[test]
fn every_cut_is_found() {
    let sound = sample();
    for len in 0..sound.len() {
        assert!(!verify(&sound[..len]).damage.is_empty(), "cut at {len}");
    }
}

#[test]
fn damage_of_every_kind_is_named_in_one_run() {
    let mut file = sample();
    let index = index_start(&file);
    file[0] ^= 1; // magic
    file[20] ^= 1; // first block of the first key
    file[index + SECTION_LEN + 2 + KEY_LEN] = 7; // type of the second key
    let entry = index + 2 * SECTION_LEN + 2 + KEY_LEN + 3;
    file[entry + 16 + 6] = 0x7f; // place of the third key's first block
    let report = verify(&file);
    let kinds: Vec<_> = report.damage.listed().iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Header, FindingKind::Checksum, FindingKind::Index, FindingKind::Outside]);
    let found = texts(&report.damage);
    assert_eq!(found[0], "not a TSM file at byte 0");
    assert_eq!(found[1], "a block's checksum is wrong at byte 5 (key m,t=0#!~#f)");
    let at = index + SECTION_LEN;
    assert_eq!(found[2], format!("unknown block type in the index at byte {at} (key m,t=1#!~#f)"));
    assert_eq!(
        found[3],
        format!("an index entry points outside the blocks at byte {entry} (key m,t=2#!~#f)")
    );
    assert_eq!(report.counts.blocks, 9, "all but the block that is nowhere");
}

#[test]
fn a_checksum_that_was_mended_does_not_hide_a_bad_block() {
    let mut file = sample();
    file[5 + 4] = 9; // type
    let size = u32::from_be_bytes(file[first_entry(&file, "m,t=0#!~#f") + 24..][..4].try_into().unwrap());
    let crc = crc32fast::hash(&file[9..5 + size as usize]);
    file[5..9].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(texts(&verify(&file).damage), ["unknown type of block at byte 9 (key m,t=0#!~#f)"]);
    let checksums = verify_with(&file, &Options { depth: Depth::Checksum, ..Options::default() });
    assert!(checksums.is_sound(), "which is all that this depth looks at");
}

#[test]
fn times_that_the_index_gets_wrong_are_named() {
    let entry = |file: &[u8]| first_entry(file, "m#!~#f");
    let mut early = one_key(&[10, 20, 30], 3);
    let at = entry(&early);
    early[at..at + 8].copy_from_slice(&9i64.to_be_bytes());
    assert_eq!(
        texts(&verify(&early).damage),
        ["a block does not begin when the index says at byte 5 (key m#!~#f)"]
    );
    let mut short = one_key(&[10, 20, 30], 3);
    short[at + 8..at + 16].copy_from_slice(&29i64.to_be_bytes());
    assert_eq!(
        texts(&verify(&short).damage),
        ["a block ends later than the index says at byte 5 (key m#!~#f)"]
    );
    let mut reversed = one_key(&[10, 20, 30], 3);
    reversed[at + 8..at + 16].copy_from_slice(&9i64.to_be_bytes());
    assert_eq!(
        verify(&reversed).damage.listed().last().unwrap().what,
        "an index entry ends before it starts"
    );
    let mut unordered = one_key(&[10, 20, 30, 40], 2);
    let at = entry(&unordered);
    let (low, high) = unordered.split_at_mut(at + 28);
    low[at..].swap_with_slice(&mut high[..28]);
    assert_eq!(
        texts(&verify(&unordered).damage),
        [format!("index entries are not in the order of time at byte {} (key m#!~#f)", at + 28)]
    );
    assert_eq!(
        texts(&verify(&one_key(&[10, 30, 20, 40], 4)).damage),
        ["the times of a block go back at byte 5 (key m#!~#f)"]
    );
}

#[test]
fn what_old_files_may_have_is_a_note_and_no_damage() {
    for times in [&[10, 20, 20, 30][..], &[10, 10], &[10, 10, 10]] {
        let repeated = verify(&one_key(times, 4));
        assert!(repeated.is_sound());
        assert_eq!(texts(&repeated.notes), ["a block has a time twice at byte 5 (key m#!~#f)"], "{times:?}");
    }
    let overlapping = verify(&one_key(&[10, 30, 20, 40], 2));
    assert!(overlapping.is_sound());
    assert_eq!(overlapping.notes.listed()[0].kind, FindingKind::Overlap);
}

#[test]
fn blocks_over_each_other_and_bytes_of_no_block_are_found() {
    let at = first_entry(&one_key(&[10, 20], 1), "m#!~#f");
    let mut shared = one_key(&[10, 20], 1);
    let (place, size) = (at + 16..at + 28, at + 28 + 16..at + 28 + 28);
    let first: Vec<u8> = shared[place].to_vec();
    shared[size].copy_from_slice(&first);
    let found = verify(&shared);
    let kinds: Vec<_> = found.damage.listed().iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::Shared), "{found:?}");
    assert_eq!(found.counts.blocks, 1, "a block that lies over another is not read again");

    // The index of the first key alone, behind the blocks of both.
    let both =
        tsm::file(["a#!~#f", "b#!~#f"].map(|key| (key, tsm::column(BlockType::Float, vec![1, 2], 3))), 10);
    let index = index_start(&both);
    let section = 2 + 6 + 3 + 28;
    let lost = [&both[..index + section], &both[both.len() - 8..]].concat();
    let found = verify(&lost);
    assert_eq!(found.damage.listed()[0].kind, FindingKind::Unclaimed);
    assert_eq!(found.damage.listed()[0].what, "bytes between the blocks that belong to no key");
}

#[test]
fn a_bad_sector_is_told_and_the_rest_is_checked() {
    let times = (0..1_500_000).collect();
    let mut file = tsm::file([("m#!~#f", tsm::column(BlockType::Float, times, 7))], 1000);
    assert!(file.len() > 8 << 20, "some chunks");
    let last = index_start(&file) - 20;
    file[last] ^= 1;
    let bad_sector = 100_000..100_512;
    let file: Arc<dyn ReadAt> = Arc::new(Memory { bytes: file, bad_sector });
    let report = verify::file(&file, &Options { digest: true, ..Options::default() });
    assert_eq!(texts(&report.unreadable).len(), 2, "the block over the sector, and the digest");
    assert_eq!(report.damage.count(), 1, "{:?}", report.damage);
    assert_eq!(report.digest, None);
    assert!(report.counts.blocks == 1499, "{:?}", report.counts);
}

/// A file on the real disk that another process cuts as soon as it is mapped.
#[derive(Debug)]
struct CutWhenMapped {
    file: std::fs::File,
    to: u64,
    reads: Arc<dyn ReadAt>,
    /// What stands where blocks are.
    sound: Vec<u8>,
}

impl ReadAt for CutWhenMapped {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        // The index lies behind the cut, and is needed to get there.
        if offset >= u64::try_from(index_start(&self.sound)).unwrap() {
            buf.copy_from_slice(&self.sound[start..start + buf.len()]);
            return Ok(());
        }
        self.reads.read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.sound.len() as u64)
    }

    fn map(&self) -> Option<Map> {
        let map = self.reads.map();
        self.file.set_len(self.to).unwrap();
        map
    }
}

#[test]
fn a_page_of_a_map_that_cannot_be_read_is_told_and_is_no_signal() {
    let times = (0..1_500_000).collect();
    let sound = tsm::file([("m#!~#f", tsm::column(BlockType::Float, times, 7))], 1000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("000000001-000000001.tsm");
    std::fs::write(&path, &sound).unwrap();
    let to = 5_000_000;
    let is_before = |entry: &Entry| entry.offset.get() + u64::from(entry.size) <= to;
    let left = entries(&path).iter().filter(|entry| is_before(entry)).count() as u64;
    assert!(left > 500);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let file: Arc<dyn ReadAt> =
        Arc::new(CutWhenMapped { file, to, reads: RealDisk.open(&path).unwrap(), sound });
    let report = verify::file(&file, &Options::default());
    assert_eq!(report.damage.count(), 0, "{:?}", report.damage);
    assert_eq!((report.counts.blocks, report.unreadable.count()), (left, 1500 - left));
}

/// The blocks of all keys of a file.
fn entries(path: &std::path::Path) -> Vec<Entry> {
    let name = FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let file = TsmFile::open(&RealDisk, path, name).unwrap();
    file.index().unwrap().keys().flat_map(|key| key.entries().collect::<Vec<_>>()).collect()
}

#[test]
fn threads_find_the_same_as_one_alone() {
    let dir = fixtures::unpack("fleet");
    let path = dir.path().join("engine/data/1b87b4f3c6ec1165/autogen/1/000000001-000000001.tsm");
    let mut bytes = std::fs::read(path).unwrap();
    let index = index_start(&bytes);
    for at in (1000..index).step_by(50_001) {
        bytes[at] ^= 0x10;
    }
    let with = |threads| {
        let threads = NonZeroUsize::new(threads).unwrap();
        verify_with(&bytes, &Options { threads, digest: true, ..Options::default() })
    };
    let alone = with(1);
    assert_eq!(alone.damage.count(), (1000..index).step_by(50_001).count() as u64);
    assert_eq!(alone.damage.unlisted(), alone.damage.count() - 100);
    for threads in [2, 3, 8] {
        assert_eq!(with(threads), alone, "{threads} threads");
    }
}

/// Every TSM file below the data of a fixture, whose values are counted by other means as well.
#[test]
fn the_fixtures_are_sound_and_have_the_values_that_a_reader_finds() {
    for (name, files) in [("kitchen-sink", 13), ("layers", 5), ("fleet", 2)] {
        let dir = fixtures::unpack(name);
        let paths = tsm_files(&dir.path().join("engine/data"));
        assert_eq!(paths.len(), files);
        let reports: Mutex<BTreeMap<usize, Report>> = Mutex::default();
        verify::files(&RealDisk, &paths, &Options::default(), &|nth, report| {
            let before = reports.lock().unwrap().insert(nth, report.unwrap());
            assert!(before.is_none(), "told once");
        });
        let reports = reports.into_inner().unwrap();
        assert_eq!(reports.len(), paths.len());
        for (path, report) in paths.iter().zip(reports.values()) {
            assert!(report.is_sound() && report.notes.is_empty(), "{}: {report:?}", path.display());
            let (keys, blocks, values) = read(path);
            assert_eq!(report.counts.keys, keys);
            assert_eq!((report.counts.blocks, report.counts.values), (blocks, values));
        }
    }
}

fn tsm_files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![dir.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => ahead.push(path),
                Some(extension) if extension == "tsm" => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Keys, blocks and values as the reader has them.
fn read(path: &std::path::Path) -> (u64, u64, u64) {
    let name = FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let file = TsmFile::open(&RealDisk, path, name).unwrap();
    let mut column = Column::new(BlockType::Float);
    let (mut keys, mut blocks, mut values) = (0, 0, 0);
    for key in file.index().unwrap().keys() {
        keys += 1;
        for entry in key.entries() {
            file.read_block(&key, &entry, &mut column).unwrap();
            blocks += 1;
            values += column.len() as u64;
        }
    }
    (keys, blocks, values)
}

#[test]
fn a_tombstone_is_read_to_its_damage() {
    let deletes = [("m#!~#f", icecore_tsm::TimeRange::ALL)];
    let bytes = tsm::tombstone_v4(&[&deletes, &deletes]);
    let read = |bytes: &[u8]| {
        let file = Memory { bytes: bytes.to_vec(), bad_sector: 0..0 };
        assert_eq!(verify::tombstone_version(&file).unwrap(), 4);
        verify::tombstone(&file, |_, _| {}).unwrap()
    };
    assert!(read(&bytes).is_sound());
    assert_eq!(read(&bytes).counts.deletes, 2);
    let mut damaged = bytes.clone();
    let last = damaged.len() - 1;
    damaged[last - 5] ^= 1;
    let report = read(&damaged);
    assert_eq!(report.damage.listed()[0].kind, FindingKind::Tombstone);
    assert_eq!(
        report.damage.listed()[0].offset.get(),
        4 + (bytes.len() as u64 - 4) / 2,
        "where its member begins"
    );
}
