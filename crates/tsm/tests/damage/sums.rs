//! The same flips in a file that a manifest lists: its sums leave none unseen.

use icecore_disk::{Disk, Map};
use icecore_tsm::sums::Sums;
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{Expected, FileName, Result, TsmFile};

use super::*;

fn expected(sums: &Sums, bytes: &Map) -> Expected {
    Expected { digest: sums.root(), tombstone: None, sums: bytes.clone() }
}

fn open(disk: &OneFile, expected: Expected) -> Result<TsmFile> {
    TsmFile::open_expected(disk, Path::new(NAME), FileName::parse(NAME).unwrap(), expected)
}

#[test]
fn every_bit_of_a_listed_file_flipped_is_an_error() {
    let keys = sample::keys();
    let (file, fields) = sample::file(&keys);
    let sums = Sums::of(&file);
    let bytes = Map::from(sums.to_bytes());
    let sound = open(&OneFile::new(&file), expected(&sums, &bytes)).unwrap();
    assert_eq!(sound.check().unwrap(), blake3::hash(&file), "the sample is sound");
    let tally = sweep(file.len() * 8, |bit, tally| {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let disk = OneFile::new(&damaged);
        let part = part_at(&fields, bit / 8);
        let name = || format!("bit {bit}, {part:?}");
        if part == Part::Key {
            // What a reader without sums makes of it is counted; with them there is one outcome.
            *tally.outcomes.entry(("without sums".to_owned(), read(&keys, &disk))).or_default() += 1;
        }
        match open(&disk, expected(&sums, &bytes)).and_then(|file| file.index().map(drop)) {
            Ok(()) => tally.failures.push(format!("{}: the index is taken", name())),
            Err(error) => {
                assert!(error.is_damage() && error.path() == Some(Path::new(NAME)), "{error}");
                assert!(error.offset().is_some(), "{error}");
            }
        }
        let options = Options { threads: NonZeroUsize::MIN, ..Options::default() };
        let report = verify::file_with_sums(&disk.open(Path::new(NAME)).unwrap(), &sums, &options);
        if report.is_sound() {
            tally.failures.push(format!("{}: verified", name()));
        }
    });
    let wrong = tally.outcomes.get(&("without sums".to_owned(), Outcome::Wrong)).copied();
    println!("{wrong:?} flips are read as other values without sums, none with them");
    assert!(wrong.is_some_and(|wrong| wrong > 100), "the sums have something to find: {wrong:?}");
    assert_eq!(tally.failures, [""; 0]);
}

#[test]
fn every_bit_of_the_sums_flipped_is_an_error_that_names_them() {
    let (file, _) = sample::file(&sample::keys());
    let (disk, sums) = (OneFile::new(&file), Sums::of(&file));
    let bytes = sums.to_bytes();
    let sums_name = FileName::parse(NAME).unwrap().sums();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let opened = open(&disk, expected(&sums, &Map::from(damaged))).unwrap();
        let error = opened.index().unwrap_err();
        assert!(error.is_damage() && error.path() == Some(Path::new(&sums_name)), "bit {bit}: {error}");
    }
    let of_another = Sums::of(&file[1..]);
    let error = open(&disk, expected(&sums, &Map::from(of_another.to_bytes()))).unwrap().index().map(drop);
    assert_eq!(
        error.unwrap_err().to_string(),
        "000000001-000000001.tsmsum: damaged: these are not the sums of the listed file at byte 0"
    );
}
