//! Where shards lie.
//!
//! Invariant: the names in a [`ShardLocation`] are names of directories: `<database>/<policy>/<id>` leads nowhere else.

use std::collections::HashSet;
use std::fmt;

use crate::buckets;
use crate::error::{Error, Result};
use crate::meta::{self, Data, ShardGroupInfo};

/// The number of a shard, unique in a server. Prints in decimal, as its directory is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u64);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard and what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardLocation {
    /// The shard.
    pub id: ShardId,
    /// The database: the id of the bucket, in hex.
    pub database: String,
    /// The retention policy: `autogen`.
    pub policy: String,
    /// The slice of time; it may be deleted.
    pub group: ShardGroupInfo,
}

impl ShardLocation {
    /// All shards of the storage metadata, in its order.
    pub(crate) fn all(meta: &Data) -> Result<Vec<Self>> {
        let mut seen = HashSet::new();
        let mut locations = Vec::new();
        for database in &meta.databases {
            for policy in &database.retention_policies {
                for group in &policy.shard_groups {
                    for shard in &group.shards {
                        if !seen.insert(shard.id) {
                            return Err(damaged(format!("shard {} is there twice", shard.id)));
                        }
                        locations.push(Self {
                            id: ShardId(shard.id),
                            database: directory_name(&database.name)?,
                            policy: directory_name(&policy.name)?,
                            group: group.clone(),
                        });
                    }
                }
            }
        }
        Ok(locations)
    }
}

/// The policy's name can come from a client of the restore API, and influxd does not look at it.
fn directory_name(name: &str) -> Result<String> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return Err(damaged(format!("{name:?} is no name of a directory")));
    }
    Ok(name.to_owned())
}

fn damaged(what: String) -> Error {
    Error::record(buckets::STORAGE_METADATA, meta::KEY, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::ShardInfo;

    fn two_shards(policy: &str, ids: [u64; 2]) -> Data {
        let mut data = Data::default();
        data.add_database("0bf6ccd6884c2b99".into(), 0, 1);
        let retention = &mut data.databases[0].retention_policies[0];
        retention.name = policy.into();
        let shards = ids.map(|id| ShardInfo { id, ..ShardInfo::default() }).into();
        retention.shard_groups.push(ShardGroupInfo { shards, ..ShardGroupInfo::default() });
        data
    }

    #[test]
    fn a_shard_that_is_there_twice_is_damage() {
        assert_eq!(ShardLocation::all(&two_shards("autogen", [1, 2])).unwrap().len(), 2);
        let error = ShardLocation::all(&two_shards("autogen", [1, 1])).unwrap_err();
        assert!(error.to_string().ends_with("shard 1 is there twice"), "{error}");
    }

    #[test]
    fn a_policy_cannot_lead_out_of_the_data_directory() {
        for name in ["..", ".", "", "../../etc", "a/b", "a\0"] {
            assert!(ShardLocation::all(&two_shards(name, [1, 2])).is_err(), "{name:?}");
        }
        assert!(ShardLocation::all(&two_shards("..x", [1, 2])).is_ok());
    }
}
