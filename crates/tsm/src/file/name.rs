//! `GGGGGGGGG-SSSSSSSSS.tsm`: a flush takes a new generation, a compaction keeps the newest and raises the sequence.

use std::fmt;

/// Generation and sequence of a file. The order of names is the order of age: for equal times the later file wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// Which flush the data came from; the newest of those that a compaction joined.
    pub generation: Generation,
    /// How often it was compacted since, from 1.
    pub sequence: Sequence,
}

/// The first number of a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

/// The second number of a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u32);

impl Generation {
    /// The first of a shard.
    pub const FIRST: Self = Self(1);

    /// `None` when the numbers are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl Sequence {
    /// What a flush writes.
    pub const FIRST: Self = Self(1);

    /// `None` when the numbers are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl FileName {
    /// Generation and sequence as they stand in our own files.
    pub(crate) fn from_numbers(generation: u32, sequence: u32) -> Self {
        Self { generation: Generation(generation), sequence: Sequence(sequence) }
    }

    /// Generation and sequence.
    pub(crate) fn numbers(self) -> (u32, u32) {
        (self.generation.0, self.sequence.0)
    }

    /// Reads a name as [`Display`](fmt::Display) writes it: nine digits or more. `None` for every other, also for one
    /// with fewer digits: two files could share its number, and its tombstone would be looked for under another name.
    pub fn parse(name: &str) -> Option<Self> {
        let (generation, sequence) = name.strip_suffix(".tsm")?.split_once('-')?;
        let number =
            |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
        let parsed = Self::from_numbers(number(generation)?, number(sequence)?);
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The name of the file with the deletes of this one.
    pub fn tombstone(self) -> String {
        format!("{:09}-{:09}.tombstone", self.generation.0, self.sequence.0)
    }

    /// The name of the file with the sums of this one (`docs/formats/icecore-tsmsum.md`).
    pub fn sums(self) -> String {
        format!("{self}sum")
    }

    /// The name of the file while it is written.
    pub(crate) fn temporary(self) -> String {
        format!("{self}.tmp")
    }

    /// The name of the part of its index that memory does not hold while it is written.
    pub(crate) fn index_temporary(self) -> String {
        format!("{:09}-{:09}.idx.tmp", self.generation.0, self.sequence.0)
    }

    /// The name of its tombstone while that is written.
    pub(crate) fn tombstone_temporary(self) -> String {
        format!("{}.tmp", self.tombstone())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:09}-{:09}.tsm", self.generation.0, self.sequence.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_order_by_number_not_by_text() {
        let name = |text| FileName::parse(text).unwrap();
        assert!(name("999999999-000000001.tsm") < name("1000000000-000000001.tsm"));
        assert!(name("000000003-000000001.tsm") < name("000000003-000000002.tsm"));
        assert_eq!(name("000000007-000000012.tsm").to_string(), "000000007-000000012.tsm");
        assert_eq!(name("000000007-000000012.tsm").tombstone(), "000000007-000000012.tombstone");
    }

    #[test]
    fn other_names_are_not_files_of_a_shard() {
        for other in [
            "1.tsm",
            "1-2.tsm",
            "0000000001-000000001.tsm",
            "1-2.tsm.tmp",
            "a-1.tsm",
            "+1-1.tsm",
            "1-.tsm",
            "4294967296-1.tsm",
            "1-1.bad",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
