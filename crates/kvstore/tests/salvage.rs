//! A damaged file gives back all but what lay in the damaged place.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::history::{Manner, Seed, step};
use common::{Content, Entry};
use icecore_disk::Disk;
use icecore_kvstore::{Builder, Report, Result, Store, salvage};
use icecore_testkit::{MemDisk, Random};

const FILE: &str = "/data/damaged.bolt";
const PAGE: usize = 1024;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
/// The same name may be adrift from several buckets.
type Adrift = BTreeSet<(Vec<u8>, Vec<u8>)>;

/// The pairs that the root leads to, by the names and the key, and those adrift.
fn salvaged(bytes: Vec<u8>) -> Result<(Pairs, Adrift, Report)> {
    let disk = MemDisk::default();
    disk.put(Path::new(FILE), bytes);
    let (mut known, mut adrift) = (Pairs::new(), Adrift::new());
    let report = salvage(&disk, Path::new(FILE), |pair| {
        let name = [&pair.bucket.join(&b'/')[..], b"/", pair.key].concat();
        if pair.is_adrift {
            adrift.insert((name, pair.value.to_vec()));
        } else {
            known.insert(name, pair.value.to_vec());
        }
    })?;
    Ok((known, adrift, report))
}

fn flat(content: &Content, path: &[u8], all: &mut Pairs) {
    for (key, entry) in content {
        let name = [path, b"/", key].concat();
        match entry {
            Entry::Value(value) => drop(all.insert(name, value.clone())),
            Entry::Bucket(_, inside) => flat(inside, name.strip_prefix(b"/").unwrap_or(&name), all),
        }
    }
}

/// A file with free pages, nested buckets and nodes of several pages, and its pairs.
fn file(seed: u64) -> (Vec<u8>, Pairs) {
    let mut random = Random::new(seed);
    let manner = Manner { keys: 400, key_len_max: 40, value_len_max: 120, changes: 120 };
    let disk = MemDisk::default();
    disk.create_dir(Path::new("/data")).unwrap();
    let disk_of_store = std::sync::Arc::new(disk.clone());
    let store = Store::create(disk_of_store, Path::new(FILE), Builder::new(1024).unwrap()).unwrap();
    let mut model = Content::new();
    for _ in 0..10 {
        step(&store, &mut model, manner, &mut random).unwrap();
    }
    let used = usize::try_from(store.view().check().pages).unwrap() * PAGE;
    let mut pairs = Pairs::new();
    flat(&model, b"", &mut pairs);
    let mut bytes = disk.files().remove(Path::new(FILE)).unwrap();
    bytes.truncate(used);
    (bytes, pairs)
}

/// Whether what is adrift has this pair, under the inner part of its name at least.
fn has_adrift(adrift: &Adrift, name: &[u8], value: &[u8]) -> bool {
    let starts = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let inner = starts.flat_map(|at| [&name[at..], &name[at + 1..]]).chain([name]);
    inner.into_iter().any(|name| adrift.contains(&(name.to_vec(), value.to_vec())))
}

#[test]
fn a_sound_file_gives_all_and_no_problem() {
    for seed in 1..4 {
        let (bytes, pairs) = file(seed);
        let (known, adrift, report) = salvaged(bytes).unwrap();
        assert!(known == pairs && adrift.is_empty() && report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(report.pairs, pairs.len() as u64);
    }
}

#[test]
fn a_page_that_is_gone_takes_only_the_pairs_of_its_own_node_with_it() {
    for seed in 1..4 {
        let _seed = Seed(seed);
        let (bytes, pairs) = file(seed);
        let mut random = Random::new(seed);
        for page in 2..bytes.len() / PAGE {
            let mut damaged = bytes.clone();
            damaged[page * PAGE..(page + 1) * PAGE].copy_from_slice(&random.bytes(PAGE));
            let (known, adrift, _) = salvaged(damaged).unwrap();
            // A later page of a node is bytes of keys and values, which nothing guards.
            let is_first = bytes[page * PAGE..][..8] == (page as u64).to_le_bytes();
            let is_known = |name: &Vec<u8>| pairs.contains_key(name) || !is_first;
            assert!(known.keys().all(is_known), "page {page}: pairs that never were");
            let gone = pairs
                .iter()
                .filter(|&(name, value)| known.get(name) != Some(value) && !has_adrift(&adrift, name, value));
            // A node has at most two pages here, or one pair in more.
            let len: usize =
                gone.clone().map(|(name, value)| name.len().min(20) + value.len().min(PAGE)).sum();
            assert!(len < 3 * PAGE, "page {page}: {} pairs are gone, {len} bytes", gone.count());
        }
    }
}

#[test]
fn without_its_metas_a_file_gives_its_trees() {
    for seed in 1..4 {
        let _seed = Seed(seed);
        let (mut bytes, pairs) = file(seed);
        bytes[..2 * PAGE].fill(0);
        let (known, adrift, report) = salvaged(bytes).unwrap();
        assert!(known.is_empty());
        assert!(report.problems.iter().any(|problem| problem.what() == "neither meta page is whole"));
        assert!(pairs.iter().all(|(name, value)| has_adrift(&adrift, name, value)), "a pair is gone");
    }
}

#[test]
fn a_file_cut_short_gives_what_is_left_and_what_is_none_gives_nothing() {
    let (mut bytes, pairs) = file(3);
    bytes.truncate(bytes.len() * 2 / 3);
    let (known, adrift, report) = salvaged(bytes).unwrap();
    assert!(!report.problems.is_empty());
    assert!(known.len() + adrift.len() > pairs.len() / 3);
    let mut random = Random::new(1);
    for len in [0, 1, 80, 1024, 4096, 70_000] {
        assert!(salvaged(random.bytes(len)).unwrap_err().is_damage());
    }
}
