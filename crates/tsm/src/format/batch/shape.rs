use std::ops::Range;

use crate::format::column::BlockType;

/// What the points of one measurement have in common: which fields of which types, in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Escaped, as in series keys.
    pub(crate) measurement: Box<[u8]>,
    /// In the order of the values of a row; no name twice, at least one.
    pub(crate) fields: Box<[Field]>,
}

/// A field of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Field {
    pub(crate) kind: BlockType,
    /// Not escaped.
    pub(crate) name: Box<[u8]>,
}

impl Shape {
    /// The length of its longest field name.
    pub(crate) fn name_len_max(&self) -> usize {
        self.fields.iter().map(|field| field.name.len()).max().unwrap_or(0)
    }

    /// Where the value of each field lies in a payload, which has a time in front.
    pub(crate) fn places<'a>(&'a self, payload: &'a [u8]) -> impl Iterator<Item = (&'a Field, Range<usize>)> {
        let mut at = super::TIME_LEN;
        self.fields.iter().map_while(move |field| {
            let len = value_len(field.kind, payload.get(at..)?)?;
            let place = at..at + len;
            at += len;
            Some((field, place))
        })
    }

    /// Where the value of each field begins in any payload, up to the first behind a string.
    pub(crate) fn starts(&self) -> Vec<usize> {
        let lens = self.fields.iter().map_while(|field| value_len(field.kind, &[]));
        let starts = lens.scan(super::TIME_LEN, |at, len| {
            *at += len;
            Some(*at)
        });
        [super::TIME_LEN].into_iter().chain(starts).take(self.fields.len()).collect()
    }

    /// The bytes of a payload from the value of the field `number` on.
    pub(crate) fn value<'a>(&self, number: usize, payload: &'a [u8]) -> Option<&'a [u8]> {
        let mut at = super::TIME_LEN;
        for field in self.fields.iter().take(number) {
            at += value_len(field.kind, payload.get(at..)?)?;
        }
        payload.get(at..)
    }

    /// The length of the payload of a row that is the first of `bytes`, if they have it.
    pub(crate) fn payload_len(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = super::TIME_LEN;
        for field in &*self.fields {
            at += value_len(field.kind, bytes.get(at..)?)?;
        }
        (at <= bytes.len()).then_some(at)
    }
}

/// The length of a value of a type, with its own length if it is a string. It may pass the end of `bytes`, but for the
/// length of a string.
fn value_len(kind: BlockType, bytes: &[u8]) -> Option<usize> {
    match kind {
        BlockType::Float | BlockType::Integer | BlockType::Unsigned => Some(8),
        BlockType::Boolean => Some(1),
        BlockType::String => {
            let len = bytes.first_chunk().map(|len| u32::from_be_bytes(*len) as usize)?;
            len.checked_add(size_of::<u32>())
        }
    }
}
