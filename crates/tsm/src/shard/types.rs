//! Which types the fields of a shard have. The first write of a field decides.
//!
//! Invariant: every field of a point in the log is here, and on disk before a file has it.

use std::path::Path;

use icecore_disk::Disk;

use super::view::View;
use crate::error::{Error, Result};
use crate::format::batch::{Batch, Shape};
use crate::format::column::BlockType;
use crate::format::fields::FieldSet;
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
}

impl Types {
    /// What the files in `dir` say, or, where they are missing or broken, the keys of all TSM files; and the caches.
    ///
    /// # Errors
    /// `Corrupt` when an index is damaged, or log and files contradict each other; `Io`.
    pub(super) fn load(disk: &dyn Disk, dir: &Path, view: &View) -> Result<Self> {
        let known = match FieldSet::read(disk, dir) {
            Ok(Some((set, replayed))) if replayed.torn.is_none() => Some((set, replayed.records > 0)),
            Ok(_) => None,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let (set, changed) = match known {
            Some(known) => known,
            None => (of_keys(view)?, true),
        };
        let mut types = Self { set, version: u64::from(changed), written: 0 };
        for shape in view.caches.iter().flat_map(|cache| cache.shapes()) {
            if types.admit(&shape).is_some() {
                let what = "the log gives a field another type than the files of the shard have";
                return Err(Error::corrupt(what, Offset::START).in_file(dir));
            }
        }
        Ok(types)
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

    /// The fields are on disk as they were after so many changes.
    pub(super) fn written(&mut self, version: u64) {
        self.written = version;
    }
}

/// The fields of all keys of all files. O(keys).
fn of_keys(view: &View) -> Result<FieldSet> {
    let mut set = FieldSet::default();
    for file in view.files.files() {
        for key in file.index()?.keys() {
            if set.add_key(key.key, key.kind).is_err() {
                let at = key.entry(0).map_or(Offset::START, |entry| entry.offset);
                return Err(Error::corrupt("a field has another type than in another series", at)
                    .in_file(file.path()));
            }
        }
    }
    Ok(set)
}
