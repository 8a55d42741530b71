//! Reading and writing inside a transaction: what a change reads includes what it wrote before.
//!
//! As in [`source`](crate::source), a Bolt bucket that is missing reads as empty, and a value of no bytes as missing.

use icecore_kvstore::Tx;

use crate::buckets;
use crate::contents::Record;
use crate::error::Result;
use crate::id::Id;
use crate::meta::{self, Data};
use crate::record::Stored;

/// The value of a key.
pub(crate) fn get(tx: &mut Tx<'_>, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(bucket) = tx.bucket(bucket.as_bytes())? else { return Ok(None) };
    Ok(bucket.get(key)?.filter(|value| !value.is_empty()).map(<[u8]>::to_vec))
}

/// Whether there is a record of an id.
pub(crate) fn has<T: Stored>(tx: &mut Tx<'_>, id: Id) -> Result<bool> {
    let key = id.key();
    let value = get(tx, T::BUCKET, &key)?;
    Ok(value.map(|value| T::decode(&key, &value)).transpose()?.is_some())
}

/// Writes records; Bolt buckets that are missing are made.
pub(crate) fn put(tx: &mut Tx<'_>, records: &[Record]) -> Result<()> {
    for Record { bucket, key, value } in records {
        tx.bucket_or_create(bucket.as_bytes())?.put(key, value)?;
    }
    Ok(())
}

/// The storage metadata; that of an empty server when the store has none.
pub(crate) fn storage_meta(tx: &mut Tx<'_>) -> Result<Data> {
    match get(tx, buckets::STORAGE_METADATA, meta::KEY)? {
        Some(bytes) => Data::parse(&bytes),
        None => Ok(Data::default()),
    }
}

/// Writes the storage metadata.
pub(crate) fn put_storage_meta(tx: &mut Tx<'_>, data: &Data) -> Result<()> {
    let (key, value) = (meta::KEY.to_vec(), data.to_bytes());
    put(tx, &[Record { bucket: buckets::STORAGE_METADATA, key, value }])
}
