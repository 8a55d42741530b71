//! Points of one key in typed columns, laid out so that Arrow arrays can take them over as they are.

mod bits;
mod strings;

use std::ops::Range;

pub use self::bits::Bits;
pub use self::strings::Strings;
use crate::format::batch::Value;

/// The type of a block, as a TSM file numbers it. Logs and field indexes number the same types differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockType {
    /// IEEE 754 double.
    Float,
    /// Signed, 64 bits.
    Integer,
    /// One bit.
    Boolean,
    /// Bytes; no character set is enforced.
    String,
    /// Unsigned, 64 bits.
    Unsigned,
}

impl BlockType {
    /// The number in a TSM index entry and at the head of a block.
    pub const fn code(self) -> u8 {
        match self {
            Self::Float => 0,
            Self::Integer => 1,
            Self::Boolean => 2,
            Self::String => 3,
            Self::Unsigned => 4,
        }
    }

    /// `None` for a number that TSM does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Float,
            1 => Self::Integer,
            2 => Self::Boolean,
            3 => Self::String,
            4 => Self::Unsigned,
            _ => return None,
        })
    }

    /// The name that influxd prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Times and values of one key, side by side: `times[i]` belongs to value `i`.
///
/// A buffer to decode into again and again: clearing keeps its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Nanoseconds since 1970 UTC.
    pub times: Vec<i64>,
    /// As many as there are times.
    pub values: Values,
}

/// The values of a column, all of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Compared by bits where it matters: −0.0 and NaN payloads are kept.
    Float(Vec<f64>),
    /// Signed, 64 bits.
    Integer(Vec<i64>),
    /// Packed bits.
    Boolean(Bits),
    /// Offsets and bytes.
    String(Strings),
    /// Unsigned, 64 bits.
    Unsigned(Vec<u64>),
}

impl Column {
    /// An empty column of a type.
    pub fn new(kind: BlockType) -> Self {
        Self { times: Vec::new(), values: Values::new(kind) }
    }

    /// Forgets all points and takes on a type; memory is kept where the type stays the same.
    pub fn reset(&mut self, kind: BlockType) {
        self.times.clear();
        self.values.reset(kind);
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The type of the values.
    pub fn kind(&self) -> BlockType {
        self.values.kind()
    }

    /// Appends a point. `false`, and nothing is done, when the value has another type, or the strings would be longer than
    /// 4 GiB together.
    pub(crate) fn push(&mut self, time: i64, value: Value<'_>) -> bool {
        match (&mut self.values, value) {
            (Values::Float(values), Value::Float(value)) => values.push(value),
            (Values::Integer(values), Value::Integer(value)) => values.push(value),
            (Values::Unsigned(values), Value::Unsigned(value)) => values.push(value),
            (Values::Boolean(values), Value::Boolean(value)) => values.push(value),
            (Values::String(values), Value::String(value)) if values.has_room(value.len()) => {
                values.push(value)
            }
            _ => return false,
        }
        self.times.push(time);
        true
    }

    /// Whether the strings of both columns together fit into one; always true for other types.
    pub(crate) fn can_extend(&self, other: &Self) -> bool {
        match (&self.values, &other.values) {
            (Values::String(held), Values::String(more)) => held.has_room(more.as_bytes().len()),
            _ => true,
        }
    }

    /// Appends the points `range` of another column.
    ///
    /// # Panics
    /// When the types differ, the range passes the end, or all strings together pass 4 GiB.
    #[expect(clippy::indexing_slicing, reason = "documented panic: the range is the caller's")]
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        self.times.extend_from_slice(&other.times[range.clone()]);
        self.values.extend_from(&other.values, range);
    }
}

impl Values {
    /// An empty list of a type.
    pub fn new(kind: BlockType) -> Self {
        match kind {
            BlockType::Float => Self::Float(Vec::new()),
            BlockType::Integer => Self::Integer(Vec::new()),
            BlockType::Boolean => Self::Boolean(Bits::default()),
            BlockType::String => Self::String(Strings::default()),
            BlockType::Unsigned => Self::Unsigned(Vec::new()),
        }
    }

    /// Takes on a type. What was there may remain, for a decoder that puts other values in its place.
    pub(crate) fn retype(&mut self, kind: BlockType) {
        if self.kind() != kind {
            *self = Self::new(kind);
        }
    }

    fn reset(&mut self, kind: BlockType) {
        self.retype(kind);
        match self {
            Self::Float(values) => values.clear(),
            Self::Integer(values) => values.clear(),
            Self::Boolean(values) => values.clear(),
            Self::String(values) => values.clear(),
            Self::Unsigned(values) => values.clear(),
        }
    }

    /// The type of the values.
    pub fn kind(&self) -> BlockType {
        match self {
            Self::Float(_) => BlockType::Float,
            Self::Integer(_) => BlockType::Integer,
            Self::Boolean(_) => BlockType::Boolean,
            Self::String(_) => BlockType::String,
            Self::Unsigned(_) => BlockType::Unsigned,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::String(values) => values.len(),
            Self::Unsigned(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[expect(clippy::indexing_slicing, reason = "documented panic of the caller")]
    #[expect(clippy::panic, reason = "documented panic of the caller")]
    fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        match (self, other) {
            (Self::Float(to), Self::Float(from)) => to.extend_from_slice(&from[range]),
            (Self::Integer(to), Self::Integer(from)) => to.extend_from_slice(&from[range]),
            (Self::Unsigned(to), Self::Unsigned(from)) => to.extend_from_slice(&from[range]),
            (Self::Boolean(to), Self::Boolean(from)) => to.extend_from(from, range),
            (Self::String(to), Self::String(from)) => to.extend_from(from, range),
            (to, from) => panic!("a {} column cannot take {} values", to.kind().name(), from.kind().name()),
        }
    }
}
