//! Reading a file that another process is writing.
//!
//! A transaction writes no page that the state before it uses; only the one after it takes those pages. So while the meta
//! pages are what they were before the first byte was read, all that was read of the pages in use is one state. The other
//! pages may be a mixture; nothing reads them.

use std::path::Path;
use std::time::Duration;

use icecore_disk::{Disk, Lock, Map, ReadAt};

use crate::ErrorKind;
use crate::error::{Error, Result};
use crate::format::meta::{META_PAGE_USED, META_PAGES};
use crate::format::page::PAGE_SIZE_MAX;
use crate::format::widen;
use crate::state::{State, choose};
use crate::view::View;

/// Bytes that are read at a time.
const READ_BYTES: usize = 4 << 20;
/// The meta pages of a file with pages of any size.
const HEAD_BYTES: u64 = META_PAGES * PAGE_SIZE_MAX as u64;

/// How long a try waits for the next commit, so as to begin right behind it: this often, this long.
const WAITS: u32 = 100;
const WAIT: Duration = Duration::from_micros(300);

impl View {
    /// A state of a file that another process may be writing, copied into memory without taking a lock.
    ///
    /// Tries again, up to `tries` times, when a commit came in between; a file that takes longer to read than the writer
    /// rests is never read. The state is one that the file has shown; whether its writer had synced it is not known.
    /// Every page of it is checked.
    ///
    /// # Errors
    /// [`Changed`](ErrorKind::Changed) when the last try met a commit; damage that it met; what the disk says.
    pub fn of_file_in_use(disk: &dyn Disk, path: &Path, tries: u32) -> Result<Self> {
        let mut content = Vec::new(); // one for all tries: new memory costs as much as reading
        let mut left = tries;
        loop {
            left = left.saturating_sub(1);
            match read(disk, path, &mut content) {
                Err(error) if left > 0 && (error.is_damage() || error.kind() == ErrorKind::Changed) => {
                    wait_for_a_commit(disk, path)?;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    let state = State::of(Map::from(content), path, Box::new(Unlocked));
                    let view = Self::new(state.map_err(|error| error.in_file(path))?);
                    view.verify()?;
                    return Ok(view);
                }
            }
        }
    }
}

/// Reads the pages in use, and sees that no commit came in between.
fn read(disk: &dyn Disk, path: &Path, content: &mut Vec<u8>) -> Result<()> {
    let io = |error| Error::io(error, path);
    let file = disk.open(path).map_err(io)?;
    let head = head(file.as_ref()).map_err(io)?;
    let (meta, ..) = choose(&head).map_err(|error| error.in_file(path))?;
    // A file is made longer before a meta page says so.
    let used = meta.high_water.saturating_mul(u64::from(meta.page_size)).min(file.size().map_err(io)?);
    fill(file.as_ref(), content, used).map_err(io)?;
    let mut now = Vec::new();
    fill(file.as_ref(), &mut now, used.min(META_PAGES * u64::from(meta.page_size))).map_err(io)?;
    if metas(&head, meta.page_size) == metas(&now, meta.page_size) {
        Ok(())
    } else {
        Err(Error::changed(path))
    }
}

fn wait_for_a_commit(disk: &dyn Disk, path: &Path) -> Result<()> {
    let now = || disk.open(path).and_then(|file| head(file.as_ref())).map_err(|error| Error::io(error, path));
    let newest = |head: &[u8]| choose(head).ok().map(|(meta, ..)| meta.txid);
    let before = newest(&now()?);
    for _ in 0..WAITS {
        std::thread::sleep(WAIT);
        if newest(&now()?) != before {
            break;
        }
    }
    Ok(())
}

fn head(file: &dyn ReadAt) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    fill(file, &mut head, HEAD_BYTES.min(file.size()?))?;
    Ok(head)
}

/// Makes `bytes` the first `len` bytes of the file.
fn fill(file: &dyn ReadAt, bytes: &mut Vec<u8>, len: u64) -> std::io::Result<()> {
    let len = usize::try_from(len).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    bytes.resize(len, 0);
    bytes
        .chunks_mut(READ_BYTES)
        .zip((0..).step_by(READ_BYTES))
        .try_for_each(|(part, at)| file.read_exact_at(part, at))
}

fn metas(head: &[u8], page_size: u32) -> [Option<&[u8]>; 2] {
    [0, widen(page_size)].map(|start| head.get(start..start + META_PAGE_USED))
}

/// What stands for the lock of a copy in memory, which needs none.
#[derive(Debug)]
struct Unlocked;

impl Lock for Unlocked {}
