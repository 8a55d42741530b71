//! Every bit of a log of two segments is flipped, and it is cut everywhere: damage is named, or the tail is torn where
//! nothing says that it was synced, or all is found.

use std::path::{Path, PathBuf};

use icecore_testkit::MemDisk;
use icecore_tsm::internal::{LogOptions, Replayed};
use icecore_tsm::{Error, ErrorKind};

use super::model::{DIR, Record, append, found, open, path, record};

/// Two segments; the second has three groups of one record each.
fn log() -> (Vec<(PathBuf, Vec<u8>)>, Vec<Record>) {
    let disk = MemDisk::default();
    disk.create_dir_all();
    let options = LogOptions { segment_size: 400, reserve: true };
    let (log, _) = open(std::sync::Arc::new(disk.clone()), options).unwrap();
    let records: Vec<_> =
        [(5, 60), (2, 90), (3, 33), (9, 50), (1, 20), (4, 41)].map(|(t, len)| record(t, len)).into();
    records.iter().for_each(|record| append(&log, record).unwrap());
    assert_eq!(log.stats().segments, 2);
    let files = disk.files().into_iter().filter(|(path, _)| path.extension().unwrap() == "iwal");
    (files.collect(), records)
}

trait CreateDir {
    fn create_dir_all(&self);
}

impl CreateDir for MemDisk {
    fn create_dir_all(&self) {
        icecore_disk::Disk::create_dir(self, Path::new(DIR)).unwrap();
    }
}

fn read(files: &[(PathBuf, Vec<u8>)]) -> Result<(Replayed, Vec<Record>), Error> {
    let disk = MemDisk::default();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes.clone()));
    found(&disk)
}

/// What of the log was found with this damage in the file `nth`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    named: u64,
    torn: u64,
    all: u64,
}

impl Outcomes {
    fn count(&mut self, files: &[(PathBuf, Vec<u8>)], nth: usize, records: &[Record], what: &str) {
        match read(files) {
            Err(error) => {
                assert!(error.is_damage(), "{what}: {error}");
                assert!(files.iter().any(|(path, _)| error.path() == Some(path)), "{what}: {error}");
                assert!(error.offset().unwrap().get() <= files[nth].1.len() as u64);
                self.named += 1;
            }
            Ok((replayed, found)) => {
                // The last group alone is vouched for by nothing.
                assert!(records.starts_with(&found) && found.len() + 1 >= records.len(), "{what}");
                match replayed.torn {
                    Some(torn) => {
                        assert_eq!(torn.path, files.last().unwrap().0, "{what}");
                        assert!(torn.at.get() + torn.size <= files.last().unwrap().1.len() as u64);
                        self.torn += 1;
                    }
                    None => {
                        assert_eq!(found, records, "{what}");
                        self.all += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn every_bit() {
    let (files, records) = log();
    let mut outcomes = [Outcomes::default(), Outcomes::default()];
    for (nth, outcomes) in outcomes.iter_mut().enumerate() {
        for bit in 0..files[nth].1.len() * 8 {
            let mut damaged = files.clone();
            damaged[nth].1[bit / 8] ^= 1 << (bit % 8);
            outcomes.count(&damaged, nth, &records, &format!("bit {bit} of segment {}", nth + 1));
        }
    }
    let record_len = |record: &Record| 40 + record.1.len() as u64;
    let [first, second] = &records[..].split_at(3).into();
    let in_first = (33 + first.iter().map(record_len).sum::<u64>()) * 8;
    let in_second = (33 + second.iter().map(record_len).sum::<u64>()) * 8;
    let last = record_len(records.last().unwrap()) * 8;
    let size = files.iter().map(|(_, bytes)| bytes.len() as u64 * 8).collect::<Vec<_>>();
    // Behind the records of the first segment lies what the second has made void; a bit in the zeros behind the
    // last record is a torn tail of no record.
    assert_eq!(outcomes[0], Outcomes { named: in_first, torn: 0, all: size[0] - in_first });
    assert_eq!(outcomes[1], Outcomes { named: in_second - last, torn: last + size[1] - in_second, all: 0 });
}

#[test]
fn every_cut() {
    let (files, records) = log();
    for nth in 0..2 {
        let mut outcomes = Outcomes::default();
        for len in 0..files[nth].1.len() {
            let mut damaged = files.clone();
            damaged[nth].1.truncate(len);
            // What is cut off at the end of the log leaves no trace, up to the record it ends in.
            match read(&damaged) {
                // The oldest segment without its header cannot be told from one that was not created to its end.
                Ok((_, found)) if nth == 0 && len < 33 => assert_eq!(found, records[3..], "cut at {len}"),
                Ok((_, found)) if nth == 1 => assert!(records.starts_with(&found), "cut at {len}"),
                _ => outcomes.count(&damaged, nth, &records, &format!("cut at {len} of segment {}", nth + 1)),
            }
        }
        let records: usize = records[..3].iter().map(|record| 40 + record.1.len()).sum();
        assert!(nth == 1 || outcomes.named == records as u64, "{outcomes:?}");
    }
}

#[test]
fn a_vanished_segment_is_named_unless_it_is_the_oldest_or_the_newest() {
    let disk = MemDisk::default();
    disk.create_dir_all();
    let (log, _) =
        open(std::sync::Arc::new(disk.clone()), LogOptions { segment_size: 100, reserve: true }).unwrap();
    let records: Vec<_> = (1..=4).map(|ticket| record(ticket, 40)).collect();
    records.iter().for_each(|record| append(&log, record).unwrap());
    let files: Vec<_> =
        disk.files().into_iter().filter(|(path, _)| path.extension().unwrap() == "iwal").collect();
    assert_eq!(files.len(), 4);
    let without = |nth: usize| {
        let mut files = files.clone();
        files.remove(nth);
        read(&files)
    };
    assert_eq!(without(0).unwrap().1, records[1..]);
    assert_eq!(without(3).unwrap().1, records[..3]);
    for nth in [1, 2] {
        let error = without(nth).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt("a record is missing that was acknowledged"));
        assert_eq!(error.path(), Some(&*path(nth as u64)));
        assert_eq!((error.offset().unwrap().get(), error.record()), (33 + 80, Some(nth as u64 + 1)));
    }
}
