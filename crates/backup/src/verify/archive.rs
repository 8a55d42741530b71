//! A tar of a shard: its structure, every file in it, and the list of files if it has one.
//!
//! ```text
//! per entry | extended header, or none | header 512 | content, padded to 512 |      <bucket>/<policy>/<shard>/<name>
//! end       | two blocks of zeros, or more |
//! ```
//!
//! A plain tar is read where it lies. A compressed one is read once, front to back; each TSM file is spooled to a
//! temporary file, and verified when it is whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Disk as _, ReadAt, RealDisk};
use icecore_tsm::verify as tsm;

use super::content::{self, Part};
use super::find::Target;
use super::gzip::{Failed, Failure, Gunzip};
use super::members::{Members, Role};
use super::pax;
use super::report::FileReport;

const BLOCK_LEN: u64 = 512;

/// Entries of an archive, at most: a shard has hundreds of files.
const ENTRIES_MAX: usize = 1 << 20;

/// A TSM file is shorter than this: its writers hold the size in 32 bits. A few bytes of gzip can claim more than any disk.
const SPOOLED_MAX: u64 = 1 << 32;

/// An entry of an archive, without its content.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) name: String,
    /// Where its header begins.
    pub(super) at: u64,
    /// Where its content begins.
    pub(super) start: u64,
    /// Bytes of the content.
    pub(super) size: u64,
    pub(super) is_file: bool,
    /// It speaks of the entry behind it.
    is_extended: bool,
}

impl Head {
    fn of<R: Read>(entry: &tar::Entry<'_, R>) -> Self {
        Self {
            name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            at: entry.raw_header_position(),
            start: entry.raw_file_position(),
            size: entry.size(),
            is_file: entry.header().entry_type().is_file(),
            is_extended: entry.header().entry_type().is_pax_local_extensions(),
        }
    }

    /// Where the next header begins.
    fn end(&self) -> u64 {
        self.start.saturating_add(self.size).checked_next_multiple_of(BLOCK_LEN).unwrap_or(u64::MAX)
    }
}

/// Verifies an archive. The first report is that of the archive itself, the others are those of its members.
pub(super) fn verify(target: &Target, options: &tsm::Options) -> Vec<FileReport> {
    let mut members = Members::new(target, options);
    let outcome = match target.is_gzip {
        true => compressed(&target.path, &mut members),
        false => plain(&target.path, &mut members),
    };
    if let Err(error) = outcome {
        super::refused(members.archive(), &error);
    }
    members.finish()
}

/// # Errors
/// What the system says of the archive itself or of the temporary files.
fn plain(path: &Path, members: &mut Members<'_>) -> io::Result<()> {
    let file: Arc<dyn ReadAt> = RealDisk.open(path)?;
    let size = file.size()?;
    members.archive().size = size;
    let mut archive = tar::Archive::new(File::open(path)?);
    let mut heads = Vec::new();
    let (end, error) = each_entry(archive.entries_with_seek()?, |head, entry| {
        let is_whole = head.end() <= size;
        if is_whole && head.is_extended {
            pax::look(members.archive(), &head, entry)?;
        } else if is_whole {
            heads.push(head);
        } else {
            members.cut_within(&head, size);
        }
        Ok(is_whole)
    });
    if heads.iter().any(|head| Role::is_listing(&head.name)) {
        members.want_digests();
    }
    for head in heads {
        let Some(role) = members.enter(&head) else { continue };
        let part = Part { file: Arc::clone(&file), start: head.start, size: head.size };
        members.content(&head, &role, &(Arc::new(part) as Arc<dyn ReadAt>), None);
    }
    match error {
        Some(error) => broken(members.archive(), &error, end)?,
        None if members.is_cut() => {}
        None => {
            let rest = Part { file, start: end, size: size.saturating_sub(end) };
            check_end(members.archive(), &mut Sequential { part: rest, at: 0 }, end)?;
        }
    }
    Ok(())
}

