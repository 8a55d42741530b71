//! The sums that a writer makes are those of the file on disk, and a listed file is held to them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};

use icecore_disk::{Disk, Map};
use icecore_testkit::{MemDisk, tsm};
use icecore_tsm::block::Flavor;
use icecore_tsm::sums::{PAGE_LEN, Sums};
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{
    BlockType, Column, Delete, ErrorKind, Expected, FileName, Scope, TimeRange, TsmFile, TsmWriter, Values,
    WriterOptions,
};

const DIR: &str = "/shard";
const NAME: &str = "000000003-000000001.tsm";

fn first() -> FileName {
    FileName::parse(NAME).unwrap()
}

fn path() -> PathBuf {
    Path::new(DIR).join(NAME)
}

/// One file of many pages: noise, and an index that begins in the middle of a page and covers others.
fn large() -> (MemDisk, Sums) {
    let disk = MemDisk::default();
    disk.create_dir(Path::new(DIR)).unwrap();
    let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), WriterOptions::default());
    for nth in 0..3000 {
        let column = tsm::column(BlockType::Float, (0..20).collect(), nth);
        writer.column(format!("m,host={nth:06}#!~#f").as_bytes(), &column, Flavor::Batch).unwrap();
    }
    let (name, sums) = writer.finish_with_sums().unwrap().remove(0);
    assert_eq!(name, first());
    (disk, sums)
}

fn expected(sums: &Sums) -> Expected {
    Expected::new(sums.root(), None, Some(Map::from(sums.to_bytes())))
}

fn open(disk: &MemDisk, expected: Expected) -> icecore_tsm::Result<TsmFile> {
    TsmFile::open_expected(disk, &path(), first(), expected)
}

#[test]
fn a_writer_knows_the_sums_of_what_it_wrote_however_it_was_split() {
    let mut files_seen = 0;
    for (file_size_max, index_memory_max) in [(2 << 30, 64 << 20), (100_000, 0), (300_000, 1000), (1, 64)] {
        let disk = MemDisk::default();
        disk.create_dir(Path::new(DIR)).unwrap();
        let options = WriterOptions { file_size_max, index_memory_max, ..WriterOptions::default() };
        let mut writer = TsmWriter::new(&disk, Path::new(DIR), first(), options);
        let text =
            |len: usize| -> Vec<u8> { tsm::noise(len as u64).flat_map(u64::to_be_bytes).take(len).collect() };
        // Longer than what a writer collects, so that a block goes past its buffer.
        for (nth, len) in [10, 400_000, 70_000, 3, 1_000_000, 65_536].into_iter().enumerate() {
            let column = Column { times: vec![1], values: Values::String([text(len)].iter().collect()) };
            writer.column(format!("m,n={nth}#!~#s").as_bytes(), &column, Flavor::Batch).unwrap();
        }
        for (name, sums) in writer.finish_with_sums().unwrap() {
            let path = Path::new(DIR).join(name.to_string());
            let bytes = disk.files()[&path].clone();
            assert_eq!(sums, Sums::of(&bytes));
            assert_eq!(sums.root(), blake3::hash(&bytes));
            assert_eq!(Sums::of_file(&*disk.open(&path).unwrap()).unwrap(), sums);
            sums.write(&disk, Path::new(DIR), name).unwrap();
            assert_eq!(Sums::read(&disk, Path::new(DIR), name).unwrap(), Some(sums));
            files_seen += 1;
        }
        let names = disk.files();
        assert!(names.keys().all(|path| path.extension().is_some_and(|end| end == "tsm" || end == "tsmsum")));
    }
    assert!(files_seen > 10, "{files_seen}");
    assert_eq!(Sums::read(&MemDisk::default(), Path::new(DIR), first()).unwrap(), None);
}

