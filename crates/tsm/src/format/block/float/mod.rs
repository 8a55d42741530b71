//! Floats: each value's bits, XORed with those of the value before, without the zeros around them.
//!
//! Invariant: a stream of n values ends with the end marker as value n + 1, in its last byte.
//!
//! ```text
//! | 10 | first value u64 | bits of the others and of the end marker, the highest first | zero bits up to a full byte |
//!
//! 0                                               the same value again
//! 10 significant                                  the window of zeros as before
//! 11 leading 5 | length 6 | significant           a new window; length 0 means 64
//! ```
//!
//! The end marker is one certain NaN; influxd writes no NaN at all, and reads any other as a value. The number of leading
//! zeros is stored modulo 32: 32 and more of them lose their upper part to the significant bits.

mod read;
mod skim;
mod write;

#[cfg(test)]
mod tests;

pub(super) use self::read::{decode, validate};
pub(super) use self::write::encode;
use super::{GIVEN, given};
use crate::error::Result;
use crate::format::read::Cursor;

/// The bits behind the last value.
const MARKER: u64 = 0x7ff8_0000_0000_0001;

/// Takes the byte that names the encoding.
pub(super) fn open(bytes: &mut Cursor<'_>) -> Result<()> {
    given(bytes, "unknown encoding of floats")
}
