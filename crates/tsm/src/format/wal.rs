//! The entries of influxd's log.
//!
//! Invariant: an [`Entry`] that decodes has a field in every key it writes, at least one point for each, as many values
//! as times, and no NaN.
//!
//! ```text
//! frame        | type 1 | length 4 | raw snappy block of the body |                big-endian, no checksum
//! 1 write      | value type 1 | key len 2 | key n | count 4 | count * (time i64, value) |  … to the end
//! 2 delete     | keys joined by \n |
//! 3 range      | min time i64 | max time i64 | (key len 4 | key n) … to the end |
//! value        | float, integer, unsigned 8 | boolean 1 | string: length 4, bytes |
//! ```
//!
//! ```
//! use icecore_tsm::wal::{Entry, frames};
//!
//! let segment = b"\x01\0\0\0\x1f\x1d\x70\x01\0\x06w#!~#v\0\0\0\x01\x17\x97\x9c\xfe\x36\x2a\0\0\x3f\xf0\0\0\0\0\0\0";
//! let mut buffer = Vec::new();
//! for frame in frames(segment) {
//!     if let Entry::Write(groups) = frame?.decode(&mut buffer)? {
//!         assert_eq!((&*groups[0].0, groups[0].1.len()), (&b"w#!~#v"[..], 1));
//!     }
//! }
//! # Ok::<(), icecore_tsm::Error>(())
//! ```

use super::column::{BlockType, Column, Values};
use super::read::Cursor;
use crate::error::{Error, Result};
use crate::units::{Offset, TimeRange};

const WRITE: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const HEAD_LEN: usize = size_of::<u8>() + size_of::<u32>();

/// Snappy's densest element turns three bytes into 64; a block that claims more lies.
const SNAPPY_MAX: (usize, usize) = (64, 3);

/// An entry whose frame is complete: type and compressed body.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    kind: u8,
    payload: &'a [u8],
    at: Offset,
}

/// What an entry does. The order of the points is that of the request: not sorted, times may repeat.
#[derive(Debug, PartialEq)]
pub enum Entry {
    /// Composite keys, each with its points; influxd keeps the last where a key is named twice.
    Write(Vec<(Vec<u8>, Column)>),
    /// Composite keys that lose their points in a range.
    Delete {
        /// Of all time, unless the entry says which.
        range: TimeRange,
        /// A log of influxd has only keys with a field; others may have any bytes.
        keys: Vec<Vec<u8>>,
    },
}

/// The frames of a segment, in order. Ends behind the first that cannot be read: where the next would begin is not known
/// then.
pub fn frames(segment: &[u8]) -> impl Iterator<Item = Result<Frame<'_>>> {
    let mut cursor = Some(Cursor::new(segment, Offset::START));
    std::iter::from_fn(move || {
        let mut here = cursor.take().filter(|cursor| !cursor.is_empty())?;
        let frame = Frame::read(&mut here);
        cursor = frame.is_ok().then_some(here);
        Some(frame)
    })
}

