//! Which types the fields of a shard have. The first write of a field decides.
//!
//! Invariant: every field of a key in a file is here with the type of the key, and every field of a point in the log; all
//! are on disk before a file has them.
//!
//! `fields.idx` has no checksum, and influxd can lose a part of it. It is believed where it has the digest that the manifest
//! lists: then it has every field of the listed files. Any other is compared with the keys of all files, once: the next
//! flush writes it and lists it. What contradicts the keys is set aside and made again of them.

use std::path::Path;

use icecore_disk::Disk;

use super::view::View;
use super::{adopt, open};
use crate::error::{Error, Result};
use crate::file::digest::Digest;
use crate::format::batch::{Batch, Shape};
use crate::format::column::BlockType;
use crate::format::fields::{FieldSet, IDX_NAME, IDXL_NAME};
use crate::format::series::SeriesKey;
use crate::units::Offset;

/// Points that were not taken because one of their fields has another type in the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The measurement, without escapes.
    pub measurement: Vec<u8>,
    /// The field.
    pub field: Vec<u8>,
    /// The type that was written.
    pub given: BlockType,
    /// The type that the field has.
    pub exists: BlockType,
    /// So many points of the batch were left out for it.
    pub points: usize,
    /// The number of the first of them in the batch, before any was left out.
    pub first: usize,
}

/// The fields of a shard that is written.
#[derive(Debug)]
pub(super) struct Types {
    set: FieldSet,
    /// How often the fields have changed, and how often they had when they were written to disk.
    version: u64,
    written: u64,
    /// Of the file on disk that has all fields up to `written`.
    on_disk: Option<Digest>,
}

impl Types {
    /// What the files in `dir` say; where they are not the listed ones, this against the keys of all TSM files; and what
    /// the caches have. Also what was damaged and is made again.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged, or log and files contradict each other; `Io`.
    pub(super) fn load(
        disk: &dyn Disk,
        dir: &Path,
        view: &View,
        listed: Option<Digest>,
    ) -> Result<(Self, Option<Error>)> {
        let known = match listed {
            Some(digest) => FieldSet::read_listed(disk, dir, digest)?,
            None => None,
        };
        let (mut types, damage) = match known {
            Some(set) => (Self { set, version: 0, written: 0, on_disk: listed }, None),
            None => {
                let (set, damage) = compared(disk, dir, view)?;
                (Self { set, version: 1, written: 0, on_disk: None }, damage)
            }
        };
        for shape in view.caches.iter().flat_map(|cache| cache.shapes()) {
            if types.admit(&shape).is_some() {
                let what = "the log gives a field another type than the files of the shard have";
                return Err(Error::corrupt(what, Offset::START).in_file(dir));
            }
        }
        Ok((types, damage))
    }

    /// Takes the shapes of a batch, and removes the points of those that cannot be taken.
    pub(super) fn admit_all(&mut self, batch: &mut Batch) -> Vec<Conflict> {
        let conflicts: Vec<Option<Conflict>> = batch.shapes().iter().map(|shape| self.admit(shape)).collect();
        if conflicts.iter().all(Option::is_none) {
            return Vec::new();
        }
        let is_refused = |shape: u32| conflicts.get(shape as usize).is_some_and(Option::is_some);
        let mut counts = vec![(0, 0); conflicts.len()];
        for (number, row) in batch.rows().enumerate() {
            if let Some((points, first)) = counts.get_mut(row.shape as usize) {
                *first = if *points == 0 { number } else { *first };
                *points += 1;
            }
        }
        batch.remove_shapes(is_refused);
        let counted = conflicts.into_iter().zip(counts);
        counted
            .filter_map(|(conflict, (points, first))| Some(Conflict { points, first, ..conflict? }))
            .collect()
    }

    /// Takes a shape whole or not at all.
    fn admit(&mut self, shape: &Shape) -> Option<Conflict> {
        let measurement = SeriesKey::new(&shape.measurement).measurement().unescape();
        let conflict = shape.fields.iter().find_map(|field| {
            let exists = self.set.kind(&measurement, &field.name).filter(|exists| *exists != field.kind)?;
            let measurement = measurement.to_vec();
            Some(Conflict {
                measurement,
                field: field.name.to_vec(),
                given: field.kind,
                exists,
                points: 0,
                first: 0,
            })
        });
        if conflict.is_none() {
            for field in &*shape.fields {
                // No field has another type, and a shape has none twice.
                self.version += u64::from(self.set.add(&measurement, &field.name, field.kind) == Ok(true));
            }
        }
        conflict
    }

    /// The fields and how often they have changed, if the files on disk say less.
    pub(super) fn changed(&self) -> Option<(FieldSet, u64)> {
        (self.version > self.written).then(|| (self.set.clone(), self.version))
    }

    /// The fields are on disk as they were after so many changes, in a file of this digest.
    pub(super) fn written(&mut self, version: u64, digest: Digest) {
        (self.written, self.on_disk) = (version, Some(digest));
    }

    /// The digest of the `fields.idx` that has every field of every file.
    pub(super) fn on_disk(&self) -> Option<Digest> {
        self.on_disk
    }
}

/// The fields in `dir` if every key has its own there; else those of the keys, and what is wrong with the others, which are
/// set aside.
fn compared(disk: &dyn Disk, dir: &Path, view: &View) -> Result<(FieldSet, Option<Error>)> {
    let keys = of_keys(view)?;
    let damage = match FieldSet::read(disk, dir) {
        Ok(None) => return Ok((keys, None)),
        Ok(Some((found, _))) => match contradiction(&found, &keys) {
            // Fields without keys count: influxd refuses other types for them, too.
            None => return Ok((found, None)),
            Some(what) => Error::corrupt(what, Offset::START).in_file(&dir.join(IDX_NAME)),
        },
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    set_aside(disk, dir)?;
    Ok((keys, Some(damage)))
}

fn contradiction(found: &FieldSet, keys: &FieldSet) -> Option<&'static str> {
    keys.iter().find_map(|(measurement, field, kind)| match found.kind(measurement, field) {
        Some(found) if found == kind => None,
        Some(_) => Some("a field has another type than a key of it"),
        None => Some("the field of a key is missing"),
    })
}

/// Gives the pair names that nobody reads.
fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for name in [IDX_NAME, IDXL_NAME] {
        let path = dir.join(name);
        let moved = open::first_free(disk, &mut adopt::aside(name).map(|name| dir.join(name)))
            .and_then(|free| disk.rename(&path, &free));
        match moved {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(error, &path)),
        }
    }
    disk.sync_dir(dir).map_err(|error| Error::io(error, dir))
}

/// The fields of all keys of all files. O(keys). A key whose points are all deleted has no say: influxd allows another type
/// then.
fn of_keys(view: &View) -> Result<FieldSet> {
    let mut set = FieldSet::default();
    for file in view.files.files() {
        for key in file.index()?.keys().filter(|key| file.live_entries(key).next().is_some()) {
            if set.add_key(key.key, key.kind).is_err() {
                let at = key.entry(0).map_or(Offset::START, |entry| entry.offset);
                return Err(Error::corrupt("a field has another type than in another series", at)
                    .in_file(file.path()));
            }
        }
    }
    Ok(set)
}
