//! Offsets near 4 GiB, and a file that would pass them. Large blocks are counted and not kept; where the file system has
//! holes, the file is then read for real.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use icecore_disk::{Append, DirEntry, Disk, Lock, LockMode, Map, ReadAt, RealDisk, Stat, WriteAt};
use icecore_testkit::tsm;
use icecore_tsm::block::Flavor;
use icecore_tsm::{BlockType, Column, ErrorKind, FileName, Offset, TsmFile, TsmWriter, WriterOptions};

const FILLER_LEN: usize = 64 << 20;

/// A file as its pieces by offset, without the large ones, and its length.
type Pieces = Arc<Mutex<(BTreeMap<u64, Vec<u8>>, u64)>>;

/// A disk that keeps no large piece.
#[derive(Debug, Default)]
struct Sparse(Mutex<BTreeMap<PathBuf, Pieces>>);

#[derive(Debug)]
struct Writer(Pieces);

impl Append for Writer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (pieces, len) = &mut *self.0.lock().unwrap();
        if bytes.len() < FILLER_LEN {
            pieces.insert(*len, bytes.to_vec());
        }
        *len += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Sparse {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let pieces = Pieces::default();
        self.0.lock().unwrap().insert(path.to_owned(), Arc::clone(&pieces));
        Ok(Box::new(Writer(pieces)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).unwrap();
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn stat(&self, _: &Path) -> io::Result<Stat> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, _: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, _: &Path) -> io::Result<Map> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open_write(&self, _: &Path) -> io::Result<Box<dyn WriteAt>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_modified(&self, _: &Path, _: i64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self, _: &Path, _: LockMode) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A block of one point at time 1 whose value nobody decodes.
fn filler() -> Vec<u8> {
    let mut block = vec![0; FILLER_LEN];
    block[4..15].copy_from_slice(&[3, 9, 0x1c, 0, 0, 0, 0, 0, 0, 0, 1]);
    let crc = crc32fast::hash(&block[4..]).to_be_bytes();
    block[..4].copy_from_slice(&crc);
    block
}

#[test]
fn blocks_near_four_gib_read_back_and_the_next_file_begins_before_that() {
    let disk = Sparse::default();
    let dir = tempfile::tempdir().unwrap();
    let first = FileName::parse("000000001-000000001.tsm").unwrap();
    let options = WriterOptions { file_size_max: u64::MAX, ..WriterOptions::default() };
    let mut writer = TsmWriter::new(&disk, dir.path(), first, options);
    let filler = filler();
    // 63 of them leave room for what is small.
    for at in 0..63 {
        writer.copy(format!("a{at:02}#!~#f").as_bytes(), &filler, Offset::START).unwrap();
    }
    let column = tsm::column(BlockType::Float, (0..1000).collect(), 9);
    writer.column(b"b#!~#f", &column, Flavor::Batch).unwrap();
    writer.copy(b"c#!~#f", &filler, Offset::START).unwrap();
    let names = writer.finish().unwrap();
    assert_eq!(names.len(), 2);

    let path = |name: FileName| dir.path().join(name.to_string());
    for name in &names {
        let files = disk.0.lock().unwrap();
        let (pieces, len) = &*files[&path(*name)].lock().unwrap();
        assert!(*len <= u64::from(u32::MAX));
        let file = File::create(path(*name)).unwrap();
        file.set_len(*len).unwrap();
        pieces.iter().for_each(|(at, piece)| file.write_all_at(piece, *at).unwrap());
    }
    let file = TsmFile::open(&RealDisk, &path(names[0]), names[0]).unwrap();
    assert_eq!(file.index().unwrap().len(), 64);
    let key = file.index().unwrap().find(b"b#!~#f").unwrap();
    let entry = key.entries().next().unwrap();
    assert_eq!(entry.offset.get(), 5 + 63 * FILLER_LEN as u64);
    let mut found = Column::new(BlockType::Float);
    file.read_block(&key, &entry, &mut found).unwrap();
    assert_eq!(found, column);
    let file = TsmFile::open(&RealDisk, &path(names[1]), names[1]).unwrap();
    assert_eq!(file.index().unwrap().keys().map(|key| key.key.to_vec()).collect::<Vec<_>>(), [b"c#!~#f"]);
}

/// The size of a block is counted in 32 bits, but with header, index and footer it must fit the file too.
#[test]
fn a_block_that_fits_no_file_is_refused_before_anything_is_written() {
    let disk = Sparse::default();
    let first = FileName::parse("000000001-000000001.tsm").unwrap();
    let mut writer = TsmWriter::new(&disk, Path::new("/"), first, WriterOptions::default());
    // The system gives zeroed memory lazily, so most of this is never touched but by the checksum.
    let mut block = vec![0; u32::MAX as usize - 20];
    block[4..15].copy_from_slice(&[3, 9, 0x1c, 0, 0, 0, 0, 0, 0, 0, 1]);
    let crc = crc32fast::hash(&block[4..]).to_be_bytes();
    block[..4].copy_from_slice(&crc);
    let error = writer.copy(b"a#!~#f", &block, Offset::START).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit("a block is too long for a file of 4 GiB"));
    assert!(writer.is_empty() && disk.0.lock().unwrap().is_empty());
}
