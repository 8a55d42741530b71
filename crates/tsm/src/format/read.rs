//! A cursor over bytes that someone else wrote: every read is checked and names what it was after.

use crate::Offset;
use crate::error::{Error, Result};

/// Invariant: `at` is the position in the file of the first byte of `rest`.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    at: Offset,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes`, the first of which lies at `at` in its file.
    pub(crate) fn new(bytes: &'a [u8], at: Offset) -> Self {
        Self { rest: bytes, at }
    }

    pub(crate) fn at(&self) -> Offset {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error about the next byte.
    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::corrupt(what, self.at)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.corrupt(what));
        };
        self.rest = rest;
        self.at = self.at.forward(N);
        Ok(*head)
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8]> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.corrupt(what));
        };
        self.rest = rest;
        self.at = self.at.forward(len);
        Ok(head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// The unsigned LEB128 of Go's `binary.PutUvarint`: at most ten bytes, the tenth at most 1.
    pub(crate) fn uvarint(&mut self, what: &'static str) -> Result<u64> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(Error::corrupt(what, start));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt(what, start))
    }
}

/// Appends the unsigned LEB128 form of `value`.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes().map(|byte| byte & 0x7f);
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uvarints_read_back_and_overlong_ones_are_refused() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes, Offset::START);
            assert_eq!(cursor.uvarint("value").unwrap(), value);
            assert!(cursor.is_empty());
        }
        for bad in [&[0x80; 3][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert!(Cursor::new(bad, Offset::START).uvarint("value").is_err());
        }
    }
}
