//! What the tests of this crate share: a disk in memory, and the content of a store as a value.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod history;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Append, LockMode, RealDisk};
use icecore_kvstore::{Bucket, Builder, Result, Store, View};
use icecore_testkit::MemDisk;

/// Buckets and pairs of a bucket, by key.
pub(crate) type Content = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Value(Vec<u8>),
    Bucket(u64, Content),
}

/// All that a view shows.
pub(crate) fn content(view: &View) -> Result<Content> {
    view.buckets()?
        .map(|bucket| {
            let (name, bucket) = bucket?;
            Ok((name.to_vec(), Entry::Bucket(bucket.sequence(), inside(&bucket)?)))
        })
        .collect()
}

fn inside(bucket: &Bucket<'_>) -> Result<Content> {
    let mut all = Content::new();
    for pair in bucket.iter()? {
        let (key, value) = pair?;
        all.insert(key.to_vec(), Entry::Value(value.to_vec()));
    }
    for nested in bucket.buckets()? {
        let (name, nested) = nested?;
        all.insert(name.to_vec(), Entry::Bucket(nested.sequence(), inside(&nested)?));
    }
    Ok(all)
}

/// Asks for each pair by its key.
pub(crate) fn assert_found_one_by_one(view: &View, content: &Content) {
    for (name, entry) in content {
        let Entry::Bucket(_, pairs) = entry else { panic!("a pair at the top") };
        assert_found_in(&view.bucket(name).expect("reads").expect("is there"), pairs);
    }
}

fn assert_found_in(bucket: &Bucket<'_>, content: &Content) {
    for (key, entry) in content {
        match entry {
            Entry::Value(value) => {
                assert_eq!(bucket.get(key).expect("reads"), Some(&value[..]));
                assert!(bucket.bucket(key).expect("reads").is_none());
            }
            Entry::Bucket(_, pairs) => {
                assert_eq!(bucket.get(key).expect("reads"), None);
                assert_found_in(&bucket.bucket(key).expect("reads").expect("is there"), pairs);
            }
        }
        assert_eq!(bucket.get(&[&key[..], b"\0?"].concat()).expect("reads"), None);
    }
}

pub(crate) fn fill(mut builder: Builder, content: &Content) -> Result<Builder> {
    for (key, entry) in content {
        match entry {
            Entry::Value(value) => builder.put(key, value)?,
            Entry::Bucket(sequence, pairs) => {
                builder.open_bucket(key)?;
                builder.set_sequence(*sequence)?;
                builder = fill(builder, pairs)?;
                builder.close_bucket()?;
            }
        }
    }
    Ok(builder)
}

/// The bytes of a new file with this content.
pub(crate) fn build(page_size: u32, content: &Content) -> Vec<u8> {
    let mut bytes = Bytes::default();
    let builder = fill(Builder::new(page_size).expect("page size"), content).expect("fits");
    builder.write(&mut bytes).expect("writes");
    bytes.0
}

/// Content with everything the format has: nested, inline and empty buckets, branches, long values, sequences.
pub(crate) fn varied() -> Content {
    let pair = |key: String, len: usize| {
        let value = (0..len).map(|at| u8::try_from((at * 7 + key.len()) % 251 + 1).expect("small")).collect();
        (key.into_bytes(), Entry::Value(value))
    };
    let nested = Content::from([
        (b"empty".to_vec(), Entry::Bucket(0, Content::new())),
        (b"inline".to_vec(), Entry::Bucket(2, (0..3).map(|n| pair(format!("i{n}"), 20)).collect())),
        pair("value".into(), 9),
    ]);
    Content::from([
        (b"empty".to_vec(), Entry::Bucket(0, Content::new())),
        (b"inline".to_vec(), Entry::Bucket(7, (0..4).map(|n| pair(format!("key {n}"), n * 5)).collect())),
        (b"large".to_vec(), Entry::Bucket(0, (0..3).map(|n| pair(format!("long {n}"), n * 700)).collect())),
        (b"many".to_vec(), Entry::Bucket(1, (0..40).map(|n| pair(format!("key {n:04}"), n)).collect())),
        (b"nested".to_vec(), Entry::Bucket(3, nested)),
    ])
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(Arc::new(RealDisk), path, LockMode::Shared).unwrap_or_else(|error| panic!("{error}"))
}

/// Opens bytes as if they were a file.
pub(crate) fn open_bytes(bytes: Vec<u8>) -> Result<Store> {
    let (disk, path) = (MemDisk::default(), Path::new("/memory.bolt"));
    disk.put(path, bytes);
    Store::open(Arc::new(disk), path, LockMode::Shared)
}

/// What a copy sends, in one piece.
#[allow(clippy::panic_in_result_fn, reason = "the length is asserted, the errors are passed on")]
pub(crate) fn copied(view: &View) -> Result<Vec<u8>> {
    let copy = view.copy()?;
    let len = copy.len_bytes();
    let bytes = copy.collect::<Result<Vec<_>>>()?.concat();
    assert_eq!(bytes.len() as u64, len);
    Ok(bytes)
}

#[derive(Debug, Default)]
struct Bytes(Vec<u8>);

impl Append for Bytes {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
