//! Random transactions, made on a store and on a value side by side.

#![allow(
    clippy::panic_in_result_fn,
    clippy::indexing_slicing,
    reason = "the model is asserted, the store's errors are passed on"
)]

use std::ops::Bound;

use icecore_kvstore::{BucketMut, Item, Result, Store, Tx, TxId, View};
use icecore_testkit::Random;

use super::{Content, Entry};

/// How a history behaves, chosen once by its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Keys are drawn from so many.
    pub(crate) keys: usize,
    pub(crate) key_len_max: usize,
    pub(crate) value_len_max: usize,
    /// Changes of one transaction, at most.
    pub(crate) changes: usize,
}

impl Manner {
    pub(crate) fn of(random: &mut Random) -> Self {
        let pick = |random: &mut Random, from: &[usize]| from[random.below(from.len())];
        Self {
            keys: pick(random, &[8, 60, 400, 3000]),
            key_len_max: pick(random, &[4, 12, 60, 900]),
            value_len_max: pick(random, &[0, 10, 120, 120, 3000]),
            changes: pick(random, &[4, 30, 200, 600]),
        }
    }
}

/// One history of many, small ones and large ones.
pub(crate) struct Seed(pub(crate) u64);

/// Tells which one it was that failed.
impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// The seeds of this run: `ICECORE_HISTORIES` of them from `ICECORE_SEED` on, or as many as the test wants.
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse().expect("a number"));
    let first = number("ICECORE_SEED").unwrap_or(1);
    first..first + number("ICECORE_HISTORIES").unwrap_or(count)
}

/// Makes one random transaction on both; says what the store now is. Sometimes it is dropped, and nothing changes.
pub(crate) fn step(store: &Store, model: &mut Content, manner: Manner, random: &mut Random) -> Result<TxId> {
    let mut tx = store.begin()?;
    let mut wanted = model.clone();
    change(&mut tx, &mut wanted, manner, random)?;
    if random.one_in(12) {
        drop(tx);
        return Ok(store.txid());
    }
    let txid = tx.commit()?;
    *model = wanted;
    Ok(txid)
}

pub(crate) fn change(
    tx: &mut Tx<'_>,
    model: &mut Content,
    manner: Manner,
    random: &mut Random,
) -> Result<()> {
    for _ in 0..1 + random.below(4) {
        let name = format!("bucket-{}", random.below(8)).into_bytes();
        if random.one_in(12) {
            assert_eq!(tx.delete_bucket(&name)?, model.remove(&name).is_some());
            continue;
        }
        let (sequence, inside) = bucket_of(model, &name);
        let mut bucket = tx.bucket_or_create(&name)?;
        fill(&mut bucket, sequence, inside, manner, random, 1)?;
    }
    let mut from = Bound::Unbounded;
    let mut names = model.keys();
    while let Some(name) = tx.next_bucket(from)? {
        let name = names.next().filter(|next| *next == name).expect("the model has it too");
        from = Bound::Excluded(name);
    }
    assert_eq!(names.next(), None);
    Ok(())
}

fn bucket_of<'m>(model: &'m mut Content, name: &[u8]) -> (&'m mut u64, &'m mut Content) {
    match model.entry(name.to_vec()).or_insert_with(|| Entry::Bucket(0, Content::new())) {
        Entry::Bucket(sequence, inside) => (sequence, inside),
        Entry::Value(_) => panic!("a pair has the name"),
    }
}