/// # Errors
/// As [`plain`].
fn compressed(path: &Path, members: &mut Members<'_>) -> io::Result<()> {
    let file = File::open(path)?;
    members.archive().size = file.metadata()?.len();
    members.want_digests();
    let gunzip = Gunzip::new(file);
    let failure = gunzip.failure();
    let mut archive = tar::Archive::new(Tally { inner: gunzip, read: 0 });
    let mut within = None;
    let mut refused = None;
    let (end, error) = each_entry(archive.entries()?, |head, entry| {
        within = Some(head.name.clone());
        if head.is_extended {
            pax::look(members.archive(), &head, entry)?;
            return Ok(true);
        }
        let Some(role) = members.enter(&head) else { return Ok(true) };
        if head.size > SPOOLED_MAX {
            return Err(io::Error::other("a file of more than 4 GiB"));
        }
        let (spooled, digest) = match content::spool(entry) {
            Ok(spooled) => spooled?,
            Err(error) => {
                refused = Some(error);
                return Ok(false);
            }
        };
        let content: Arc<dyn ReadAt> = Arc::new(spooled);
        if content.size()? < head.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        members.content(&head, &role, &content, Some(digest));
        within = None;
        Ok(true)
    });
    if let Some(error) = refused {
        return Err(io::Error::new(error.kind(), format!("the temporary file: {error}")));
    }
    let mut rest = archive.into_inner();
    let outcome = match error {
        Some(error) => match failure.take() {
            Some(failed) => {
                failed_gzip(members.archive(), &failed, within.as_deref());
                return Ok(());
            }
            None => broken(members.archive(), &error, end),
        },
        // The reader of the tar took one block of zeros, if there was one.
        None if rest.read == end => check_end(members.archive(), &mut io::empty(), end),
        None => check_end(members.archive(), &mut io::repeat(0).take(BLOCK_LEN).chain(&mut rest), end),
    };
    after_gzip(members.archive(), &failure, outcome, &mut rest)
}

/// Reads on to the end of a gzip, whose checksum stands there, and says what failed.
fn after_gzip(
    archive: &mut FileReport,
    failure: &Failure,
    outcome: io::Result<()>,
    rest: &mut impl Read,
) -> io::Result<()> {
    let drained = outcome.and_then(|()| io::copy(rest, &mut io::sink()));
    match (failure.take(), drained) {
        (Some(failed), _) => {
            failed_gzip(archive, &failed, None);
            Ok(())
        }
        (None, drained) => drained.map(drop),
    }
}

fn failed_gzip(archive: &mut FileReport, failed: &Failed, within: Option<&str>) {
    let what = match within {
        Some(name) => format!("{}, within {name}", failed.what),
        None => failed.what.clone(),
    };
    if failed.is_io {
        archive.unreadable(what);
    } else {
        archive.damaged("gzip", what, Some(failed.at));
    }
}

/// Calls `each` with every entry until it returns false. Gives where the next header would begin, and why there is none if
/// that is an error.
fn each_entry<'a, R: Read + 'a>(
    entries: tar::Entries<'a, R>,
    mut each: impl FnMut(Head, &mut tar::Entry<'a, R>) -> io::Result<bool>,
) -> (u64, Option<io::Error>) {
    let mut end = 0;
    for (nth, entry) in entries.raw(true).enumerate() {
        if nth >= ENTRIES_MAX {
            return (end, Some(io::Error::other("too many entries")));
        }
        let outcome = entry.and_then(|mut entry| {
            let head = Head::of(&entry);
            let behind = head.end();
            each(head, &mut entry).map(|goes_on| (behind, goes_on))
        });
        match outcome {
            Ok((behind, true)) => end = behind,
            Ok((_, false)) => return (end, None),
            Err(error) => return (end, Some(error)),
        }
    }
    (end, None)
}

/// What cannot be followed is damage, unless the system refused.
fn broken(archive: &mut FileReport, error: &io::Error, at: u64) -> io::Result<()> {
    if error.raw_os_error().is_some() {
        return Err(io::Error::new(error.kind(), error.to_string()));
    }
    archive.damaged("archive", format!("the archive cannot be followed from here on ({error})"), Some(at));
    Ok(())
}

/// What stands behind the last entry: at least two blocks, nothing but zeros.
fn check_end(archive: &mut FileReport, rest: &mut impl Read, at: u64) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 16];
    let mut len: u64 = 0;
    loop {
        let read = match rest.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(zeros) = read.iter().position(|byte| *byte != 0) {
            let at = at.saturating_add(len).saturating_add(zeros as u64);
            archive.damaged("archive", "bytes behind the end of the archive", Some(at));
            return Ok(());
        }
        len += read.len() as u64;
    }
    if len < 2 * BLOCK_LEN {
        let what = "the archive is cut off: it has no end";
        archive.damaged("archive", what, Some(at.saturating_add(len)));
    }
    Ok(())
}

/// A part read front to back.
struct Sequential {
    part: Part,
    at: u64,
}

impl Read for Sequential {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.part.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let Some(buf) = buf.get_mut(..len) else { return Ok(0) };
        self.part.read_exact_at(buf, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Counts what was read.
struct Tally<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read += read as u64;
        Ok(read)
    }
}
