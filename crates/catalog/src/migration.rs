//! Which changes of layout a store has seen.
//!
//! Invariant: the record at position n has the id n and the name that every server of this version gives it; influxd
//! does not start otherwise.

use icecore_kvstore::View;
use serde::{Deserialize, Serialize};

use crate::buckets::MIGRATIONS;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::record::Stored;
use crate::source;
use crate::time::Time;

/// The names of the migrations of influxd 2.9, the first one being number 1.
const NAMES: [&str; 21] = [
    "initial migration",
    "add index \"userresourcemappingsbyuserindexv1\"",
    "migrate task owner id",
    "create DBRP buckets",
    "create pkger stacks buckets",
    "delete sessionsv1 bucket",
    "Create TSM metadata buckets",
    "Create Legacy authorization buckets",
    "Create legacy auth password bucket",
    "add index \"telegrafbyorgindexv1\"",
    "populate dashboards owner id",
    "add index \"dbrpbyorgv1\"",
    "repair DBRP owner and bucket IDs",
    "add index \"dbrpbyorgv1\"",
    "record shard group durations in bucket metadata",
    "add annotations and notebooks resource types to operator token",
    "add annotations and notebooks resource types to all-access tokens",
    "repair missing shard group durations",
    "add remotes and replications resource types to operator and all-access tokens",
    "create remotes and replications metrics buckets",
    "create authorizationhashedindexv1 bucket",
];

/// One migration that was run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Migration {
    id: Id,
    name: String,
    started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Time>,
}

impl Stored for Migration {
    const BUCKET: &'static str = MIGRATIONS;

    fn id(&self) -> Id {
        self.id
    }
}

/// All of them, as if run at `now`.
pub(crate) fn all_at(now: Time) -> impl Iterator<Item = Migration> {
    expected().map(move |(id, name)| Migration {
        id,
        name: name.to_owned(),
        started_at: Some(now),
        finished_at: Some(now),
    })
}

fn expected() -> impl Iterator<Item = (Id, &'static str)> {
    (1..).filter_map(Id::new).zip(NAMES)
}

/// Whether the store has seen all of them and no other.
pub(crate) fn check(view: &View) -> Result<()> {
    let found: Vec<Migration> = source::records(view)?;
    let mut found = found.into_iter();
    for (id, name) in expected() {
        let wrong = |what: String| Err(Error::record(MIGRATIONS, &id.key(), what));
        match found.next() {
            Some(migration) if migration.id == id && migration.name == name => {
                if migration.finished_at.is_none() {
                    return wrong(format!("{name:?} did not finish"));
                }
            }
            Some(other) if other.id == id => {
                return wrong(format!("is {:?} and should be {name:?}", other.name));
            }
            Some(_) | None => return wrong(format!("{name:?} is missing: an older server wrote this store")),
        }
    }
    match found.next() {
        Some(newer) => {
            let what = format!("{:?} is unknown: a newer server wrote this store", newer.name);
            Err(Error::record(MIGRATIONS, &newer.id.key(), what))
        }
        None => Ok(()),
    }
}
