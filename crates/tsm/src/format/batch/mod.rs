//! A batch of points as one string of bytes: what a record of the log holds, and what a cache takes over.
//!
//! Invariant of a [`Batch`]: the numbers in its rows lead to a series and a shape of the batch; the series key begins with
//! the measurement of the shape; series key and field name join to a key that fits a TSM file and splits again where they
//! were joined; no shape has a name twice; no float is a NaN.
//!
//! ```text
//! body   | shapes 4 | series 4 | rows 4 | shape … | series … | row … |                  all big-endian
//! shape  | measurement len 2 | measurement | fields 4 | (type 1 | name len 2 | name) … |     at least one field
//! series | key len 2 | key |                                        measurement and tags, escaped, as in TSM files
//! row    | series 4 | shape 4 | time 8 | value … |                      one value for each field of the shape, in order
//! value  | float, integer, unsigned 8 | boolean 1 | string: length 4, bytes |           types as in TSM blocks
//! ```

mod build;
mod parse;
mod points;
mod shape;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use self::build::Refused;
pub use self::points::BatchPoint;
pub(crate) use self::shape::Shape;
use crate::format::column::BlockType;

/// Numbers of shapes, series and rows in front of a body.
const HEAD_LEN: usize = 3 * size_of::<u32>();
/// Series and shape in front of a row.
const ROW_HEAD_LEN: usize = 2 * size_of::<u32>();
const TIME_LEN: usize = size_of::<i64>();

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// IEEE 754 double; not a NaN, which no block can hold.
    Float(f64),
    /// Signed, 64 bits.
    Integer(i64),
    /// Unsigned, 64 bits.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Any bytes.
    String(&'a [u8]),
}

impl Value<'_> {
    /// Its type.
    pub fn kind(&self) -> BlockType {
        match self {
            Self::Float(_) => BlockType::Float,
            Self::Integer(_) => BlockType::Integer,
            Self::Unsigned(_) => BlockType::Unsigned,
            Self::Boolean(_) => BlockType::Boolean,
            Self::String(_) => BlockType::String,
        }
    }
}

/// Points on their way into one shard, in the order in which they were given: of points of one series, field and time
/// the last counts. A buffer to fill again and again: clearing keeps its memory.
///
/// ```
/// use icecore_tsm::{Batch, Value};
///
/// let mut batch = Batch::new();
/// batch.point(b"cpu,host=a", 3, 1_700_000_000_000_000_000, [(&b"user"[..], Value::Float(0.5))])?;
/// batch.point(b"cpu,host=b", 3, 1_700_000_000_000_000_000, [(&b"user"[..], Value::Float(0.25))])?;
/// assert_eq!((batch.len(), batch.values()), (2, 2));
/// # Ok::<(), icecore_tsm::Refused>(())
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    shapes: Vec<Shape>,
    shape_table: hashbrown::HashTable<u32>,
    shape_bytes: Vec<u8>,
    series: Vec<Series>,
    series_bytes: Vec<u8>,
    /// Series by their keys.
    series_table: hashbrown::HashTable<u32>,
    /// Where each row begins in `row_bytes`.
    rows: Vec<u32>,
    row_bytes: Vec<u8>,
    values: u64,
    /// The shape of the row before.
    last_shape: Option<u32>,
}

/// A series of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Where its key lies in `series_bytes`.
    key: Range<usize>,
    /// [`crate::hash`] of its key.
    hash: u64,
    /// The shape of its last row: most rows have that of the one before.
    shape: u32,
}

/// A row of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'b> {
    /// The number of its series in the batch.
    pub(crate) series: u32,
    /// The number of its shape in the batch.
    pub(crate) shape: u32,
    /// Its time and values, as the body has them.
    pub(crate) payload: &'b [u8],
}

impl<'b> Row<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let (series, rest) = bytes.split_first_chunk()?;
        let (shape, payload) = rest.split_first_chunk()?;
        Some(Self { series: u32::from_be_bytes(*series), shape: u32::from_be_bytes(*shape), payload })
    }
}

/// The time in front of the values of a row.
pub(crate) fn payload_time(payload: &[u8]) -> i64 {
    payload.first_chunk().map_or(0, |time| i64::from_be_bytes(*time))
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all points; memory is kept, up to what usual batches need.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 4 << 20;
        self.shapes.clear();
        self.shape_table.clear();
        self.shape_bytes.clear();
        self.series.clear();
        self.series_bytes.clear();
        self.series_table.clear();
        self.rows.clear();
        self.row_bytes.clear();
        self.values = 0;
        self.last_shape = None;
        self.series_bytes.shrink_to(KEPT_BYTES_MAX);
        self.row_bytes.shrink_to(KEPT_BYTES_MAX);
        self.rows.shrink_to(KEPT_BYTES_MAX / size_of::<u32>());
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of values: each point has one for each of its fields.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// About as many bytes as a cache needs for the points, if all their series are new to it.
    pub(crate) fn cached_size(&self) -> u64 {
        const ROW_EXTRA: usize = 8;
        const SERIES_EXTRA: usize = 64;
        let rows = self.row_bytes.len() + self.rows.len() * ROW_EXTRA;
        (rows + self.series_bytes.len() + self.series.len() * SERIES_EXTRA) as u64
    }

    pub(crate) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    pub(crate) fn series_len(&self) -> usize {
        self.series.len()
    }

    /// Key and hash of every series, in the order of their numbers.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.series.iter().map(|series| (self.series_key(series), series.hash))
    }

    fn series_key(&self, series: &Series) -> &[u8] {
        self.series_bytes.get(series.key.clone()).unwrap_or_default()
    }

    /// The key of a series.
    pub(crate) fn key(&self, series: u32) -> &[u8] {
        self.series.get(series as usize).map_or(&[], |series| self.series_key(series))
    }

    /// A row by its number.
    pub(crate) fn row(&self, number: u32) -> Option<Row<'_>> {
        let start = *self.rows.get(number as usize)? as usize;
        let end = self.rows.get(number as usize + 1).map_or(self.row_bytes.len(), |end| *end as usize);
        Row::read(self.row_bytes.get(start..end)?)
    }

    /// All rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let ends = self.rows.iter().skip(1).map(|end| *end as usize).chain([self.row_bytes.len()]);
        self.rows
            .iter()
            .zip(ends)
            .filter_map(|(start, end)| Row::read(self.row_bytes.get(*start as usize..end)?))
    }

    /// The body, in parts that follow each other; `head` becomes the first of them.
    pub(crate) fn body<'b>(&'b self, head: &'b mut [u8; HEAD_LEN]) -> [&'b [u8]; 4] {
        let counts = [self.shapes.len(), self.series.len(), self.rows.len()];
        for (place, count) in head.chunks_exact_mut(size_of::<u32>()).zip(counts) {
            // Each number was given as an u32.
            place.copy_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        }
        [head, &self.shape_bytes, &self.series_bytes, &self.row_bytes]
    }

    /// Removes the rows of some shapes, those for which `refused` holds. Returns how many that were.
    pub(crate) fn remove_shapes(&mut self, refused: impl Fn(u32) -> bool) -> usize {
        let mut kept = Self::default();
        let before = self.rows.len();
        for row in self.rows() {
            if refused(row.shape) {
                continue;
            }
            let (Some(series), Some(shape)) =
                (self.series.get(row.series as usize), self.shapes.get(row.shape as usize))
            else {
                continue;
            };
            kept.append_row(self.series_key(series), series.hash, shape, row.payload);
        }
        *self = kept;
        before - self.rows.len()
    }
}
