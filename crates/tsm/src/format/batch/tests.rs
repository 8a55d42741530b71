use proptest::prelude::*;

use super::*;
use crate::units::Offset;

/// Series key, time and fields of every point.
type Points = Vec<(Vec<u8>, i64, Vec<(Vec<u8>, Owned)>)>;

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(Vec<u8>),
}

fn own(value: Value<'_>) -> Owned {
    match value {
        Value::Float(value) => Owned::Float(value.to_bits()),
        Value::Integer(value) => Owned::Integer(value),
        Value::Unsigned(value) => Owned::Unsigned(value),
        Value::Boolean(value) => Owned::Boolean(value),
        Value::String(value) => Owned::String(value.to_vec()),
    }
}

fn lend(value: &Owned) -> Value<'_> {
    match value {
        Owned::Float(bits) => Value::Float(f64::from_bits(*bits)),
        Owned::Integer(value) => Value::Integer(*value),
        Owned::Unsigned(value) => Value::Unsigned(*value),
        Owned::Boolean(value) => Value::Boolean(*value),
        Owned::String(value) => Value::String(value),
    }
}

fn points_of(batch: &Batch) -> Points {
    let keys: Vec<_> = batch.series().map(|(key, _)| key.to_vec()).collect();
    batch
        .rows()
        .map(|row| {
            let shape = &batch.shapes()[row.shape as usize];
            let fields = shape.places(row.payload).map(|(field, place)| {
                (field.name.to_vec(), own(Value::first(field.kind, &row.payload[place]).unwrap()))
            });
            (keys[row.series as usize].clone(), payload_time(row.payload), fields.collect())
        })
        .collect()
}

fn body_of(batch: &Batch) -> Vec<u8> {
    batch.body(&mut [0; HEAD_LEN]).concat()
}

fn built(points: &Points) -> Batch {
    let mut batch = Batch::new();
    for (key, time, fields) in points {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_slice(), lend(value))).collect();
        let measurement_len = key.iter().position(|byte| *byte == b',').unwrap_or(key.len());
        batch.point(key, measurement_len, *time, fields).unwrap();
    }
    batch
}

fn value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any::<f64>()
            .prop_filter("a number", |value| !value.is_nan())
            .prop_map(|value| Owned::Float(value.to_bits())),
        any::<i64>().prop_map(Owned::Integer),
        any::<u64>().prop_map(Owned::Unsigned),
        any::<bool>().prop_map(Owned::Boolean),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Owned::String),
    ]
}

fn points() -> impl Strategy<Value = Points> {
    let key = prop::sample::select(vec!["m", "m,t=a", "m,t=b", "n", "n,t=a", "mm"])
        .prop_map(|key| key.as_bytes().to_vec());
    let name =
        prop::sample::select(vec!["a", "b", "c", "", "long name"]).prop_map(|name| name.as_bytes().to_vec());
    let fields = prop::collection::vec((name, value()), 1..5);
    prop::collection::vec((key, any::<i64>(), fields), 0..30)
}

/// Of fields of one name the last, at the place of the first.
fn without_repetition(points: Points) -> Points {
    let once = |fields: Vec<(Vec<u8>, Owned)>| {
        let mut kept: Vec<(Vec<u8>, Owned)> = Vec::new();
        for (name, value) in fields {
            match kept.iter_mut().find(|(known, _)| *known == name) {
                Some(field) => field.1 = value,
                None => kept.push((name, value)),
            }
        }
        kept
    };
    points.into_iter().map(|(key, time, fields)| (key, time, once(fields))).collect()
}

proptest! {
    #[test]
    fn what_was_put_is_read_from_the_batch_and_from_its_bytes(points in points()) {
        let batch = built(&points);
        let expected = without_repetition(points);
        prop_assert_eq!(&points_of(&batch), &expected);
        prop_assert_eq!(batch.values(), expected.iter().map(|(.., fields)| fields.len() as u64).sum::<u64>());
        let parsed = Batch::parse(&body_of(&batch), Offset::START).unwrap();
        prop_assert_eq!(&points_of(&parsed), &expected);
        prop_assert_eq!(parsed.values(), batch.values());
        prop_assert_eq!(body_of(&parsed), body_of(&batch));
    }

    #[test]
    fn damaged_bytes_are_a_batch_or_an_error(points in points(), at: prop::sample::Index, bits: u8) {
        let mut body = body_of(&built(&points));
        let at = at.index(body.len());
        prop_assert!(Batch::parse(&body[..at], Offset::START).is_err());
        body[at] ^= bits;
        if let Ok(parsed) = Batch::parse(&body, Offset::START) {
            prop_assert_eq!(body_of(&parsed), body);
        }
    }

    #[test]
    fn points_of_refused_shapes_are_removed_and_no_others(points in points(), refused: u64) {
        let mut batch = built(&points);
        let is_refused = |shape: u32| refused >> (shape % 64) & 1 == 1;
        let kept: Points = points_of(&batch)
            .into_iter()
            .zip(batch.rows().map(|row| row.shape))
            .filter_map(|(point, shape)| (!is_refused(shape)).then_some(point))
            .collect();
        let before = batch.len();
        prop_assert_eq!(batch.remove_shapes(is_refused), before - kept.len());
        prop_assert_eq!(points_of(&batch), kept.clone());
        prop_assert_eq!(points_of(&Batch::parse(&body_of(&batch), Offset::START).unwrap()), kept);
    }
}

fn float(name: &str) -> [(&[u8], Value<'static>); 1] {
    [(name.as_bytes(), Value::Float(1.0))]
}

#[test]
fn what_no_file_can_hold_is_refused_and_changes_nothing() {
    let mut batch = Batch::new();
    batch.point(b"m", 1, 0, float("f")).unwrap();
    let body = body_of(&batch);
    let long = [b'k'; 65_535 - 4];
    let nothing: [(&[u8], Value<'_>); 0] = [];
    let nan = [(&b"f"[..], Value::Float(f64::NAN))];
    assert_eq!(batch.point(b"m", 1, 0, nothing), Err(Refused::NoFields));
    assert_eq!(batch.point(b"m", 1, 0, nan), Err(Refused::NotANumber));
    assert_eq!(batch.point(b"mm", 1, 0, float("f")), Err(Refused::Measurement));
    assert_eq!(batch.point(b"m", 2, 0, float("f")), Err(Refused::Measurement));
    assert_eq!(batch.point(&long, long.len(), 0, float("f")), Err(Refused::KeyTooLong(65_536)));
    for key in ["a#!~#b", "a#!~"] {
        assert_eq!(batch.point(key.as_bytes(), key.len(), 0, float("f")), Err(Refused::Separator), "{key}");
    }
    assert_eq!(batch.point(b"a#!", 3, 0, float("f")), Ok(()));
    assert_eq!(crate::format::key::split(b"a#!#!~#f"), Some((&b"a#!"[..], &b"f"[..])));
    batch.remove_shapes(|shape| shape == 1);
    assert_eq!(body_of(&batch), body);
}

#[test]
fn a_batch_that_is_cleared_is_as_new() {
    let mut batch = built(&vec![(b"m".to_vec(), 7, vec![(b"f".to_vec(), Owned::Boolean(true))])]);
    batch.clear();
    assert_eq!((batch.len(), batch.values(), batch.series_len()), (0, 0, 0));
    assert_eq!(body_of(&batch), [0; HEAD_LEN]);
    batch.point(b"m", 1, 0, float("f")).unwrap();
    assert_eq!(
        points_of(&batch),
        [(b"m".to_vec(), 0, vec![(b"f".to_vec(), Owned::Float(1.0f64.to_bits()))])]
    );
}
