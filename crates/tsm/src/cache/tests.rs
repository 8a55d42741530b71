//! A cache against an ordered map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::format::batch::Value;
use crate::format::column::{BlockType, Column, Values};
use crate::units::TimeRange;

/// Value by composite key and time, and the ticket that it came with.
type Model = BTreeMap<(Vec<u8>, i64), (u64, i64)>;

/// Series, time, and fields with values.
type Point = (usize, i64, Vec<(usize, i64)>);

/// Ticket, and the points of a batch.
type Write = (u64, Vec<Point>);

const SERIES: [&str; 6] = ["m", "m,t=a", "m!x", "m\"x,t=b", "n", "mm"];
const FIELDS: [&str; 4] = ["a", "b", "", "#"];

fn batch_of(points: &[Point]) -> Batch {
    let mut batch = Batch::new();
    for (series, time, fields) in points {
        let key = SERIES[*series].as_bytes();
        let measurement_len = key.iter().position(|byte| *byte == b',').unwrap_or(key.len());
        let fields: Vec<_> =
            fields.iter().map(|(field, value)| (FIELDS[*field].as_bytes(), Value::Integer(*value))).collect();
        batch.point(key, measurement_len, *time, fields).unwrap();
    }
    batch
}

fn record(model: &mut Model, (ticket, points): &Write) {
    for (series, time, fields) in points {
        for (field, value) in fields {
            let key = format!("{}#!~#{}", SERIES[*series], FIELDS[*field]).into_bytes();
            let held = model.entry((key, *time)).or_insert((*ticket, *value));
            if held.0 <= *ticket {
                *held = (*ticket, *value);
            }
        }
    }
}

fn columns(cache: &Cache) -> Vec<(Vec<u8>, Column)> {
    let mut columns = Vec::new();
    cache
        .columns(&mut |key, column| {
            columns.push((key.to_vec(), column.clone()));
            Ok(())
        })
        .unwrap();
    columns
}

fn expected(model: &Model, range: TimeRange) -> Vec<(Vec<u8>, Column)> {
    let mut columns: BTreeMap<Vec<u8>, Column> = BTreeMap::new();
    for ((key, time), (_, value)) in model {
        if range.contains(*time) {
            let column = columns.entry(key.clone()).or_insert_with(|| Column::new(BlockType::Integer));
            assert!(column.push(*time, Value::Integer(*value)));
        }
    }
    columns.into_iter().collect()
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let fields = prop::collection::vec((0..FIELDS.len(), any::<i64>()), 1..4);
    let point = (0..SERIES.len(), -6i64..6, fields);
    prop::collection::vec((1u64..9, prop::collection::vec(point, 1..8)), 0..20)
}

proptest! {
    #[test]
    fn a_cache_has_what_an_ordered_map_has(writes in writes(), from in -7i64..7, len in 0i64..7) {
        let (cache, mut model) = (Cache::default(), Model::new());
        for write in &writes {
            cache.apply(Ticket::new(write.0), &batch_of(&write.1)).unwrap();
            record(&mut model, write);
        }
        prop_assert_eq!(columns(&cache), expected(&model, TimeRange::ALL));
        let range = TimeRange::new(from, from + len).unwrap();
        let in_range: BTreeMap<_, _> = expected(&model, range).into_iter().collect();
        let mut column = Column::new(BlockType::Integer);
        for (series, field) in SERIES.iter().flat_map(|series| FIELDS.map(|field| (series, field))) {
            cache.read(series.as_bytes(), field.as_bytes(), range, &mut column).unwrap();
            let none = Column::new(BlockType::Integer);
            let key = format!("{series}#!~#{field}").into_bytes();
            prop_assert_eq!(&column, in_range.get(&key).unwrap_or(&none), "{} {}", series, field);
        }
        let mut keys = Vec::new();
        cache.keys(&mut |key, kind| keys.push((key.to_vec(), kind)));
        keys.sort_unstable();
        let all = expected(&model, TimeRange::ALL);
        prop_assert_eq!(keys, all.iter().map(|(key, column)| (key.clone(), column.kind())).collect::<Vec<_>>());
    }
}

#[test]
fn values_of_all_types_come_back_whatever_stands_between_them() {
    let (cache, mut batch) = (Cache::default(), Batch::new());
    let texts: Vec<String> = (0..50).map(|length| "x".repeat(length * 37)).collect();
    for (time, text) in (0i64..).zip(&texts) {
        let fields = [
            (&b"s"[..], Value::String(text.as_bytes())),
            (b"f", Value::Float(-0.0)),
            (b"i", Value::Integer(i64::MIN + time)),
            (b"u", Value::Unsigned(u64::MAX)),
            (b"b", Value::Boolean(time % 2 == 0)),
            (b"t", Value::String(b"tail")),
        ];
        batch.point(b"m,k=v", 1, time, fields).unwrap();
    }
    cache.apply(Ticket::new(1), &batch).unwrap();
    let times: Vec<i64> = (0..50).collect();
    let all: Vec<(Vec<u8>, Column)> = [
        ("b", Values::Boolean(times.iter().map(|time| time % 2 == 0).collect())),
        ("f", Values::Float(vec![-0.0; 50])),
        ("i", Values::Integer(times.iter().map(|time| i64::MIN + time).collect())),
        ("s", Values::String(texts.iter().collect())),
        ("t", Values::String(times.iter().map(|_| "tail").collect())),
        ("u", Values::Unsigned(vec![u64::MAX; 50])),
    ]
    .map(|(name, values)| (format!("m,k=v#!~#{name}").into_bytes(), Column { times: times.clone(), values }))
    .into();
    assert_eq!(columns(&cache), all);
    assert_eq!((cache.values(), cache.is_empty()), (300, false));
}

#[test]
fn batches_of_many_threads_all_arrive() {
    let cache = Arc::new(Cache::default());
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let cache = Arc::clone(&cache);
            std::thread::spawn(move || {
                for round in 0..50u64 {
                    let mut batch = Batch::new();
                    for series in 0..20 {
                        let time = i64::try_from(round * 4 + thread).unwrap();
                        let key = format!("m,s={series}");
                        batch.point(key.as_bytes(), 1, time, [(&b"f"[..], Value::Unsigned(round))]).unwrap();
                    }
                    cache.apply(Ticket::new(1 + round * 4 + thread), &batch).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let columns = columns(&cache);
    assert_eq!(columns.len(), 20);
    for (key, column) in columns {
        assert_eq!(column.times, (0..200).collect::<Vec<i64>>(), "{}", String::from_utf8_lossy(&key));
        assert_eq!(column.values, Values::Unsigned((0..200).map(|time| time / 4).collect()));
    }
}
