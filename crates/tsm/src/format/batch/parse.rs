//! Reading a batch that a log has.

use std::collections::HashSet;

use super::build::{is_ambiguous, measurement_of};
use super::shape::{Field, Shape};
use super::{Batch, ROW_HEAD_LEN, Value};
use crate::error::Result;
use crate::format::column::BlockType;
use crate::format::key::{LEN_MAX, SEPARATOR};
use crate::format::read::Cursor;
use crate::units::Offset;

const SHORT: &str = "a batch of points is cut off";

impl Batch {
    /// Reads a body that lies at `at` in its file. Memory is in proportion to its length.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no batch, whichever part of the invariant they break.
    pub(crate) fn parse(body: &[u8], at: Offset) -> Result<Self> {
        let mut cursor = Cursor::new(body, at);
        let [shapes, series, rows] = [cursor.u32(SHORT)?, cursor.u32(SHORT)?, cursor.u32(SHORT)?];
        let mut batch = Self::default();
        for _ in 0..shapes {
            let shape = read_shape(&mut cursor)?;
            let known = batch.shapes.len();
            if (batch.intern_shape(&shape) as usize) < known {
                return Err(cursor.corrupt("a batch of points has a shape twice"));
            }
        }
        for _ in 0..series {
            let len = cursor.u16(SHORT)?;
            let key = cursor.take(usize::from(len), SHORT)?;
            let what = "a batch of points has a series twice, or one whose key splits elsewhere";
            batch.read_series(key).ok_or_else(|| cursor.corrupt(what))?;
        }
        for _ in 0..rows {
            batch.read_row(&mut cursor)?;
        }
        match cursor.is_empty() {
            true => Ok(batch),
            false => Err(cursor.corrupt("bytes behind a batch of points")),
        }
    }

    fn read_series(&mut self, key: &[u8]) -> Option<()> {
        let hash = crate::hash::of(key);
        if is_ambiguous(key) || self.find_series(key, hash).is_some() {
            return None;
        }
        self.add_series(key, hash, 0);
        Some(())
    }

    fn read_row(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let start = cursor.clone();
        let (series, shape) = (cursor.u32(SHORT)?, cursor.u32(SHORT)?);
        let known = self.series.get(series as usize).zip(self.shapes.get(shape as usize));
        let (known, form) =
            known.ok_or_else(|| start.corrupt("a row of a batch has no series or no shape"))?;
        let key = self.series_key(known);
        let fits = measurement_of(key, form.measurement.len()).is_some_and(|name| *name == *form.measurement)
            && key.len() + SEPARATOR.len() + form.name_len_max() <= LEN_MAX;
        if !fits {
            return Err(start.corrupt("a row of a batch has a shape that its series cannot have"));
        }
        let len = form.payload_len(cursor.rest()).ok_or_else(|| start.corrupt(SHORT))?;
        let payload = cursor.take(len, SHORT)?;
        if let Some(what) = wrong_value(form, payload) {
            return Err(start.corrupt(what));
        }
        let fields = form.fields.len() as u64;
        let place = self.row_bytes.len();
        let whole = start.rest().get(..ROW_HEAD_LEN + len).unwrap_or_default();
        self.row_bytes.extend_from_slice(whole);
        self.rows.push(u32::try_from(place).map_err(|_| start.corrupt("a batch of more than 4 GiB"))?);
        self.values += fields;
        Ok(())
    }
}

fn read_shape(cursor: &mut Cursor<'_>) -> Result<Shape> {
    let len = cursor.u16(SHORT)?;
    let measurement = cursor.take(usize::from(len), SHORT)?.into();
    let count = cursor.u32(SHORT)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let kind = BlockType::from_code(cursor.u8(SHORT)?);
        let kind = kind.ok_or_else(|| cursor.corrupt("unknown type of a field in a batch"))?;
        let len = cursor.u16(SHORT)?;
        fields.push(Field { kind, name: cursor.take(usize::from(len), SHORT)?.into() });
    }
    let names: HashSet<&[u8]> = fields.iter().map(|field| &*field.name).collect();
    if fields.is_empty() || names.len() < fields.len() {
        return Err(cursor.corrupt("a shape of a batch has no field, or a field twice"));
    }
    Ok(Shape { measurement, fields: fields.into() })
}

/// What no batch of ours can have in a value.
fn wrong_value(shape: &Shape, payload: &[u8]) -> Option<&'static str> {
    shape.places(payload).find_map(|(field, place)| match Value::first(field.kind, payload.get(place)?)? {
        Value::Float(value) if value.is_nan() => Some("a float in a batch is not a number"),
        _ => None,
    })
}

impl<'a> Value<'a> {
    /// Reads the value that `bytes` begin with.
    pub(crate) fn first(kind: BlockType, bytes: &'a [u8]) -> Option<Self> {
        let eight = || bytes.first_chunk::<8>();
        Some(match kind {
            BlockType::Float => Self::Float(f64::from_be_bytes(*eight()?)),
            BlockType::Integer => Self::Integer(i64::from_be_bytes(*eight()?)),
            BlockType::Unsigned => Self::Unsigned(u64::from_be_bytes(*eight()?)),
            BlockType::Boolean => Self::Boolean(*bytes.first()? != 0),
            BlockType::String => {
                let (len, rest) = bytes.split_first_chunk()?;
                Self::String(rest.get(..u32::from_be_bytes(*len) as usize)?)
            }
        })
    }
}
