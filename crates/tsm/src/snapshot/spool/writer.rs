use std::path::PathBuf;
use std::sync::Arc;

use icecore_disk::Append;

use super::{Kept, Key, Spool};
use crate::error::Error;
use crate::format::sums::Sums;

/// A file of the spool that is being written while its bytes are sent. Dropped before it is [finished](Self::finish), it leaves
/// nothing; so it does when the disk refuses a call.
#[derive(Debug)]
pub(in super::super) struct Writer {
    spool: Arc<Spool>,
    key: Key,
    size: u64,
    /// Until it is kept or given up.
    file: Option<(PathBuf, Box<dyn Append>)>,
}

impl Writer {
    pub(super) fn create(spool: &Arc<Spool>, key: Key, size: u64, path: PathBuf) -> Option<Self> {
        let created = spool.disk.create_dir(&spool.dir).and_then(|()| spool.disk.create(&path));
        match created {
            Ok(file) => Some(Self { spool: Arc::clone(spool), key, size, file: Some((path, file)) }),
            Err(error) => {
                spool.report(&Error::io(error, &path));
                spool.abandon(&key, size, path);
                None
            }
        }
    }

    /// Takes the next bytes; after a failure they are dropped.
    pub(in super::super) fn append(&mut self, bytes: &[u8]) {
        if let Some((path, file)) = &mut self.file
            && let Err(error) = file.append(bytes)
        {
            self.spool.report(&Error::io(error, path));
            self.give_up();
        }
    }

    /// All bytes were given; `sums` are theirs.
    pub(in super::super) fn finish(mut self, sums: Sums) {
        let Some((path, file)) = self.file.take() else { return };
        drop(file);
        let kept = Kept::new(self.key, self.spool.path(&self.key), sums);
        let outcome = match kept.size() == self.size {
            true => self.spool.keep(kept, &path),
            false => Err(Error::unfit("a rewritten file is not as long as its plan")),
        };
        if let Err(error) = outcome {
            self.spool.report(&error);
            self.spool.abandon(&self.key, self.size, path);
        }
    }

    fn give_up(&mut self) {
        if let Some((path, file)) = self.file.take() {
            drop(file);
            self.spool.abandon(&self.key, self.size, path);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.give_up();
    }
}
