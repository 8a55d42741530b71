//! Stores to ask: those of the fixtures, and new ones in a temporary directory.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and fails by panicking")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use icecore_catalog::{Catalog, Contents};
use icecore_disk::{LockMode, RealDisk};
use icecore_kvstore::{Builder, Store, View};
use icecore_testkit::fixtures;
use tempfile::TempDir;

pub(crate) const FIXTURES: [&str; 3] = ["kitchen-sink", "layers", "fleet"];

/// A store and the directory it lies in.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    _dir: TempDir,
}

impl TestStore {
    pub(crate) fn view(&self) -> View {
        self.store.view()
    }

    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::new(self.view())
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents::from_view(&self.view()).unwrap()
    }
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(Arc::new(RealDisk), path, LockMode::Shared).unwrap()
}

/// `influxd.bolt` of a fixture.
pub(crate) fn fixture(name: &str) -> TestStore {
    let dir = fixtures::unpack(name);
    TestStore { store: open(&dir.path().join("influxd.bolt")), _dir: dir }
}

/// A new file with these contents.
pub(crate) fn store_of(contents: &Contents) -> TestStore {
    let dir = TempDir::new().unwrap();
    let builder = contents.fill(Builder::new(4096).unwrap()).unwrap();
    let store = Store::create(Arc::new(RealDisk), &dir.path().join("influxd.bolt"), builder).unwrap();
    store.view().verify().unwrap();
    TestStore { store, _dir: dir }
}

/// The store of a fixture with one value changed.
pub(crate) fn fixture_with(name: &str, bucket: &str, key: &str, value: &[u8]) -> TestStore {
    let mut contents = fixture(name).contents();
    contents.put(bucket, key, value);
    store_of(&contents)
}

/// Bytes that look random and are the same in each run.
pub(crate) fn random(mut state: u64) -> impl FnMut(&mut [u8]) -> io::Result<()> {
    move |buffer| {
        for byte in buffer {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
        Ok(())
    }
}
