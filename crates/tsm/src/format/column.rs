//! Points of one key in typed columns, laid out so that Arrow arrays can take them over as they are.

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

/// A list of bits, eight to a byte, the first in the lowest bit. Bits behind the end are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

/// A list of byte strings: one buffer, and for each string where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    ends: Vec<u32>,
    bytes: Vec<u8>,
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

    /// Whether the strings of both columns together fit into one; always true for other types.
    pub(crate) fn can_extend(&self, other: &Self) -> bool {
        match (&self.values, &other.values) {
            (Values::String(held), Values::String(more)) => {
                held.bytes.len().saturating_add(more.bytes.len()) <= u32::MAX as usize
            }
            _ => true,
        }
    }

    /// Appends the points `range` of another column.
    ///
    /// # Panics
    /// When the types differ, the range passes the end, or all strings together pass 4 GiB.
    #[expect(clippy::indexing_slicing, reason = "documented panic: the range is the caller's")]
    pub fn extend_from(&mut self, other: &Self, range: std::ops::Range<usize>) {
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

    fn reset(&mut self, kind: BlockType) {
        match self {
            _ if self.kind() != kind => *self = Self::new(kind),
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
    fn extend_from(&mut self, other: &Self, range: std::ops::Range<usize>) {
        match (self, other) {
            (Self::Float(to), Self::Float(from)) => to.extend_from_slice(&from[range]),
            (Self::Integer(to), Self::Integer(from)) => to.extend_from_slice(&from[range]),
            (Self::Unsigned(to), Self::Unsigned(from)) => to.extend_from_slice(&from[range]),
            (Self::Boolean(to), Self::Boolean(from)) => {
                range.for_each(|index| to.push(from.get(index).expect("index inside the list")));
            }
            (Self::String(to), Self::String(from)) => {
                range.for_each(|index| to.push(from.get(index).expect("index inside the list")));
            }
            (to, from) => panic!("a {} column cannot take {} values", to.kind().name(), from.kind().name()),
        }
    }
}

impl Bits {
    /// Appends a bit.
    pub fn push(&mut self, bit: bool) {
        let mask = 1u8 << (self.len % 8);
        match self.bytes.last_mut() {
            Some(last) if !self.len.is_multiple_of(8) => *last |= if bit { mask } else { 0 },
            _ => self.bytes.push(u8::from(bit)),
        }
        self.len += 1;
    }

    /// The bit at `index`; `None` behind the end.
    pub fn get(&self, index: usize) -> Option<bool> {
        if index >= self.len {
            return None;
        }
        self.bytes.get(index / 8).map(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that hold the bits, as an Arrow boolean array has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).filter_map(|index| self.get(index))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    /// Becomes the first `len` bits of `bytes`, which hold eight each and the first in the highest bit, as a block has
    /// them. Bits behind `len` are dropped.
    pub(crate) fn assign_msb_first(&mut self, bytes: &[u8], len: usize) {
        self.bytes.clear();
        self.bytes.extend(bytes.iter().take(len.div_ceil(8)).map(|byte| byte.reverse_bits()));
        self.len = len.min(bytes.len() * 8);
        if let (Some(last), 1..) = (self.bytes.last_mut(), self.len % 8) {
            *last &= (1 << (self.len % 8)) - 1;
        }
    }

    /// The bits `range`, eight to a byte and the first in the highest bit; the last byte is filled with zeros. What lies
    /// behind the end of the list is left out.
    pub(crate) fn msb_first(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = u8> + '_ {
        let end = range.end.min(self.len);
        let shift = range.start % 8;
        (range.start..end).step_by(8).map(move |start| {
            let byte = |index: usize| self.bytes.get(index).copied().map_or(0, u16::from);
            let [low, _] = ((byte(start / 8 + 1) << 8 | byte(start / 8)) >> shift).to_le_bytes();
            let kept = (end - start).min(8);
            low.reverse_bits() & 0xff << (8 - kept)
        })
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(iter: I) -> Self {
        let mut bits = Self::default();
        iter.into_iter().for_each(|bit| bits.push(bit));
        bits
    }
}

impl Strings {
    /// Appends a string.
    ///
    /// # Panics
    /// When all strings together pass 4 GiB; a block or a log entry cannot hold as much.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(u32::try_from(self.bytes.len()).expect("strings of a column stay below 4 GiB"));
    }

    /// The string at `index`; `None` behind the end.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.bytes.get(start..end)
    }

    /// The number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// For each string, where it ends in [`as_bytes`](Self::as_bytes).
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// All strings, one behind the other.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }

    /// Ends and bytes, to be filled in bulk. The caller leaves the ends ascending and the last of them at the end of the
    /// bytes.
    pub(crate) fn parts_mut(&mut self) -> (&mut Vec<u32>, &mut Vec<u8>) {
        (&mut self.ends, &mut self.bytes)
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        let mut strings = Self::default();
        iter.into_iter().for_each(|string| strings.push(string.as_ref()));
        strings
    }
}
