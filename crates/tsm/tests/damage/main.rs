//! A damaged TSM file is refused, or reads as it was: every bit of a sample flipped, every cut, every length that lies.
//!
//! Each case opens the file, reads every block of every key, and checks the file. None may panic, take long, or hold more
//! than four times the file in memory: the file itself, which stands for a mapped one, is not counted; everything else
//! is (see `counted`). Then the file is verified, which must find something where one of the others failed, and nothing
//! where none did, in six times the file.
//!
//! The index of a TSM file has no checksum, so a name in it can be changed into another: then points are read under that
//! name. What is read wrong is counted by the part of the file that was damaged; nothing else may be. In a file that a
//! manifest lists nothing may (`sums`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a small sample")]

mod counted;
mod lengths;
mod sample;
mod sums;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, Stat, WriteAt};
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{BlockType, Column, FileName, Result, TsmFile, Values};

use self::sample::{FILE_LEN, Field, Key, Part};

const NAME: &str = "000000001-000000001.tsm";

/// What one case may hold in memory beside the file.
const MEMORY_MAX: usize = 4 * FILE_LEN;
/// What a verification may: a key that the index leads astray to can be as long as the file, and is copied a few times.
const VERIFY_MEMORY_MAX: usize = 6 * FILE_LEN;

/// Far more than a case takes on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(5);

/// What became of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Opening, reading or checking it is an error; what could be read is as it was.
    Refused,
    /// All is as it was.
    Same,
    /// Points were read that were not there, or some are missing without an error.
    Wrong,
}

/// How many cases went which way.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<(String, Outcome), usize>,
    failures: Vec<String>,
    memory: (usize, String),
    time: (Duration, String),
}

impl Tally {
    /// Tries one damaged file, which is called `name` in a report and counted under `what`.
    fn case(&mut self, keys: &[Key], file: &[u8], what: &str, name: impl Fn() -> String) {
        let disk = OneFile::new(file);
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let (outcome, memory) = counted::peak(|| read(keys, &disk));
            let (is_sound, verify_memory) = counted::peak(|| is_sound(&disk));
            assert_eq!(is_sound, outcome != Outcome::Refused, "{outcome:?} and verified");
            assert!(verify_memory <= VERIFY_MEMORY_MAX, "{verify_memory} bytes for a verification");
            (outcome, memory)
        }));
        let time = start.elapsed();
        match outcome {
            Ok((outcome, memory)) => {
                *self.outcomes.entry((what.to_owned(), outcome)).or_default() += 1;
                raise(&mut self.memory, memory, &name);
            }
            Err(_) => self.failures.push(format!("{}: panics", name())),
        }
        raise(&mut self.time, time, &name);
    }

    fn add(mut self, other: Self) -> Self {
        other.outcomes.into_iter().for_each(|(what, count)| *self.outcomes.entry(what).or_default() += count);
        self.failures.extend(other.failures);
        self.memory = self.memory.max(other.memory);
        self.time = self.time.max(other.time);
        self
    }

    /// Prints what was counted, and asserts that only these parts can be damaged without an error and without the file
    /// reading as it was.
    fn report(self, sweep: &str, may_be_wrong: &[&str]) {
        let count: usize = self.outcomes.values().sum();
        println!("{sweep}: {count} cases");
        for ((what, outcome), count) in &self.outcomes {
            println!("  {what}: {count} {outcome:?}");
        }
        println!("  most memory: {} bytes, {}", self.memory.0, self.memory.1);
        println!("  most time: {:?}, {}", self.time.0, self.time.1);
        assert_eq!(self.failures, [""; 0]);
        assert!(self.memory.0 <= MEMORY_MAX, "{} bytes: {}", self.memory.0, self.memory.1);
        assert!(self.time.0 <= TIME_MAX, "{:?}: {}", self.time.0, self.time.1);
        for ((what, outcome), count) in &self.outcomes {
            let may_be = *outcome != Outcome::Wrong || may_be_wrong.contains(&what.as_str());
            assert!(may_be, "{count} times {what} is damaged and other points are read");
        }
    }
}

/// Remembers the largest and what it is of.
fn raise<T: PartialOrd>(most: &mut (T, String), found: T, name: impl Fn() -> String) {
    if found > most.0 {
        *most = (found, name());
    }
}

/// Splits `count` cases over the processors.
fn sweep(count: usize, case: impl Fn(usize, &mut Tally) + Sync) -> Tally {
    let threads = thread::available_parallelism().map_or(2, |threads| threads.get());
    let part = |first| {
        let mut tally = Tally::default();
        (first..count).step_by(threads).for_each(|at| case(at, &mut tally));
        tally
    };
    thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).fold(Tally::default(), Tally::add)
    })
}

/// Opens, reads and checks the file, and compares what is read with `keys`.
fn read(keys: &[Key], disk: &OneFile) -> Outcome {
    let mut seen = Seen { blocks: 0, wrong: false };
    let outcome = read_all(keys, disk, &mut seen);
    if let Err(error) = &outcome {
        assert!(error.is_damage() && error.path().is_some() && error.offset().is_some(), "{error}");
    }
    let is_whole = seen.blocks == keys.iter().map(|key| key.blocks.len()).sum::<usize>();
    match outcome {
        _ if seen.wrong => Outcome::Wrong,
        Err(_) => Outcome::Refused,
        Ok(()) if is_whole => Outcome::Same,
        Ok(()) => Outcome::Wrong,
    }
}

/// Whether a verification finds nothing.
fn is_sound(disk: &OneFile) -> bool {
    let options = Options { threads: NonZeroUsize::MIN, ..Options::default() };
    verify::file(&disk.open(Path::new(NAME)).unwrap(), &options).is_sound()
}

