//! What a block is made of: encodings and lengths, from the few bytes that say so.

use super::time::Times;
use super::{Parts, boolean, float, integer, string};
use crate::Offset;
use crate::error::Result;
use crate::format::column::BlockType;

/// How a block is encoded. The values have not been looked at behind the byte that names their encoding: a block with a
/// shape can still be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The type of the values.
    pub kind: BlockType,
    /// The number of points, as the times have it.
    pub count: usize,
    /// How the times are encoded.
    pub times: TimesEncoding,
    /// Bytes of the times, with the one that names the encoding.
    pub times_len: usize,
    /// How the values are encoded.
    pub values: ValuesEncoding,
    /// Bytes of the values, with the one that names the encoding.
    pub values_len: usize,
}

/// The encodings of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimesEncoding {
    /// Eight bytes each: a difference passes what [`Packed`](Self::Packed) can hold.
    Raw,
    /// Differences, scaled by a power of ten, in simple8b words.
    Packed,
    /// All differences are equal: the first time, the difference, the number.
    Run,
}

/// The encodings of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValuesEncoding {
    /// Integers, eight bytes each: a difference passes what [`Packed`](Self::Packed) can hold.
    Raw,
    /// Differences of integers in simple8b words.
    Packed,
    /// Integers at equal distances: the first, the difference, the number.
    Run,
    /// Floats: each XORed with the one before (Gorilla).
    Xor,
    /// Booleans: a bit each.
    Bits,
    /// Strings: one snappy block.
    Snappy,
}

impl TimesEncoding {
    /// A name for lists and counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Packed => "packed",
            Self::Run => "run",
        }
    }
}

impl ValuesEncoding {
    /// A name for lists and counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Packed => "packed",
            Self::Run => "run",
            Self::Xor => "xor",
            Self::Bits => "bits",
            Self::Snappy => "snappy",
        }
    }
}

/// How a block is encoded, found without decoding it and without memory. `block` is without its CRC and begins at `at` in
/// its file.
///
/// ```
/// use icecore_tsm::block::{self, Flavor, TimesEncoding, ValuesEncoding};
/// use icecore_tsm::{Column, Offset, Values};
///
/// let column = Column { times: vec![10, 20, 30], values: Values::Float(vec![0.5; 3]) };
/// let mut bytes = Vec::new();
/// block::encode(&column, 0..3, Flavor::Batch, &mut bytes)?;
///
/// let shape = block::describe(&bytes, Offset::START)?;
/// assert_eq!((shape.count, shape.times, shape.values), (3, TimesEncoding::Run, ValuesEncoding::Xor));
/// assert_eq!(bytes.len(), 2 + shape.times_len + shape.values_len);
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
///
/// # Errors
/// `Corrupt`, with the place in the file, when the times are damaged, or when an encoding is none of the type's.
pub fn describe(block: &[u8], at: Offset) -> Result<Shape> {
    let parts = Parts::split(block, at)?;
    let times = Times::parse(parts.times.clone())?;
    let mut values = parts.values.clone();
    let encoding = match parts.kind {
        BlockType::Float => float::open(&mut values).map(|()| ValuesEncoding::Xor),
        BlockType::Boolean => boolean::open(&mut values).map(|()| ValuesEncoding::Bits),
        BlockType::String => string::open(&mut values).map(|()| ValuesEncoding::Snappy),
        BlockType::Integer | BlockType::Unsigned => integer::open(&mut values).map(|form| match form {
            integer::Form::Raw => ValuesEncoding::Raw,
            integer::Form::Packed => ValuesEncoding::Packed,
            integer::Form::Run => ValuesEncoding::Run,
        }),
    };
    Ok(Shape {
        kind: parts.kind,
        count: times.count(),
        times: match times {
            Times::Raw(_) => TimesEncoding::Raw,
            Times::Packed { .. } => TimesEncoding::Packed,
            Times::Run { .. } => TimesEncoding::Run,
        },
        times_len: parts.times.rest().len(),
        values: encoding?,
        values_len: parts.values.rest().len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Flavor, encode};
    use crate::format::column::{Column, Values};

    fn shape(times: Vec<i64>, values: Values) -> Shape {
        let column = Column { times, values };
        let mut bytes = Vec::new();
        encode(&column, 0..column.len(), Flavor::Stream, &mut bytes).unwrap();
        let shape = describe(&bytes, Offset::START).unwrap();
        assert_eq!((shape.kind, shape.count), (column.kind(), column.len()));
        assert_eq!(shape.times_len + shape.values_len + 2, bytes.len());
        shape
    }

    #[test]
    fn every_encoding_is_named() {
        let times = [vec![1, 2, 3], vec![1, 2, 4], vec![3, 2, 4]]
            .map(|times| shape(times, Values::Integer(vec![5; 3])));
        assert_eq!(times.map(|shape| shape.times.name()), ["run", "packed", "raw"]);
        let values = [
            Values::Integer(vec![5; 3]),
            Values::Integer(vec![5, 1, 2]),
            Values::Unsigned(vec![0, 1 << 62, 0]),
            Values::Float(vec![1.0; 3]),
            Values::Boolean([true; 3].into_iter().collect()),
            Values::String(["a"; 3].iter().collect()),
        ];
        let names = values.map(|values| shape(vec![1, 2, 3], values).values.name());
        assert_eq!(names, ["run", "packed", "raw", "xor", "bits", "snappy"]);
    }

    #[test]
    fn an_encoding_that_is_not_the_types_is_damage() {
        let block = |kind: u8, header: u8| [kind, 9, 0x1c, 0, 0, 0, 0, 0, 0, 0, 1, header];
        for (kind, good) in
            [(0, &[0x10u8][..]), (1, &[0, 0x10, 0x20]), (2, &[0x10]), (3, &[0x10]), (4, &[0, 0x10, 0x20])]
        {
            for header in 0..=u8::MAX {
                let outcome = describe(&block(kind, header), Offset::new(100));
                assert_eq!(outcome.is_ok(), good.contains(&header), "{kind} {header:#x}");
                if let Err(error) = outcome {
                    assert!(error.to_string().ends_with("at byte 111"), "{error}");
                }
            }
            assert!(describe(&block(kind, 0)[..11], Offset::START).is_err());
        }
    }
}
