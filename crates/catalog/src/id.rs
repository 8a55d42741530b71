//! Ids of influxd: how they are written, and how new ones are made.
//!
//! Invariant: an [`Id`] is never 0. On disk, in JSON and in paths it is 16 hex digits, lower case.
//!
//! ```text
//! snowflake (users, tokens, …)   63      22 21     12 11      0
//!                                | ms 42 bits | machine | sequence |     ms since 2017-04-09T00:00:00Z
//! random (organizations, buckets)   8 bytes; none of them is a space, a comma or a backslash
//! ```

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::random::{Random, bytes};

const DIGITS: usize = 16;
/// 2017-04-09T00:00:00Z, where the clock of snowflake ids starts.
const EPOCH_MS: i64 = 1_491_696_000_000;
const SEQUENCE_BITS: u32 = 12;
const MACHINE_BITS: u32 = 10;
const TIME_BITS: u32 = 64 - SEQUENCE_BITS - MACHINE_BITS;
/// Ids below are never given to organizations and buckets.
const RESERVED: u64 = 1000;

/// The id of an organization, a bucket, a user, a token or another record of influxd.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU64);

/// Why a text is not an [`Id`]. `Display` is the text that influxd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 16 bytes long.
    #[error("id must have a length of 16 bytes")]
    Length,
    /// A byte is no hex digit, or all are 0.
    #[error("invalid ID")]
    Invalid,
}

impl Id {
    /// The least id; as a resource it stands for the whole server.
    pub const ONE: Self = Self(NonZeroU64::MIN);

    /// `None` for 0.
    pub fn new(value: u64) -> Option<Self> {
        NonZeroU64::new(value).map(Self)
    }

    /// The number behind the digits.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Reads exactly 16 hex digits; upper case is accepted.
    ///
    /// # Errors
    /// Another length, another character, or zero.
    pub fn parse(text: &[u8]) -> Result<Self, IdError> {
        if text.len() != DIGITS {
            return Err(IdError::Length);
        }
        let mut value = 0_u64;
        for byte in text {
            let digit = char::from(*byte).to_digit(16).ok_or(IdError::Invalid)?;
            value = value << 4 | u64::from(digit);
        }
        Self::new(value).ok_or(IdError::Invalid)
    }

    /// The 16 digits, as they stand in keys.
    pub(crate) fn key(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// A random id as influxd gives them to organizations and buckets.
    pub(crate) fn random(random: &mut dyn Random) -> Result<Self> {
        loop {
            let id = u64::from_be_bytes(bytes::<8>(random)?.map(without_separators));
            match Self::new(id) {
                Some(id) if id.get() >= RESERVED => return Ok(id),
                _ => {}
            }
        }
    }
}

/// Space, comma and backslash separate the parts of line protocol; the first engine of 2.0 kept ids as raw bytes in it.
fn without_separators(byte: u8) -> u8 {
    match byte {
        b' ' | b',' | b'\\' => byte + 1,
        other => other,
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text.as_bytes())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes the snowflake ids of one operation: all of one moment, told apart by their sequence.
pub(crate) struct Snowflakes {
    next: u64,
    left: u32,
}

impl Snowflakes {
    /// The machine number is drawn at random, as influxd does at each start.
    pub(crate) fn at(now_ns: i64, random: &mut dyn Random) -> Result<Self> {
        let ms = now_ns.div_euclid(1_000_000).saturating_sub(EPOCH_MS);
        let ms = u64::try_from(ms).ok().filter(|ms| (1..1 << TIME_BITS).contains(ms)).ok_or(Error::Clock)?;
        let machine = u64::from(u16::from_be_bytes(bytes(random)?)) & ((1 << MACHINE_BITS) - 1);
        let next = ms << (MACHINE_BITS + SEQUENCE_BITS) | machine << SEQUENCE_BITS;
        Ok(Self { next, left: 1 << SEQUENCE_BITS })
    }

    /// # Panics
    /// After 4096 calls: one operation needs a handful.
    pub(crate) fn draw(&mut self) -> Id {
        assert!(self.left > 0, "an operation took more than 4096 ids");
        let id = Id::new(self.next).expect("the time part is at least 1");
        self.next += 1;
        self.left -= 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_two_refusals_have_the_texts_of_the_contract() {
        let text = |id: &str| id.parse::<Id>().unwrap_err().to_string();
        assert_eq!(text("abc"), "id must have a length of 16 bytes");
        assert_eq!(text("00000000000000001"), "id must have a length of 16 bytes");
        assert_eq!(text("0000000000000000"), "invalid ID");
        assert_eq!(text("000000000000000g"), "invalid ID");
        assert_eq!(text("+000000000000001"), "invalid ID");
        assert_eq!("0BF6CCD6884C2B99".parse::<Id>().unwrap().to_string(), "0bf6ccd6884c2b99");
    }

    #[test]
    fn random_ids_hold_no_byte_that_line_protocol_gives_a_meaning() {
        let mut separators = |buffer: &mut [u8]| {
            buffer.iter_mut().zip(b" ,\\ ,\\ ,").for_each(|(to, from)| *to = *from);
            Ok(())
        };
        assert_eq!(Id::random(&mut separators).unwrap().to_string(), "212d5d212d5d212d");
    }

    #[test]
    fn snowflakes_carry_the_time_and_count_up() {
        // The user and the token of the fixture `fleet` were made by machine 0x2e3 in these milliseconds.
        let user = Id::parse(b"11ad0fec5e6e3000").unwrap();
        let ms = i64::try_from(user.get() >> 22).unwrap() + EPOCH_MS;
        let mut machine = |buffer: &mut [u8]| {
            let bits = u16::try_from(user.get() >> 12 & 0x3ff).unwrap();
            buffer.copy_from_slice(&bits.to_be_bytes());
            Ok(())
        };
        let mut ids = Snowflakes::at(ms * 1_000_000 + 999_999, &mut machine).unwrap();
        assert_eq!((ids.draw(), ids.draw().get()), (user, user.get() + 1));
    }

    #[test]
    fn a_clock_before_2017_makes_no_ids() {
        let mut zero = |buffer: &mut [u8]| {
            buffer.fill(0);
            Ok(())
        };
        assert!(matches!(Snowflakes::at(0, &mut zero), Err(Error::Clock)));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in 1_u64..) {
            let id = Id::new(value).unwrap();
            prop_assert_eq!(id.to_string().parse::<Id>(), Ok(id));
        }
    }
}
