//! Putting points into a batch.

use std::collections::HashMap;
use std::fmt;

use super::shape::{Field, Shape};
use super::{Batch, ROW_HEAD_LEN, Series, Value};
use crate::format::key::{LEN_MAX, SEPARATOR};

/// Rows of one batch together: their places are counted in 32 bits.
const ROW_BYTES_MAX: usize = u32::MAX as usize;

/// Why a point was not taken into a batch; the batch is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// It has no field.
    NoFields,
    /// The series key does not begin with a measurement of the given length.
    Measurement,
    /// Series key, separator and field name are longer than 65,535 bytes together; so many they are.
    KeyTooLong(usize),
    /// The series key has the separator `#!~#` in it, or ends so that it begins there: the key of a TSM file that is made
    /// of it would be read as another series with another field.
    Separator,
    /// A float is not a number: no block can hold it.
    NotANumber,
    /// The batch would pass 4 GiB.
    BatchFull,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFields => f.write_str("a point without fields"),
            Self::Measurement => f.write_str("a series key that does not begin with its measurement"),
            Self::KeyTooLong(len) => write!(f, "max key length exceeded: {len} > {LEN_MAX}"),
            Self::Separator => {
                f.write_str("a series key with \"#!~#\" in it, which would be read as another series")
            }
            Self::NotANumber => f.write_str("a float that is not a number"),
            Self::BatchFull => f.write_str("a batch of more than 4 GiB"),
        }
    }
}

impl std::error::Error for Refused {}

