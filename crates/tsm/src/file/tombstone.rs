//! Deletes points of a TSM file: by records in the tombstone beside it, the file itself is never written.
//!
//! Invariant: the tombstone is the old one or the new one, never a part; the new one says all that the old one said.
//!
//! ```text
//! G-S.tombstone.tmp  old members as they stand (version 4), or the old records | one new member; synced
//! rename             G-S.tombstone; then the directory is synced
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use icecore_disk::Disk;

use super::deletes;
use super::reader::TsmFile;
use crate::error::{Error, Result};
use crate::format::index::{Index, Key};
use crate::format::key;
use crate::format::tombstone::{self, Member};
use crate::units::TimeRange;

/// What to delete: the points of some keys within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Of which keys.
    pub scope: Scope<'a>,
    /// Both ends are deleted too; [`TimeRange::ALL`] deletes the keys as a whole.
    pub range: TimeRange,
}

/// Keys by what they have in common. The format records single keys only, so the other two become the keys that the file
/// has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One composite key: one field of one series.
    Key(&'a [u8]),
    /// All fields of the series with exactly this key. Keys are split at their first separator, as influxd does; so a series
    /// whose own key contains `#!~#` has no fields.
    Series(&'a [u8]),
    /// All composite keys that begin with these bytes. `cpu,host=a` is also the beginning of `cpu,host=ab#!~#load`.
    Prefix(&'a [u8]),
}

impl TsmFile {
    /// Deletes points, beside what the tombstone on disk already deletes, and opens the file anew; the result takes the
    /// place of this one. `None` when there was nothing to delete: then nothing is written.
    ///
    /// Only what the index says the file has, and no delete covers yet, is recorded. The tombstone takes `modified_ns`,
    /// nanoseconds since 1970 UTC, as its time, or what the disk gives. Every call rewrites the tombstone, so deletes
    /// are best brought together. Two calls for one file at a time are the caller's mistake: one of them fails.
    ///
    /// # Errors
    /// `Corrupt` when the file or its tombstone is damaged, `Io` when the system refuses; the deletes are then not
    /// recorded, unless it was the sync of the directory or the opening that failed: then they may be, and calling
    /// again is safe.
    ///
    /// # Durability
    /// On return the deletes are durable.
    pub fn delete(
        &self,
        disk: &dyn Disk,
        deletes: &[Delete<'_>],
        modified_ns: Option<i64>,
    ) -> Result<Option<Self>> {
        // Not from memory: what another handle recorded since must stay.
        let current = self.open_again(disk)?;
        let mut member = Member::new();
        let hits = hits(&current, deletes)?;
        if hits.is_empty() {
            return Ok(None);
        }
        for (key, ranges) in hits {
            ranges.into_iter().try_for_each(|range| member.push(key, range))?;
        }
        let path = self.path().with_file_name(self.name().tombstone());
        let held = current.tombstone().map_or(&[][..], |tombstone| &tombstone.bytes);
        let content = [&tombstone::carried(held).map_err(|error| error.in_file(&path))?, &*member.finish()?];
        replace(
            disk,
            &path,
            &self.path().with_file_name(self.name().tombstone_temporary()),
            &content,
            modified_ns,
        )?;
        let opened = self.open_again(disk)?;
        opened.is_known_as(self); // of the TSM file alone, which is the same
        Ok(Some(opened))
    }
}

/// The keys of `file` that lose something, ascending, each with its ranges joined.
fn hits<'a>(file: &'a TsmFile, deletes: &[Delete<'_>]) -> Result<BTreeMap<&'a [u8], Vec<TimeRange>>> {
    let index = file.index()?;
    let mut hits = BTreeMap::<_, Vec<_>>::new();
    for Delete { scope, range } in deletes.iter().filter(|delete| index.range().overlaps(delete.range)) {
        let add = |key: Key<'a>| {
            if is_hit(file, &key, *range) {
                hits.entry(key.key).or_default().push(*range);
            }
        };
        match scope {
            Scope::Key(key) => index.find(key).into_iter().for_each(add),
            Scope::Prefix(prefix) => with_prefix(&index, prefix).for_each(add),
            Scope::Series(series) => {
                let prefix = [series, key::SEPARATOR].concat();
                let is_of_series =
                    |key: &Key<'a>| key::split(key.key).is_some_and(|(found, _)| found == *series);
                with_prefix(&index, &prefix).filter(is_of_series).for_each(add);
            }
        }
    }
    hits.values_mut().for_each(deletes::join);
    Ok(hits)
}

/// Whether a block of `key` has times in `range` that are not deleted yet, as far as the index tells.
fn is_hit(file: &TsmFile, key: &Key<'_>, range: TimeRange) -> bool {
    let deleted = file.deleted(key.ordinal);
    key.entries_within(range).any(|entry| {
        let both = TimeRange::new(entry.range.min().max(range.min()), entry.range.max().min(range.max()));
        both.is_ok_and(|both| !deletes::cover(deleted, both))
    })
}

/// The keys that begin with `prefix`: they lie side by side. O(log keys) to the first.
fn with_prefix<'a>(index: &Index<'a>, prefix: &[u8]) -> impl Iterator<Item = Key<'a>> {
    index.keys_from(prefix).take_while(move |key| key.key.starts_with(prefix))
}

/// Puts a file in the place of the one at `path`, durably.
fn replace(
    disk: &dyn Disk,
    path: &Path,
    temporary: &Path,
    content: &[&[u8]],
    modified_ns: Option<i64>,
) -> Result<()> {
    let mut file = disk.create(temporary).map_err(|error| Error::io(error, temporary))?;
    let written = content.iter().try_for_each(|part| file.append(part));
    let timed = written.and_then(|()| modified_ns.map_or(Ok(()), |ns| disk.set_modified(temporary, ns)));
    let renamed = timed.and_then(|()| file.sync()).and_then(|()| disk.rename(temporary, path));
    if let Err(error) = renamed {
        // The first error is the one to report; what remains is a name that every open removes.
        drop(disk.remove(temporary));
        return Err(Error::io(error, temporary));
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_dir(dir).map_err(|error| Error::io(error, dir))
}
