//! What a shard must show: an ordered map.

use std::collections::BTreeMap;

use icecore_tsm::{Batch, BlockType, Conflict, Value, Written};

/// Series keys with the lengths of their measurements. As composite keys some sort in another order than here, because
/// `!` and `"` stand before the `#` of the separator.
pub(crate) const SERIES: [(&str, usize); 8] = [
    ("m", 1),
    ("m!x", 3),
    ("m\"x,t=b", 3),
    ("m,t=a", 1),
    ("m,t=a!b", 1),
    ("mm,t=a\\ b", 2),
    ("n", 1),
    ("n\\,o,t=b", 4),
];

/// Field names with the types that they have mostly.
pub(crate) const FIELDS: [(&str, BlockType); 7] = [
    ("f", BlockType::Float),
    ("i", BlockType::Integer),
    ("u", BlockType::Unsigned),
    ("b", BlockType::Boolean),
    ("s", BlockType::String),
    ("", BlockType::Integer),
    ("f#!~#x", BlockType::String),
];

/// A value; floats by their bits, so that two that are equal are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Val {
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(Vec<u8>),
}

impl Val {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Self::Integer(value) => Value::Integer(*value),
            Self::Unsigned(value) => Value::Unsigned(*value),
            Self::Boolean(value) => Value::Boolean(*value),
            Self::String(value) => Value::String(value),
        }
    }

    pub(crate) fn kind(&self) -> BlockType {
        self.as_value().kind()
    }
}

/// A point: the number of its series, and values by the numbers of their fields.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) series: usize,
    pub(crate) time: i64,
    pub(crate) fields: Vec<(usize, Val)>,
}

pub(crate) fn batch_of(points: &[Point]) -> Batch {
    let mut batch = Batch::new();
    for point in points {
        let (key, measurement_len) = SERIES[point.series];
        let fields =
            point.fields.iter().map(|(field, value)| (FIELDS[*field].0.as_bytes(), value.as_value()));
        batch.point(key.as_bytes(), measurement_len, point.time, fields).unwrap();
    }
    batch
}

pub(crate) fn composite(series: usize, field: usize) -> Vec<u8> {
    [SERIES[series].0, "#!~#", FIELDS[field].0].concat().into_bytes()
}

fn measurement(series: usize) -> Vec<u8> {
    let (key, len) = SERIES[series];
    key[..len].replace("\\,", ",").into_bytes()
}

/// Points of a key by time.
pub(crate) type Points = BTreeMap<i64, Val>;

/// All points by composite key.
pub(crate) type Content = BTreeMap<Vec<u8>, Points>;

/// Measurement and field.
type FieldKey = (Vec<u8>, Vec<u8>);

/// What was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) content: Content,
    /// Of fields that have points.
    types: BTreeMap<FieldKey, BlockType>,
    /// Types that fields may have got by a write that was not acknowledged.
    doubtful: BTreeMap<FieldKey, Vec<BlockType>>,
}

/// Refused points by field, type given and type that the field has.
type Refused = BTreeMap<(FieldKey, &'static str, &'static str), usize>;

impl Model {
    /// Takes what a shard has acknowledged of these points, and compares what it said with what it should say.
    pub(crate) fn take(&mut self, points: &[Point], written: &Written) {
        let mut adopted = Vec::new();
        for Conflict { measurement, field, exists, .. } in &written.conflicts {
            let key = (measurement.clone(), field.clone());
            if !self.types.contains_key(&key)
                && self.doubtful.get(&key).is_some_and(|types| types.contains(exists))
            {
                self.types.insert(key.clone(), *exists);
                adopted.push(key);
            }
        }
        let mut refused = Refused::new();
        for conflict in &written.conflicts {
            let key = (conflict.measurement.clone(), conflict.field.clone());
            *refused.entry((key, conflict.given.name(), conflict.exists.name())).or_default() +=
                conflict.points;
        }
        let (points, values, expected) = self.write(points);
        // Unless it has points now, the next crash may forget it.
        for key in adopted.iter().filter(|key| !self.has_points(key)).collect::<Vec<_>>() {
            self.types.remove(key);
        }
        assert_eq!(refused, expected);
        assert_eq!((written.points, written.values), (points, values));
    }

    /// Takes points whose types are not in doubt; returns how many points and values, and what was refused.
    pub(crate) fn write(&mut self, points: &[Point]) -> (usize, u64, Refused) {
        let (mut taken, mut values, mut refused) = (0, 0, Refused::new());
        for point in points {
            let fields = without_repetition(&point.fields);
            let key = |field: usize| (measurement(point.series), FIELDS[field].0.as_bytes().to_vec());
            let conflict = fields.iter().find_map(|(field, value)| {
                let exists = self.types.get(&key(*field)).filter(|exists| **exists != value.kind())?;
                Some((key(*field), value.kind().name(), exists.name()))
            });
            if let Some(conflict) = conflict {
                *refused.entry(conflict).or_default() += 1;
                continue;
            }
            taken += 1;
            values += fields.len() as u64;
            for (field, value) in fields {
                self.types.insert(key(*field), value.kind());
                let points = self.content.entry(composite(point.series, *field)).or_default();
                points.insert(point.time, value.clone());
            }
        }
        (taken, values, refused)
    }

    fn has_points(&self, (of, field): &FieldKey) -> bool {
        let same = |series: &usize| measurement(*series) == *of;
        let key = |series: usize| [SERIES[series].0.as_bytes(), b"#!~#", field].concat();
        (0..SERIES.len()).filter(same).any(|series| self.content.contains_key(&key(series)))
    }

    /// A write of these points was not acknowledged: their fields may have got types by it.
    pub(crate) fn doubt(&mut self, points: &[Point]) {
        for point in points {
            for (field, value) in &point.fields {
                let key = (measurement(point.series), FIELDS[*field].0.as_bytes().to_vec());
                self.doubtful.entry(key).or_default().push(value.kind());
            }
        }
    }
}

/// Of fields of one name the last value, at the place of the first.
fn without_repetition(fields: &[(usize, Val)]) -> Vec<&(usize, Val)> {
    let is_first = |at: usize| fields[..at].iter().all(|(field, _)| *field != fields[at].0);
    let last = |field: usize| fields.iter().rfind(|(other, _)| *other == field);
    (0..fields.len()).filter(|at| is_first(*at)).filter_map(|at| last(fields[at].0)).collect()
}
