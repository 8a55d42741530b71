use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// The list of what is damaged in a shard; snapshots add what they find.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<Vec<Error>>);

impl Damage {
    /// A list that begins with any error.
    pub(super) fn of(error: Error) -> Self {
        Self(Mutex::new(vec![error]))
    }

    /// Remembers `error` if it is damage and not known yet, and hands it back.
    pub(crate) fn note(&self, error: Error) -> Error {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |held: &Error| (held.path(), held.offset()) == (error.path(), error.offset());
        if error.is_damage() && !known.iter().any(same) {
            known.push(error.again());
        }
        error
    }

    pub(super) fn note_all(&self, errors: impl Iterator<Item = Error>) {
        errors.for_each(|error| drop(self.note(error)));
    }

    pub(super) fn first(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first().map(Error::again)
    }

    pub(super) fn all(&self) -> Vec<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Error::again).collect()
    }
}
