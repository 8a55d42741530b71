//! The points of a batch, one by one: for whoever shows them.

use std::ops::Range;

use super::{Batch, Row, Shape, Value, payload_time};

/// A point of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchPoint<'b> {
    /// Measurement and tags, escaped, as they are stored.
    pub series: &'b [u8],
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    shape: &'b Shape,
    payload: &'b [u8],
}

impl<'b> BatchPoint<'b> {
    /// The names of the fields, not escaped, and their values.
    pub fn fields(&self) -> impl Iterator<Item = (&'b [u8], Value<'b>)> + use<'b> {
        let payload = self.payload;
        self.shape.places(payload).filter_map(move |(field, place): (_, Range<usize>)| {
            Some((&*field.name, Value::first(field.kind, payload.get(place)?)?))
        })
    }
}

impl Batch {
    /// All points, in the order in which they were given.
    pub fn points(&self) -> impl Iterator<Item = BatchPoint<'_>> {
        self.rows().filter_map(|Row { series, shape, payload }| {
            let shape = self.shapes().get(shape as usize)?;
            Some(BatchPoint { series: self.key(series), time_ns: payload_time(payload), shape, payload })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given<'a> = (&'a [u8], usize, i64, Vec<(&'a [u8], Value<'a>)>);

    #[test]
    fn points_are_those_that_were_given() {
        let given: [Given<'_>; 3] = [
            (b"cpu,host=a", 3, 7, vec![(b"f", Value::Float(0.5)), (b"s", Value::String(b"x\xff"))]),
            (b"mem", 3, -7, vec![(b"i", Value::Integer(-1))]),
            (b"cpu,host=a", 3, 8, vec![(b"u", Value::Unsigned(u64::MAX)), (b"b", Value::Boolean(true))]),
        ];
        let mut batch = Batch::new();
        for (series, measurement_len, time_ns, fields) in &given {
            batch.point(series, *measurement_len, *time_ns, fields.iter().copied()).unwrap();
        }
        let points: Vec<_> = batch.points().collect();
        assert_eq!(points.len(), given.len());
        for (point, (series, _, time_ns, fields)) in points.iter().zip(&given) {
            assert_eq!((point.series, point.time_ns), (*series, *time_ns));
            assert_eq!(point.fields().collect::<Vec<_>>(), *fields);
        }
    }
}