impl Batch {
    /// Adds a point: series key (measurement and tags, escaped, tags sorted), the length of the measurement in it, time in
    /// nanoseconds since 1970, and fields, of which at least one; of fields of one name the last counts.
    ///
    /// # Errors
    /// [`Refused`]; the batch is then as it was.
    pub fn point<'f, F>(
        &mut self,
        series_key: &[u8],
        measurement_len: usize,
        time: i64,
        fields: F,
    ) -> Result<(), Refused>
    where
        F: IntoIterator<Item = (&'f [u8], Value<'f>), IntoIter: Clone>,
    {
        let fields = fields.into_iter();
        let measurement = measurement_of(series_key, measurement_len).ok_or(Refused::Measurement)?;
        let hash = crate::hash::of(series_key);
        let known = self.find_series(series_key, hash);
        if known.is_none() && is_ambiguous(series_key) {
            return Err(Refused::Separator);
        }
        let guess = known.map(|(_, shape)| shape).or(self.last_shape);

        let start = self.row_bytes.len();
        self.row_bytes.extend_from_slice(&[0; ROW_HEAD_LEN]);
        self.row_bytes.extend_from_slice(&time.to_be_bytes());
        match self.values_of(&fields, guess, measurement).and_then(|found| found.check(series_key)) {
            Ok(Some(shape)) => self.end_row(start, series_key, hash, known.map(|(number, _)| number), shape),
            Ok(None) => match shape_of(measurement, &fields) {
                Some(shape) => {
                    let shape = self.intern_shape(&shape);
                    self.end_row(start, series_key, hash, known.map(|(number, _)| number), shape);
                }
                None => {
                    self.row_bytes.truncate(start);
                    return self.point(series_key, measurement_len, time, without_repetition(fields));
                }
            },
            Err(refused) => {
                self.row_bytes.truncate(start);
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Number and last shape of a series that the batch has.
    pub(super) fn find_series(&self, key: &[u8], hash: u64) -> Option<(u32, u32)> {
        let is_it = |number: &u32| {
            self.series
                .get(*number as usize)
                .is_some_and(|series| series.hash == hash && self.series_key(series) == key)
        };
        let number = *self.series_table.find(hash, is_it)?;
        Some((number, self.series.get(number as usize)?.shape))
    }

    /// Appends the values, and says whether they are those of the guessed shape.
    fn values_of<'f>(
        &mut self,
        fields: &(impl Iterator<Item = (&'f [u8], Value<'f>)> + Clone),
        guess: Option<u32>,
        measurement: &[u8],
    ) -> Result<Found, Refused> {
        let shape = guess.and_then(|guess| self.shapes.get(guess as usize));
        let shape = shape.filter(|shape| *shape.measurement == *measurement);
        let mut expected = shape.map(|shape| shape.fields.iter());
        let mut found = Found { shape: None, fields: 0, name_len_max: 0 };
        for (name, value) in fields.clone() {
            let is_next = |expected: &mut std::slice::Iter<'_, Field>| {
                expected.next().is_some_and(|field| field.kind == value.kind() && *field.name == *name)
            };
            if !expected.as_mut().is_some_and(is_next) {
                expected = None;
            }
            put_value(&mut self.row_bytes, value)?;
            if self.row_bytes.len() > ROW_BYTES_MAX {
                return Err(Refused::BatchFull);
            }
            found.fields += 1;
            found.name_len_max = found.name_len_max.max(name.len());
        }
        found.shape = guess.filter(|_| expected.is_some_and(|mut rest| rest.next().is_none()));
        Ok(found)
    }

    /// The number of a shape in this batch, added if it is new.
    pub(super) fn intern_shape(&mut self, shape: &Shape) -> u32 {
        let hash = crate::hash::of(shape);
        let Self { shapes, shape_table, shape_bytes, .. } = self;
        if let Some(known) = shape_table.find(hash, |known| shapes.get(*known as usize) == Some(shape)) {
            return *known;
        }
        let number = u32::try_from(shapes.len()).unwrap_or(u32::MAX);
        put_shape(shape_bytes, shape);
        shapes.push(shape.clone());
        shape_table
            .insert_unique(hash, number, |known| shapes.get(*known as usize).map_or(0, crate::hash::of));
        number
    }

    /// Completes the row that begins at `start`.
    fn end_row(&mut self, start: usize, key: &[u8], hash: u64, known: Option<u32>, shape: u32) {
        let series = known.unwrap_or_else(|| self.add_series(key, hash, shape));
        if let Some(series) = self.series.get_mut(series as usize) {
            series.shape = shape;
        }
        self.last_shape = Some(shape);
        self.values += self.shapes.get(shape as usize).map_or(0, |shape| shape.fields.len() as u64);
        self.set_head(start, series, shape);
    }

    fn set_head(&mut self, start: usize, series: u32, shape: u32) {
        if let Some(head) =
            self.row_bytes.get_mut(start..).and_then(|row| row.first_chunk_mut::<ROW_HEAD_LEN>())
        {
            let both = u64::from(series) << u32::BITS | u64::from(shape);
            *head = both.to_be_bytes();
        }
        // The row ends below `ROW_BYTES_MAX`.
        self.rows.push(u32::try_from(start).unwrap_or(u32::MAX));
    }

    pub(super) fn add_series(&mut self, key: &[u8], hash: u64, shape: u32) -> u32 {
        let number = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        // A key is no longer than `LEN_MAX`.
        self.series_bytes.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        let start = self.series_bytes.len();
        self.series_bytes.extend_from_slice(key);
        self.series.push(Series { key: start..self.series_bytes.len(), hash, shape });
        let Self { series_table, series, .. } = self;
        let hash_of = |number: &u32| series.get(*number as usize).map_or(0, |series| series.hash);
        series_table.insert_unique(hash, number, hash_of);
        number
    }

    /// Adds a row that another batch had.
    pub(super) fn append_row(&mut self, key: &[u8], hash: u64, shape: &Shape, payload: &[u8]) {
        let shape_number = self.intern_shape(shape);
        let series = match self.find_series(key, hash) {
            Some((series, _)) => series,
            None => self.add_series(key, hash, shape_number),
        };
        let start = self.row_bytes.len();
        self.row_bytes.extend_from_slice(&[0; ROW_HEAD_LEN]);
        self.row_bytes.extend_from_slice(payload);
        self.values += shape.fields.len() as u64;
        self.set_head(start, series, shape_number);
    }
}

