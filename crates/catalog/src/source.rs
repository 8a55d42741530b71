//! The only place that reads the key-value store.
//!
//! A Bolt bucket that is missing reads as empty, because older servers lack the newer ones; a value of no bytes counts
//! as missing, as it does for influxd.

use icecore_kvstore::View;

use crate::error::Result;
use crate::id::Id;
use crate::record::Stored;

/// The value of a key.
pub(crate) fn get<'v>(view: &'v View, bucket: &str, key: &[u8]) -> Result<Option<&'v [u8]>> {
    let Some(bucket) = view.bucket(bucket.as_bytes())? else { return Ok(None) };
    Ok(bucket.get(key)?.filter(|value| !value.is_empty()))
}

/// The pairs whose keys begin with `prefix`.
pub(crate) fn prefix<'v>(view: &'v View, bucket: &str, prefix: &[u8]) -> Result<Vec<(&'v [u8], &'v [u8])>> {
    let Some(bucket) = view.bucket(bucket.as_bytes())? else { return Ok(Vec::new()) };
    bucket.prefix(prefix)?.map(|pair| pair.map_err(Into::into)).collect()
}

/// The record of an id.
pub(crate) fn record<T: Stored>(view: &View, id: Id) -> Result<Option<T>> {
    let key = id.key();
    get(view, T::BUCKET, &key)?.map(|value| T::decode(&key, value)).transpose()
}

/// All records, in the order of their ids.
pub(crate) fn records<T: Stored>(view: &View) -> Result<Vec<T>> {
    let Some(bucket) = view.bucket(T::BUCKET.as_bytes())? else { return Ok(Vec::new()) };
    bucket
        .iter()?
        .map(|pair| pair.map_err(Into::into).and_then(|(key, value)| T::decode(key, value)))
        .collect()
}

/// Whether a bucket holds no pair at all.
pub(crate) fn is_empty(view: &View, bucket: &str) -> Result<bool> {
    let Some(bucket) = view.bucket(bucket.as_bytes())? else { return Ok(true) };
    Ok(bucket.iter()?.next().transpose()?.is_none())
}