struct Seen {
    blocks: usize,
    wrong: bool,
}

/// Reads on behind a damaged block, and returns the first error.
fn read_all(keys: &[Key], disk: &OneFile, seen: &mut Seen) -> Result<()> {
    let file = TsmFile::open(disk, Path::new(NAME), FileName::parse(NAME).unwrap())?;
    let mut outcome = Ok(());
    let mut column = Column::new(BlockType::Float);
    for found in file.index()?.keys() {
        let key = keys.iter().find(|key| key.key == found.key);
        for (at, entry) in found.entries().enumerate() {
            match file.read_block(&found, &entry, &mut column) {
                Ok(()) => {
                    let expected = key.and_then(|key| key.blocks.get(at)).map(|block| &block.column);
                    seen.blocks += 1;
                    seen.wrong |= expected.is_none_or(|expected| !is_same(expected, &column));
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
    }
    outcome.and(file.check().map(drop))
}

fn is_same(a: &Column, b: &Column) -> bool {
    let values = match (&a.values, &b.values) {
        (Values::Float(a), Values::Float(b)) => {
            a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
        }
        (a, b) => a == b,
    };
    values && a.times == b.times
}

/// The part of the file that a byte belongs to.
fn part_at(fields: &[Field], at: usize) -> Part {
    fields[fields.partition_point(|field| field.at <= at) - 1].part
}

#[test]
fn every_bit_of_a_file_flipped_is_an_error_or_the_same_values() {
    let keys = sample::keys();
    let (file, fields) = sample::file(&keys);
    assert_eq!(file.len(), FILE_LEN);
    assert_eq!(read(&keys, &OneFile::new(&file)), Outcome::Same, "the sample is sound");
    let tally = sweep(file.len() * 8, |bit, tally| {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let part = part_at(&fields, bit / 8);
        tally.case(&keys, &damaged, &format!("{part:?}"), || format!("bit {bit}, {part:?}"));
    });
    tally.report("flips", &["Key"]);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let keys = sample::keys();
    let (file, fields) = sample::file(&keys);
    let tally = sweep(file.len(), |len, tally| {
        let part = part_at(&fields, len);
        tally.case(&keys, &file[..len], &format!("{part:?}"), || format!("cut at {len}"));
    });
    assert!(tally.outcomes.keys().all(|(_, outcome)| *outcome == Outcome::Refused));
    tally.report("cuts", &[]);
}

#[test]
fn every_length_in_the_index_that_lies_is_an_error_or_the_same_values() {
    let keys = sample::keys();
    let (file, fields) = sample::file(&keys);
    let parts = [Part::KeyLength, Part::Count, Part::Offset, Part::Size, Part::Footer];
    let fields: Vec<_> = fields.into_iter().filter(|field| parts.contains(&field.part)).collect();
    let tally = sweep(fields.len() * 4, |case, tally| {
        let Field { part, at, len } = fields[case / 4];
        let max = u64::MAX >> (64 - 8 * len);
        let lie = [0, 1, max - 1, max][case % 4];
        let mut damaged = file.clone();
        damaged[at..at + len].copy_from_slice(&lie.to_be_bytes()[8 - len..]);
        if damaged == file {
            return; // it is no lie
        }
        tally.case(&keys, &damaged, &format!("{part:?}"), || format!("{part:?} at {at} is {lie}"));
    });
    tally.report("lengths in the index", &[]);
}

#[test]
fn every_length_in_a_block_that_lies_is_an_error_or_the_same_values() {
    let keys = sample::keys();
    let lies = lengths::lies(&keys);
    let tally = sweep(lies.len() * 2, |case, tally| {
        let (lie, is_mended) = (&lies[case / 2], case % 2 == 1);
        let mut damaged = keys.clone();
        let block = &mut damaged[lie.key].blocks[lie.block];
        block.bytes = lie.bytes.clone();
        if is_mended {
            block.crc = crc32fast::hash(&block.bytes);
        }
        let checksum = if is_mended { "right" } else { "old" };
        let what = format!("{}, {checksum} checksum", lie.what);
        tally.case(&keys, &sample::file(&damaged).0, &what, || {
            format!("{what}: block {} of key {}: {}", lie.block, lie.key, lie.bytes.escape_ascii())
        });
    });
    tally.report("lengths in blocks", &[]);
}

/// A disk with one file, whose bytes are shared and not copied when they are mapped.
#[derive(Debug)]
struct OneFile(Map);

impl OneFile {
    fn new(bytes: &[u8]) -> Self {
        Self(Map::from(bytes.to_vec()))
    }

    fn has(&self, path: &Path) -> io::Result<&Map> {
        if path == Path::new(NAME) { Ok(&self.0) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

#[derive(Debug)]
struct Opened(Map);

impl ReadAt for Opened {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = start.checked_add(buf.len()).and_then(|end| self.0.get(start..end));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

fn unasked<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Disk for OneFile {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(Opened(self.has(path)?.clone())))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        self.has(path).cloned()
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let size = self.has(path)?.len() as u64;
        Ok(Stat { size, modified_ns: 0, mode: 0o600, uid: 0, gid: 0 })
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn Append>> {
        unasked()
    }

    fn open_write(&self, _: &Path) -> io::Result<Box<dyn WriteAt>> {
        unasked()
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        unasked()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unasked()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        unasked()
    }

    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        unasked()
    }

    fn set_modified(&self, _: &Path, _: i64) -> io::Result<()> {
        unasked()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        unasked()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unasked()
    }

    fn lock(&self, _: &Path, _: LockMode) -> io::Result<Box<dyn Lock>> {
        unasked()
    }
}
