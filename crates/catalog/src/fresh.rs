//! A store as influxd 2.9.1 makes it at its first start, before setup.

use crate::buckets;
use crate::contents::Contents;
use crate::error::Result;
use crate::id::Snowflakes;
use crate::json::to_json;
use crate::meta::{self, Data};
use crate::migration;
use crate::random::{Random, bytes};
use crate::record::Stored as _;
use crate::time::Time;

/// The only source that a fresh server knows: itself. Its ids are constants of influxd.
const SOURCE_ID: &str = "020f755c3c082000";
const SOURCE: &str = r#"{"id":"020f755c3c082000","orgID":"50616e67652c206c","default":true,"name":"autogen","type":"self","url":"","telegraf":"","token":"","defaultRP":""}"#;

/// All Bolt buckets and records of a new store: influxd 2.9.1 opens it without running a migration and waits for its
/// setup. `now_ns` is in nanoseconds since 1970.
///
/// # Errors
/// No random bytes, or a time at which no ids can be made.
pub fn fresh(now_ns: i64, random: &mut dyn Random) -> Result<Contents> {
    let mut contents = Contents::default();
    for name in buckets::ALL {
        contents.add_bucket(name);
    }
    contents.put(buckets::IDS, "id", Snowflakes::at(now_ns, random)?.draw().key());
    for migration in migration::all_at(Time::from_ns(now_ns)) {
        contents.put(buckets::MIGRATIONS, migration.id().key(), to_json(&migration));
    }
    contents.put(buckets::SOURCES, SOURCE_ID, SOURCE);
    let meta = Data::fresh(u64::from_be_bytes(bytes(random)?));
    contents.put(buckets::STORAGE_METADATA, meta::KEY, meta.to_bytes());
    Ok(contents)
}
