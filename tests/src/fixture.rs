//! The fixtures with what the tests must know of each: the operator's token, the buckets with data, their values.

use std::collections::BTreeMap;

use icecore_testkit::fixtures;
use tempfile::TempDir;

use crate::archive::{self, Files};
use crate::http::Client;
use crate::line_protocol;
use crate::manifest::{self, Bucket, Shard};
use crate::multipart;
use crate::values::Values;

/// A data directory of a real influxd 2.9.1.
#[derive(Debug)]
pub struct Fixture {
    /// Its folder.
    pub name: &'static str,
    /// An operator's.
    pub token: &'static str,
    /// Buckets that hold values.
    pub buckets: &'static [&'static str],
    /// How many values they hold together.
    pub count: usize,
}

/// Thirteen shards, live tombstones, a log with writes and deletes, odd names and extreme times.
pub const KITCHEN_SINK: Fixture = Fixture {
    name: "kitchen-sink",
    token: fixtures::OPERATOR_TOKEN,
    buckets: &["725e5d10302da261", "83fa952f192155e3", "348f4c27f9903b80", "e82f1075dd10d838"],
    count: 110_575 + 4_484 + 6_644 + 27_000,
};

/// Five files of one shard over the same times, each with tombstones, and a log with a delete.
pub const LAYERS: Fixture = Fixture {
    name: "layers",
    token: fixtures::LAYERS_OPERATOR_TOKEN,
    buckets: &["a5de34553b154f33"],
    count: 12_055,
};

/// One shard of two files, large enough for more than one block of every column.
pub const FLEET: Fixture = Fixture {
    name: "fleet",
    token: fixtures::OPERATOR_TOKEN,
    buckets: &["1b87b4f3c6ec1165"],
    count: 2_000_000,
};

impl Fixture {
    /// A private copy of the directory.
    pub fn unpack(&self) -> TempDir {
        fixtures::unpack(self.name)
    }

    /// What a bucket holds.
    ///
    /// # Panics
    /// When the fixture is missing.
    pub fn expected(&self, bucket_id: &str) -> Values {
        let text = |name: &str| String::from_utf8(fixtures::read(&format!("{}/{name}", self.name))).unwrap();
        if self.name == FLEET.name {
            return line_protocol::parse(&text("fleet.lp.gz"));
        }
        Values::from_tsv(&text(&format!("expected/{bucket_id}.tsv.gz")))
    }

    /// Asserts that shards, read one by one, hold what the buckets hold: each what lies in its times, all together
    /// everything.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn assert_shards_hold(
        &self,
        shards: &[Shard],
        found: &BTreeMap<u64, Values>,
        expected: impl Fn(&str) -> Values,
    ) {
        let mut count = 0;
        for bucket_id in self.buckets {
            let expected = expected(bucket_id);
            let mut rest = expected.len();
            for shard in shards.iter().filter(|shard| shard.bucket_id == *bucket_id) {
                let expected = expected.within(&shard.times);
                found[&shard.id].assert_equal(&expected, &format!("{} shard {}", self.name, shard.id));
                rest -= expected.len();
                count += expected.len();
            }
            assert_eq!(rest, 0, "{bucket_id} has values outside its shards");
        }
        assert_eq!(count, self.count, "values of {}", self.name);
    }
}

/// The manifest that a server sends.
///
/// # Panics
/// When it sends none.
pub fn manifest(client: &Client) -> Vec<Bucket> {
    let answer = client.get("/api/v2/backup/metadata");
    assert_eq!(answer.status, 200, "{}", answer.text());
    manifest::parse(multipart::content(&multipart::parts(&answer), "buckets"))
}

/// Every shard of the manifest with the archive that the server sends for it.
///
/// # Panics
/// When it does not.
pub fn archives(client: &Client) -> Vec<(Shard, Files)> {
    let buckets = manifest(client);
    let shards = buckets.iter().flat_map(Bucket::shards);
    shards
        .map(|shard| {
            let bytes = client.body_of(&format!("/api/v2/backup/shards/{}", shard.id));
            let files = archive::files(&bytes, &shard.bucket_id, shard.id);
            (shard, files)
        })
        .collect()
}
