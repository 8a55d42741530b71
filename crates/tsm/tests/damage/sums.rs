//! The same flips in a file that a manifest lists: its sums leave none unseen.

use icecore_disk::{Disk, Map};
use icecore_tsm::sums::Sums;
use icecore_tsm::verify::{self, Options};
use icecore_tsm::{Expected, FileName, Result, TsmFile};

use super::*;

fn expected(sums: &Sums, bytes: &Map) -> Expected {
    Expected::new(sums.root(), None, Some(bytes.clone()))
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
fn a_listed_file_is_told_from_its_sums_by_its_digest_whichever_bit_is_flipped() {
    let (file, _) = sample::file(&sample::keys());
    let sums = Sums::of(&file);
    let bytes = sums.to_bytes();
    let others = (0..bytes.len() * 8).map(|bit| {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        Some(Map::from(damaged))
    });
    let of_another = Map::from(Sums::of(&file[1..]).to_bytes());
    let (sound, mut damaged) = (OneFile::new(&file), file.clone());
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    let damaged = OneFile::new(&damaged);
    for (nth, found) in others.chain([Some(of_another), None]).enumerate() {
        let expected = || Expected::new(sums.root(), None, found.clone());
        let opened = open(&sound, expected()).unwrap();
        assert_eq!(opened.check().unwrap(), sums.root(), "case {nth}: the file is sound");
        let error = open(&damaged, expected()).unwrap().index().map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{NAME}: damaged: the file is not the one that icecore.manifest lists at byte 0"),
            "case {nth}: neither is"
        );
    }
}