/// One byte after the other in the file: before the index a check of all of it finds the page, in the index its first use.
#[test]
fn a_changed_byte_is_found_where_it_lies() {
    let (disk, sums) = large();
    let sound = disk.files()[&path()].clone();
    let file = open(&disk, expected(&sums)).unwrap();
    assert_eq!(file.check().unwrap(), blake3::hash(&sound));
    let footer = u64::from_be_bytes(sound[sound.len() - 8..].try_into().unwrap());
    let index_start = usize::try_from(footer).unwrap();
    assert!(
        index_start > 2 * PAGE_LEN
            && index_start % PAGE_LEN > 100
            && sound.len() - index_start > 2 * PAGE_LEN
    );
    let index_page = index_start - index_start % PAGE_LEN;
    let places =
        (5..sound.len()).step_by(10_007).chain([index_page - 1, index_page, index_start, sound.len() - 9]);
    let mut found_at_first_use = 0;
    for at in places {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        disk.put(&path(), damaged);
        let page = format!(
            "{}: damaged: a page is not what its sum says at byte {}",
            path().display(),
            at - at % PAGE_LEN
        );
        let file = open(&disk, expected(&sums)).unwrap();
        match file.index() {
            Ok(_) => {
                assert!(at < index_page, "byte {at}");
                let error = file.check().unwrap_err();
                assert!(
                    error.is_damage() && error.offset().unwrap().get() <= at as u64,
                    "byte {at}: {error}"
                );
                assert!(file.check().is_err(), "byte {at}: nothing is remembered");
            }
            Err(error) => {
                assert!(at >= index_page, "byte {at}");
                assert_eq!(error.to_string(), page);
                found_at_first_use += 1;
            }
        }
        let report = verify::file_with_sums(&disk.open(&path()).unwrap(), &sums, &Options::default());
        let found = report
            .damage
            .listed()
            .iter()
            .any(|finding| format!("{}: damaged: {finding}", path().display()) == page);
        assert!(found, "byte {at}: {report:?}");
    }
    assert!(found_at_first_use > 10);
}

/// Bytes that no block has: their checksums do not cover them, the digest does.
#[test]
fn a_check_ends_in_the_listed_digest_or_in_an_error_that_names_the_page() {
    let column = tsm::column(BlockType::Integer, (0..10).collect(), 1);
    let mut bytes = tsm::file([(&b"m#!~#f"[..], column)], 1000);
    let gap = 3 * PAGE_LEN;
    let index_start = bytes.len() - 8 - (2 + 6 + 1 + 2 + 28);
    bytes.splice(index_start..index_start, std::iter::repeat_n(7, gap));
    let footer = bytes.len() - 8;
    bytes[footer..].copy_from_slice(&((index_start + gap) as u64).to_be_bytes());
    let (disk, sums) = (MemDisk::default(), Sums::of(&bytes));
    disk.put(&path(), bytes.clone());
    assert_eq!(open(&disk, expected(&sums)).unwrap().check().unwrap(), sums.root());
    bytes[PAGE_LEN + 5] = 8;
    disk.put(&path(), bytes.clone());
    let unlisted = TsmFile::open(&disk, &path(), first()).unwrap();
    assert_eq!(unlisted.check().unwrap(), blake3::hash(&bytes), "nobody said what it should be");
    let error = open(&disk, expected(&sums)).unwrap().check().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("/shard/{NAME}: damaged: a page is not what its sum says at byte 65536")
    );
}

#[test]
fn a_tombstone_is_the_listed_one_or_damage_and_a_delete_goes_on_from_it() {
    let (disk, sums) = large();
    let file = open(&disk, expected(&sums)).unwrap();
    let delete = |key| [Delete { scope: Scope::Key(key), range: TimeRange::ALL }];
    let deleted = file.delete(&disk, &delete(b"m,host=000007#!~#f"), None).unwrap().unwrap();
    let tombstone = path().with_file_name(first().tombstone());
    let bytes = disk.files()[&tombstone].clone();
    let listed = || Expected::new(sums.root(), Some(blake3::hash(&bytes)), Some(Map::from(sums.to_bytes())));
    let file = open(&disk, listed()).unwrap();
    assert!(file.has_deletes() && deleted.has_deletes());
    // Another delete makes another tombstone: what is opened then is not held to the listed one.
    let again = file.delete(&disk, &delete(b"m,host=000008#!~#f"), None).unwrap().unwrap();
    assert!(again.has_deletes());
    let error = open(&disk, listed()).unwrap_err().to_string();
    let at = tombstone.display();
    assert_eq!(
        error,
        format!("{at}: damaged: the tombstone is not the one that icecore.manifest lists at byte 0")
    );
    disk.remove(&tombstone).unwrap();
    let error = open(&disk, listed()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt(_)));
    assert_eq!(
        error.to_string(),
        format!("{at}: damaged: a tombstone that icecore.manifest lists is missing at byte 0")
    );
    // The file that a delete opened is still held to its sums.
    let mut damaged = disk.files()[&path()].clone();
    let last = damaged.len() - 30;
    damaged[last] ^= 1;
    disk.put(&path(), damaged);
    let error = again.delete(&disk, &delete(b"m,host=000009#!~#f"), None).unwrap_err();
    assert!(error.to_string().contains("a page is not what its sum says"), "{error}");
}
