//! TSM files through the library, as a program does that links it: taken apart and written anew, and with deletes.

use std::path::{Path, PathBuf};

use icecore_disk::Disk;
use icecore_testkit::MemDisk;
use icecore_tsm::block::Flavor;
use icecore_tsm::{
    BlockType, Column, FileName, Shard, ShardDir, TimeRange, Trust, TsmFile, TsmWriter, WriterOptions, key,
};

use crate::archive::Files;
use crate::values::{Value, Values};

/// All TSM files below a directory, with the folders that they lie in.
///
/// # Panics
/// When the directory cannot be read.
pub fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut pending = vec![dir.to_owned()];
    let mut paths = Vec::new();
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tsm") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// Opens a TSM file with its tombstone.
///
/// # Panics
/// When that fails.
pub fn open(disk: &dyn Disk, path: &Path) -> TsmFile {
    let name = FileName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    TsmFile::open(disk, path, name).unwrap()
}

/// Every value of an archive, read by the library.
///
/// # Panics
/// When something in it is damaged.
pub fn values(files: &Files) -> Values {
    let (disk, dir) = (MemDisk::default(), ShardDir { data: "/data".into(), wal: "/wal".into() });
    disk.create_dir(&dir.data).unwrap();
    for (name, content) in files {
        disk.put(&dir.data.join(name), content.clone());
    }
    let shard = Shard::open_read_only(&disk, &dir, Trust::Directory).unwrap();
    let values = of_shard(&shard).unwrap();
    assert!(shard.damage().is_empty(), "{:?}", shard.damage());
    values
}

/// Every value of a shard.
///
/// # Errors
/// What the shard says where something in it is damaged.
pub fn of_shard(shard: &Shard) -> icecore_tsm::Result<Values> {
    let mut values = Values::default();
    shard.keys(|composite, _| {
        let (series, field) = key::split(composite).unwrap();
        let [series, field] = [series, field].map(|part| String::from_utf8(part.to_vec()).unwrap());
        shard.read(composite, TimeRange::ALL, |column| {
            for (at, time_ns) in column.times.iter().enumerate() {
                values.insert(&series, &field, *time_ns, value(&column.values, at));
            }
            Ok(())
        })
    })?;
    Ok(values)
}

fn value(values: &icecore_tsm::Values, at: usize) -> Value {
    match values {
        icecore_tsm::Values::Float(values) => Value::Float(values[at].to_bits()),
        icecore_tsm::Values::Integer(values) => Value::Integer(values[at]),
        icecore_tsm::Values::Unsigned(values) => Value::Unsigned(values[at]),
        icecore_tsm::Values::Boolean(values) => Value::Boolean(values.get(at).unwrap()),
        icecore_tsm::Values::String(values) => {
            Value::String(String::from_utf8(values.get(at).unwrap().to_vec()).unwrap())
        }
    }
}

/// The files that hold what a TSM file holds, decoded and encoded: other blocks, and where the options say so more than
/// one file.
///
/// # Panics
/// When the file is damaged.
pub fn written_anew(name: &str, content: &[u8], options: &WriterOptions) -> Files {
    let (from, to) = (MemDisk::default(), MemDisk::default());
    let (old, new) = (Path::new("/old").join(name), Path::new("/new"));
    from.put(&old, content.to_vec());
    to.create_dir(new).unwrap();
    let file = open(&from, &old);
    let mut writer = TsmWriter::new(&to, new, file.name(), options.clone());
    let mut block = Column::new(BlockType::Float);
    for key in file.index().unwrap().keys() {
        let mut column = Column::new(key.kind);
        for entry in key.entries() {
            file.read_block(&key, &entry, &mut block).unwrap();
            column.extend_from(&block, 0..block.len());
        }
        writer.column(key.key, &column, Flavor::Batch).unwrap();
    }
    let names = writer.finish().unwrap();
    let mut files = to.files();
    assert_eq!(files.len(), names.len());
    let content =
        names.iter().map(|name| (name.to_string(), files.remove(&new.join(name.to_string())).unwrap()));
    content.collect()
}
