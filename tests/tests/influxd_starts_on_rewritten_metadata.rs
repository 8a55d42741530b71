//! influxd 2.9 starts on a Bolt file that we wrote anew, and finds in it what it had put there.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::Arc;

use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::{Error, Store};
use icecore_tests::fixture::{FLEET, Fixture, KITCHEN_SINK, LAYERS};
use icecore_tests::influxd2::{self, Influxd};
use icecore_tests::{bolt, peers};

/// What influxd tells of its metadata.
fn told(influxd: &Path, dir: &Path, fixture: &Fixture) -> Vec<String> {
    let server = Influxd::start(influxd, dir);
    let client = server.client().with_token(fixture.token);
    let mut told: Vec<String> = ["/api/v2/orgs", "/api/v2/users", "/api/v2/authorizations", "/api/v2/labels"]
        .map(|path| String::from_utf8(client.body_of(path)).unwrap())
        .into();
    told.extend(influxd2::bucket_ids(&client).into_iter().map(|(name, id)| format!("{name} {id}")));
    server.stop();
    told
}

/// Every way in which we write a file: all of it anew; page by page, each pair put once more; and the pages moved about.
fn rewrite(path: &Path) -> Result<(), Error> {
    let store = Store::open(Arc::new(RealDisk), path, LockMode::Exclusive)?;
    store.compact()?;
    let view = store.view();
    for bucket in view.buckets()? {
        let (name, bucket) = bucket?;
        store.write(|tx| {
            let mut to = tx.bucket_or_create(name)?;
            bucket.iter()?.try_for_each(|pair| {
                let (key, value) = pair?;
                to.delete(key)?;
                to.put(key, value)
            })
        })?;
    }
    store.write(|tx| {
        let mut scratch = tx.create_bucket(b"scratch")?;
        (0..2000_u32).try_for_each(|key| scratch.put(&key.to_be_bytes(), &[1; 300]))
    })?;
    store.write(|tx| tx.delete_bucket(b"scratch"))?;
    store.view().verify().map(drop)
}

fn check(fixture: &Fixture) {
    let Some(influxd) = peers::influxd2() else { return };
    let (before, dir) = (fixture.unpack(), fixture.unpack());
    let path = dir.path().join("influxd.bolt");
    let bbolt = peers::bbolt();
    let contents = |path: &Path| {
        bbolt.as_ref().map(|bbolt| bolt::checked_contents(bbolt, &std::fs::read(path).unwrap()))
    };
    let whole = contents(&path);
    rewrite(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(contents(&path), whole, "{}: bbolt reads other pairs", fixture.name);
    assert_eq!(
        told(&influxd, dir.path(), fixture),
        told(&influxd, before.path(), fixture),
        "{}: influxd tells other metadata",
        fixture.name
    );
    let store = Store::open(Arc::new(RealDisk), &path, LockMode::Shared).unwrap();
    store.view().verify().unwrap_or_else(|error| panic!("after influxd wrote to it: {error}"));
}

#[test]
fn influxd_starts_on_a_rewritten_kitchen_sink() {
    check(&KITCHEN_SINK);
}

#[test]
fn influxd_starts_on_rewritten_layers() {
    check(&LAYERS);
}

#[test]
fn influxd_starts_on_a_rewritten_fleet() {
    check(&FLEET);
}