impl<'a> Frame<'a> {
    /// Reads the frame that `cursor` stands on and moves behind it.
    ///
    /// # Errors
    /// `Corrupt` when the type is unknown or the log ends before the frame does; `cursor` has not moved then.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let at = cursor.at();
        let mut ahead = cursor.clone();
        let kind = ahead.u8("a log entry is cut off")?;
        if !matches!(kind, WRITE | DELETE | DELETE_RANGE) {
            return Err(Error::corrupt("unknown type of log entry", at));
        }
        let cut_off = |_| Error::corrupt("a log entry is cut off", at);
        let len = ahead.u32("a log entry is cut off").map_err(cut_off)?;
        let len = usize::try_from(len).map_err(|_| Error::corrupt("a log entry is cut off", at))?;
        let payload = ahead.take(len, "a log entry is cut off").map_err(cut_off)?;
        *cursor = ahead;
        Ok(Self { kind, payload, at: at.forward(HEAD_LEN) })
    }

    /// Where the compressed body begins.
    pub fn at(&self) -> Offset {
        self.at
    }

    /// The compressed body.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The length of the body that the payload claims; `None` if it cannot be.
    pub fn plain_len(&self) -> Option<usize> {
        let len = snap::raw::decompress_len(self.payload).ok().filter(|_| !self.payload.is_empty());
        len.filter(|len| *len <= self.payload.len().saturating_mul(SNAPPY_MAX.0) / SNAPPY_MAX.1)
    }

    /// Decompresses and parses the body, all of it or nothing. Memory is bounded by the length of the payload; `buffer`
    /// becomes the decompressed body.
    ///
    /// # Errors
    /// `Corrupt` with the place of the frame's payload: positions inside a compressed body mean nothing in the file.
    pub fn decode(&self, buffer: &mut Vec<u8>) -> Result<Entry> {
        let corrupt = |what| Error::corrupt(what, self.at);
        let len = self.plain_len().ok_or_else(|| corrupt("the length of a compressed log entry is wrong"))?;
        buffer.clear();
        buffer.resize(len, 0);
        snap::raw::Decoder::new()
            .decompress(self.payload, buffer)
            .map_err(|_| corrupt("a log entry does not decompress"))?;
        let mut body = Cursor::new(buffer, Offset::START);
        match self.kind {
            WRITE => read_write(&mut body),
            DELETE => Ok(read_delete(&body)),
            _ => read_delete_range(&mut body),
        }
        .map_err(|error| match error.kind() {
            crate::ErrorKind::Corrupt(what) => corrupt(what),
            _ => error,
        })
    }
}

fn read_write(body: &mut Cursor<'_>) -> Result<Entry> {
    const SHORT: &str = "the body of a log entry is cut off";
    let mut groups = Vec::new();
    while !body.is_empty() {
        let code = body.u8(SHORT)?;
        let kind = type_of(code).ok_or_else(|| body.corrupt("unknown type of value in a log entry"))?;
        let key_len = body.u16(SHORT)?;
        let key = body.take(usize::from(key_len), SHORT)?;
        if super::key::split(key).is_none() {
            return Err(body.corrupt("a log entry has a key without a field"));
        }
        let count = body.u32(SHORT)?;
        if count == 0 {
            return Err(body.corrupt("a log entry has a key without points"));
        }
        let mut column = Column::new(kind);
        for _ in 0..count {
            column.times.push(body.i64(SHORT)?);
            read_value(body, &mut column.values)?;
        }
        groups.push((key.to_vec(), column));
    }
    Ok(Entry::Write(groups))
}

fn read_value(body: &mut Cursor<'_>, values: &mut Values) -> Result<()> {
    const SHORT: &str = "a value in a log entry is cut off";
    match values {
        Values::Float(values) => {
            let value = f64::from_bits(body.u64(SHORT)?);
            if value.is_nan() {
                return Err(body.corrupt("a value in a log entry is not a number")); // no block can hold it
            }
            values.push(value);
        }
        Values::Integer(values) => values.push(body.i64(SHORT)?),
        Values::Unsigned(values) => values.push(body.u64(SHORT)?),
        Values::Boolean(values) => values.push(body.u8(SHORT)? == 1),
        Values::String(values) => {
            let len = body.u32(SHORT)?;
            let len = usize::try_from(len).map_err(|_| body.corrupt(SHORT))?;
            values.push(body.take(len, SHORT)?);
        }
    }
    Ok(())
}

fn read_delete(body: &Cursor<'_>) -> Entry {
    let keys = body.rest().split(|byte| *byte == b'\n').filter(|key| !key.is_empty()).map(<[u8]>::to_vec);
    Entry::Delete { range: TimeRange::ALL, keys: keys.collect() }
}

