//! The pair of files with the fields of a shard: read as influxd does, written as one file.

use std::path::Path;

use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::file::whole;
use crate::format::fields::{FieldSet, IDX_NAME, IDXL_NAME, Replayed};

/// More than any shard has: a file that is longer is damage.
const LEN_MAX: usize = 1 << 30;

impl FieldSet {
    /// Reads `fields.idx` and the changes in `fields.idxl` behind it; `None` when neither is there. One that is missing is
    /// empty.
    ///
    /// # Errors
    /// `Corrupt` or `Io`, with file and byte. The fields can be made anew of the keys of all files and logs then; influxd
    /// does so where there are none.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<(Self, Replayed)>> {
        let (idx, idxl) = (dir.join(IDX_NAME), dir.join(IDXL_NAME));
        let whole = whole::read(disk, &idx, LEN_MAX)?;
        let changes = whole::read(disk, &idxl, LEN_MAX)?;
        if whole.is_none() && changes.is_none() {
            return Ok(None);
        }
        let mut fields = match whole {
            Some(bytes) => Self::parse_idx(&bytes).map_err(|error| error.in_file(&idx))?,
            None => Self::default(),
        };
        let replayed =
            fields.apply_idxl(&changes.unwrap_or_default()).map_err(|error| error.in_file(&idxl))?;
        Ok(Some((fields, replayed)))
    }

    /// Reads `fields.idx` if it has this digest, and no changes lie beside it.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn read_listed(disk: &dyn Disk, dir: &Path, digest: Digest) -> Result<Option<Self>> {
        let idxl = dir.join(IDXL_NAME);
        match disk.stat(&idxl) {
            Ok(changes) if changes.size > 0 => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(error, &idxl)),
        }
        let bytes = match whole::read(disk, &dir.join(IDX_NAME), LEN_MAX) {
            Err(error) if error.is_damage() => None,
            outcome => outcome?.filter(|bytes| blake3::hash(bytes) == digest),
        };
        Ok(bytes.and_then(|bytes| Self::parse_idx(&bytes).ok()))
    }

    /// Puts these fields in the place of the pair in `dir`, as one file.
    ///
    /// # Durability
    /// On return they are durable, and `fields.idxl` is gone. The new file is durable before that is removed; a crash in
    /// between leaves both, and the changes are applied once more. They are the same then, or name a field that has got
    /// another type since, which is damage to a reader.
    ///
    /// # Errors
    /// `Io`: the old pair, the new file with the old changes, or the new file alone is there; calling again is safe. At most
    /// `fields.idx.tmp` is left behind, which every open and the next call remove.
    pub fn replace(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let sync = || disk.sync_dir(dir).map_err(|error| Error::io(error, dir));
        let idxl = dir.join(IDXL_NAME);
        whole::replace(disk, &dir.join(IDX_NAME), &self.to_idx_bytes())?;
        sync()?;
        match whole::remove_if_there(disk, &idxl).map_err(|error| Error::io(error, &idxl))? {
            true => sync(),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use icecore_testkit::MemDisk;
    use icecore_testkit::disk::{Failure, Hooked, Loss, fail_calls};

    use super::*;
    use crate::format::column::BlockType;

    const DIR: &str = "/shard";
    /// `write_errors.error`, a string, as influxd 2.9.1 logged it.
    const RECORD: &[u8] = b"\x1b\0\0\0\0\0\0\0\x0a\x19\x0a\x0cwrite_errors\x12\x09\x0a\x05error\x10\x03";

    fn fields(names: &[&str]) -> FieldSet {
        let mut fields = FieldSet::default();
        for name in names {
            fields.add(name.as_bytes(), b"error", BlockType::String).unwrap();
        }
        fields
    }

    fn with_pair() -> MemDisk {
        let disk = MemDisk::recording();
        disk.put(&Path::new(DIR).join(IDX_NAME), fields(&["cpu"]).to_idx_bytes());
        disk.put(&Path::new(DIR).join(IDXL_NAME), RECORD.to_vec());
        disk
    }

    fn read(disk: &MemDisk) -> FieldSet {
        FieldSet::read(disk, Path::new(DIR)).unwrap().unwrap().0
    }

    #[test]
    fn each_of_the_pair_may_be_missing() {
        let disk = with_pair();
        assert_eq!(read(&disk), fields(&["cpu", "write_errors"]));
        disk.remove(&Path::new(DIR).join(IDX_NAME)).unwrap();
        assert_eq!(read(&disk), fields(&["write_errors"]));
        disk.remove(&Path::new(DIR).join(IDXL_NAME)).unwrap();
        assert_eq!(FieldSet::read(&disk, Path::new(DIR)).unwrap(), None);
        disk.put(&Path::new(DIR).join(IDX_NAME), fields(&["cpu"]).to_idx_bytes());
        assert_eq!(read(&disk), fields(&["cpu"]));
    }

    #[test]
    fn damage_names_file_and_byte() {
        let disk = with_pair();
        disk.put(&Path::new(DIR).join(IDXL_NAME), [&[0; 8], &RECORD[..34], &[7]].concat());
        let error = FieldSet::read(&disk, Path::new(DIR)).unwrap_err();
        assert_eq!(error.to_string(), "/shard/fields.idxl: damaged: a type that is no field's at byte 41");
        disk.put(&Path::new(DIR).join(IDX_NAME), Vec::new());
        let error = FieldSet::read(&disk, Path::new(DIR)).unwrap_err().to_string();
        assert_eq!(
            error,
            "/shard/fields.idx: damaged: shorter than the magic number of fields.idx at byte 0"
        );
    }

    /// At every call the disk fails, and then loses power: the old fields, or the new ones with or without the changes.
    #[test]
    fn a_replacement_that_fails_anywhere_leaves_old_or_new_fields_and_can_be_repeated() {
        let mut failures = 0;
        for (short, budget) in
            [0, 50].into_iter().flat_map(|short| (0..20).map(move |budget| (short, budget)))
        {
            let below = with_pair();
            let hook = fail_calls(|call| call.action.changes(), budget..=u64::MAX, Failure::NoSpace, short);
            let disk = Hooked::new(below.clone(), hook);
            let outcome = fields(&["cpu", "mem"]).replace(&disk, Path::new(DIR));
            let what = format!("call {budget} and all behind fail");
            for loss in [Loss::Everything, Loss::Nothing].into_iter().chain((0..16).map(Loss::Torn)) {
                let left = read(&below.after_power_loss(loss));
                let possible: &[&[&str]] = match outcome {
                    Ok(()) => &[&["cpu", "mem"]],
                    Err(_) => &[&["cpu", "write_errors"], &["cpu", "mem", "write_errors"], &["cpu", "mem"]],
                };
                assert!(possible.iter().any(|names| left == fields(names)), "{what}, {loss:?}: {left:?}");
            }
            if let Err(error) = outcome {
                failures += 1;
                assert!(error.path().is_some_and(|path| path.starts_with(DIR)), "{what}: {error}");
                fields(&["mem"]).replace(&below, Path::new(DIR)).unwrap();
                assert_eq!(read(&below.after_power_loss(Loss::Everything)), fields(&["mem"]), "{what}");
                assert_eq!(below.files().len(), 1, "{what}");
            }
        }
        let calls =
            "leftover removed, created, written, synced, renamed, directory synced, changes removed, synced";
        assert_eq!(failures, 2 * calls.split(", ").count());
    }
}
