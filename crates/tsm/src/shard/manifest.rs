//! The manifest of a shard on disk: read when it is opened, replaced by each commit.

use std::path::Path;

use icecore_disk::Disk;

use crate::error::{Error, Result};
use crate::file::whole;
use crate::format::manifest::{LEN_MAX, Manifest, NAME};

impl Manifest {
    /// The manifest in `dir`; `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt`, `Version`, `Feature` or `Io`; each names the file, and the byte where it is about one.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let bytes = whole::read(disk, &path, LEN_MAX)?;
        bytes.map(|bytes| Self::parse(&bytes)).transpose().map_err(|error| error.in_file(&path))
    }

    /// Puts this manifest in the place of the one in `dir`: the commit of what it says.
    ///
    /// # Durability
    /// On return it is durable. What it lists must be so before: files and sums synced, under their names, and the
    /// directory synced behind those.
    ///
    /// # Errors
    /// `Unfit` when it contradicts itself; nothing is touched then. `Io`: whoever opens the shard finds the old manifest
    /// or this one, and which of them can change with a loss of power, so that no file of either may be removed, nor a
    /// log segment that the old one needs, until a later call succeeded. At most `icecore.manifest.tmp` is left behind,
    /// which every open and the next call remove.
    pub fn replace(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        let bytes = self.to_bytes().map_err(|error| error.in_file(&path))?;
        whole::replace(disk, &path, &bytes)?;
        disk.sync_dir(dir).map_err(|error| Error::io(error, dir))
    }
}

#[cfg(test)]
mod tests {
    use icecore_testkit::MemDisk;
    use icecore_testkit::disk::{Failure, Hooked, Loss, fail_calls};

    use super::*;

    const DIR: &str = "/shard";

    fn dir() -> &'static Path {
        Path::new(DIR)
    }

    fn numbered(number: u64) -> Manifest {
        Manifest { number, flushed: number * 10, ..Manifest::default() }
    }

    /// A disk on which manifest 1 is durable.
    fn with_first() -> MemDisk {
        let disk = MemDisk::recording();
        disk.create_dir(dir()).unwrap();
        numbered(1).replace(&disk, dir()).unwrap();
        disk
    }

    fn after_loss(disk: &MemDisk, loss: Loss) -> u64 {
        Manifest::read(&disk.after_power_loss(loss), dir()).unwrap().unwrap().number
    }

    #[test]
    fn what_was_replaced_is_durable() {
        let disk = with_first();
        assert_eq!(Manifest::read(&disk, dir()).unwrap(), Some(numbered(1)));
        assert_eq!(after_loss(&disk, Loss::Everything), 1);
        numbered(2).replace(&disk, dir()).unwrap();
        assert_eq!(after_loss(&disk, Loss::Everything), 2);
        assert_eq!(disk.files().len(), 1);
    }

    /// At every call the disk fails, and then loses power: one of the two manifests is there, whole.
    #[test]
    fn a_replacement_that_fails_anywhere_leaves_one_of_both_and_can_be_repeated() {
        let mut failures = 0;
        for (short, budget) in
            [0, 50].into_iter().flat_map(|short| (0..20).map(move |budget| (short, budget)))
        {
            let below = with_first();
            let hook = fail_calls(|call| call.action.changes(), budget..=u64::MAX, Failure::NoSpace, short);
            let outcome = numbered(2).replace(&Hooked::new(below.clone(), hook), dir());
            let what = format!("call {budget} and all behind fail");
            let losses = [Loss::Everything, Loss::Nothing].into_iter().chain((0..16).map(Loss::Torn));
            for loss in losses {
                let number = after_loss(&below, loss);
                assert!(number == 2 || number == 1 && outcome.is_err(), "{what}, {loss:?}: {number}");
            }
            if let Err(error) = outcome {
                failures += 1;
                assert!(error.path().is_some_and(|path| path.starts_with(dir())), "{what}: {error}");
                assert!(below.files().len() <= 2, "{what}");
                numbered(3).replace(&below, dir()).unwrap();
                assert_eq!(after_loss(&below, Loss::Everything), 3, "{what}");
                assert_eq!(below.files().len(), 1, "{what}");
            }
        }
        assert_eq!(failures, 2 * 6, "leftover removed, created, written, synced, renamed, directory synced");
    }

    #[test]
    fn damage_names_file_and_byte() {
        let disk = with_first();
        let (path, mut bytes) = disk.files().pop_first().unwrap();
        bytes[20] ^= 4;
        disk.put(&path, bytes);
        let error = Manifest::read(&disk, dir()).unwrap_err();
        assert_eq!(error.to_string(), "/shard/icecore.manifest: damaged: the checksum is wrong at byte 37");
        assert_eq!(Manifest::read(&disk, Path::new("/other")).unwrap(), None);
    }
}