/// What a look at the fields of a point has shown.
struct Found {
    /// The shape that was guessed, if it is theirs.
    shape: Option<u32>,
    fields: usize,
    name_len_max: usize,
}

impl Found {
    /// The shape, if the point can be taken at all.
    fn check(&self, series_key: &[u8]) -> Result<Option<u32>, Refused> {
        let composite_len = series_key.len() + SEPARATOR.len() + self.name_len_max;
        match self.fields {
            0 => Err(Refused::NoFields),
            _ if composite_len > LEN_MAX => Err(Refused::KeyTooLong(composite_len)),
            _ => Ok(self.shape),
        }
    }
}

/// The shape of these fields; `None` if a name is there twice.
fn shape_of<'f>(
    measurement: &[u8],
    fields: &(impl Iterator<Item = (&'f [u8], Value<'f>)> + Clone),
) -> Option<Shape> {
    let fields: Box<[Field]> =
        fields.clone().map(|(name, value)| Field { kind: value.kind(), name: name.into() }).collect();
    let mut names: Vec<&[u8]> = fields.iter().map(|field| &*field.name).collect();
    names.sort_unstable();
    let is_once = names.is_sorted_by(|before, name| before < name);
    is_once.then(|| Shape { measurement: measurement.into(), fields })
}

/// Of fields of one name only the last, at the place of the first.
fn without_repetition<'f>(fields: impl Iterator<Item = (&'f [u8], Value<'f>)>) -> Vec<(&'f [u8], Value<'f>)> {
    let mut once: Vec<(&[u8], Value<'_>)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in fields {
        let place = *places.entry(name).or_insert(once.len());
        match once.get_mut(place) {
            Some(field) => field.1 = value,
            None => once.push((name, value)),
        }
    }
    once
}

/// The measurement at the start of a series key: what `len` says must end there.
pub(super) fn measurement_of(key: &[u8], len: usize) -> Option<&[u8]> {
    let (measurement, rest) = key.split_at_checked(len)?;
    matches!(rest, [] | [b',', ..]).then_some(measurement)
}

/// Whether a composite key made of a series key would not split again behind it.
pub(super) fn is_ambiguous(key: &[u8]) -> bool {
    const SEPARATOR_START: usize = SEPARATOR.len() - 1;
    memchr::memchr_iter(b'#', key).any(|at| {
        let tail = key.get(at..).unwrap_or_default();
        let both = tail.iter().chain(SEPARATOR.iter().take(SEPARATOR_START));
        both.take(SEPARATOR.len()).eq(SEPARATOR)
    })
}

fn put_value(out: &mut Vec<u8>, value: Value<'_>) -> Result<(), Refused> {
    match value {
        Value::Float(value) if value.is_nan() => return Err(Refused::NotANumber),
        Value::Float(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Integer(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Unsigned(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Boolean(value) => out.push(u8::from(value)),
        Value::String(value) => {
            let len = u32::try_from(value.len()).map_err(|_| Refused::BatchFull)?;
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Lengths of names and of measurements were compared with what 16 bits hold.
fn put_shape(out: &mut Vec<u8>, shape: &Shape) {
    let short = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    out.extend_from_slice(&short(&shape.measurement));
    out.extend_from_slice(&shape.measurement);
    out.extend_from_slice(&u32::try_from(shape.fields.len()).unwrap_or(u32::MAX).to_be_bytes());
    for field in &*shape.fields {
        out.push(field.kind.code());
        out.extend_from_slice(&short(&field.name));
        out.extend_from_slice(&field.name);
    }
}

const _: () = assert!(ROW_HEAD_LEN == size_of::<u64>(), "the head of a row is two numbers");