fn fill(
    bucket: &mut BucketMut<'_>,
    sequence: &mut u64,
    model: &mut Content,
    manner: Manner,
    random: &mut Random,
    depth: usize,
) -> Result<()> {
    match random.below(6) {
        0 => {
            *sequence = random.next_u64();
            bucket.set_sequence(*sequence);
        }
        1 if *sequence < u64::MAX => {
            *sequence += 1;
            assert_eq!(bucket.next_sequence()?, *sequence);
        }
        2 => bucket.set_fill_percent(u8::try_from(random.below(130)).expect("small")),
        _ => {}
    }
    if depth < 4 && random.one_in(2) {
        let name = format!("inside-{}", random.below(3)).into_bytes();
        if random.one_in(5) {
            assert_eq!(bucket.delete_bucket(&name)?, model.remove(&name).is_some());
        } else {
            let (sequence, inside) = bucket_of(model, &name);
            fill(&mut bucket.bucket_or_create(&name)?, sequence, inside, manner, random, depth + 1)?;
        }
    }
    let changes = random.below(manner.changes);
    match random.below(5) {
        // Everything between two keys goes.
        0 => {
            let low = match model.keys().nth(random.below(1 + model.len())) {
                Some(some) if random.one_in(2) => some.clone(),
                _ => key(manner, random),
            };
            let high = key(manner, random);
            let doomed: Vec<_> = model
                .range(low.clone().min(high.clone())..high.max(low))
                .map(|(key, _)| key.clone())
                .collect();
            for key in doomed {
                if matches!(model.get(&key), Some(Entry::Value(_))) {
                    assert!(bucket.delete(&key)?);
                    model.remove(&key);
                }
            }
        }
        // Keys that ascend.
        1 => {
            let start = random.below(manner.keys);
            for n in start..start + changes {
                put(bucket, model, &format!("a{n:08}").into_bytes(), manner, random)?;
            }
        }
        way => {
            for _ in 0..changes {
                let key = key(manner, random);
                if random.below(5) < way {
                    put(bucket, model, &key, manner, random)?;
                } else {
                    assert_eq!(bucket.delete(&key)?, model.remove(&key).is_some());
                }
            }
        }
    }
    assert_shows(bucket, model, manner, random);
    Ok(())
}

/// A key whose length follows from its number, so that it comes again.
fn key(manner: Manner, random: &mut Random) -> Vec<u8> {
    let number = random.below(manner.keys);
    let len = 1 + number * 7919 % manner.key_len_max;
    let mut key = Random::new(number as u64).bytes(len);
    key.extend_from_slice(&number.to_be_bytes()[6..]);
    key[0] |= 128; // above all names of buckets
    key
}

fn put(
    bucket: &mut BucketMut<'_>,
    model: &mut Content,
    key: &[u8],
    manner: Manner,
    random: &mut Random,
) -> Result<()> {
    let len = random.below(manner.value_len_max + 1);
    let len = if random.one_in(300) { len * 20 } else { len };
    let value = random.bytes(len);
    bucket.put(key, &value)?;
    model.insert(key.to_vec(), Entry::Value(value));
    Ok(())
}

/// What the transaction sees of its own changes.
fn assert_shows(bucket: &BucketMut<'_>, model: &Content, manner: Manner, random: &mut Random) {
    for _ in 0..4 {
        let key = key(manner, random);
        let wanted = match model.get(&key) {
            Some(Entry::Value(value)) => Some(&value[..]),
            _ => None,
        };
        assert_eq!(bucket.get(&key).expect("reads"), wanted);
        let same = |found: Result<Option<Item<'_>>>, wanted: Option<(&Vec<u8>, &Entry)>| {
            let wanted = wanted.map(|(key, entry)| match entry {
                Entry::Value(value) => Item::Pair(key, value),
                Entry::Bucket(..) => Item::Bucket(key),
            });
            assert_eq!(found.expect("reads"), wanted);
        };
        let key = key.as_slice();
        for bound in [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded] {
            same(bucket.next(bound), model.range::<[u8], _>((bound, Bound::Unbounded)).next());
            same(bucket.prev(bound), model.range::<[u8], _>((Bound::Unbounded, bound)).next_back());
        }
    }
}

/// The view is sound, as bbolt would have written it, and shows exactly this.
pub(crate) fn assert_is(view: &View, model: &Content) {
    let report = view.verify().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.notes, []);
    assert!(&super::content(view).expect("reads") == model, "the view shows something else");
}