fn read_delete_range(body: &mut Cursor<'_>) -> Result<Entry> {
    const SHORT: &str = "a delete in a log entry is cut off";
    let (min, max) = (body.i64(SHORT)?, body.i64(SHORT)?);
    let range = TimeRange::new(min, max)
        .map_err(|_| body.corrupt("a delete in a log entry ends before it starts"))?;
    let mut keys = Vec::new();
    while !body.is_empty() {
        let len = body.u32(SHORT)?;
        let len = usize::try_from(len).map_err(|_| body.corrupt(SHORT))?;
        keys.push(body.take(len, SHORT)?.to_vec());
    }
    Ok(Entry::Delete { range, keys })
}

/// The log numbers types in its own way.
fn type_of(code: u8) -> Option<BlockType> {
    Some(match code {
        1 => BlockType::Float,
        2 => BlockType::Integer,
        3 => BlockType::Boolean,
        4 => BlockType::String,
        5 => BlockType::Unsigned,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of docs/formats/wal.md: `w v=1` at 1.7e18 ns.
    const FRAME: [u8; 36] = [
        0x01, 0, 0, 0, 0x1f, 0x1d, 0x70, 0x01, 0x00, 0x06, 0x77, 0x23, 0x21, 0x7e, 0x23, 0x76, 0, 0, 0, 1,
        0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
    ];

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let payload = snap::raw::Encoder::new().compress_vec(body).unwrap();
        let len = u32::try_from(payload.len()).unwrap();
        [&[kind][..], &len.to_be_bytes(), &payload].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Entry> {
        Frame::read(&mut Cursor::new(bytes, Offset::START))?.decode(&mut Vec::new())
    }

    #[test]
    fn the_worked_example_is_read() {
        let values = Values::Float(vec![1.0]);
        let column = Column { times: vec![1_700_000_000_000_000_000], values };
        assert_eq!(decode(&FRAME).unwrap(), Entry::Write(vec![(b"w#!~#v".to_vec(), column)]));
    }

    #[test]
    fn deletes_of_both_kinds_are_read() {
        let keys = vec![b"a#!~#f".to_vec(), b"b#!~#f".to_vec()];
        let all = Entry::Delete { range: TimeRange::ALL, keys: keys.clone() };
        assert_eq!(decode(&frame(DELETE, b"a#!~#f\nb#!~#f")).unwrap(), all);
        let none = Entry::Delete { range: TimeRange::ALL, keys: Vec::new() };
        assert_eq!(decode(&frame(DELETE, b"")).unwrap(), none);
        let mut body = [(-3i64).to_be_bytes(), 4i64.to_be_bytes()].concat();
        keys.iter().for_each(|key| {
            body.extend_from_slice(&u32::try_from(key.len()).unwrap().to_be_bytes());
            body.extend_from_slice(key);
        });
        let range = TimeRange::new(-3, 4).unwrap();
        assert_eq!(decode(&frame(DELETE_RANGE, &body)).unwrap(), Entry::Delete { range, keys });
    }

    #[test]
    fn no_cut_or_flip_panics_and_no_cut_is_read() {
        for len in 0..FRAME.len() {
            assert!(decode(&FRAME[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..FRAME.len() * 8 {
            let mut damaged = FRAME;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&damaged);
        }
    }

    #[test]
    fn a_value_that_is_not_a_number_is_damage() {
        let mut body = vec![1, 0, 6];
        body.extend_from_slice(b"m#!~#f");
        body.extend_from_slice(&1u32.to_be_bytes());
        body.extend_from_slice(&7i64.to_be_bytes());
        body.extend_from_slice(&f64::NAN.to_be_bytes());
        let error = decode(&frame(WRITE, &body)).unwrap_err().to_string();
        assert_eq!(error, "damaged: a value in a log entry is not a number at byte 5");
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let lie = [&[WRITE][..], &6u32.to_be_bytes(), &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]].concat();
        let error = decode(&lie).unwrap_err().to_string();
        assert_eq!(error, "damaged: the length of a compressed log entry is wrong at byte 5");
    }
}
