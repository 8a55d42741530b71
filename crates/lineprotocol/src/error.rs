use std::fmt::{self, Write as _};

use crate::key::LEN_MAX;
use crate::time::{TIME_MAX, TIME_MIN};

/// A line that is not taken, and why. Prints influxd's message.
///
/// Where the line is no UTF-8 each such byte is printed as U+FFFD, as it arrives in influxd's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError<'b> {
    /// The line without the white space in front of it; it may contain newlines.
    pub line: &'b [u8],
    /// Where `line` starts in the batch.
    pub offset: usize,
    /// The first thing wrong with it.
    pub reason: Reason<'b>,
}

/// What is wrong with a line. Prints the part of influxd's message behind the line.
///
/// The variants have the texts of influxd 2.9.1, except [`Unreadable`](Self::Unreadable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason<'b> {
    /// A comma comes first.
    MissingMeasurement,
    /// The line ends in the measurement or in a tag.
    MissingFields,
    /// A tag starts with `=`, or a comma has no tag behind it.
    MissingTagKey,
    /// A tag without `=`, or with nothing behind it.
    MissingTagValue,
    /// A bare `=` in the value of a tag.
    InvalidTagFormat,
    /// A name that a tag must not have.
    ReservedTagKey(&'b [u8]),
    /// Two tags of one key.
    DuplicateTags,
    /// Length in bytes of the series key, or of series key, separator and field.
    KeyTooLong(usize),
    /// `=` directly behind a space or a comma.
    MissingFieldKey,
    /// Nothing behind `=`.
    MissingFieldValue,
    /// A field without `=`, or no field at all.
    InvalidFieldFormat,
    /// A string without an end.
    UnbalancedQuotes,
    /// A value that starts like a number and is none.
    InvalidNumber,
    /// A float outside the range, or with a broken exponent.
    InvalidFloat,
    /// Digits that no `i64` holds.
    IntegerRange(&'b [u8]),
    /// Digits that no `u64` holds.
    UnsignedRange(&'b [u8]),
    /// Neither number nor string nor boolean.
    InvalidBoolean,
    /// A field of this name (with its escapes) whose value cannot be told from the next field.
    InvalidValue(&'b [u8]),
    /// The value of this field (its name with its escapes) was checked as something else than it is read as.
    ///
    /// influxd takes such a line, and then fails the whole request with a 500, crashes, or stores infinity, NaN or a
    /// float in a form that it refuses elsewhere (`docs/http.md` section 19 no. 33).
    Unreadable(&'b [u8]),
    /// Something else than digits.
    BadTimestamp,
    /// A minus alone.
    TimestampSyntax(&'b [u8]),
    /// Digits that no `i64` holds.
    TimestampRange(&'b [u8]),
    /// In nanoseconds before [`TIME_MIN`] or after [`TIME_MAX`].
    TimeOutsideRange,
    /// Something behind the timestamp.
    InvalidPoint,
}

/// The messages of all lines that are not taken, as influxd joins them: one below the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    text: String,
    count: usize,
}

impl Errors {
    /// Adds the message of one more line; it is as long as the line, and up to some hundred bytes.
    pub fn push(&mut self, error: &LineError<'_>) {
        let separator = if self.count == 0 { "" } else { "\n" };
        write!(self.text, "{separator}{error}").expect("a string takes any text");
        self.count += 1;
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether every line was taken.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All messages.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for LineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unable to parse '{}': {}", Text(self.line), self.reason)
    }
}

impl std::error::Error for LineError<'_> {}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OUT_OF_RANGE: &str = "value out of range";
        f.write_str(match self {
            Self::MissingMeasurement => "missing measurement",
            Self::MissingFields => "missing fields",
            Self::MissingTagKey => "missing tag key",
            Self::MissingTagValue => "missing tag value",
            Self::InvalidTagFormat => "invalid tag format",
            Self::ReservedTagKey(key) => {
                return write!(f, "cannot use reserved tag key \"{}\"", key.escape_ascii());
            }
            Self::DuplicateTags => "duplicate tags",
            Self::KeyTooLong(len) => return write!(f, "max key length exceeded: {len} > {LEN_MAX}"),
            Self::MissingFieldKey => "missing field key",
            Self::MissingFieldValue => "missing field value",
            Self::InvalidFieldFormat => "invalid field format",
            Self::UnbalancedQuotes => "unbalanced quotes",
            Self::InvalidNumber => "invalid number",
            Self::InvalidFloat => "invalid float",
            Self::IntegerRange(digits) => {
                let digits = Text(digits);
                return write!(
                    f,
                    "unable to parse integer {digits}: strconv.ParseInt: parsing \"{digits}\": {OUT_OF_RANGE}"
                );
            }
            Self::UnsignedRange(digits) => {
                let digits = Text(digits);
                return write!(
                    f,
                    "unable to parse unsigned {digits}: strconv.ParseUint: parsing \"{digits}\": {OUT_OF_RANGE}"
                );
            }
            Self::InvalidBoolean => "invalid boolean",
            Self::InvalidValue(key) => return write!(f, "invalid value: field-key={}", Text(key)),
            Self::Unreadable(key) => return write!(f, "unreadable value: field-key={}", Text(key)),
            Self::BadTimestamp => "bad timestamp",
            Self::TimestampSyntax(stamp) => {
                return write!(f, "strconv.ParseInt: parsing \"{}\": invalid syntax", Text(stamp));
            }
            Self::TimestampRange(stamp) => {
                return write!(f, "strconv.ParseInt: parsing \"{}\": {OUT_OF_RANGE}", Text(stamp));
            }
            Self::TimeOutsideRange => return write!(f, "time outside range {TIME_MIN} - {TIME_MAX}"),
            Self::InvalidPoint => "point is invalid",
        })
    }
}

/// Bytes as Go's JSON encoder prints them: U+FFFD for each byte that is no part of a character.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|_| f.write_str("\u{fffd}"))
        })
    }
}
