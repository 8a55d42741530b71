//! A list of byte strings, as an Arrow binary array has it but for the 0 in front of the offsets.

use std::ops::Range;

/// A list of byte strings: one buffer, and for each string where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    ends: Vec<u32>,
    bytes: Vec<u8>,
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

    /// Whether `len` bytes more stay below 4 GiB.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.bytes.len().saturating_add(len) <= u32::MAX as usize
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

    /// Appends the strings `range` of another list.
    pub(super) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let ends = other.ends.get(range.clone()).expect("strings inside the list");
        let end_of = |index: usize| other.ends.get(index).map_or(0, |end| *end as usize);
        let start = range.start.checked_sub(1).map_or(0, end_of);
        let moved = self.bytes.len();
        let end = ends.last().map_or(start, |end| *end as usize);
        self.bytes.extend_from_slice(other.bytes.get(start..end).unwrap_or_default());
        u32::try_from(self.bytes.len()).expect("strings of a column stay below 4 GiB");
        // Each ends at or before the last, which fits.
        self.ends.extend(ends.iter().filter_map(|end| u32::try_from(*end as usize - start + moved).ok()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_of_strings_is_appended() {
        let all = ["", "a", "bc", "", "def", "g"];
        let list: Strings = all.iter().collect();
        for start in 0..all.len() {
            for end in start..=all.len() {
                let mut longer: Strings = ["x", "yz"].iter().collect();
                longer.extend_from(&list, start..end);
                let expected: Strings = ["x", "yz"].iter().chain(&all[start..end]).collect();
                assert_eq!(longer, expected);
            }
        }
    }
}
