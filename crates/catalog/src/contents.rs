//! The whole content of a key-value store, in memory: what a new file is built from.
//!
//! Invariant: buckets and keys ascend as bytes, as the builder of a file wants them.

use std::collections::BTreeMap;
use std::fmt;

use icecore_kvstore::{Bucket, Builder, View};

use crate::error::{Error, Result};

/// One pair to write.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The Bolt bucket.
    pub bucket: &'static str,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Record {
    /// Without the value, and in the indexes of tokens the key is a secret as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// All buckets of a store with all their pairs; also those that nobody here understands.
///
/// What a new file is built from. A change to a store that exists is a transaction of it and needs none of this.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents {
    buckets: BTreeMap<Vec<u8>, BucketContents>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct BucketContents {
    sequence: u64,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Contents {
    /// Everything in a store.
    ///
    /// # Errors
    /// A damaged store, or one with a bucket inside a bucket: influxd makes none, and it would be lost.
    pub fn from_view(view: &View) -> Result<Self> {
        let mut contents = Self::default();
        for bucket in view.buckets()? {
            let (name, bucket) = bucket?;
            contents.buckets.insert(name.to_vec(), BucketContents::of(name, &bucket)?);
        }
        Ok(contents)
    }

    /// Makes sure that there is a bucket of this name.
    pub fn add_bucket(&mut self, name: &str) {
        self.buckets.entry(name.as_bytes().to_vec()).or_default();
    }

    /// Sets a value; the bucket is made if there is none.
    pub fn put(&mut self, bucket: &str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let bucket = self.buckets.entry(bucket.as_bytes().to_vec()).or_default();
        bucket.pairs.insert(key.into(), value.into());
    }

    /// The value of a key.
    pub fn get(&self, bucket: &str, key: &[u8]) -> Option<&[u8]> {
        Some(self.buckets.get(bucket.as_bytes())?.pairs.get(key)?.as_slice())
    }

    /// The names of all buckets, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = &[u8]> {
        self.buckets.keys().map(Vec::as_slice)
    }

    /// The pairs of a bucket, by key; none if there is no such bucket.
    pub fn pairs(&self, bucket: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
        let pairs = self.buckets.get(bucket.as_bytes()).map(|bucket| bucket.pairs.iter());
        pairs.into_iter().flatten().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Puts everything into the builder of a new file.
    ///
    /// # Errors
    /// A key or value beyond the limits of the format, or an empty key.
    pub fn fill(&self, mut builder: Builder) -> Result<Builder> {
        for (name, bucket) in &self.buckets {
            builder.open_bucket(name)?;
            builder.set_sequence(bucket.sequence)?;
            for (key, value) in &bucket.pairs {
                builder.put(key, value)?;
            }
            builder.close_bucket()?;
        }
        Ok(builder)
    }
}

impl BucketContents {
    fn of(name: &[u8], bucket: &Bucket<'_>) -> Result<Self> {
        if let Some((inner, _)) = bucket.buckets()?.next().transpose()? {
            return Err(Error::record(&String::from_utf8_lossy(name), inner, "is a bucket inside a bucket"));
        }
        let mut pairs = BTreeMap::new();
        for pair in bucket.iter()? {
            let (key, value) = pair?;
            pairs.insert(key.to_vec(), value.to_vec());
        }
        Ok(Self { sequence: bucket.sequence(), pairs })
    }
}

impl fmt::Debug for Contents {
    /// The number of pairs in each bucket: keys and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts =
            self.buckets.iter().map(|(name, bucket)| (String::from_utf8_lossy(name), bucket.pairs.len()));
        f.debug_map().entries(counts).finish()
    }
}
