//! What `influx backup` writes beside its archives: which files there are, how long they are, and whose shards they hold.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// Manifests are read up to this length: a shard takes about 300 bytes.
const LEN_MAX: u64 = 256 << 20;

/// A file that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: u64,
    /// Of a shard's archive: `<bucket>/<policy>/<shard>`.
    pub(super) prefix: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    kv: Option<FileEntry>,
    sql: Option<FileEntry>,
    #[serde(default, deserialize_with = "null_is_empty")]
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry {
    file_name: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    #[serde(rename = "bucketID")]
    id: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    retention_policies: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    shard_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default, deserialize_with = "null_is_empty")]
    shards: Vec<Shard>,
}

#[derive(Deserialize)]
struct Shard {
    id: u64,
    #[serde(flatten)]
    file: FileEntry,
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The files that a manifest names.
///
/// # Errors
/// Why it cannot be read, in words.
pub(super) fn read(path: &Path) -> Result<Vec<Listed>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LEN_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Vec<Listed>, String> {
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|error| format!("it is not the manifest of a backup: {error}"))?;
    let mut listed = Vec::new();
    for FileEntry { file_name: name, size } in manifest.kv.into_iter().chain(manifest.sql) {
        listed.push(Listed { name, size, prefix: None });
    }
    for bucket in manifest.buckets {
        for policy in bucket.retention_policies {
            for Shard { id, file } in policy.shard_groups.into_iter().flat_map(|group| group.shards) {
                let prefix = Some(format!("{}/{}/{id}", bucket.id, policy.name));
                listed.push(Listed { name: file.file_name, size: file.size, prefix });
            }
        }
    }
    if listed.is_empty() { Err("it names no file".to_owned()) } else { Ok(listed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_metadata_and_shards() {
        let text =
            br#"{"manifestVersion":2,"kv":{"fileName":"a.bolt.gz","size":7,"compression":1},"sql":null,
            "buckets":[{"bucketID":"01","retentionPolicies":[{"name":"autogen","shardGroups":[
            {"id":1,"shards":[{"id":4,"shardOwners":[],"fileName":"a.4.tar.gz","size":9,"compression":1}]},
            {"id":2,"shards":null}]}]}]}"#;
        let listed = |name: &str, size, prefix: Option<&str>| Listed {
            name: name.to_owned(),
            size,
            prefix: prefix.map(str::to_owned),
        };
        assert_eq!(
            parse(text).unwrap(),
            [listed("a.bolt.gz", 7, None), listed("a.4.tar.gz", 9, Some("01/autogen/4"))]
        );
        assert_eq!(parse(b"{}").unwrap_err(), "it names no file");
        assert!(parse(&text[..100]).unwrap_err().starts_with("it is not the manifest of a backup: EOF"));
    }
}
