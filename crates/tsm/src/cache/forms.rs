//! The shapes of all rows of a cache, each once, with what reading them needs.

use super::full;
use crate::error::Result;
use crate::format::batch::Shape;
use crate::format::column::BlockType;

/// Shapes by their numbers in a cache, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Forms {
    forms: Vec<std::sync::Arc<Form>>,
    table: hashbrown::HashTable<u32>,
}

/// A shape, and where things are in its rows.
#[derive(Debug)]
pub(super) struct Form {
    shape: Shape,
    /// Where the value of each field begins in a payload, for those that have no string before them.
    starts: Vec<usize>,
    /// The numbers of its fields by their names.
    by_name: Vec<u32>,
}

impl Forms {
    /// The numbers of these shapes, each added if it is new.
    pub(super) fn intern(&mut self, shapes: &[Shape]) -> Result<Vec<u32>> {
        shapes.iter().map(|shape| self.intern_one(shape)).collect()
    }

    fn intern_one(&mut self, shape: &Shape) -> Result<u32> {
        let hash = crate::hash::of(shape);
        let Self { forms, table } = self;
        if let Some(known) =
            table.find(hash, |known| forms.get(*known as usize).is_some_and(|form| form.shape == *shape))
        {
            return Ok(*known);
        }
        let number = u32::try_from(forms.len()).map_err(|_| full())?;
        forms.push(Form::of(shape.clone()).into());
        let hash_of = |known: &u32| forms.get(*known as usize).map_or(0, |form| crate::hash::of(&form.shape));
        table.insert_unique(hash, number, hash_of);
        Ok(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&std::sync::Arc<Form>> {
        self.forms.get(number as usize)
    }
}

impl Forms {
    /// All shapes.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.forms.iter().map(|form| &form.shape)
    }
}

impl Form {
    fn of(shape: Shape) -> Self {
        let mut by_name: Vec<u32> = (0u32..).zip(&*shape.fields).map(|(number, _)| number).collect();
        by_name.sort_by_key(|number| shape.fields.get(*number as usize).map(|field| &field.name));
        Self { starts: shape.starts(), shape, by_name }
    }

    /// Name and type of every field, by name.
    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], BlockType)> {
        self.by_name.iter().map(|number| {
            let field = self.shape.fields.get(*number as usize);
            field.map_or((&[][..], BlockType::Float), |field| (&*field.name, field.kind))
        })
    }

    /// The number of the field of a name.
    pub(super) fn number(&self, name: &[u8]) -> Option<usize> {
        let name_of = |number: &u32| self.shape.fields.get(*number as usize).map(|field| &*field.name);
        let place = self.by_name.binary_search_by(|number| name_of(number).cmp(&Some(name))).ok()?;
        self.by_name.get(place).map(|number| *number as usize)
    }

    pub(super) fn kind(&self, number: usize) -> Option<BlockType> {
        self.shape.fields.get(number).map(|field| field.kind)
    }

    /// The bytes from the value of a field on.
    pub(super) fn value<'p>(&self, number: usize, payload: &'p [u8]) -> Option<&'p [u8]> {
        match self.starts.get(number) {
            Some(start) => payload.get(*start..),
            None => self.shape.value(number, payload),
        }
    }
}
