//! Taking columns out of a cache.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use super::forms::{Form, Forms};
use super::partition::{Partition, Row};
use super::{Cache, PARTITIONS};
use crate::error::{Error, Result};
use crate::format::batch::{Shape, Value};
use crate::format::column::{BlockType, Column};
use crate::format::key::SEPARATOR;
use crate::units::{Ticket, TimeRange};

impl Cache {
    /// Replaces `out` by the points of a field in a range: by time, one per time. It is empty when there are none.
    ///
    /// # Errors
    /// `Unfit` when the strings are longer than 4 GiB together.
    pub(crate) fn read(
        &self,
        series_key: &[u8],
        field: &[u8],
        range: TimeRange,
        out: &mut Column,
    ) -> Result<()> {
        out.reset(out.kind());
        let hash = crate::hash::of(series_key);
        let Some(partition) = self.partition_of(hash) else { return Ok(()) };
        let (tickets, forms, partition) = (self.tickets.read(), self.forms.read(), partition.read());
        let Some(series) = partition.find(series_key, hash) else { return Ok(()) };
        let rows = in_order(&partition, series, &tickets, range);
        put_column(&rows, &forms, field, out)
    }

    /// Calls `each` with every composite key and its points, as [`Cache::read`] has them, in the order of a TSM file.
    ///
    /// # Errors
    /// As [`Cache::read`]; what `each` returned.
    pub(crate) fn columns(&self, each: &mut dyn FnMut(&[u8], &Column) -> Result<()>) -> Result<()> {
        let (tickets, forms) = (self.tickets.read(), self.forms.read());
        let partitions = self.partitions.each_ref().map(|partition| partition.read());
        let (mut composite, mut column) = (Vec::new(), Column::new(BlockType::Float));
        let mut fields = Fields::default();
        for (partition, series) in sorted(&partitions) {
            let rows = in_order(partition, series, &tickets, TimeRange::ALL);
            composite.clear();
            composite.extend_from_slice(partition.key(series));
            composite.extend_from_slice(SEPARATOR);
            let field_at = composite.len();
            for (name, _) in fields.of(rows.iter().copied(), &forms) {
                composite.truncate(field_at);
                composite.extend_from_slice(name);
                put_column(&rows, &forms, name, &mut column)?;
                each(&composite, &column)?;
            }
        }
        Ok(())
    }

    /// The shapes of all rows.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        self.forms.read().shapes().cloned().collect()
    }

    /// Calls `each` with every composite key and its type, in no order.
    pub(crate) fn keys(&self, each: &mut dyn FnMut(&[u8], BlockType)) {
        let forms = self.forms.read();
        let (mut composite, mut fields) = (Vec::new(), Fields::default());
        for partition in &self.partitions {
            let partition = partition.read();
            for series in 0..partition.len() {
                composite.clear();
                composite.extend_from_slice(partition.key(series));
                composite.extend_from_slice(SEPARATOR);
                let field_at = composite.len();
                for (name, kind) in fields.of(partition.rows(series), &forms) {
                    composite.truncate(field_at);
                    composite.extend_from_slice(name);
                    each(&composite, *kind);
                }
            }
        }
    }
}

/// All series of all partitions, in the order of the composite keys that are made of them.
fn sorted<'a>(
    partitions: &'a [RwLockReadGuard<'_, Partition>; PARTITIONS],
) -> impl Iterator<Item = (&'a Partition, u32)> {
    let all = partitions.iter().map(|partition| &**partition);
    let mut series: Vec<(&[u8], &Partition, u32)> = all
        .flat_map(|partition| {
            (0..partition.len()).map(move |series| (partition.key(series), partition, series))
        })
        .collect();
    series.sort_unstable_by(|(a, ..), (b, ..)| compare(a, b));
    series.into_iter().map(|(_, partition, series)| (partition, series))
}

