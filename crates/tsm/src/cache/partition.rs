//! The series of one part of a cache, and their points.
//!
//! ```text
//! key  | series key |
//! row  | row before of the series 4 | shape 4 | batch 4 | time 8 | value … |    time and values as in a batch
//! ```
//!
//! Invariant: the rows of a series are chained from the last to the first in the order in which they were added.

use super::arena::{Address, Arena};
use super::full;
use crate::error::Result;
use crate::format::batch;

const BEFORE_LEN: usize = size_of::<u32>();
const HEAD_LEN: usize = 3 * size_of::<u32>();

#[derive(Debug, Default)]
pub(super) struct Partition {
    arena: Arena,
    table: hashbrown::HashTable<u32>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    hash: u64,
    key: Address,
    key_len: u16,
    last: Address,
    rows: u32,
}

/// A row as it lies in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Its shape, in the list of the cache.
    pub(super) shape: u32,
    /// The number of its batch in the cache.
    pub(super) batch: u32,
    /// Time and values; bytes of other rows may follow.
    pub(super) payload: &'a [u8],
}

impl Row<'_> {
    pub(super) fn time(&self) -> i64 {
        batch::payload_time(self.payload)
    }
}

impl Partition {
    /// The number of a series, which is added if it is new.
    pub(super) fn intern(&mut self, key: &[u8], hash: u64) -> Result<u32> {
        if let Some(number) = self.find(key, hash) {
            return Ok(number);
        }
        let number = u32::try_from(self.series.len()).map_err(|_| full())?;
        let address = self.arena.put(&[key]).ok_or_else(full)?;
        let key_len = u16::try_from(key.len()).map_err(|_| full())?;
        self.series.push(Series { hash, key: address, key_len, last: Address::NONE, rows: 0 });
        let series = &self.series;
        self.table
            .insert_unique(hash, number, |known| series.get(*known as usize).map_or(0, |series| series.hash));
        Ok(number)
    }

    pub(super) fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let is_it = |number: &u32| {
            let series = self.series.get(*number as usize);
            series.is_some_and(|series| series.hash == hash && self.key_of(series) == key)
        };
        self.table.find(hash, is_it).copied()
    }

    /// Adds a row to a series.
    pub(super) fn push(&mut self, series: u32, shape: u32, batch: u32, payload: &[u8]) -> Result<()> {
        let series = self.series.get_mut(series as usize).ok_or_else(full)?;
        let rows = series.rows.checked_add(1).ok_or_else(full)?;
        let (before, shape, batch) = (series.last.to_bytes(), shape.to_be_bytes(), batch.to_be_bytes());
        series.last = self.arena.put(&[&before, &shape, &batch, payload]).ok_or_else(full)?;
        series.rows = rows;
        Ok(())
    }

    /// The number of series.
    pub(super) fn len(&self) -> u32 {
        // A series gets a number of 32 bits, or none.
        u32::try_from(self.series.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn key(&self, series: u32) -> &[u8] {
        self.series.get(series as usize).map_or(&[], |series| self.key_of(series))
    }

    fn key_of(&self, series: &Series) -> &[u8] {
        let bytes = self.arena.from(series.key).unwrap_or_default();
        bytes.get(..usize::from(series.key_len)).unwrap_or_default()
    }

    /// The number of rows of a series.
    pub(super) fn rows_len(&self, series: u32) -> usize {
        self.series.get(series as usize).map_or(0, |series| series.rows as usize)
    }

    /// The rows of a series, the last added first.
    pub(super) fn rows(&self, series: u32) -> impl Iterator<Item = Row<'_>> {
        let mut next = self.series.get(series as usize).map_or(Address::NONE, |series| series.last);
        std::iter::from_fn(move || {
            let bytes =
                Some(next).filter(|next| *next != Address::NONE).and_then(|next| self.arena.from(next))?;
            let (head, payload) = bytes.split_first_chunk::<HEAD_LEN>()?;
            let number = |at: usize| {
                head.get(at..)
                    .and_then(|rest| rest.first_chunk())
                    .map_or(u32::MAX, |four| u32::from_be_bytes(*four))
            };
            next = Address::from_number(number(0));
            Some(Row { shape: number(BEFORE_LEN), batch: number(2 * BEFORE_LEN), payload })
        })
    }
}