/// Compares series keys as if the separator stood behind them.
fn compare(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let common = a.len().min(b.len());
    let tail = |key: &[u8]| {
        let mut tail = [0; SEPARATOR.len()];
        let rest = key.iter().skip(common).chain(SEPARATOR);
        tail.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        tail
    };
    // No key has the separator in it, so they differ within its length.
    a.get(..common).cmp(&b.get(..common)).then_with(|| tail(a).cmp(&tail(b)))
}

/// The rows of a series in a range, by time, then ticket, then place in their batch.
fn in_order<'a>(partition: &'a Partition, series: u32, tickets: &[Ticket], range: TimeRange) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(if range == TimeRange::ALL { partition.rows_len(series) } else { 0 });
    rows.extend(partition.rows(series).filter(|row| range.contains(row.time())));
    rows.reverse();
    if !rows.is_sorted_by(|before, row| before.time() < row.time()) {
        rows.sort_by_key(|row| (row.time(), tickets.get(row.batch as usize)));
    }
    rows
}

/// Name and type of every field that rows have, by name. Series beside each other mostly have the same.
#[derive(Debug, Default)]
struct Fields {
    /// The shapes that `fields` are of, ascending.
    shapes: Vec<u32>,
    fields: Vec<(Vec<u8>, BlockType)>,
    /// Those of the rows being looked at.
    next: Vec<u32>,
}

impl Fields {
    fn of<'a>(&mut self, rows: impl Iterator<Item = Row<'a>>, forms: &Forms) -> &[(Vec<u8>, BlockType)] {
        self.next.clear();
        for row in rows {
            if self.next.last() != Some(&row.shape) {
                self.next.push(row.shape);
            }
        }
        self.next.sort_unstable();
        self.next.dedup();
        if self.next != self.shapes {
            std::mem::swap(&mut self.next, &mut self.shapes);
            let all = self.shapes.iter().filter_map(|shape| forms.get(*shape)).flat_map(|form| form.fields());
            self.fields.clear();
            self.fields.extend(all.map(|(name, kind)| (name.to_vec(), kind)));
            self.fields.sort_unstable();
            self.fields.dedup();
        }
        &self.fields
    }
}

/// Replaces `out` by the values of a field in rows that are in order; of equal times the last counts.
fn put_column(rows: &[Row<'_>], forms: &Forms, field: &[u8], out: &mut Column) -> Result<()> {
    let mut form = FormOf { forms, field, shape: None, found: None };
    let mut values =
        rows.iter().filter_map(|row| Some((row.time(), row.payload, form.find(row.shape)?))).peekable();
    if let Some((.., (form, number))) = values.peek() {
        out.reset(form.kind(*number).unwrap_or(BlockType::Float));
    } else {
        out.reset(out.kind());
    }
    while let Some((time, payload, (form, number))) = values.next() {
        if values.peek().is_some_and(|(next, ..)| *next == time) {
            continue;
        }
        let kind = form.kind(number).unwrap_or(BlockType::Float);
        let value = form.value(number, payload).and_then(|bytes| Value::first(kind, bytes));
        if !value.is_some_and(|value| out.push(time, value)) {
            return Err(Error::unfit("a cache cannot make a column of one type below 4 GiB of a field"));
        }
    }
    Ok(())
}

/// Looks fields up by shape: rows beside each other mostly have the same.
struct FormOf<'a> {
    forms: &'a Forms,
    field: &'a [u8],
    shape: Option<u32>,
    found: Option<(&'a Form, usize)>,
}

impl<'a> FormOf<'a> {
    /// The form of a shape, and the number of the field in it.
    fn find(&mut self, shape: u32) -> Option<(&'a Form, usize)> {
        if self.shape != Some(shape) {
            let form = self.forms.get(shape).map(Arc::as_ref);
            self.found = form.and_then(|form| Some((form, form.number(self.field)?)));
            self.shape = Some(shape);
        }
        self.found
    }
}
